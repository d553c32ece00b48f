"""`jeroboam up` as a user runs it: a process on a state folder of its own, asked over HTTP with tokens of its Keystone.

The process may be killed at any moment and started again; whatever it made on the Engine is seen here by its label,
past the service.
"""

import asyncio
import json
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
from dataclasses import dataclass

import aiohttp
import pytest

BIN = pathlib.Path(sys.executable).parent / "jeroboam"
UP_SECONDS = 60.0
# Between two looks at something that another process changes.
GLANCE = 0.05
_VERSION = {"OpenStack-API-Version": "container-infra 1.14, container 1.40"}


@dataclass
class Answer:
    status: int
    body: object


class Installation:
    """One state folder, and the process that works on it while there is one."""

    def __init__(self, folder: pathlib.Path, config: str = "") -> None:
        self.state = folder / "state"
        self.config = folder / "jeroboam.conf"
        self.config.write_text(config)
        self.log = folder / "up.log"
        self.process: subprocess.Popen | None = None
        self.clean = True
        """Said by a test that has left nothing behind."""
        self._token = ""
        self.ports = ("127.0.0.1:0", "127.0.0.1:0")

    @property
    def id(self) -> str:
        return (self.state / "installation").read_text().strip()

    def spawn(self) -> subprocess.Popen:
        """Start the process. Once it has had ports it keeps them, as an installation with the default ones does."""
        api, keystone = self.ports
        command = [BIN, "up", "--state", self.state, "--config", self.config]
        with self.log.open("a") as log:
            return subprocess.Popen(
                [*command, "--listen", api, "--keystone-listen", keystone],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def up(self) -> None:
        """Start it and wait until it answers."""
        begin = self.log.stat().st_size if self.log.exists() else 0
        self.process = self.spawn()
        await until(lambda: self._greeted(begin), UP_SECONDS)
        if self.process.poll() is not None:
            pytest.fail(f"jeroboam up ended: {self.said(begin)}")
        addresses = json.loads((self.state / "addresses.json").read_text())
        self.ports = tuple(re.search(r"//([^/]+)", addresses[part])[1] for part in ("api", "keystone"))

    async def _greeted(self, begin: int) -> bool:
        return self.process.poll() is not None or "jeroboam is up" in self.said(begin)

    def said(self, begin: int = 0) -> str:
        with self.log.open() as log:
            log.seek(begin)
            return log.read()

    def kill(self) -> None:
        """As the kernel would: at once, with no word to it."""
        self.process.kill()
        self.process.wait()

    async def stop(self) -> int:
        """As a user does; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, 30)

    def down(self) -> None:
        """Remove all that it made."""
        if self.process is not None:
            self.kill()
        if (self.state / "installation").exists():
            subprocess.run([BIN, "down", "--state", self.state, "--yes"], check=True, capture_output=True, timeout=120)

    async def token(self) -> str:
        """A token of the member `demo`."""
        said = (self.state / "clouds.yaml").read_text()
        demo = said.partition("jeroboam-admin")[0]
        url = re.search(r"auth_url: (\S+)", demo)[1]
        password = json.loads(re.search(r"password: (.+)", demo)[1])
        user = {"name": "demo", "domain": {"id": "default"}, "password": password}
        scope = {"project": {"name": "demo", "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        async with aiohttp.ClientSession() as session, session.post(f"{url}/auth/tokens", json=body) as answer:
            assert answer.status == 201, await answer.text()
            return answer.headers["X-Subject-Token"]

    async def ask(self, method: str, path: str, body: object = None) -> Answer:
        """One request as the member `demo`. A token outlives the process that gave it."""
        self._token = self._token or await self.token()
        headers = {"X-Auth-Token": self._token, **_VERSION}
        url = f"http://{self.ports[0]}{path}"
        timeout = aiohttp.ClientTimeout(total=30)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url, json=body, headers=headers) as answer,
        ):
            text = await answer.text()
            return Answer(answer.status, json.loads(text) if text else None)

    async def good(self, method: str, path: str, body: object = None) -> dict:
        """The same, for what has to be accepted."""
        answer = await self.ask(method, path, body)
        assert answer.status < 300, answer
        return answer.body

    async def cluster(self, name: str, **more: object) -> str:
        """Ask for a Swarm cluster; its uuid."""
        wish = {"name": name, "cluster_template_id": "swarm", "master_count": 1, "node_count": 1, **more}
        return (await self.good("POST", "/container-infra/v1/clusters", wish))["uuid"]

    async def container(self, name: str, *command: str, **more: object) -> str:
        """Ask for a container that runs; its uuid."""
        wish = {"name": name, "image": "busybox", "command": list(command), "cpu": 0.2, "memory": 32, **more}
        return (await self.good("POST", "/container/v1/containers?run=true", wish))["uuid"]

    def rows(self) -> dict[str, int]:
        """How many there are of everything that a project owns, by table; the agent's memory is one of them."""
        counts = {}
        for file, tables in {
            "jeroboam.db": ("cluster", "nodegroup", "certificate", "container", "workload"),
            "agent.db": ("container",),
        }.items():
            with sqlite3.connect(f"file:{self.state / file}?mode=ro", uri=True) as database:
                for table in tables:
                    counts[f"{file}:{table}"] = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            database.close()
        return counts


async def until(look, seconds: float = 60.0, *, what=lambda: "") -> object:
    """What `look` gives once that is true; it is asked again and again, as any client would."""
    try:
        async with asyncio.timeout(seconds):
            while not (seen := await look()):
                await asyncio.sleep(GLANCE)
    except TimeoutError:
        pytest.fail(f"not within {seconds:g} s {what()}")
    return seen
