"""What every loop has: a queue by key, hints that wake it and a resync that forgets nothing.

A `Reconciler` looks at one object, does what is to be done and writes what it found. `LeaseRunner` makes one of work
that goes on outside any transaction: it holds a lease meanwhile, and cancels the work when the lease is lost or
the user has wished something else.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Protocol

import structlog

from jeroboam.conductor.metrics import LoopMetrics
from jeroboam.domain.ports import Bus
from jeroboam.kit.clock import Clock
from jeroboam.kit.queue import KeyedQueue
from jeroboam.kit.tasks import Tasks
from jeroboam.store import BrokenRow, Lease, Store, StoreUnavailable

LEASE_SECONDS = 30.0
RENEW_SECONDS = 10.0
# While another process holds an object's lease, look again after this.
HELD_SECONDS = 5.0

log = structlog.get_logger("jeroboam.conductor")


class Reconciler(Protocol):
    """What differs from loop to loop."""

    topic: str
    """The topic of its hints."""

    async def everything(self) -> Iterable[str]:
        """Uuids of all objects that may need work, read from the store."""
        ...

    async def work(self, uuid: str) -> float | None:
        """Bring one object closer to its wish; in how many seconds to look again, or None."""
        ...

    async def hinted(self, uuid: str) -> None:
        """Somebody said *look at this object now*; it is queued already."""
        ...


class Loop:
    """Runs one reconciler."""

    def __init__(
        self,
        reconciler: Reconciler,
        *,
        bus: Bus,
        clock: Clock,
        parallel: int,
        resync_seconds: float,
        meter: LoopMetrics | None = None,
    ) -> None:
        self._reconciler = reconciler
        self._bus = bus
        self._clock = clock
        self._resync_seconds = resync_seconds
        self.name = reconciler.topic
        meter = meter or LoopMetrics()
        work = meter.timed(self.name, reconciler.work, clock)
        self.queue = KeyedQueue(self.name, work, clock=clock, parallel=parallel, on_error=report)
        meter.watch(self.name, self.queue.__len__)

    async def run(self) -> None:
        """Work until cancelled. The first thing done is to read everything."""
        hints = self._bus.subscribe(self.name)
        tasks = Tasks(report)
        tasks.start(f"{self.name}-resync", self._resync())
        tasks.start(f"{self.name}-hints", self._follow(hints))
        try:
            await self.queue.run()
        finally:
            await tasks.close()

    async def _resync(self) -> None:
        while True:
            await retrying(self._read_all, clock=self._clock, subject=f"{self.name} resync")
            await self._clock.sleep(self._resync_seconds)

    async def _read_all(self) -> None:
        for uuid in await self._reconciler.everything():
            self.queue.add(uuid)

    async def _follow(self, hints: AsyncIterator[str]) -> None:
        async for uuid in hints:
            self.queue.add(uuid)
            try:
                await self._reconciler.hinted(uuid)
            except Exception as error:  # noqa: BLE001  (the next hint must be followed; this one is queued)
                report(f"{self.name} hint", error)


class LeasedReconciler(Protocol):
    """A reconciler whose work goes on outside transactions."""

    topic: str
    """Also the kind of object that is leased."""

    async def everything(self) -> Iterable[str]: ...

    async def generation(self, uuid: str) -> int | None:
        """Counts the object's wishes; None when it is gone."""
        ...

    async def reconcile(self, lease: Lease) -> float | None:
        """The work, under that lease."""
        ...


class LeaseRunner:
    """Does a subject's work under leases."""

    def __init__(self, subject: LeasedReconciler, *, store: Store, clock: Clock, owner: str) -> None:
        self._subject = subject
        self._store = store
        self._clock = clock
        self._owner = owner
        self._running: dict[str, tuple[asyncio.Future[float | None], int | None]] = {}
        self.topic = subject.topic
        self.everything = subject.everything

    async def hinted(self, uuid: str) -> None:
        """Cancel work on a wish that has been replaced; the queue starts it again."""
        if uuid not in self._running:
            return
        generation = await self._subject.generation(uuid)
        entry = self._running.get(uuid)
        if entry is not None and generation != entry[1]:
            entry[0].cancel()

    async def work(self, uuid: str) -> float | None:
        generation = await self._subject.generation(uuid)
        if generation is None:
            return None
        async with self._store.write() as tx:
            lease = await tx.leases(self.topic).claim(uuid, self._owner, LEASE_SECONDS)
        if lease is None:
            return HELD_SECONDS
        try:
            return await self._under(lease, generation)
        finally:
            await self._release(lease)

    async def _release(self, lease: Lease) -> None:
        """Give the lease back. Where that fails it runs out, and what the work came to stands."""
        try:
            async with self._store.write() as tx:
                await tx.leases(self.topic).release(lease)
        except Exception as error:  # noqa: BLE001  (reported)
            report(f"the lease of {self.topic} {lease.uuid}", error)

    async def _under(self, lease: Lease, generation: int) -> float | None:
        work = asyncio.ensure_future(self._subject.reconcile(lease))
        renewal = asyncio.ensure_future(self._renew(lease, work))
        self._running[lease.uuid] = (work, generation)
        try:
            await asyncio.wait({work})
            return 0.0 if work.cancelled() else work.result()
        finally:
            del self._running[lease.uuid]
            work.cancel()
            renewal.cancel()
            await asyncio.gather(work, renewal, return_exceptions=True)

    async def _renew(self, lease: Lease, work: "asyncio.Future[float | None]") -> None:
        """Keep the lease for as long as the work runs, and end the work when the lease is lost."""
        while True:
            await self._clock.sleep(RENEW_SECONDS)
            async with self._store.write() as tx:
                is_held = await tx.leases(self.topic).renew(lease, LEASE_SECONDS)
            if not is_held:
                work.cancel()
                return


async def retrying(work: Callable[[], Awaitable[None]], *, clock: Clock, subject: str) -> None:
    """Do it until it succeeds; a failure is reported and waited out."""
    wait = 1.0
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  (a loop outlives what it does; the failure is reported)
            report(subject, error)
            await clock.sleep(wait)
            wait = min(wait * 2, 30.0)
        else:
            return


def report(subject: str, error: BaseException) -> None:
    """Log a failure that nobody else will see. The store logs its own, once."""
    if isinstance(error, BrokenRow | StoreUnavailable):
        log.debug("waits for the store", what=subject, reason=error.detail)
        return
    log.error("failed", what=subject, error=str(error), exc_info=error)
