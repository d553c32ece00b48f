"""The frame of every loop: a queue by key, hints that wake it, and a resync for hints that were lost.

Each conductor works on its own share of the objects; the resync and the hints of the others cost it nothing.

A `Reconciler` looks at one object, does what is due and writes the result. `LeaseRunner` makes a reconciler of work
outside transactions: it holds a lease meanwhile, and cancels the work if the lease is lost or the user has wished
something else.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Protocol

import structlog

from jeroboam.conductor.metrics import LoopMetrics
from jeroboam.conductor.share import Share, WholeShare
from jeroboam.domain.ports import Bus
from jeroboam.kit.attempts import RetryPolicy
from jeroboam.kit.clock import Clock
from jeroboam.kit.queue import KeyedQueue
from jeroboam.kit.tasks import Tasks
from jeroboam.store import BrokenRow, Lease, Store, StoreUnavailable

LEASE_SECONDS = 30.0
RENEW_SECONDS = 10.0
# How soon to look again while another process holds the lease.
HELD_SECONDS = 5.0
# What a loop itself needs, such as a resync, is tried again for ever.
RETRY = RetryPolicy(first_seconds=1.0, longest_seconds=30.0)

log = structlog.get_logger("jeroboam.conductor")


class Reconciler(Protocol):
    """What differs from loop to loop."""

    topic: str
    """The topic of its hints."""

    async def list_uuids(self) -> Iterable[str]:
        """Return the uuids of all objects that may need work, read from the store."""
        ...

    async def work(self, uuid: str) -> float | None:
        """Bring one object closer to its wish. Return in how many seconds to look again, or None."""
        ...

    async def on_hint(self, uuid: str) -> None:
        """React to a hint; an object of the share is queued already."""
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
        share: Share | None = None,
        meter: LoopMetrics | None = None,
    ) -> None:
        self._reconciler = reconciler
        self._bus = bus
        self._clock = clock
        self._resync_seconds = resync_seconds
        self._share = share or WholeShare()
        self.name = reconciler.topic
        meter = meter or LoopMetrics()
        self._pass = meter.count_passes(self.name, reconciler.work, clock)
        self.queue = KeyedQueue(self.name, self._work, clock=clock, parallel=parallel, on_error=report)
        meter.watch(self.name, self.queue.__len__)

    async def run(self) -> None:
        """Work until cancelled. A resync of all objects comes first."""
        hints = self._bus.subscribe(self.name)
        tasks = Tasks(report)
        tasks.start(f"{self.name}-resync", self._resync())
        tasks.start(f"{self.name}-share", self._follow_share())
        tasks.start(f"{self.name}-hints", self._follow(hints))
        try:
            await self.queue.run()
        finally:
            await tasks.close()

    async def _work(self, uuid: str) -> float | None:
        """Work on the object if it still belongs to the share."""
        return await self._pass(uuid) if self._share.has(uuid) else None

    async def _resync(self) -> None:
        await repeat(
            self._read_all, clock=self._clock, every_seconds=self._resync_seconds, subject=f"{self.name} resync"
        )

    async def _read_all(self) -> None:
        for uuid in await self._reconciler.list_uuids():
            if self._share.has(uuid):
                self.queue.add(uuid)

    async def _follow_share(self) -> None:
        """Take over the objects that came to the share, without waiting for the next resync."""
        while True:
            await self._share.wait_for_change()
            await retry(self._read_all, clock=self._clock, subject=f"{self.name} resync")

    async def _follow(self, hints: AsyncIterator[str]) -> None:
        async for uuid in hints:
            if self._share.has(uuid):
                self.queue.add(uuid)
            try:
                # Work that began while the object belonged to the share may have to be cancelled.
                await self._reconciler.on_hint(uuid)
            except Exception as error:  # noqa: BLE001  (the next hint must be followed; this one is queued)
                report(f"{self.name} hint", error)


class LeasedReconciler(Protocol):
    """A reconciler whose work goes on outside transactions."""

    topic: str
    """The topic of its hints, and the kind of object that is leased."""

    async def list_uuids(self) -> Iterable[str]: ...

    async def generation(self, uuid: str) -> int | None:
        """Return the number of the object's last wish; None if the object is gone."""
        ...

    async def reconcile(self, lease: Lease) -> float | None:
        """Do the work under that lease."""
        ...


class LeaseRunner:
    """Runs a reconciler's work under leases."""

    def __init__(self, subject: LeasedReconciler, *, store: Store, clock: Clock, owner: str) -> None:
        self._subject = subject
        self._store = store
        self._clock = clock
        self._owner = owner
        self._running: dict[str, tuple[asyncio.Future[float | None], int | None]] = {}
        self.topic = subject.topic
        self.list_uuids = subject.list_uuids

    async def on_hint(self, uuid: str) -> None:
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
            return await self._run_under(lease, generation)
        finally:
            await self._release(lease)

    async def _release(self, lease: Lease) -> None:
        """Give the lease back. If that fails, the lease runs out; the result of the work stands."""
        try:
            async with self._store.write() as tx:
                await tx.leases(self.topic).release(lease)
        except Exception as error:  # noqa: BLE001  (reported)
            report(f"the lease of {self.topic} {lease.uuid}", error)

    async def _run_under(self, lease: Lease, generation: int) -> float | None:
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
        """Renew the lease while the work runs, and cancel the work if the lease is lost."""
        while True:
            await self._clock.sleep(RENEW_SECONDS)
            async with self._store.write() as tx:
                is_held = await tx.leases(self.topic).renew(lease, LEASE_SECONDS)
            if not is_held:
                work.cancel()
                return


async def retry(work: Callable[[], Awaitable[None]], *, clock: Clock, subject: str) -> None:
    """Retry until it succeeds. Each failure is reported and followed by a pause."""
    failures = 0
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  (a loop outlives what it does; the failure is reported)
            report(subject, error)
            failures += 1
            await clock.sleep(RETRY.pause_after(failures))
        else:
            return


async def repeat(work: Callable[[], Awaitable[None]], *, clock: Clock, every_seconds: float, subject: str) -> None:
    """Do the work at intervals until cancelled."""
    while True:
        await retry(work, clock=clock, subject=subject)
        await clock.sleep(every_seconds)


def report(subject: str, error: BaseException) -> None:
    """Log a failure that nobody else logs. The store logs its own failures, once."""
    if isinstance(error, BrokenRow | StoreUnavailable):
        log.debug("waits for the store", what=subject, reason=error.detail)
        return
    log.error("failed", what=subject, error=str(error), exc_info=error)
