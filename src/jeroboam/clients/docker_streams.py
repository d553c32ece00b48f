"""Streams of a Docker Engine: followed logs, commands with input, and the container's own process.

The Engine is read no faster than the stream, so unread data stays with the Engine. Neighbours: `docker`, the client;
the `docker` runtime, which gives these streams to the agent.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import aiodocker
import aiohttp
from aiodocker.containers import DockerContainer
from aiodocker.execs import Exec
from aiodocker.stream import Stream

from jeroboam.clients.docker import CONNECT_SECONDS, FRAME, build_url, check_frame, read_error
from jeroboam.domain.streams import Channel, Chunk, CloseReason, StreamClosed, StreamEnding, TerminalSize

_AWAY = StreamEnding(reason=CloseReason.UNAVAILABLE, detail="the Docker Engine has closed the stream")


class EngineStream:
    """The base of all kinds: a stream ends once, with an ending."""

    def __init__(self) -> None:
        self._ending: StreamEnding | None = None
        self._closed = asyncio.Event()

    async def wait_closed(self) -> StreamEnding:
        """Return how the stream ended, once it has been read to its end or closed."""
        await self._closed.wait()
        assert self._ending is not None
        return self._ending

    def _finish(self, ending: StreamEnding) -> StreamEnding:
        if self._ending is None:
            self._ending = ending
            self._closed.set()
        return self._ending

    def _check_open(self) -> None:
        if self._ending is not None:
            raise StreamClosed(self._ending)


class OutputStream(EngineStream):
    """The base of those that only come out: input is refused."""

    async def send(self, data: bytes) -> None:  # noqa: ARG002  (nothing takes it)
        raise StreamClosed(self._ending or StreamEnding(reason=CloseReason.CONFLICT, detail="it takes no input"))

    async def end(self) -> None:
        """Do nothing: there is no input."""

    async def resize(self, size: TerminalSize) -> None:
        """Do nothing: there is no terminal."""


class LogStream(OutputStream):
    """The output of a container. Implements `ByteStream`."""

    def __init__(self, response: aiohttp.ClientResponse, *, tty: bool) -> None:
        super().__init__()
        self._response = response
        self._tty = tty
        self._buffer = bytearray()
        self._chunks: deque[Chunk] = deque()

    async def receive(self) -> Chunk | None:
        while not self._chunks:
            if self._ending is not None:
                if self._ending.reason is CloseReason.ENDED:
                    return None
                raise StreamClosed(self._ending)
            try:
                self._take(await self._response.content.readany())
            except (aiohttp.ClientError, OSError) as error:
                raise StreamClosed(self._finish(_AWAY)) from error
        return self._chunks.popleft()

    def _take(self, data: bytes) -> None:
        if not data:
            self._finish(StreamEnding(reason=CloseReason.ENDED))
        elif self._tty:
            self._chunks.append(Chunk(channel=Channel.OUTPUT, data=data))
        else:
            self._buffer += data
            self._split_frames()

    def _split_frames(self) -> None:
        """Take whole frames out of the buffer. A line is a frame; adjacent frames of one channel become one piece."""
        begin = 0
        pieces: list[tuple[Channel, bytearray]] = []
        while len(self._buffer) - begin >= FRAME.size:
            number, size = FRAME.unpack_from(self._buffer, begin)
            end = begin + FRAME.size + check_frame(size)
            if end > len(self._buffer):
                break
            channel = Channel.ERROR if number == Channel.ERROR else Channel.OUTPUT
            if not pieces or pieces[-1][0] is not channel:
                pieces.append((channel, bytearray()))
            pieces[-1][1].extend(self._buffer[begin + FRAME.size : end])
            begin = end
        del self._buffer[:begin]
        self._chunks.extend(Chunk(channel=channel, data=bytes(data)) for channel, data in pieces if data)

    async def close(self, reason: CloseReason = CloseReason.CANCELLED, detail: str = "") -> None:
        self._finish(StreamEnding(reason=reason, detail=detail))
        self._response.close()


class ProcessStream(EngineStream, ABC):
    """The input and the output of a process. Implements `ByteStream`."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = stream

    @abstractmethod
    async def _read_exit_code(self) -> int | None:
        """Return how the process ended; None if it still runs. Raises as the library does."""

    @abstractmethod
    async def _resize(self, size: TerminalSize) -> None:
        """Set the size of the terminal. Raises as the library does."""

    async def send(self, data: bytes) -> None:
        self._check_open()
        try:
            await self._stream.write_in(data)
        except (aiohttp.ClientError, OSError, RuntimeError, AssertionError) as error:
            # The library asserts that the connection is open. The output of the command can still be read.
            raise StreamClosed(self._ending or _AWAY) from error

    async def end(self) -> None:
        """End the input. TLS cannot do that: there the command keeps waiting for input."""
        transport = self._transport
        if transport is not None and transport.can_write_eof() and not transport.is_closing():
            transport.write_eof()

    @property
    def _transport(self) -> asyncio.Transport | None:
        response = self._stream._resp  # noqa: SLF001  (the library has no word for it)
        return None if response is None or response.connection is None else response.connection.transport

    async def resize(self, size: TerminalSize) -> None:
        self._check_open()
        try:
            await self._resize(size)
        except aiodocker.DockerError:
            # The process has ended already.
            return
        except (aiohttp.ClientError, OSError) as error:
            raise StreamClosed(_AWAY) from error

    async def receive(self) -> Chunk | None:
        while self._ending is None:
            try:
                message = await self._stream.read_out()
                if message is None:
                    self._finish(StreamEnding(reason=CloseReason.ENDED, exit_code=await self._read_exit_code()))
                elif message.data:
                    channel = Channel.ERROR if message.stream == Channel.ERROR else Channel.OUTPUT
                    return Chunk(channel=channel, data=message.data)
            except (aiodocker.DockerError, aiohttp.ClientError, OSError, RuntimeError) as error:
                # The library has no other error for a client that was closed.
                raise StreamClosed(self._finish(_AWAY)) from error
        if self._ending.reason is CloseReason.ENDED:
            return None
        raise StreamClosed(self._ending)

    async def close(self, reason: CloseReason = CloseReason.CANCELLED, detail: str = "") -> None:
        self._finish(StreamEnding(reason=reason, detail=detail))
        transport = self._transport
        await self._stream.close()
        if transport is not None:
            # Otherwise a command that reads no input would keep the unread input and the connection until its end.
            transport.abort()


