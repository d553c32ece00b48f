"""What every loop has: a queue by key, a lease an object, hints that wake it and a resync that forgets nothing.

A loop's own part is `reconcile`: look at one object, do what is to be done outside, write what was found. It runs
outside any transaction, under a lease that is renewed as long as it runs; if the lease is lost, or if its user
wishes something else meanwhile, it is cancelled and starts again from what is really there.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Protocol

import structlog

from jeroboam.domain.ports import Bus
from jeroboam.kit.clock import Clock
from jeroboam.kit.queue import KeyedQueue
from jeroboam.kit.tasks import Tasks
from jeroboam.store import Lease, Store

LEASE_SECONDS = 30.0
RENEW_SECONDS = 10.0
# While another process holds an object's lease, look again after this.
HELD_SECONDS = 5.0

log = structlog.get_logger("jeroboam.conductor")


class Reconciler(Protocol):
    """The part that differs from loop to loop."""

    topic: str
    """The topic of its hints; also the kind of object that is leased."""

    async def everything(self) -> Iterable[str]:
        """Uuids of all objects that may need work, read from the store."""
        ...

    async def generation(self, uuid: str) -> int | None:
        """Counts the object's wishes; None when it is gone."""
        ...

    async def reconcile(self, lease: Lease) -> float | None:
        """Bring one object closer to its wish; in how many seconds to look again, or None."""
        ...


class Loop:
    """Runs one reconciler."""

    def __init__(
        self,
        reconciler: Reconciler,
        *,
        store: Store,
        bus: Bus,
        clock: Clock,
        owner: str,
        parallel: int,
        resync_seconds: float,
    ) -> None:
        self._reconciler = reconciler
        self._store = store
        self._bus = bus
        self._clock = clock
        self._owner = owner
        self._resync_seconds = resync_seconds
        self.name = reconciler.topic
        self.queue = KeyedQueue(self.name, self._claim, clock=clock, parallel=parallel, on_error=report)
        self._running: dict[str, tuple[asyncio.Task[float | None], int]] = {}

    async def run(self) -> None:
        """Work until cancelled. The first thing done is to read everything."""
        hints = self._bus.subscribe(self.name)
        tasks = Tasks(report)
        tasks.start(f"{self.name}-resync", self._resync())
        tasks.start(f"{self.name}-hints", self._follow(hints, tasks))
        try:
            await self.queue.run()
        finally:
            await tasks.close()

    async def _resync(self) -> None:
        while True:
            await retrying(self._read_all, clock=self._clock, what=f"{self.name} resync")
            await self._clock.sleep(self._resync_seconds)

    async def _read_all(self) -> None:
        for uuid in await self._reconciler.everything():
            self.queue.add(uuid)

    async def _follow(self, hints: AsyncIterator[str], tasks: Tasks) -> None:
        async for uuid in hints:
            self.queue.add(uuid)
            if uuid in self._running:
                tasks.start(f"{self.name}-interrupt", self._interrupt(uuid))

    async def _interrupt(self, uuid: str) -> None:
        """Cancel work on a wish that has been replaced."""
        generation = await self._reconciler.generation(uuid)
        running = self._running.get(uuid)
        if running is not None and generation != running[1]:
            running[0].cancel()

    async def _claim(self, uuid: str) -> float | None:
        async with self._store.write() as tx:
            lease = await tx.leases(self.name).claim(uuid, self._owner, LEASE_SECONDS)
        generation = await self._reconciler.generation(uuid)
        if lease is None:
            return None if generation is None else HELD_SECONDS
        work = asyncio.ensure_future(self._reconciler.reconcile(lease))
        renewal = asyncio.ensure_future(self._renew(lease, work))
        self._running[uuid] = (work, generation or 0)
        try:
            return await work
        except asyncio.CancelledError:
            if asyncio.current_task() is not None and asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            return 0.0
        finally:
            work.cancel()
            renewal.cancel()
            await asyncio.gather(work, renewal, return_exceptions=True)
            self._running.pop(uuid, None)
            async with self._store.write() as tx:
                await tx.leases(self.name).release(lease)

    async def _renew(self, lease: Lease, work: "asyncio.Future[float | None]") -> None:
        """Keep the lease for as long as the work runs, and end the work when the lease is lost."""
        while True:
            await self._clock.sleep(RENEW_SECONDS)
            async with self._store.write() as tx:
                held = await tx.leases(self.name).renew(lease, LEASE_SECONDS)
            if not held:
                work.cancel()
                return


async def retrying(work: Callable[[], Awaitable[None]], *, clock: Clock, what: str) -> None:
    """Do it until it succeeds; a failure is reported and waited out."""
    wait = 1.0
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  (a loop outlives what it does; the failure is reported)
            report(what, error)
            await clock.sleep(wait)
            wait = min(wait * 2, 30.0)
        else:
            return


def report(what: str, error: BaseException) -> None:
    """Log a failure that nobody else will see."""
    log.error("failed", what=what, error=str(error), exc_info=error)
