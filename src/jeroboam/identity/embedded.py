"""A real Keystone as a child process (`keystone_child`) on SQLite, for machines without a Keystone.

The bootstrap creates a catalogue, an admin, a member (`demo`) and our own service user. Passwords are generated once
and kept in the state folder. Only its owner can read them. Neighbour: `clients.keystone`.
"""

import asyncio
import contextlib
import json
import os
import secrets
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from jeroboam.clients.http import HttpClient, NoAnswer
from jeroboam.clients.keystone import INTERFACES, KeystoneAdmin
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.kit.clock import Clock
from jeroboam.kit.extras import describe_missing_extra, has_modules

START_SECONDS = 60.0
STOP_SECONDS = 3.0
RESTART_SECONDS = 1.0
_ERRORS = 400

log = structlog.get_logger("jeroboam.identity")

CONFIG = """\
[DEFAULT]
use_stderr = true
log_file =
[database]
connection = sqlite:///{folder}/keystone.db
[fernet_tokens]
key_repository = {folder}/fernet
[fernet_receipts]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[token]
provider = fernet
expiration = 14400
[identity]
password_hash_rounds = 4
[cache]
enabled = true
backend = oslo_cache.dict
[oslo_policy]
enforce_scope = false
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeystonePasswords:
    """The generated passwords of this installation. `repr` shows none of them."""

    admin: str
    demo: str
    service: str

    def __repr__(self) -> str:
        return "Passwords(…)"


def passwords(path: Path) -> KeystonePasswords:
    """Return the passwords in the file; a missing file is created."""
    if path.exists():
        try:
            return KeystonePasswords(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} does not hold the passwords of an installation; put it back") from error
    generated = KeystonePasswords(
        admin=secrets.token_urlsafe(18), demo=secrets.token_urlsafe(18), service=secrets.token_urlsafe(18)
    )
    write_private(path, json.dumps(asdict(generated)))
    return generated


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    part.replace(path)


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises `Permanent` that names the address if it is not available."""
    try:
        return socket.create_server((host, port), reuse_port=False)
    except OSError as error:
        raise Permanent(f"the embedded Keystone cannot listen on {host}:{port}: {error.strerror or error}") from error


def check_installed() -> None:
    """Raise `ValueError` if Keystone is not installed."""
    if not has_modules("keystone", "waitress"):
        raise ValueError(describe_missing_extra("Keystone, which `jeroboam up` runs,", "embedded"))


class EmbeddedKeystone:
    """The child process."""

    def __init__(self, folder: Path, *, host: str, port: int, passwords: KeystonePasswords) -> None:
        self._folder = folder
        self._passwords = passwords
        self._listener = _listen(host, port)
        self.url = f"http://{host}:{self._listener.getsockname()[1]}/v3"
        self._prepared = folder / "prepared"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_first_start(self) -> bool:
        """Whether the start has to create everything."""
        return not self._prepared.exists()

    @property
    def process_id(self) -> int | None:
        """The id of the process; None if it was not started."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the process, which creates what is missing. It takes seconds until the process is `ready`."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = self._folder / "keystone.conf"
        config.write_text(CONFIG.format(folder=self._folder))
        is_prepared = not self.is_first_start
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
        descriptor = self._listener.fileno()
        first = "again" if is_prepared else "first"
        command = [
            sys.executable,
            "-m",
            "jeroboam.identity.keystone_child",
            str(config),
            str(descriptor),
            self.url,
            first,
            str(os.getpid()),
        ]
        with (self._folder / "keystone.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=[descriptor],
                start_new_session=True,
            )
        # The environment and the arguments of a process can be read while it runs.
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(OSError):
            if not is_prepared:
                pipe.write(self._passwords.admin.encode())
            pipe.close()
            await pipe.wait_closed()

    async def ready(self) -> None:
        """Wait until Keystone answers. Raises `Temporary` if the process ends or does not answer in time."""
        await self._wait_for_answer()
        self._prepared.touch()

    async def _wait_for_answer(self) -> None:
        """Wait for the answer to one request: the socket listens from the start."""
        assert self._process is not None
        end = asyncio.ensure_future(self._process.wait())
        answer = asyncio.ensure_future(self._ask())
        try:
            first, _ = await asyncio.wait({end, answer}, return_when=asyncio.FIRST_COMPLETED)
            if end in first:
                log = self._folder / "keystone.log"
                raise Temporary(f"the embedded Keystone ended ({end.result()}); see {log}")
            answer.result()
        except NoAnswer as error:
            raise Temporary(f"the embedded Keystone does not answer: {error}") from error
        finally:
            end.cancel()
            answer.cancel()

    async def _ask(self) -> None:
        async with HttpClient(total_seconds=START_SECONDS) as http:
            answer = await http.request("GET", self.url)
        if answer.status >= _ERRORS:
            raise NoAnswer(f"{answer.status} {answer.reason}")

    async def register(self, api_url: str, *, heat_views: bool = False, has_volumes: bool = False) -> None:
        """Register projects, users, roles and the catalogue for an API at that URL, once for each pair of URLs."""
        marker = self._folder / "registered"
        options = f"{' heat' if heat_views else ''}{' volume' if has_volumes else ''}"
        registration = f"{self.url} {api_url} {' '.join(INTERFACES)}{options}"
        if marker.exists() and marker.read_text() == registration:
            return
        async with KeystoneAdmin(self.url, password=self._passwords.admin) as keystone:
            service = await keystone.ensure_project("service")
            demo = await keystone.ensure_project("demo")
            user = await keystone.ensure_user("jeroboam", self._passwords.service)
            member = await keystone.ensure_user("demo", self._passwords.demo)
            await keystone.ensure_role("admin", user_id=user, project_id=service)
            await keystone.ensure_role("member", user_id=member, project_id=demo)
            await keystone.ensure_service("identity", "keystone", self.url)
            await keystone.ensure_service("container-infra", "jeroboam-clusters", f"{api_url}/container-infra/v1")
            await keystone.ensure_service("container", "jeroboam-containers", f"{api_url}/container/v1")
            if heat_views:
                stacks = f"{api_url}/orchestration/v1/$(project_id)s"
                await keystone.ensure_service("orchestration", "jeroboam-stacks", stacks)
            else:
                await keystone.remove_service("jeroboam-stacks")
            if has_volumes:
                await keystone.ensure_service(
                    "block-storage", "jeroboam-volumes", f"{api_url}/volume/v3/$(project_id)s"
                )
            else:
                await keystone.remove_service("jeroboam-volumes")
        marker.write_text(registration)

    async def restart_when_ended(self, clock: Clock) -> None:
        """Restart the process whenever it ends, until cancelled. The socket stays open, so clients wait meanwhile."""
        while True:
            assert self._process is not None
            status = await self._process.wait()
            log.error("keystone ended", status=status, log=str(self._folder / "keystone.log"))
            await clock.sleep(RESTART_SECONDS)
            await self.start()

    async def stop(self) -> None:
        """End the process."""
        self._listener.close()
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
