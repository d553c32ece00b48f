"""Streams of a Docker Engine: followed logs, and commands with input.

The Engine is read no faster than the stream, so unread data stays with the Engine. Neighbours: `docker`, the client;
the `docker` runtime, which gives these streams to the agent.
"""

import asyncio
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


class _EngineStream:
    """The base of both kinds: a stream ends once, with an ending."""

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


class LogStream(_EngineStream):
    """The output of a container. Implements `ByteStream`; input is refused."""

    def __init__(self, response: aiohttp.ClientResponse, *, tty: bool) -> None:
        super().__init__()
        self._response = response
        self._tty = tty
        self._buffer = bytearray()
        self._chunks: deque[Chunk] = deque()

    async def send(self, data: bytes) -> None:  # noqa: ARG002  (nothing takes it)
        raise StreamClosed(self._ending or StreamEnding(reason=CloseReason.CONFLICT, detail="logs take no input"))

    async def end(self) -> None:
        """Do nothing: there is no input."""

    async def resize(self, size: TerminalSize) -> None:
        """Do nothing: there is no terminal."""

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


class ExecStream(_EngineStream):
    """A command in a container. Implements `ByteStream`."""

    def __init__(self, execution: Exec, stream: Stream) -> None:
        super().__init__()
        self._execution = execution
        self._stream = stream

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
            await self._execution.resize(h=size.rows, w=size.columns)
        except aiodocker.DockerError:
            # The command has ended already.
            return
        except (aiohttp.ClientError, OSError) as error:
            raise StreamClosed(_AWAY) from error

    async def receive(self) -> Chunk | None:
        while self._ending is None:
            try:
                message = await self._stream.read_out()
                if message is None:
                    details = await self._execution.inspect()
                    self._finish(StreamEnding(reason=CloseReason.ENDED, exit_code=details["ExitCode"]))
                elif message.data:
                    channel = Channel.ERROR if message.stream == Channel.ERROR else Channel.OUTPUT
                    return Chunk(channel=channel, data=message.data)
            except (aiodocker.DockerError, aiohttp.ClientError, OSError) as error:
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


async def start_exec(execution: Exec) -> Stream:
    """Start the command. Raises `aiodocker.DockerError`; reading raises for a frame that is too large."""
    stream = await execution.start().__aenter__()
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
