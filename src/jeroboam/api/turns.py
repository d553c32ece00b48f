"""Slots: how many requests of one project are answered in parallel.

A request holds resources while it is answered: a connection to an Engine, a host's time for a command. A project holds
only a fixed number of them, so other projects do not wait. Further requests wait, since clients send in bursts. Beyond
a second limit they are refused, so that they do not take other projects' connections.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jeroboam.domain.errors import TooManyRequests

# This many requests may wait for each one that is answered.
_WAITERS_PER_SLOT = 3


class RequestSlots:
    """Slots by key. An unused key takes no memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Hold a slot of that key, waiting for one if need be. Raises `TooManyRequests` if too many wait already."""
        if self._users.get(key, 0) >= self._limit * (1 + _WAITERS_PER_SLOT):
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
