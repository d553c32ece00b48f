"""How what is inside bays is worked on, of whichever kind: until when, how soon again, and what a failure means.

Every pass asks the cluster's own API, so that it may be broken off and entered again anywhere. Neighbours: `workloads`
(containers) and `orchestration` (what manifests make), which say what the work is; `workload_records`.
"""

import datetime as dt
from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

import structlog

from jeroboam.coes.base import CoePlan
from jeroboam.conductor.bays.connector import ClusterConnection
from jeroboam.conductor.bays.records import BayObjectRecords
from jeroboam.conductor.clusters.records import LeaseLost
from jeroboam.domain.bay_containers import BayContainer
from jeroboam.domain.bay_manifests import BayManifest
from jeroboam.domain.errors import DriverError, Permanent, Temporary
from jeroboam.kit.clock import Clock, DeadlineExceeded, within
from jeroboam.store import Lease

FIRST_RETRY = 0.5
LONGEST_RETRY = 5.0
# How soon to look again after a change, at the least: what was just made becomes something else at once.
FIRST_LOOK = 1.0
# For so long a bay that did not answer is believed to be silent.
SILENT_SECONDS = 10.0
# A delete that passed its deadline is said to have failed, and goes on.
DELETE_RETRY = 30.0

log = structlog.get_logger("jeroboam.conductor.bays.containers")


class CanRemove(Protocol):
    """What the end of an object needs of a COE."""

    async def remove(self, plan: CoePlan, uuid: str) -> None: ...


T = TypeVar("T", BayContainer, BayManifest)
C = TypeVar("C", bound=CanRemove)


class BayObjectReconciler(ABC, Generic[T, C]):
    """The reconciler of one kind of object, on that part of a COE which holds it."""

    topic: str

    def __init__(self, *, records: BayObjectRecords[T], clock: Clock, check_seconds: float) -> None:
        self._records: BayObjectRecords[T] = records
        self._clock = clock
        self._check_seconds = check_seconds
        self._met: dict[str, tuple[int, str]] = {}
        """How often an object's work had to wait since it last went on, and for what."""
        self.everything = records.everything

    @abstractmethod
    async def _way(self, cluster_id: str) -> ClusterConnection[C] | None:
        """The way to its bay; None for one that is gone or on its way out."""

    @abstractmethod
    def _bay_gone(self, cluster_id: str) -> None:
        """Forget what is known of that bay."""

    @abstractmethod
    async def _work(self, lease: Lease, it: T, reached: ClusterConnection[C]) -> T:
        """Do what was asked and has not ended; then, or else, look. The object as it was written last."""

    @abstractmethod
    async def _give_up(self, lease: Lease, tried: T, reason: str) -> None:
        """Write that what was tried will not be done, and why."""

    async def reconcile(self, lease: Lease) -> float | None:
        """Do what was asked and has not ended; then look."""
        it = await self._records.get(lease.uuid)
        if it is None:
            self._met.pop(lease.uuid, None)
            return None
        left = self._time_left(it)
        try:
            try:
                return await within(self._clock, left, self._carry_out(lease, it))
            except DeadlineExceeded:
                # A pass that had no time tells nothing new: what the one before it met stands.
                _, met = self._met.get(it.uuid, (0, "its bay did not answer in time"))
                return await self._failed(lease, it, Temporary(met), over=True)
            except DriverError as error:
                return await self._failed(lease, it, error, over=left == 0)
        except LeaseLost:
            return None

    def _time_left(self, it: T) -> float | None:
        if it.deadline_at is None:
            return None
        return max((it.deadline_at - self._clock.now()).total_seconds(), 0)

    async def _carry_out(self, lease: Lease, it: T) -> float | None:
        if it.deleting and not it.observed.touched:
            await self._records.forget(lease)
            return None
        reached = await self._way(it.cluster_id)
        if reached is None:
            self._bay_gone(it.cluster_id)
            # The row goes with its cluster's.
            await self._records.wait(lease, "its bay is being deleted")
            return self._check_seconds
        if it.deleting:
            await reached.coe.remove(reached.plan, it.uuid)
            await self._records.forget(lease)
            return None
        it = await self._work(lease, it, reached)
        self._met.pop(it.uuid, None)
        return self._next_look(it)

    def _next_look(self, it: T) -> float:
        """What has changed lately is looked at sooner."""
        since = self._clock.now() - (it.updated_at or it.created_at)
        return min(max(since / dt.timedelta(seconds=1), FIRST_LOOK), self._check_seconds)

    async def _failed(self, lease: Lease, tried: T, error: DriverError, *, over: bool) -> float | None:
        """Write why; try again later if that can help and there is time."""
        it = await self._records.get(lease.uuid)
        if it is None:
            return None
        # What is under way has a deadline.
        if it.deadline_at is None and not it.deleting:
            await self._records.unheard(lease, error.reason)
            # A bay that is only away for a moment is back soon; one that stays away is not asked all the time.
            return LONGEST_RETRY if it.observed.silent is None else self._check_seconds
        if over or isinstance(error, Permanent):
            log.warning("workload failed", kind=it.kind, workload=it.uuid, reason=error.reason)
            self._met.pop(it.uuid, None)
            await self._give_up(lease, tried, f"Timed out: {error.reason}" if over else error.reason)
            # What has become of it all the same shows at once.
            return DELETE_RETRY if it.deleting else 0.0
        await self._records.wait(lease, error.reason)
        tries, _ = self._met.get(it.uuid, (0, ""))
        self._met[it.uuid] = (tries + 1, error.reason)
        return DELETE_RETRY if it.observed.failure else min(FIRST_RETRY * 2.0**tries, LONGEST_RETRY)
