"""The state folder: data that lasts between two starts, its lock, and files for clients. Neighbour: `service`."""

import contextlib
import fcntl
import json
import os
import shutil
import socket
import stat
import uuid
from pathlib import Path
from typing import Self

from jeroboam.identity.embedded import (
    EmbeddedKeystone,
    KeystonePasswords,
    check_installed,
    passwords,
    write_private,
)
from jeroboam.kit.ids import is_uuid
from jeroboam.settings import Settings, parse_address

KEY_FILE = "secrets.key"
# A folder of an installation has at least one of these files.
_OWN_FILES = ("installation", KEY_FILE, "seeded", "jeroboam.db")
# What a start may leave that was killed before there was an installation, and what a new file system has.
_REMAINS = frozenset({"lock", "jeroboam.log", "jeroboam.log.1", "keystone", "passwords.json", "lost+found"})


class StateInUse(Exception):
    """Another process uses this state. `pid` is the id of that process, if known."""

    def __init__(self, folder: Path, pid: str) -> None:
        super().__init__(f"another jeroboam (process {pid or '?'}) uses the state in {folder}")
        self.pid = pid


class StateFolder:
    """The folder of one installation. As a context the folder is locked; the lock always ends with the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        self._mask: int | None = None
        self._is_new = False
        self._is_empty = False

    def __enter__(self) -> Self:
        self._is_new = not self.path.exists()
        self._check_owner()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._is_empty = not any(self.path.iterdir())
        self._close_folder()
        self._close_files()
        self._mask = os.umask(0o077)
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.read(self._lock, 32).decode().strip()
            os.close(self._lock)
            raise StateInUse(self.path, pid) from error
        os.ftruncate(self._lock, 0)
        os.write(self._lock, f"{os.getpid()}\n".encode())
        return self

    def __exit__(self, *_: object) -> None:
        if self._mask is not None:
            os.umask(self._mask)
        if self._lock is None:
            return
        if self._is_empty and self.path.exists() and not self.exists:
            self._remove_content()
        os.close(self._lock)

    def _remove_content(self) -> None:
        """Remove what a start has made that failed before there was an installation."""
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if self._is_new:
            with contextlib.suppress(OSError):
                self.path.rmdir()

    def find_process(self) -> str | None:
        """Return the id of the process that holds the lock; None if nobody does."""
        try:
            lock = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.read(lock, 32).decode().strip()
        finally:
            os.close(lock)
        return None

    def _check_owner(self) -> None:
        """Raise `ValueError` for a folder with files that are not the service's: `down` removes the whole folder."""
        if not self.path.exists() or any((self.path / name).exists() for name in _OWN_FILES):
            return
        others = sorted(path.name for path in self.path.iterdir() if path.name not in _REMAINS)
        if others:
            raise ValueError(
                f"{self.path} is not the service's: it holds {others[0]}, and no installation; "
                "name a folder that is new or empty: --state DIR"
            )

    def _close_folder(self) -> None:
        """Make an existing folder private. Raises `ValueError` if the folder may not be ours."""
        status = self.path.stat()
        if not stat.S_IMODE(status.st_mode) & 0o077:
            return
        if status.st_uid != os.geteuid():
            raise ValueError(f"{self.path} belongs to another user and is open to others: name a folder of your own")
        self.path.chmod(0o700)

    def _close_files(self) -> None:
        """Make the files private, also if a copy or an earlier version left them readable for others."""
        for path in [*self.path.glob("*"), *(self.path / "keystone").glob("*")]:
            if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077 and path.name != KEY_FILE:
                path.chmod(0o600)

    @property
    def exists(self) -> bool:
        """Whether an installation was ever started here."""
        return (self.path / "installation").exists()

    def check_exists(self) -> None:
        """Raise `ValueError` if no installation was ever started here."""
        if not self.exists:
            text = "start one with: jeroboam up (or name its folder: --state DIR)"
            raise ValueError(f"there is no installation in {self.path}; {text}")

    def installation(self) -> str:
        """Return the installation's uuid, which distinguishes its objects from those of others; created once."""
        path = self.path / "installation"
        if not path.exists():
            if (self.path / "seeded").exists():
                raise ValueError(
                    f"{path} is missing: without it the service does not know what it created; put it back"
                )
            write_private(path, str(uuid.uuid4()))
        name = path.read_text(encoding="ascii", errors="replace").strip()
        if not is_uuid(name):
            raise ValueError(f"{path} does not hold a UUID, which the labels of all that was made have; put it back")
        return name

    @property
    def key_file(self) -> Path:
        """The key file for sealed values in the database."""
        return self.path / KEY_FILE

    def passwords(self) -> KeystonePasswords:
        """Return the generated passwords of the embedded Keystone's users; created once."""
        return passwords(self.path / "passwords.json")

    def keystone(self, settings: Settings) -> EmbeddedKeystone:
        """Return the embedded Keystone on its listening address, not started.

        Raises `ValueError`, before anything is written, if it is not installed, or if its address or that of the API
        is not available.
        """
        check_installed()
        _check_addresses(settings)
        host, port = parse_address(settings.keystone.listen, "[keystone] listen")
        return EmbeddedKeystone(self.path / "keystone", host=host, port=port, passwords=self.passwords())

    def write_clients(self, *, auth_url: str, passwords: KeystonePasswords) -> None:
        """Write `clouds.yaml` and files for shells for the published clients. Only the owner can read them."""
        write_private(self.path / "clouds.yaml", build_clouds(auth_url, passwords))
        write_private(self.path / "openrc", build_openrc(auth_url, "demo", passwords.demo))
        write_private(self.path / "openrc-admin", build_openrc(auth_url, "admin", passwords.admin))

    def write_addresses(self, *, api_url: str, auth_url: str) -> None:
        """Write the addresses of the service."""
        write_private(self.path / "addresses.json", json.dumps({"api": api_url, "keystone": auth_url}))

    def addresses(self) -> dict[str, str]:
        """Return the last addresses of the service; empty if it never listened."""
        path = self.path / "addresses.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}


