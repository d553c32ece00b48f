"""Virtual time: it passes only when a test says so, or when everybody waits for it."""

import asyncio
import datetime as dt
import heapq
import itertools

from tests.builders import NOW

SETTLE_PASSES = 50


class ManualClock:
    """Implements `Clock`. `advance` wakes whoever sleeps, in order."""

    def __init__(self) -> None:
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def now(self) -> dt.datetime:
        return NOW + dt.timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._numbers), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let that much time pass; everybody who wakes on the way gets to run before it goes on."""
        until = self._elapsed + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            due, _, woken = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, due)
            if not woken.done():
                woken.set_result(None)
                await settle()
        self._elapsed = until
        await settle()


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(SETTLE_PASSES):
        await asyncio.sleep(0)
