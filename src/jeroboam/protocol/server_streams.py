"""The server's end of a session's streams: it opens them, sends input and receives output.

Neighbours: `streams` has the common part of both ends; `jeroboam.dispatch` owns a `ServerStreams` for each session.
"""

import asyncio
from collections.abc import Awaitable, Callable

from jeroboam.domain.streams import Channel, CloseReason, StreamClosed, TerminalSize
from jeroboam.kit.clock import Clock, DeadlineExceeded, run_within
from jeroboam.protocol import StreamMessage, StreamOpen, StreamOpened, StreamRequest, StreamResize
from jeroboam.protocol.streams import SESSION_OVER, STALL_SECONDS, SessionStreams, Stream


class ServerStream(Stream):
    """The server's end of a stream. Implements `ByteStream`."""

    def __init__(
        self, session: "ServerStreams", number: int, send_size: Callable[[StreamResize], Awaitable[None]]
    ) -> None:
        super().__init__(session, number, receives=frozenset({Channel.OUTPUT, Channel.ERROR}))
        self._send_size = send_size
        self._is_confirmed = False
        self._opened = asyncio.Event()

    async def send(self, data: bytes) -> None:
        """Send input. Waits for credit. Raises `StreamClosed`."""
        await self.send_pieces(data, Channel.INPUT)

    async def resize(self, size: TerminalSize) -> None:
        """Send the size of the terminal to the agent. Raises `StreamClosed`."""
        self.check_open()
        try:
            await self._send_size(StreamResize(id=self.number, size=size))
        except OSError as error:
            raise StreamClosed(SESSION_OVER) from error

    def confirm(self) -> None:
        """Record that the agent has opened the stream."""
        self._is_confirmed = True
        self._opened.set()

    async def wait_open(self, seconds: float) -> None:
        """Return once the agent has opened the stream. Raises `StreamClosed` if the agent refuses or is late."""
        try:
            await run_within(self.session.clock, seconds, self._opened.wait())
        except DeadlineExceeded:
            self.abort(CloseReason.UNAVAILABLE, f"the agent did not answer within {seconds:g} seconds")
        if not self._is_confirmed:
            # A stream that was opened and has ended still holds received data.
            self.check_open()

    def wake(self) -> None:
        super().wake()
        self._opened.set()


class ServerStreams(SessionStreams[ServerStream]):
    """The server's end of a session's streams: it opens them."""

    def __init__(
        self,
        send: Callable[[StreamMessage | StreamOpen | StreamResize], Awaitable[None]],
        *,
        clock: Clock,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        super().__init__(send, clock=clock, stall_seconds=stall_seconds)
        self._send_any = send
        self._last_number = 0

    async def open(self, container: str, request: StreamRequest, *, seconds: float) -> ServerStream:
        """Return a new stream. Raises `StreamClosed` with the reason why there is none."""
        if self.is_over:
            raise StreamClosed(SESSION_OVER)
        self._last_number += 1
        stream = ServerStream(self, self._last_number, self._send_any)
        self.streams[stream.number] = stream
        try:
            await self._send_any(StreamOpen(id=stream.number, container=container, request=request))
            await stream.wait_open(seconds)
        except OSError as error:
            stream.finish(SESSION_OVER)
            raise StreamClosed(SESSION_OVER) from error
        except BaseException:
            # The caller gets no stream to close.
            stream.abort(CloseReason.CANCELLED)
            raise
        return stream

    def confirm(self, message: StreamOpened) -> None:
        """Handle the agent's confirmation."""
        stream = self.streams.get(message.id)
        if stream is not None:
            stream.confirm()