class ExecStream(ProcessStream):
    """A command in a container."""

    def __init__(self, execution: Exec, stream: Stream) -> None:
        super().__init__(stream)
        self._execution = execution

    async def _read_exit_code(self) -> int | None:
        code: int | None = (await self._execution.inspect())["ExitCode"]
        return code

    async def _resize(self, size: TerminalSize) -> None:
        await self._execution.resize(h=size.rows, w=size.columns)


class AttachStream(ProcessStream):
    """The container's own process."""

    def __init__(self, container: DockerContainer, stream: Stream) -> None:
        super().__init__(stream)
        self._container = container

    async def _read_exit_code(self) -> int | None:
        state = (await self._container.show())["State"]
        return None if state["Running"] else int(state["ExitCode"])

    async def _resize(self, size: TerminalSize) -> None:
        await resize_terminal(self._container, size)


async def resize_terminal(container: DockerContainer, size: TerminalSize) -> None:
    """Set the size of the terminal of the container's own process. Raises `aiodocker.DockerError`."""
    # The answer has no body; the library's own method expects one.
    async with container.docker._query(  # noqa: SLF001
        f"containers/{container.id}/resize", method="POST", params={"h": str(size.rows), "w": str(size.columns)}
    ):
        pass


async def start_exec(execution: Exec) -> Stream:
    """Start the command. Raises `aiodocker.DockerError`; reading raises for a frame that is too large."""
    return await _open(execution.start())


async def _open(stream: Stream) -> Stream:
    await stream.__aenter__()
    response = stream._resp  # noqa: SLF001  (the library gathers a frame however large the Engine says that it is)
    protocol = None if response is None or response.connection is None else response.connection.protocol
    parser: Any = getattr(protocol, "_payload_parser", None)
    if protocol is None or parser is None or parser.tty:
        return stream
    feed = parser.feed_data

    def feed_bounded(data: bytes) -> tuple[bool, bytes]:
        result: tuple[bool, bytes] = feed(data)
        gathered = parser._buf  # noqa: SLF001
        if len(gathered) >= FRAME.size:
            try:
                check_frame(FRAME.unpack_from(gathered)[1])
            except aiohttp.ClientPayloadError as error:
                gathered.clear()
                parser.set_exception(error)
                protocol.abort()
        return result

    parser.feed_data = feed_bounded
    return stream


async def open_log(engine: aiodocker.Docker, container: str, query: Mapping[str, str], *, tty: bool) -> LogStream:
    """Follow the container's log from now on. Raises `aiodocker.DockerError`."""
    patient = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=None)
    url = build_url(engine, f"containers/{container}/logs")
    response = await engine.session.get(url, params={**query, "follow": "1"}, timeout=patient)
    if not response.ok:
        async with response:
            raise aiodocker.DockerError(response.status, await read_error(response))
    return LogStream(response, tty=tty)


async def open_exec(
    container: DockerContainer, command: Sequence[str], *, tty: bool, size: TerminalSize | None
) -> ExecStream:
    """Start the command and return its stream. Raises `aiodocker.DockerError`."""
    execution = await container.exec(list(command), stdin=True, tty=tty)
    stream = ExecStream(execution, await start_exec(execution))
    if size is not None:
        await stream.resize(size)
    return stream


async def open_attach(container: DockerContainer) -> AttachStream:
    """Connect to the container's own process, from now on. Raises `aiodocker.DockerError`."""
    stream = container.attach(stdin=True, stdout=True, stderr=True)
    return AttachStream(container, await _open(stream))
