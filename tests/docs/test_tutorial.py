"""The tutorials are true: their commands, typed in order as they stand, all succeed.

`sh` blocks are typed into one shell; `text` blocks are what a reader sees. A comment before a block says that it
belongs to the service's own terminal, or that Ctrl-C is pressed there.
"""

import asyncio
import contextlib
import os
import pathlib
import re
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from jeroboam.settings import default_cache

ROOT = pathlib.Path(__file__).parents[2]
SWARM, KUBERNETES = "tutorial.md", "tutorial-kubernetes.md"
BLOCK = re.compile(
    r"(?:^<!-- terminal: (?P<terminal>[^\n]*) -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
DONE = "@@ typed @@"
BLOCK_SECONDS = 180
UP_SECONDS = 90


@dataclass(frozen=True)
class Block:
    """One fenced block of the page."""

    terminal: str
    kind: str
    text: str


def text_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text()


def blocks(page: str) -> list[Block]:
    found = BLOCK.finditer(text_of(page))
    return [Block(match["terminal"] or "", match["kind"], match["text"]) for match in found]


@dataclass
class Desk:
    """Two terminals of somebody whose home folder is empty."""

    home: pathlib.Path
    service: asyncio.subprocess.Process | None = None
    shell: asyncio.subprocess.Process | None = None
    seen: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "DOCKER_", "XDG_"))}
        # Options may come from the environment: free ports, so that another service is in nobody's way.
        ports = {"OS_API__LISTEN": "127.0.0.1:0", "OS_KEYSTONE__LISTEN": "127.0.0.1:0"}
        # Programs that were made are not made again: that is the one thing that this home is not empty of.
        made = {"XDG_CACHE_HOME": str(default_cache().parent)}
        return kept | ports | made | {"HOME": str(self.home), "SHELL": "/bin/bash"}

    async def start_service(self, command: str) -> None:
        self.service = await self._open(f"exec {command}")
        await self._read(self.service, "jeroboam is up", UP_SECONDS)

    async def stop_service(self) -> None:
        assert self.service is not None
        self.service.send_signal(signal.SIGINT)
        async with asyncio.timeout(15):
            assert await self.service.wait() == 0, "".join(self.seen)

    async def type(self, number: int, text: str) -> None:
        """Type a block; every command of it has to succeed."""
        if self.shell is None:
            self.shell = await self._open("exec bash")
            self._say("set -e -o pipefail")
        path = self.home / f"block{number}.sh"
        path.write_text(text)
        self._say(f". {path} < /dev/null")
        self._say(f"echo '{DONE}'")
        await self._read(self.shell, DONE, BLOCK_SECONDS)

    def _say(self, line: str) -> None:
        assert self.shell is not None
        assert self.shell.stdin is not None
        self.shell.stdin.write(f"{line}\n".encode())

    async def _open(self, command: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=ROOT,
            env=self.environment,
        )

    async def _read(self, process: asyncio.subprocess.Process, mark: str, seconds: float) -> None:
        """Until that is printed."""
        assert process.stdout is not None
        try:
            async with asyncio.timeout(seconds):
                async for raw in process.stdout:
                    line = raw.decode()
                    if mark in line:
                        return
                    self.seen.append(line)
                ended = f"ended with {await process.wait()}"
        except TimeoutError:
            ended = f"took more than {seconds} s"
        raise AssertionError(f"{ended}, and {mark!r} was not seen:\n{''.join(self.seen[-40:])}")


@pytest.fixture
async def desk(tmp_path: pathlib.Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    for process in (desk.shell, desk.service):
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    state = tmp_path / ".local" / "state" / "jeroboam"
    if state.exists():
        program = pathlib.Path(sys.executable).with_name("jeroboam")
        down = await asyncio.create_subprocess_exec(program, "down", "--state", state, "--yes", env=desk.environment)
        assert await down.wait() == 0


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize("page", [SWARM, pytest.param(KUBERNETES, marks=pytest.mark.kubernetes)])
async def test_every_command_of_the_tutorial_succeeds(desk: Desk, page: str) -> None:
    typed = 0
    for number, block in enumerate(blocks(page)):
        if block.terminal == "service":
            await desk.start_service(block.text.strip())
        elif block.terminal == "service, Ctrl-C":
            await desk.stop_service()
        elif block.kind == "sh":
            await desk.type(number, block.text)
            typed += 1
    assert typed >= 10
    assert not (desk.home / ".local" / "state" / "jeroboam").exists()


@pytest.mark.parametrize("page", [SWARM, KUBERNETES])
def test_the_page_holds_nothing_but_commands_and_outputs(page: str) -> None:
    text = text_of(page)
    found = blocks(page)
    assert text.count("\n```") == 2 * len(found)
    assert {block.kind for block in found} == {"sh", "text"}
    assert [block.terminal for block in found if block.terminal] == ["service", "service, Ctrl-C"]
