"""Streams of the fake runtime: commands that are small programs in memory, behind pipes as short as real ones.

A program that prints waits for its reader, and a user who sends waits for the program. Neighbours: `fake`, which starts
programs and ends them with their container.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from jeroboam.domain.streams import Channel, Chunk, CloseReason, StreamClosed, StreamEnding, TerminalSize
from jeroboam.kit.tasks import Tasks

log = structlog.get_logger(__name__)

PIPE_BYTES = 64 << 10
_PIECE_BYTES = 4 << 10


class FakePipe:
    """One direction. A writer waits while the pipe is full, a reader while it is empty."""

    def __init__(self) -> None:
        self.written = 0
        """Bytes that were ever put in."""
        self._chunks: deque[Chunk] = deque()
        self._size = 0
        self._has_ended = False
        self._changed = asyncio.Condition()

    async def write(self, chunk: Chunk) -> bool:
        """Put the chunk in. False if the pipe has ended."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._has_ended or self._size < PIPE_BYTES)
            if self._has_ended:
                return False
            self._chunks.append(chunk)
            self._size += len(chunk.data)
            self.written += len(chunk.data)
            self._changed.notify_all()
            return True

    async def read(self) -> Chunk | None:
        """Take a chunk out; None if the pipe has ended and is empty."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._has_ended or bool(self._chunks))
            if not self._chunks:
                return None
            chunk = self._chunks.popleft()
            self._size -= len(chunk.data)
            self._changed.notify_all()
            return chunk

    async def end(self) -> None:
        """Let nothing more in."""
        async with self._changed:
            self._has_ended = True
            self._changed.notify_all()


class FakeProcess:
    """A program in a container. Implements `ByteStream` for its user, and has the program's own side."""

    def __init__(self, size: TerminalSize | None = None) -> None:
        self.input = FakePipe()
        self.output = FakePipe()
        self._size = size
        self._has_size = asyncio.Event()
        self._ending: StreamEnding | None = None
        self._closed = asyncio.Event()

    async def send(self, data: bytes) -> None:
        if not await self.input.write(Chunk(channel=Channel.INPUT, data=data)):
            raise StreamClosed(self._ending or StreamEnding(reason=CloseReason.CONFLICT, detail="it takes no input"))

    async def end(self) -> None:
        await self.input.end()

    async def resize(self, size: TerminalSize) -> None:
        self._size = size
        self._has_size.set()

    async def receive(self) -> Chunk | None:
        chunk = await self.output.read()
        if chunk is None and self._ending is not None and self._ending.reason is not CloseReason.ENDED:
            raise StreamClosed(self._ending)
        return chunk

    async def wait_closed(self) -> StreamEnding:
        await self._closed.wait()
        assert self._ending is not None
        return self._ending

    async def close(self, reason: CloseReason = CloseReason.CANCELLED, detail: str = "") -> None:
        await self.finish(StreamEnding(reason=reason, detail=detail))

    async def finish(self, ending: StreamEnding) -> None:
        """The program is over; what it printed can still be read. Nothing happens if it is over already."""
        if self._ending is None:
            self._ending = ending
            await self.input.end()
            await self.output.end()
            self._closed.set()

    async def print(self, data: bytes, channel: Channel = Channel.OUTPUT) -> None:
        """Print; waits for the reader. What nobody can read any more is thrown away."""
        await self.output.write(Chunk(channel=channel, data=data))

    async def receive_size(self) -> TerminalSize:
        """The newest size of the terminal that the program does not know yet."""
        while (size := self._size) is None:
            self._has_size.clear()
            await self._has_size.wait()
        self._size = None
        return size


Program = Callable[[FakeProcess, Sequence[str]], Coroutine[Any, Any, int]]


async def _cat(process: FakeProcess, _arguments: Sequence[str]) -> int:
    """Print the input."""
    while (chunk := await process.input.read()) is not None:
        await process.print(chunk.data)
    return 0


