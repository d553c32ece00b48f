"""A session whose messages cross a pair of byte pipes, as they will cross a network: each is encoded and decoded."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from jeroboam.protocol import AgentConnection, FromAgent, ServerConnection, ToAgent
from jeroboam.protocol.codec import decode_from_agent, decode_to_agent, encode
from jeroboam.protocol.memory import session_pair
from jeroboam.protocol.message import Message

Sent = TypeVar("Sent", bound=Message)
Received = TypeVar("Received", bound=Message)

PIPE_BYTES = 1 << 20
_LENGTH_BYTES = 4


class BytePipe:
    """One direction: bytes in order, so many at most. What was written before the close can still be read."""

    def __init__(self, limit: int = PIPE_BYTES) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._changed = asyncio.Condition()
        self._writing = asyncio.Lock()
        self._closed = False

    async def write(self, data: bytes) -> None:
        async with self._writing:
            for start in range(0, len(data), self._limit):
                async with self._changed:
                    await self._changed.wait_for(lambda: self._closed or len(self._buffer) < self._limit)
                    if self._closed:
                        raise ConnectionError("the pipe is closed")
                    self._buffer += data[start : start + self._limit]
                    self._changed.notify_all()

    async def read(self, size: int) -> bytes | None:
        """Exactly so many bytes; None once the pipe is closed and empty. Raises `ConnectionError` if it is cut."""
        async with self._changed:
            parts = bytearray()
            while len(parts) < size:
                await self._changed.wait_for(lambda: self._closed or bool(self._buffer))
                if not self._buffer:
                    if parts:
                        raise ConnectionError("the pipe was cut within a frame")
                    return None
                taken = self._buffer[: size - len(parts)]
                del self._buffer[: len(taken)]
                parts += taken
                self._changed.notify_all()
            return bytes(parts)

    async def close(self) -> None:
        async with self._changed:
            self._closed = True
            self._changed.notify_all()


class _End(Generic[Sent, Received]):
    """One end. A frame is four bytes of length, and the message."""

    def __init__(self, outward: BytePipe, inward: BytePipe, decode: Callable[[bytes], Received]) -> None:
        self._outward = outward
        self._inward = inward
        self._decode = decode

    async def send(self, message: Sent) -> None:
        await self.send_frame(encode(message))

    async def send_frame(self, frame: bytes) -> None:
        """Send bytes that may be no message."""
        await self._outward.write(len(frame).to_bytes(_LENGTH_BYTES) + frame)

    def __aiter__(self) -> AsyncIterator[Received]:
        return self

    async def __anext__(self) -> Received:
        head = await self._inward.read(_LENGTH_BYTES)
        frame = None if head is None else await self._inward.read(int.from_bytes(head))
        if frame is None:
            raise StopAsyncIteration
        return self._decode(frame)

    async def close(self) -> None:
        await self._outward.close()
        await self._inward.close()


def encoded_session_pair() -> tuple[AgentConnection, ServerConnection]:
    """The two ends of a new session over byte pipes."""
    up, down = BytePipe(), BytePipe()
    agent_end: _End[FromAgent, ToAgent] = _End(up, down, decode_to_agent)
    server_end: _End[ToAgent, FromAgent] = _End(down, up, decode_from_agent)
    return agent_end, server_end


SESSIONS = {"plain": session_pair, "encoded": encoded_session_pair}
