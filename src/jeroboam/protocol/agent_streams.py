"""The agent's end of a session's streams: it accepts them, receives input and sizes, and sends output.

Neighbours: `streams` has the common part of both ends; `jeroboam.agent` owns an `AgentStreams` for each session.
"""

import asyncio
from collections.abc import Awaitable, Callable

from jeroboam.domain.streams import Channel, CloseReason, StreamClosed, TerminalSize
from jeroboam.kit.clock import Clock
from jeroboam.protocol import StreamClose, StreamMessage, StreamOpen, StreamOpened, StreamResize
from jeroboam.protocol.streams import SESSION_OVER, STALL_SECONDS, SessionStreams, Stream

MAX_STREAMS = 1024
"""The most streams of one session."""


class AgentStream(Stream):
    """The agent's end of a stream: it receives input and sizes, and sends output."""

    def __init__(self, session: "AgentStreams", number: int) -> None:
        super().__init__(session, number, receives=frozenset({Channel.INPUT}))
        self._size: TerminalSize | None = None
        self._has_size = asyncio.Event()

    async def send(self, data: bytes, channel: Channel = Channel.OUTPUT) -> None:
        """Send output. Waits for credit. Raises `StreamClosed`."""
        await self.send_pieces(data, channel)

    async def receive_size(self) -> TerminalSize:
        """Return the terminal's newest size, once there is a size that was not returned yet. Raises `StreamClosed`."""
        while (size := self._size) is None:
            self.check_open()
            self._has_size.clear()
            await self._has_size.wait()
        self._size = None
        return size

    def take_size(self, size: TerminalSize) -> None:
        """Handle a new size. Only the newest counts, so sizes need no credit."""
        self._size = size
        self._has_size.set()

    def wake(self) -> None:
        super().wake()
        self._has_size.set()


class AgentStreams(SessionStreams[AgentStream]):
    """The agent's end of a session's streams: it accepts them."""

    def __init__(
        self,
        send: Callable[[StreamMessage | StreamOpened], Awaitable[None]],
        *,
        clock: Clock,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        super().__init__(send, clock=clock, stall_seconds=stall_seconds)
        self._send_any = send
        self._last_number = 0

    def accept(self, message: StreamOpen) -> AgentStream | None:
        """Return the agent's end of a stream that the server opens; None if refused, which the server is told."""
        if message.id <= self._last_number:
            self._reject(message, CloseReason.VIOLATION, "the number of a stream was used twice")
            return None
        self._last_number = message.id
        if len(self) >= MAX_STREAMS:
            self._reject(message, CloseReason.UNAVAILABLE, f"the host has {MAX_STREAMS} streams already")
            return None
        stream = AgentStream(self, message.id)
        self.streams[stream.number] = stream
        return stream

    def refuse(self, message: StreamOpen, detail: str) -> None:
        """Refuse a stream that the server opens, for now."""
        self._last_number = max(self._last_number, message.id)
        self._reject(message, CloseReason.BUSY, detail)

    async def confirm(self, stream: AgentStream) -> None:
        """Tell the server that the stream is open. Raises `StreamClosed`."""
        try:
            await self._send_any(StreamOpened(id=stream.number))
        except OSError as error:
            raise StreamClosed(SESSION_OVER) from error

    def resize(self, message: StreamResize) -> None:
        """Handle a new size of a terminal."""
        stream = self.streams.get(message.id)
        if stream is not None:
            stream.take_size(message.size)

    def _reject(self, message: StreamOpen, reason: CloseReason, detail: str) -> None:
        stream = self.streams.get(message.id)
        if stream is not None:
            stream.abort(reason, detail)
        else:
            self.post(StreamClose(id=message.id, reason=reason, detail=detail))