async def _count(process: FakeProcess, _arguments: Sequence[str]) -> int:
    """Read the input, and print how many bytes it had."""
    size = 0
    while (chunk := await process.input.read()) is not None:
        size += len(chunk.data)
    await process.print(b"%d" % size)
    return 0


async def _flood(process: FakeProcess, arguments: Sequence[str]) -> int:
    """Print so many bytes."""
    remaining = int(arguments[0])
    while remaining > 0:
        piece = min(_PIECE_BYTES, remaining)
        await process.print(b"x" * piece)
        remaining -= piece
    return 0


async def _fail(process: FakeProcess, arguments: Sequence[str]) -> int:
    """Print an error, and end with that code."""
    await process.print(b"failed", Channel.ERROR)
    return int(arguments[0])


async def _show_size(process: FakeProcess, _arguments: Sequence[str]) -> int:
    """Print each new size of the terminal."""
    while True:
        size = await process.receive_size()
        await process.print(b"%d %d\n" % (size.rows, size.columns))


async def _first(process: FakeProcess, _arguments: Sequence[str]) -> int:
    """Take one piece of input and no more, and end with the next size of the terminal."""
    await process.input.read()
    await process.input.end()
    await process.receive_size()
    return 0


async def _hang(_process: FakeProcess, _arguments: Sequence[str]) -> int:
    """Read nothing and print nothing, for ever."""
    forever: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    return await forever


async def echo(process: FakeProcess, arguments: Sequence[str]) -> int:
    """Print the arguments."""
    await process.print(" ".join(arguments).encode())
    return 0


def print_all(content: bytes) -> Program:
    """A program that prints the content."""

    async def run(process: FakeProcess, _arguments: Sequence[str]) -> int:
        for start in range(0, len(content), _PIECE_BYTES):
            await process.print(content[start : start + _PIECE_BYTES])
        return 0

    return run


def keep_all(files: dict[str, bytes], path: str) -> Program:
    """A program that keeps its input as a file."""

    async def run(process: FakeProcess, _arguments: Sequence[str]) -> int:
        content = bytearray()
        while (chunk := await process.input.read()) is not None:
            content += chunk.data
        files[path] = bytes(content)
        return 0

    return run


PROGRAMS: dict[str, Program] = {
    "cat": _cat,
    "count": _count,
    "fail": _fail,
    "first": _first,
    "flood": _flood,
    "hang": _hang,
    "show-size": _show_size,
}


class FakePrograms:
    """The programs that run in the containers of one fake runtime."""

    def __init__(self) -> None:
        self.running: dict[str, list[FakeProcess]] = {}
        """By the uuid of the container, oldest first."""
        self._tasks = Tasks(_report)

    def start(self, uuid: str, program: Program, arguments: Sequence[str], size: TerminalSize | None) -> FakeProcess:
        """Run the program."""
        process = FakeProcess(size)
        self.running.setdefault(uuid, []).append(process)
        self._tasks.start(f"program in {uuid}", self._run(uuid, process, program, arguments))
        return process

    def end_all(self, ending: StreamEnding, uuid: str | None = None) -> None:
        """End the programs of the container; None: of all."""
        for container in [uuid] if uuid is not None else list(self.running):
            for process in self.running.get(container, []):
                self._tasks.start(f"end of a program in {container}", process.finish(ending))

    async def close(self) -> None:
        """End everything."""
        await self._tasks.close()

    async def _run(self, uuid: str, process: FakeProcess, program: Program, arguments: Sequence[str]) -> None:
        """Let the program run until it ends, its user closes it, or somebody ends it."""
        running = self._tasks.start(f"work of a program in {uuid}", program(process, arguments))
        closed = self._tasks.start(f"user of a program in {uuid}", process.wait_closed())
        try:
            await asyncio.wait({running, closed}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                await process.finish(StreamEnding(reason=CloseReason.ENDED, exit_code=running.result()))
        finally:
            running.cancel()
            closed.cancel()
            self.running[uuid].remove(process)


def _report(name: str, error: BaseException) -> None:
    log.error("fake.program-failed", task=name, error=repr(error))
