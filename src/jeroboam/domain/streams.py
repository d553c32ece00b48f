"""Streams to what runs on a host: output that goes on, interactive commands, archives.

A stream carries bytes both ways with back-pressure: who sends waits until the other side has room. Each direction ends
by itself; the whole stream is closed once, with a reason. Neighbours: `ports.HostGateway` and the contract of runtimes
return a `ByteStream`, `jeroboam.protocol.streams` carries it between dispatch and agents.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Protocol


class Channel(IntEnum):
    """What a piece of a stream belongs to. The numbers are those of Docker's and of Kubernetes' streams."""

    INPUT = 0
    OUTPUT = 1
    ERROR = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A piece of what was received."""

    channel: Channel
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class TerminalSize:
    """The size of a terminal, in characters."""

    rows: int
    columns: int


class CloseReason(StrEnum):
    """Why a stream is over."""

    ENDED = "ended"
    """All was sent; a command has ended."""
    CANCELLED = "cancelled"
    """The reader wants no more."""
    GONE = "gone"
    """The container does not exist there."""
    INVALID = "invalid"
    """The runtime does not accept the request."""
    CONFLICT = "conflict"
    """The container's state or its runtime does not permit it."""
    UNAVAILABLE = "unavailable"
    """The runtime does not answer."""
    BUSY = "busy"
    """The project has too many streams on that host."""
    STALLED = "stalled"
    """The other side has not read for too long."""
    VIOLATION = "violation"
    """The other side broke the rules of the protocol."""
    LOST = "lost"
    """The session with the agent is over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamEnding:
    """How a stream ended. `exit_code` is that of the command, if one ended."""

    reason: CloseReason
    detail: str = ""
    exit_code: int | None = None


class StreamClosed(Exception):
    """The stream is over."""

    def __init__(self, ending: StreamEnding) -> None:
        super().__init__(ending.detail or f"the stream is closed: {ending.reason}")
        self.ending = ending


class ByteStream(Protocol):
    """The user's end of a stream. Several tasks may use it: one that sends, one that receives.

    Whoever has one closes it. What was received before the end can still be read after it.
    """

    async def send(self, data: bytes) -> None:
        """Send input. Waits while the other side has no room. Raises `StreamClosed`."""
        ...

    async def end(self) -> None:
        """Send no more. The other direction goes on. Raises `StreamClosed`."""
        ...

    async def resize(self, size: TerminalSize) -> None:
        """Tell the other side the size of the terminal. Raises `StreamClosed`."""
        ...

    async def receive(self) -> Chunk | None:
        """Return the next piece of output; None when all was received. Raises `StreamClosed` if it was broken off."""
        ...

    async def wait_closed(self) -> StreamEnding:
        """Return how the stream ended, once it has."""
        ...

    async def close(self, reason: CloseReason = CloseReason.CANCELLED, detail: str = "") -> None:
        """End it; what was not received yet is discarded. Nothing happens if it is over."""
        ...
