"""The loop of manifests inside bays: applies manifests to clusters that run Kubernetes, and observes the objects.

An object is known by the uuid that it carries. A change from outside is seen by the next look. One look at a cluster
serves all of its objects. Neighbours: `objects` (deadlines, failures), `connector` (the connection to a cluster), the
COE (what an object is there), `domain.bay_manifests` (states), `containers` (the same for containers).
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

    started_at: float = -1.0
    objects: Mapping[str, ManifestState] | None = None
    silent_until: float = -1.0
    reason: str = ""


class ClusterListings:
    """Lists the objects of clusters, once for all callers that ask at the same time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: defaultdict[str, _ClusterListing] = defaultdict(_ClusterListing)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def list_states(self, connection: ClusterConnection[ManifestClient]) -> Mapping[str, ManifestState]:
        """Return the states of the objects, by a look that began after this call.

        A bay that did not answer a moment ago raises `Temporary` at once. Otherwise each of its objects would wait for
        an answer, and objects of other bays behind it.
        """
        cluster_id, called_at = connection.plan.cluster_id, self._clock.monotonic()
        listing = self._last[cluster_id]
        async with self._turns[cluster_id]:
            if listing.objects is not None and listing.started_at > called_at:
                return listing.objects
            if self._clock.monotonic() < listing.silent_until:
                raise Temporary(listing.reason)
            listing.objects, listing.started_at = None, self._clock.monotonic()
            try:
                listing.objects = await connection.coe.inspect(connection.plan)
            except Temporary as error:
                listing.silent_until, listing.reason = self._clock.monotonic() + SILENT_SECONDS, error.reason
                raise
            return listing.objects

    def forget(self, cluster_id: str) -> None:
        """Drop the listing: the cluster is gone."""
        self._last.pop(cluster_id, None)
        self._turns.pop(cluster_id, None)


class BayManifestReconciler(BayObjectReconciler[BayManifest, ManifestClient]):
    """The reconciler of what manifests make."""

    topic = "orchestrated"
    _records: BayManifestRecords

    def __init__(self, *, store: Store, connector: ClusterConnector, clock: Clock, check_seconds: float) -> None:
        super().__init__(records=BayManifestRecords(store), clock=clock, check_seconds=check_seconds)
        self._connector = connector
        self._listings = ClusterListings(clock)

    async def generation(self, uuid: str) -> int | None:
        """Counts its wishes: a newer manifest interrupts the one that is being applied, a delete interrupts both."""
        manifest = await self._records.get(uuid)
        return None if manifest is None else manifest.generation

    async def _connect(self, cluster_id: str) -> ClusterConnection[ManifestClient] | None:
        return await self._connector.connect_manifests(cluster_id)

    def _forget_bay(self, cluster_id: str) -> None:
        self._listings.forget(cluster_id)

    async def _work(
        self, lease: Lease, manifest: BayManifest, connection: ClusterConnection[ManifestClient]
    ) -> BayManifest:
        if not is_due(manifest):
            states = await self._listings.list_states(connection)
            return await self._records.save(
                lease, replace(manifest.observed, seen=states.get(manifest.uuid), silent=None)
            )
        if not manifest.observed.touched:
            # Something may exist from now on, so a delete has to look for it.
            manifest = await self._records.save(lease, replace(manifest.observed, touched=True))
        desired_manifest = DesiredManifest(
            uuid=manifest.uuid, kind=manifest.kind, name=manifest.name, manifest=manifest.spec.manifest
        )
        state = await connection.coe.apply(connection.plan, desired_manifest)
        observed = replace(manifest.observed, generation=manifest.generation, seen=state, silent=None)
        return await self._records.save(lease, observed)

    async def _give_up(self, lease: Lease, snapshot: BayManifest, reason: str) -> None:
        await self._records.fail(lease, snapshot.generation, reason)
