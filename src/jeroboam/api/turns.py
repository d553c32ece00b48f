"""Turns: how many requests of one project are answered at once.

Whatever a request holds while it is answered (a connection to an Engine, a host's time for a command), a project holds
only so often, and others are not kept waiting. Those above wait, since clients send in bursts; so many that they would
take the connections of others are refused.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jeroboam.domain.errors import Refused

# For each request that is answered, so many wait.
_WAITING = 3


class TooManyRequests(Refused):
    """The project has too many requests under way."""

    status = 429
    code = "too-many-requests"


class RequestSlots:
    """Turns by key. A key that nobody uses costs nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """A turn of that key, once there is one. Raises `TooManyRequests` where too many wait for one."""
        if self._users.get(key, 0) >= self._limit * (1 + _WAITING):
            text = f"The project has {self._users[key]} requests under way: try again when some are answered."
            raise TooManyRequests(text)
        turn = self._turns.setdefault(key, asyncio.Semaphore(self._limit))
        self._users[key] = self._users.get(key, 0) + 1
        try:
            async with turn:
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._turns[key]
