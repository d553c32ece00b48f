"""The pass over an object inside a bay, of either kind: its deadline, its retries and what a failure means.

Every pass asks the cluster's own API, so it can be interrupted and started again anywhere. Two loops call this: one for
containers with their actions, one for manifests. Both kinds are rows of the table `workload`. Neighbours: `containers`
and `manifests`, which do the work of their kind; `records`, which reads and writes the objects.
"""

import datetime as dt
from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

import structlog

from jeroboam.coes.base import CoePlan
from jeroboam.conductor.bays.connector import ClusterConnection
from jeroboam.conductor.bays.records import BayObjectRecords
from jeroboam.conductor.clusters.records import LeaseLost
from jeroboam.conductor.passes import PassFailure, run_pass
from jeroboam.domain.bay_containers import BayContainer
from jeroboam.domain.bay_manifests import BayManifest
from jeroboam.kit.attempts import Attempts, RetryPolicy
from jeroboam.kit.clock import Clock
from jeroboam.store import Lease

RETRY = RetryPolicy(first_seconds=0.5, longest_seconds=5.0)
# The shortest time until the next look after a change: what was just made changes again soon.
FIRST_LOOK = 1.0
# For so long a bay that did not answer counts as silent.
SILENT_SECONDS = 10.0
# A delete that passed its deadline shows as failed, and goes on.
DELETE_RETRY = 30.0

log = structlog.get_logger("jeroboam.conductor.bays.containers")


class CanRemove(Protocol):
    """What the delete of an object needs of a COE."""

    async def remove(self, plan: CoePlan, uuid: str) -> None: ...


T = TypeVar("T", BayContainer, BayManifest)
C = TypeVar("C", bound=CanRemove)


class BayObjectReconciler(ABC, Generic[T, C]):
    """The reconciler of one kind of object, on the part of a COE that holds it."""

    topic: str

    def __init__(self, *, records: BayObjectRecords[T], clock: Clock, check_seconds: float) -> None:
        self._records: BayObjectRecords[T] = records
        self._clock = clock
        self._check_seconds = check_seconds
        self._attempts = Attempts(RETRY)
        self.list_uuids = records.list_uuids

    @abstractmethod
    async def _connect(self, cluster_id: str) -> ClusterConnection[C] | None:
        """Return the connection to its bay; None for a bay that is gone or is being deleted."""

    @abstractmethod
    def _forget_bay(self, cluster_id: str) -> None:
        """Forget what is known of that bay."""

    @abstractmethod
    async def _work(self, lease: Lease, bay_object: T, connection: ClusterConnection[C]) -> T:
        """Carry out what has not ended, else look. Return the object as it was last written."""

    @abstractmethod
    async def _give_up(self, lease: Lease, snapshot: T, reason: str) -> None:
        """Write that the work on this snapshot is given up, and the reason."""

    async def reconcile(self, lease: Lease) -> float | None:
        """Carry out what has not ended, or look."""
        bay_object = await self._records.get(lease.uuid)
        if bay_object is None:
            self._attempts.forget(lease.uuid)
            return None

        def describe_end() -> str:
            # A pass that had no time knows nothing new: the reason of the pass before it stands.
            return self._attempts.last_reason(lease.uuid) or "its bay did not answer in time"

        work = self._carry_out(lease, bay_object)
        try:
            result = await run_pass(self._clock, bay_object.deadline_at, work, describe_end=describe_end)
            return await self._handle_failure(lease, bay_object, result) if isinstance(result, PassFailure) else result
        except LeaseLost:
            return None

    async def _carry_out(self, lease: Lease, bay_object: T) -> float | None:
        if bay_object.deleting and not bay_object.observed.touched:
            await self._records.forget(lease)
            return None
        connection = await self._connect(bay_object.cluster_id)
        if connection is None:
            self._forget_bay(bay_object.cluster_id)
            # The row is removed with that of its cluster.
            await self._records.wait(lease, "its bay is being deleted")
            return self._check_seconds
        if bay_object.deleting:
            await connection.coe.remove(connection.plan, bay_object.uuid)
            await self._records.forget(lease)
            return None
        bay_object = await self._work(lease, bay_object, connection)
        self._attempts.forget(bay_object.uuid)
        return self._seconds_to_next_look(bay_object)

    def _seconds_to_next_look(self, bay_object: T) -> float:
        """Return the seconds until the next look: sooner for what changed lately."""
        since = self._clock.now() - (bay_object.updated_at or bay_object.created_at)
        return min(max(since / dt.timedelta(seconds=1), FIRST_LOOK), self._check_seconds)

    async def _handle_failure(self, lease: Lease, snapshot: T, failure: PassFailure) -> float | None:
        """Write the reason. Return when to try again."""
        bay_object = await self._records.get(lease.uuid)
        if bay_object is None:
            return None
        # Work in progress has a deadline; there is none here.
        if bay_object.deadline_at is None and not bay_object.deleting:
            await self._records.save_silence(lease, failure.reason)
            # A bay that is away for a moment is back soon; one that stays away is asked less often.
            return RETRY.longest_seconds if bay_object.observed.silent is None else self._check_seconds
        if failure.is_final:
            log.warning("workload failed", kind=bay_object.kind, workload=bay_object.uuid, reason=failure.reason)
            self._attempts.forget(bay_object.uuid)
            await self._give_up(lease, snapshot, failure.final_reason)
            # Look at once what became of it nevertheless.
            return DELETE_RETRY if bay_object.deleting else 0.0
        await self._records.wait(lease, failure.reason)
        seconds = self._attempts.add_failure(bay_object.uuid, failure.reason)
        return DELETE_RETRY if self._records.failure_of(bay_object) else seconds
