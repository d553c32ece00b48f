"""A process that is killed at any await: before and after each write to the store, and at each call to a fake driver.

Between two such places nothing that outlives the process changes, so these are all the moments that differ. What was
killed hangs there until its tasks are cancelled, and writes nothing more, as after a SIGKILL.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from jeroboam.kit.clock import Clock
from jeroboam.kit.faults import Faults
from jeroboam.store import Store, Transaction


class KillSwitch:
    """Counts the places that a process passes, and kills it at one of them."""

    def __init__(self) -> None:
        self._left: int | None = None
        self._kills = False
        self._dead = False
        self.reached = asyncio.Event()
        """Set at the place that was asked for."""

    def set(self, places: int, *, kills: bool) -> None:
        """Report the place after so many; with `kills` the process ends there."""
        self._left, self._kills = places, kills
        self.reached.clear()

    def kill(self) -> None:
        """End the process wherever it is."""
        self._dead = True

    def revive(self) -> None:
        """Another process passes everything."""
        self._dead, self._left = False, None

    async def pass_place(self) -> None:
        """Go on, unless the process ends here or has ended."""
        if self._dead:
            raise asyncio.CancelledError
        if self._left is None:
            return
        self._left -= 1
        if self._left < 0:
            self._left, self._dead = None, self._kills
            self.reached.set()
            if self._dead:
                await asyncio.Event().wait()


class KillableStore(Store):
    """A store whose writes are places to be killed at."""

    switch: KillSwitch

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        await self.switch.pass_place()
        async with super().write() as tx:
            yield tx
        await self.switch.pass_place()


class KillableFaults(Faults):
    """Calls to a fake driver that are places to be killed at."""

    def __init__(self, clock: Clock, switch: KillSwitch) -> None:
        super().__init__(clock)
        self._switch = switch

    async def meet(self, stage: str) -> None:
        await self._switch.pass_place()
        await super().meet(stage)