def _check_addresses(settings: Settings) -> None:
    """Raise `ValueError` for the first address that is not available. Both are taken at once, and released."""
    with contextlib.ExitStack() as stack:
        for name, text, option, flag in (
            ("", settings.api.listen, "[api] listen", "--listen"),
            ("the embedded Keystone ", settings.keystone.listen, "[keystone] listen", "--keystone-listen"),
        ):
            host, port = parse_address(text, option)
            try:
                stack.enter_context(socket.create_server((host, port), reuse_port=False))
            except OSError as error:
                # The library appends the address in brackets.
                reason = (error.strerror or str(error)).partition(" (while")[0]
                hint = f"name another address with {flag} ADDRESS:PORT"
                raise ValueError(f"{name}cannot listen on {host}:{port}: {reason}; {hint}") from error


def build_clouds(auth_url: str, passwords: KeystonePasswords) -> str:
    """Return a clouds.yaml with the clouds `jeroboam` (project demo) and `jeroboam-admin`."""
    entries = [("jeroboam", "demo", "demo", passwords.demo), ("jeroboam-admin", "admin", "admin", passwords.admin)]
    lines = ["clouds:"]
    for name, user, project, password in entries:
        lines += [
            f"  {name}:",
            "    auth:",
            f"      auth_url: {auth_url}",
            f"      username: {user}",
            f"      password: {json.dumps(password)}",
            f"      project_name: {project}",
            "      user_domain_name: Default",
            "      project_domain_name: Default",
            "    region_name: RegionOne",
            "    identity_api_version: 3",
        ]
    return "\n".join(lines) + "\n"


def build_openrc(auth_url: str, user: str, password: str) -> str:
    """Return shell variables for that user in the project of the same name; none of another cloud stays in force."""
    return f"""\
unset OS_CLOUD OS_TOKEN OS_AUTH_TYPE OS_PROJECT_ID OS_USER_ID OS_DOMAIN_ID OS_DOMAIN_NAME OS_SYSTEM_SCOPE OS_TRUST_ID
export OS_AUTH_URL={auth_url}
export OS_USERNAME={user}
export OS_PASSWORD='{password}'
export OS_PROJECT_NAME={user}
export OS_USER_DOMAIN_NAME=Default
export OS_PROJECT_DOMAIN_NAME=Default
export OS_REGION_NAME=RegionOne
export OS_IDENTITY_API_VERSION=3
"""
