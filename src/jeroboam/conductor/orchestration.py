"""The orchestration loop: brings what manifests say into clusters that speak Kubernetes, and sees what becomes of it.

Every pass asks the cluster's own API, so that it may be broken off and entered again anywhere: an object is had as its
manifest says, and known by the uuid that it carries. What changes behind our back is seen by the next look; one look
at a cluster serves all of its objects. Neighbours: `reach` (the way to a cluster), the COE (what an object is there),
`domain.orchestrated` (what it means), `workloads` (the same for containers).
"""

import asyncio
import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog

from jeroboam.coes.base import Manifests, ManifestWant
from jeroboam.conductor.reach import Reach, Reached
from jeroboam.conductor.records import LeaseLost
from jeroboam.conductor.workload_records import OrchestrationRecords
from jeroboam.domain.errors import DriverError, Permanent, Temporary
from jeroboam.domain.orchestrated import Orchestrated, Seen, in_progress, is_due
from jeroboam.kit.clock import Clock, Overdue, within
from jeroboam.store import Lease, Store

FIRST_RETRY = 0.5
LONGEST_RETRY = 5.0
# How soon to look again after a change, at the least: what was just made becomes something else at once.
FIRST_LOOK = 1.0
# For so long a bay that did not answer is believed to be silent.
SILENT_SECONDS = 10.0
# A delete that passed its deadline is said to have failed, and goes on.
DELETE_RETRY = 30.0

log = structlog.get_logger("jeroboam.conductor.orchestration")


@dataclass(slots=True)
class _Look:
    """The last look at one cluster."""

    begun: float = -1.0
    found: Mapping[str, Seen] | None = None
    silent_until: float = -1.0
    why: str = ""


class Looks:
    """Looks at clusters, once for everybody who wants to know at the same time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: defaultdict[str, _Look] = defaultdict(_Look)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def at(self, reached: Reached[Manifests]) -> Mapping[str, Seen]:
        """What there is, by a look that began after this call did.

        A bay that has just not answered is not asked again by each of its objects in turn: each would wait for it,
        and those of other bays behind them.
        """
        cluster_id, asked = reached.plan.cluster_id, self._clock.monotonic()
        last = self._last[cluster_id]
        async with self._turns[cluster_id]:
            if last.found is not None and last.begun > asked:
                return last.found
            if self._clock.monotonic() < last.silent_until:
                raise Temporary(last.why)
            last.found, last.begun = None, self._clock.monotonic()
            try:
                last.found = await reached.coe.look(reached.plan)
            except Temporary as error:
                last.silent_until, last.why = self._clock.monotonic() + SILENT_SECONDS, error.reason
                raise
            return last.found

    def forget(self, cluster_id: str) -> None:
        """The cluster is gone."""
        self._last.pop(cluster_id, None)
        self._turns.pop(cluster_id, None)


class Orchestration:
    """The reconciler of what manifests make."""

    topic = "orchestrated"

    def __init__(self, *, store: Store, reach: Reach, clock: Clock, check_seconds: float) -> None:
        self._records = OrchestrationRecords(store)
        self._reach = reach
        self._clock = clock
        self._check_seconds = check_seconds
        self._looks = Looks(clock)
        self._met: dict[str, tuple[int, str]] = {}
        """How often an object's work had to wait since it last went on, and for what."""
        self.everything = self._records.everything

    async def generation(self, uuid: str) -> int | None:
        """Counts its wishes: a newer manifest overtakes the one that is being applied, and its end overtakes both."""
        it = await self._records.get(uuid)
        return None if it is None else it.generation

    async def reconcile(self, lease: Lease) -> float | None:
        """Do what was asked; then look."""
        it = await self._records.get(lease.uuid)
        if it is None:
            self._met.pop(lease.uuid, None)
            return None
        left = self._time_left(it)
        try:
            try:
                return await within(self._clock, left, self._carry_out(lease, it))
            except Overdue:
                # A pass that had no time tells nothing new: what the one before it met stands.
                _, met = self._met.get(it.uuid, (0, "its bay did not answer in time"))
                return await self._failed(lease, it, Temporary(met), over=True)
            except DriverError as error:
                return await self._failed(lease, it, error, over=left == 0)
        except LeaseLost:
            return None

    def _time_left(self, it: Orchestrated) -> float | None:
        if it.deadline_at is None:
            return None
        return max((it.deadline_at - self._clock.now()).total_seconds(), 0)

    async def _carry_out(self, lease: Lease, it: Orchestrated) -> float | None:
        if it.deleting and not it.observed.touched:
            await self._records.forget(lease)
            return None
        reached = await self._reach.manifests(it.cluster_id)
        if reached is None:
            self._looks.forget(it.cluster_id)
            # The row goes with its cluster's.
            await self._records.save(lease, it.observed, waiting_for="its bay is being deleted")
            return self._check_seconds
        if it.deleting:
            await reached.coe.remove(reached.plan, it.uuid)
            await self._records.forget(lease)
            return None
        it = await (self._apply(lease, it, reached) if is_due(it) else self._look(lease, it, reached))
        self._met.pop(it.uuid, None)
        return self._next_look(it)

    async def _apply(self, lease: Lease, it: Orchestrated, reached: Reached[Manifests]) -> Orchestrated:
        if not it.observed.touched:
            # Something of it may exist from now on, so that a delete knows to look for it.
            it = await self._records.save(lease, replace(it.observed, touched=True))
        want = ManifestWant(uuid=it.uuid, kind=it.kind, name=it.name, manifest=it.spec.manifest)
        seen = await reached.coe.have(reached.plan, want)
        done = replace(it.observed, generation=it.generation, seen=seen, silent=None)
        return await self._records.save(lease, done)

    async def _look(self, lease: Lease, it: Orchestrated, reached: Reached[Manifests]) -> Orchestrated:
        found = await self._looks.at(reached)
        return await self._records.save(lease, replace(it.observed, seen=found.get(it.uuid), silent=None))

    def _next_look(self, it: Orchestrated) -> float:
        """What has changed lately is looked at sooner."""
        since = self._clock.now() - (it.updated_at or it.created_at)
        return min(max(since / dt.timedelta(seconds=1), FIRST_LOOK), self._check_seconds)

    async def _failed(self, lease: Lease, tried: Orchestrated, error: DriverError, *, over: bool) -> float | None:
        """Write why; try again later if that can help and there is time."""
        it = await self._records.get(lease.uuid)
        if it is None:
            return None
        if not in_progress(it) and not it.deleting:
            await self._records.save(lease, replace(it.observed, silent=error.reason))
            # A bay that is only away for a moment is back soon; one that stays away is not asked all the time.
            return LONGEST_RETRY if it.observed.silent is None else self._check_seconds
        if over or isinstance(error, Permanent):
            log.warning("orchestration failed", workload=it.uuid, reason=error.reason)
            self._met.pop(it.uuid, None)
            reason = f"Timed out: {error.reason}" if over else error.reason
            await self._records.fail(lease, tried.generation, reason)
            # What has become of it all the same shows at once.
            return DELETE_RETRY if it.deleting else 0.0
        await self._records.save(lease, it.observed, waiting_for=error.reason)
        tries, _ = self._met.get(it.uuid, (0, ""))
        self._met[it.uuid] = (tries + 1, error.reason)
        return DELETE_RETRY if it.observed.failure else min(FIRST_RETRY * 2.0**tries, LONGEST_RETRY)
