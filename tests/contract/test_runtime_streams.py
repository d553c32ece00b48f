"""What every runtime's streams must do: one suite, passed by the fake and by a real Docker Engine."""

import asyncio
import uuid as uuids
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from jeroboam.domain.containers import ContainerSpec
from jeroboam.domain.errors import Permanent
from jeroboam.domain.streams import ByteStream, Channel, CloseReason, StreamClosed, TerminalSize
from jeroboam.runtimes.base import ContainerGone, Runtime, SupportsFollowLogs, SupportsInteractiveExec
from jeroboam.runtimes.docker.runtime import DockerRuntime
from jeroboam.runtimes.fake import FakeRuntime
from tests.clock import settle
from tests.contract.rigs import docker_runtime
from tests.stream_rig import SECONDS, read_all, read_some

LARGE = 8 << 20
# The command writes into a pipe of the system, the Engine reads it, and a socket has two buffers.
MOST_ON_THE_WAY = 4 << 20
_CAT = ("cat",)
# Prints one line, and another one before it ends.
_TWO_LINES = "echo one; while ! test -e /go; do sleep 0.05; done; echo two"
_FOREVER = "while :; do sleep 0.05; done"


@dataclass(kw_only=True)
class Rig:
    """A container that runs, and commands that do the same in each runtime."""

    runtime: FakeRuntime | DockerRuntime
    uuid: str
    flood: tuple[str, ...]
    fail: tuple[str, ...]
    count: tuple[str, ...]
    show_size: tuple[str, ...]
    print_last_line: Callable[[], Awaitable[None]]
    has_flooded: Callable[[], Awaitable[bool]]
    """Whether that command has printed all, given a moment for it."""

    async def exec(
        self, command: tuple[str, ...], *, tty: bool = False, size: TerminalSize | None = None
    ) -> ByteStream:
        return await self.runtime.open_exec(self.uuid, command, tty=tty, size=size)

    async def follow_logs(self) -> ByteStream:
        return await self.runtime.follow_logs(
            self.uuid, stdout=True, stderr=True, timestamps=False, tail=None, since=None
        )


def fake_rig(runtime: FakeRuntime, uuid: str) -> Rig:
    async def print_last_line() -> None:
        runtime.print_output(uuid, "two\n")
        runtime.end(uuid)

    async def has_flooded() -> bool:
        await settle()
        return not runtime.programs.running[uuid]

    return Rig(
        runtime=runtime,
        uuid=uuid,
        flood=("flood", str(LARGE)),
        fail=("fail", "3"),
        count=("count",),
        show_size=("show-size",),
        print_last_line=print_last_line,
        has_flooded=has_flooded,
    )


def docker_rig(runtime: DockerRuntime, uuid: str) -> Rig:
    async def print_last_line() -> None:
        await runtime.execute(uuid, ["touch", "/go"], limit=SECONDS)

    async def has_flooded() -> bool:
        return (await runtime.execute(uuid, ["sh", "-c", "sleep 1; test -e /flooded"], limit=SECONDS)).exit_code == 0

    return Rig(
        runtime=runtime,
        uuid=uuid,
        flood=("sh", "-c", f"head -c {LARGE} /dev/zero; touch /flooded"),
        fail=("sh", "-c", "printf failed >&2; exit 3"),
        count=("sh", "-c", "printf $(wc -c)"),
        show_size=("sh", "-c", f"trap 'stty size' WINCH; stty size; {_FOREVER}"),
        print_last_line=print_last_line,
        has_flooded=has_flooded,
    )


async def start(runtime: Runtime, image: str) -> str:
    uuid = str(uuids.uuid4())
    spec = ContainerSpec(image=image, command=("sh", "-c", _TWO_LINES), cpu=0.5, memory=64)
    await runtime.create(uuid, "a", spec, project="p")
    await runtime.start(uuid)
    return uuid


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.docker)])
async def rig(request: pytest.FixtureRequest, busybox: str) -> AsyncIterator[Rig]:
    if request.param == "fake":
        fake = FakeRuntime()
        uuid = await start(fake, busybox)
        fake.print_output(uuid, "one\n")
        yield fake_rig(fake, uuid)
        await fake.close()
        return
    async with docker_runtime() as docker:
        yield docker_rig(docker, await start(docker, busybox))


