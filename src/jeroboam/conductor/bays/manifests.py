"""The orchestration loop: brings what manifests say into clusters that speak Kubernetes, and sees what becomes of it.

An object is had as its manifest says, and known by the uuid that it carries. What changes behind our back is seen by
the next look; one look at a cluster serves all of its objects. Neighbours: `inside` (deadlines, failures), `reach` (the
way to a cluster), the COE (what an object is there), `domain.orchestrated` (what it means), `workloads` (the same for
containers).
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from jeroboam.coes.base import DesiredManifest, ManifestClient
from jeroboam.conductor.bays.connector import ClusterConnection, ClusterConnector
from jeroboam.conductor.bays.objects import SILENT_SECONDS, BayObjectReconciler
from jeroboam.conductor.bays.records import BayManifestRecords
from jeroboam.domain.bay_manifests import BayManifest, ManifestState, is_due
from jeroboam.domain.errors import Temporary
from jeroboam.kit.clock import Clock
from jeroboam.store import Lease, Store


@dataclass(slots=True)
class _ClusterListing:
    """The last look at one cluster."""

    begun: float = -1.0
    found: Mapping[str, ManifestState] | None = None
    silent_until: float = -1.0
    why: str = ""


class ClusterListings:
    """Looks at clusters, once for everybody who wants to know at the same time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: defaultdict[str, _ClusterListing] = defaultdict(_ClusterListing)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def at(self, reached: ClusterConnection[ManifestClient]) -> Mapping[str, ManifestState]:
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


class BayManifestReconciler(BayObjectReconciler[BayManifest, ManifestClient]):
    """The reconciler of what manifests make."""

    topic = "orchestrated"
    _records: BayManifestRecords

    def __init__(self, *, store: Store, reach: ClusterConnector, clock: Clock, check_seconds: float) -> None:
        super().__init__(records=BayManifestRecords(store), clock=clock, check_seconds=check_seconds)
        self._reach = reach
        self._looks = ClusterListings(clock)

    async def generation(self, uuid: str) -> int | None:
        """Counts its wishes: a newer manifest overtakes the one that is being applied, and its end overtakes both."""
        it = await self._records.get(uuid)
        return None if it is None else it.generation

    async def _way(self, cluster_id: str) -> ClusterConnection[ManifestClient] | None:
        return await self._reach.manifests(cluster_id)

    def _bay_gone(self, cluster_id: str) -> None:
        self._looks.forget(cluster_id)

    async def _work(self, lease: Lease, it: BayManifest, reached: ClusterConnection[ManifestClient]) -> BayManifest:
        if not is_due(it):
            found = await self._looks.at(reached)
            return await self._records.save(lease, replace(it.observed, seen=found.get(it.uuid), silent=None))
        if not it.observed.touched:
            # Something of it may exist from now on, so that a delete knows to look for it.
            it = await self._records.save(lease, replace(it.observed, touched=True))
        want = DesiredManifest(uuid=it.uuid, kind=it.kind, name=it.name, manifest=it.spec.manifest)
        seen = await reached.coe.have(reached.plan, want)
        done = replace(it.observed, generation=it.generation, seen=seen, silent=None)
        return await self._records.save(lease, done)

    async def _give_up(self, lease: Lease, tried: BayManifest, reason: str) -> None:
        await self._records.fail(lease, tried.generation, reason)
