"""The streams of a session: many at once beside all other messages, each with its own back-pressure.

A sender has credit for one window and uses it up; credit comes back as the reader reads. So a slow reader stops only
its own sender and holds one window at most. Received data never waits: it goes into the stream's inbox.
A peer that sends more than its credit breaks the protocol and loses that stream. A reader that takes nothing for
`stall_seconds` while the sender waits is dead, and its stream is closed. At most one piece of all streams waits for the
connection at a time, in turn, so that control messages and reports pass. The end of a session ends its streams.

Neighbours: `server_streams`, dispatch's end, which opens streams; `agent_streams`, the agent's end, which accepts them.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import structlog

from jeroboam.domain.streams import Channel, Chunk, CloseReason, StreamClosed, StreamEnding
from jeroboam.kit.clock import Clock, DeadlineExceeded, run_within
from jeroboam.kit.tasks import Tasks
from jeroboam.protocol import (
    StreamClose,
    StreamData,
    StreamEnd,
    StreamMessage,
    StreamWindow,
)

log = structlog.get_logger(__name__)

WINDOW_BYTES = 256 << 10
"""The credit of each direction of a new stream, and the most that one reader holds."""
FRAME_BYTES = 32 << 10
"""The largest piece. It limits how long another message waits for a piece."""
FRAME_COST = 64
"""The cost of a piece besides its bytes: a window of single bytes must not hold more memory than large pieces."""
RETURN_BYTES = WINDOW_BYTES // 4
"""The credit that is given back at once: often enough for the sender, and not for each keystroke."""
STALL_SECONDS = 120.0


SESSION_OVER = StreamEnding(reason=CloseReason.LOST, detail="the session with the agent is over")


def cost_of(data: bytes) -> int:
    """Return the credit that a piece uses up."""
    return len(data) + FRAME_COST


class Stream:
    """One end of a stream. One task may send and another receive."""

    def __init__(self, session: "SessionStreams[Any]", number: int, *, receives: frozenset[Channel]) -> None:
        self.number = number
        self.session = session
        self._receives = receives
        self._credit = WINDOW_BYTES
        self._allowance = WINDOW_BYTES
        self._unreturned = 0
        self._inbox: deque[Chunk] = deque()
        self._has_ended = self._has_peer_ended = False
        self._ending: StreamEnding | None = None
        self._sending = asyncio.Lock()
        self._changed = asyncio.Event()
        self._has_credit = asyncio.Event()
        self._closed = asyncio.Event()

    async def end(self) -> None:
        """Send no more. The other direction stays open. Raises `StreamClosed`."""
        async with self._sending:
            self.check_open()
            if not self._has_ended:
                self._has_ended = True
                await self.session.send(StreamEnd(id=self.number))

    async def receive(self) -> Chunk | None:
        """Return the next piece; None after the last. Raises `StreamClosed` if the stream was broken off.

        Gives credit back to the sender.
        """
        while not self._inbox:
            if self._ending is not None and self._ending.reason is not CloseReason.ENDED:
                raise StreamClosed(self._ending)
            if self._has_peer_ended or self._ending is not None:
                return None
            self._changed.clear()
            await self._changed.wait()
        chunk = self._inbox.popleft()
        self._return_credit(cost_of(chunk.data))
        return chunk

    async def wait_closed(self) -> StreamEnding:
        """Return how the stream ended, once it has."""
        await self._closed.wait()
        assert self._ending is not None
        return self._ending

    async def close(
        self, reason: CloseReason = CloseReason.CANCELLED, detail: str = "", exit_code: int | None = None
    ) -> None:
        """End both directions and discard unread data. A stream that is over stays unchanged."""
        posted = self.abort(reason, detail, exit_code)
        if posted is not None:
            # Without the shield, a cancelled caller would leave the other side's end open.
            await asyncio.shield(posted)

    def abort(self, reason: CloseReason, detail: str = "", exit_code: int | None = None) -> "asyncio.Task[None] | None":
        """End both directions like `close`, but do not wait until the other side is told."""
        if self._ending is not None:
            return None
        self._inbox.clear()
        self.finish(StreamEnding(reason=reason, detail=detail, exit_code=exit_code))
        return self.session.post(StreamClose(id=self.number, reason=reason, detail=detail, exit_code=exit_code))

    def finish(self, ending: StreamEnding) -> None:
        """Record that the stream is over, and wake up all tasks that wait for the stream."""
        if self._ending is None:
            self._ending = ending
            self.session.forget(self)
            self._closed.set()
            self.wake()

    def take(self, message: StreamMessage) -> None:
        """Handle a message of the other end. Never waits."""
        match message:
            case StreamData():
                self._take_data(message)
            case StreamWindow():
                if message.credit <= 0 or self._credit + message.credit > WINDOW_BYTES:
                    self._refuse(f"credit of {message.credit} bytes that was not used up")
                    return
                self._credit += message.credit
                self._has_credit.set()
            case StreamEnd():
                self._has_peer_ended = True
                self._changed.set()
            case StreamClose():
                self.finish(
                    StreamEnding(reason=message.reason, detail=message.detail, exit_code=message.exit_code),
                )

    def _take_data(self, message: StreamData) -> None:
        cost = cost_of(message.data)
        if self._has_peer_ended:
            self._refuse("data after its end")
        elif message.channel not in self._receives:
            self._refuse(f"data on channel {message.channel:d}")
        elif not 0 < len(message.data) <= FRAME_BYTES:
            self._refuse(f"a piece of {len(message.data)} bytes")
        elif cost > self._allowance:
            self._refuse("more data than its window")
        else:
            self._allowance -= cost
            self._inbox.append(Chunk(channel=message.channel, data=message.data))
            self._changed.set()

    def _refuse(self, detail: str) -> None:
        log.warning("stream.violation", stream=self.number, detail=detail)
        self.abort(CloseReason.VIOLATION, f"the other side sent {detail}")

    def _return_credit(self, cost: int) -> None:
        self._unreturned += cost
        if self._unreturned >= RETURN_BYTES and self._ending is None and not self._has_peer_ended:
            credit, self._unreturned = self._unreturned, 0
            self._allowance += credit
            self.session.post(StreamWindow(id=self.number, credit=credit))

    async def send_pieces(self, data: bytes, channel: Channel) -> None:
        """Send data on that channel, piece by piece. Waits for credit. Raises `StreamClosed`."""
        async with self._sending:
            start = 0
            while start < len(data):
                await self._wait_for_credit()
                stop = min(start + FRAME_BYTES, start + self._credit - FRAME_COST, len(data))
                piece = data if (start, stop) == (0, len(data)) else data[start:stop]
                self._credit -= cost_of(piece)
                await self.session.send_in_turn(StreamData(id=self.number, channel=channel, data=piece))
                start = stop
            self.check_open()

    async def _wait_for_credit(self) -> None:
        self.check_open()
        while self._credit <= FRAME_COST:
            self._has_credit.clear()
            seconds = self.session.stall_seconds
            try:
                await run_within(self.session.clock, seconds, self._has_credit.wait())
            except DeadlineExceeded:
                await self.close(CloseReason.STALLED, f"the reader has taken nothing for {seconds:g} seconds")
            self.check_open()

    def check_open(self) -> None:
        """Raise `StreamClosed` if the stream is over."""
        if self._ending is not None:
            raise StreamClosed(self._ending)

    def wake(self) -> None:
        """Wake up all tasks that wait for the stream, so that they see its end."""
        self._changed.set()
        self._has_credit.set()


_End = TypeVar("_End", bound=Stream)


class SessionStreams(Generic[_End]):
    """The streams of one end of a session, by number. `send` is that of the session's connection."""

    def __init__(
        self,
        send: Callable[[StreamMessage], Awaitable[None]],
        *,
        clock: Clock,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self.clock = clock
        self.stall_seconds = stall_seconds
        self._send = send
        self.streams: dict[int, _End] = {}
        self._turn = asyncio.Lock()
        self.is_over = False
        self._tasks = Tasks(_report)

    def __len__(self) -> int:
        return len(self.streams)

    def receive(self, message: StreamMessage) -> None:
        """Handle a message about a stream. Never waits. Messages to a stream that is over are ignored."""
        stream = self.streams.get(message.id)
        if stream is not None:
            stream.take(message)

    async def close(self) -> None:
        """End all streams: the session is over."""
        self.is_over = True
        for stream in list(self.streams.values()):
            stream.finish(SESSION_OVER)
        await self._tasks.close()

    async def send(self, message: StreamMessage) -> None:
        """Send the message. Raises `StreamClosed` if the session is over."""
        try:
            await self._send(message)
        except OSError as error:
            raise StreamClosed(SESSION_OVER) from error

    async def send_in_turn(self, message: StreamData) -> None:
        """Send data, one piece at a time in the order of the calls, so that each stream has its turn."""
        async with self._turn:
            await self.send(message)

    def post(self, message: StreamMessage) -> "asyncio.Task[None]":
        """Send the message in the background. A session that is over is no error."""
        return self._tasks.start(f"stream {message.id}", self._post(message))

    async def _post(self, message: StreamMessage) -> None:
        with contextlib.suppress(StreamClosed):
            await self.send(message)

    def forget(self, stream: Stream) -> None:
        """Remove the stream, which is over."""
        self.streams.pop(stream.number, None)


def _report(name: str, error: BaseException) -> None:
    log.error("stream.task-failed", task=name, error=repr(error))