def test_both_have_streams() -> None:
    for kind in (FakeRuntime, DockerRuntime):
        runtime = kind(installation="test")
        assert isinstance(runtime, SupportsFollowLogs)
        assert isinstance(runtime, SupportsInteractiveExec)


async def test_input_and_output(rig: Rig) -> None:
    stream = await rig.exec(_CAT)
    for word in (b"one", b"two"):
        await stream.send(word)
        assert await read_some(stream, len(word)) == word
    await stream.end()
    assert await read_all(stream) == b""
    ending = await stream.wait_closed()
    assert (ending.reason, ending.exit_code) == (CloseReason.ENDED, 0)
    await stream.close()


async def test_errors_and_the_exit_code(rig: Rig) -> None:
    stream = await rig.exec(rig.fail)
    assert await read_all(stream, Channel.ERROR) == b"failed"
    assert (await stream.wait_closed()).exit_code == 3
    await stream.close()


async def test_input_larger_than_any_buffer(rig: Rig) -> None:
    stream = await rig.exec(rig.count)
    for _ in range(LARGE >> 16):
        async with asyncio.timeout(SECONDS):
            await stream.send(b"x" * (1 << 16))
    await stream.end()
    assert await read_all(stream) == str(LARGE).encode()
    await stream.close()


async def test_output_waits_for_its_reader(rig: Rig) -> None:
    stream = await rig.exec(rig.flood)
    first = await read_some(stream, 1)
    assert not await rig.has_flooded()
    assert len(first) + len(await read_all(stream)) == LARGE
    assert await rig.has_flooded()
    await stream.close()


async def test_input_that_is_not_read_stops_its_sender(rig: Rig) -> None:
    stream = await rig.exec(("hang",) if isinstance(rig.runtime, FakeRuntime) else ("sleep", "60"))
    sent = 0

    async def send() -> None:
        nonlocal sent
        while True:
            await stream.send(b"x" * (1 << 16))
            sent += 1 << 16

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await send()
    assert sent < MOST_ON_THE_WAY
    await stream.close()


async def test_a_terminal_and_its_sizes(rig: Rig) -> None:
    stream = await rig.exec(rig.show_size, tty=True, size=TerminalSize(rows=24, columns=80))
    for rows, columns in ((50, 132), (30, 100)):
        await stream.resize(TerminalSize(rows=rows, columns=columns))
        shown = b""
        while b"%d %d" % (rows, columns) not in shown:
            shown += await read_some(stream, 1)
    await stream.close()


async def test_logs_come_as_they_are_printed(rig: Rig) -> None:
    stream = await rig.follow_logs()
    assert await read_some(stream, 4) == b"one\n"
    await rig.print_last_line()
    assert await read_all(stream) == b"two\n"
    assert (await stream.wait_closed()).reason is CloseReason.ENDED
    await stream.close()


async def test_a_stream_that_is_closed_is_over(rig: Rig) -> None:
    for stream in (await rig.exec(_CAT), await rig.follow_logs()):
        await stream.close(CloseReason.CANCELLED, "enough")
        assert (await stream.wait_closed()).detail == "enough"
        with pytest.raises(StreamClosed):
            await stream.send(b"x")
        await stream.close()


async def test_a_container_that_is_not_there_has_no_streams(rig: Rig) -> None:
    with pytest.raises(ContainerGone):
        await rig.runtime.open_exec(str(uuids.uuid4()), _CAT, tty=False, size=None)
    rig.uuid, uuid = str(uuids.uuid4()), rig.uuid
    with pytest.raises(ContainerGone):
        await rig.follow_logs()
    await rig.runtime.kill(uuid, "SIGKILL")
    rig.uuid = uuid
    with pytest.raises(Permanent):
        await rig.exec(_CAT)


async def test_a_container_that_ends_ends_its_commands(rig: Rig) -> None:
    stream = await rig.exec(_CAT)
    await rig.runtime.kill(rig.uuid, "SIGKILL")
    await read_all(stream)
    assert (await stream.wait_closed()).reason is CloseReason.ENDED
    await stream.close()
