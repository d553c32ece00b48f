"""Virtual time: it passes only when a test says so, or when everybody waits for it."""

import asyncio
import datetime as dt
import heapq
import itertools
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.builders import NOW

T = TypeVar("T")

SETTLE_PASSES = 50
LONGEST = 1200.0
"""So many virtual seconds a test waits for something. A slow machine makes them longer and no more of them."""
STUCK_SECONDS = 60.0
"""Real seconds: what takes so long without virtual time passing will never end."""


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


async def until(
    clock: ManualClock,
    look: Callable[[], Awaitable[T]],
    condition: Callable[[T], bool],
    *,
    looks: Callable[[], int] = lambda: 5,
) -> T:
    """What a look shows once the condition holds for it; virtual time passes meanwhile, as far as it has to.

    It stands still for so many `looks`, so that real reads and writes cost none of it.
    """
    end, made = clock.monotonic() + LONGEST, 0
    while True:
        async with asyncio.timeout(STUCK_SECONDS):
            found = await look()
        if condition(found):
            return found
        made += 1
        if made % looks() == 0:
            assert clock.monotonic() < end, f"not so within {LONGEST:g} virtual seconds: {found}"
            await clock.advance(0.5)
        await asyncio.sleep(0.001)
