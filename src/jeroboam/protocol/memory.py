"""A session within one process: two ends joined by bounded queues, without encoding. Neighbour: `bootstrap.service`."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from jeroboam.protocol import AgentConnection, FromAgent, ServerConnection, ToAgent

Sent = TypeVar("Sent")
Received = TypeVar("Received")

# The most messages that wait on one side. Then the sender waits for the reader, as with a socket.
MAX_MESSAGES = 1000


class _Channel(Generic[Sent]):
    """One direction. Messages sent before the close can still be read after it."""

    def __init__(self) -> None:
        self._messages: deque[Sent] = deque()
        self._changed = asyncio.Condition()
        self._closed = False

    async def put(self, message: Sent) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or len(self._messages) < MAX_MESSAGES)
            if self._closed:
                raise ConnectionError("the session is over")
            self._messages.append(message)
            self._changed.notify_all()

    async def get(self) -> Sent:
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or bool(self._messages))
            if not self._messages:
                raise StopAsyncIteration
            message = self._messages.popleft()
            self._changed.notify_all()
            return message

    async def close(self) -> None:
        async with self._changed:
            self._closed = True
            self._changed.notify_all()


class _End(Generic[Sent, Received]):
    """One end. Closing either end closes both."""

    def __init__(self, outward: _Channel[Sent], inward: _Channel[Received]) -> None:
        self._outward = outward
        self._inward = inward

    async def send(self, message: Sent) -> None:
        await self._outward.put(message)

    def __aiter__(self) -> AsyncIterator[Received]:
        return self

    async def __anext__(self) -> Received:
        return await self._inward.get()

    async def close(self) -> None:
        await self._outward.close()
        await self._inward.close()


def session_pair() -> tuple[AgentConnection, ServerConnection]:
    """Return the two ends of a new session."""
    up: _Channel[FromAgent] = _Channel()
    down: _Channel[ToAgent] = _Channel()
    return _End(up, down), _End(down, up)
