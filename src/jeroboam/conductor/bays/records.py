"""Reads and writes objects inside bays for their loops: one object, under its lease.

Containers and objects of manifests are kept in one table and in the same way. They differ in how progress is counted
and in what stands of an earlier failure. Neighbours: `objects`, `containers`, `manifests` and `strays`, which use this.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import ClassVar, Generic, TypeVar

from jeroboam.conductor.clusters.records import LeaseLost
from jeroboam.domain import bay_containers, bay_manifests
from jeroboam.domain.bay_containers import BayContainer, BayContainerObserved, pending_ops_of, project_bay_container
from jeroboam.domain.bay_manifests import BayManifest, BayManifestObserved, project_bay_manifest
from jeroboam.store import BayObjectSelector, Lease, Rows, Store, Transaction

T = TypeVar("T", BayContainer, BayManifest)


class BayObjectRecords(ABC, Generic[T]):
    """Reads and writes the objects of one kind for their loop."""

    topic: ClassVar[str]
    """The topic of its leases."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @abstractmethod
    def _rows(self, tx: Transaction) -> Rows[T, BayObjectSelector]:
        """Return the rows of this kind."""

    @abstractmethod
    def _project(self, bay_object: T, *, waiting_for: str | None = None) -> T:
        """Return the object with its public status, computed from wish and observation."""

    @abstractmethod
    def failure_of(self, bay_object: T) -> str | None:
        """Return why the last wish failed; None if it did not."""

    async def list_uuids(self) -> Iterable[str]:
        async with self._store.read() as tx:
            return await self._rows(tx).uuids()

    async def get(self, uuid: str) -> T | None:
        async with self._store.read() as tx:
            return await self._rows(tx).get(uuid)

    async def wait(self, lease: Lease, reason: str) -> None:
        """Write what the work waits for, and nothing else."""
        await self._write(lease, lambda before: self._project(before, waiting_for=reason))

    async def save_silence(self, lease: Lease, reason: str) -> None:
        """Write why its cluster could not be asked."""

        def set_silence(before: T) -> T:
            return self._project(replace(before, observed=replace(before.observed, silent=reason)))

        await self._write(lease, set_silence)

    async def forget(self, lease: Lease) -> None:
        """Remove the object."""
        async with self._store.write() as tx:
            await self._get_leased(tx, lease)
            await self._rows(tx).remove({"uuid": lease.uuid})

    async def _write(self, lease: Lease, change: Callable[[T], T]) -> T:
        """Write the changed object; nothing if the change leaves it as it is."""
        async with self._store.write() as tx:
            before = await self._get_leased(tx, lease)
            after = change(before)
            if after == before:
                return before
            after = replace(after, updated_at=tx.now)
            await self._rows(tx).update(after)
            return after

    async def _get_leased(self, tx: Transaction, lease: Lease) -> T:
        bay_object = await self._rows(tx).get(lease.uuid)
        if bay_object is None or not await tx.leases(self.topic).is_held(lease):
            raise LeaseLost(lease.uuid)
        return bay_object


class BayContainerRecords(BayObjectRecords[BayContainer]):
    """Reads and writes containers, and lists all that was made in a cluster."""

    topic = "workload"

    def _rows(self, tx: Transaction) -> Rows[BayContainer, BayObjectSelector]:
        return tx.bay_containers

    def _project(self, container: BayContainer, *, waiting_for: str | None = None) -> BayContainer:
        return project_bay_container(container, waiting_for=waiting_for)

    async def list_bay_uuids(self, cluster_id: str) -> frozenset[str]:
        """Return the uuids of all that was made in a cluster."""
        async with self._store.read() as tx:
            return await tx.bay_containers.uuids_in_cluster(cluster_id)

    async def clusters(self) -> Iterable[str]:
        """Return the uuids of all clusters."""
        async with self._store.read() as tx:
            return await tx.clusters.uuids()

    def failure_of(self, container: BayContainer) -> str | None:
        return bay_containers.failure_of(container)

    async def save(self, lease: Lease, observed: BayContainerObserved) -> BayContainer:
        """Write the observation and the public status; nothing if both are unchanged.

        `observed.seq` is the op that has ended: ops that the user asked for meanwhile still wait. An earlier failure
        stands until the user asks for something else.
        """

        def set_observed(before: BayContainer) -> BayContainer:
            last = before.observed
            new_observed = replace(
                observed, failure=last.failure, failed_generation=last.failed_generation, failed=last.failed
            )
            return project_bay_container(replace(before, observed=new_observed))

        return await self._write(lease, set_observed)

    async def fail(self, lease: Lease, reason: str) -> BayContainer:
        """Write that the pending ops will not be carried out, and the reason."""

        def set_failure(before: BayContainer) -> BayContainer:
            pending_ops = pending_ops_of(before)
            observed = replace(before.observed, failure=reason, failed_generation=before.generation)
            if pending_ops:
                observed = replace(observed, seq=pending_ops[-1].seq, failed=pending_ops[0].act)
            return project_bay_container(replace(before, observed=observed))

        return await self._write(lease, set_failure)


class BayManifestRecords(BayObjectRecords[BayManifest]):
    """Reads and writes what manifests make."""

    topic = "orchestrated"

    def _rows(self, tx: Transaction) -> Rows[BayManifest, BayObjectSelector]:
        return tx.bay_manifests

    def _project(self, manifest: BayManifest, *, waiting_for: str | None = None) -> BayManifest:
        return project_bay_manifest(manifest, waiting_for=waiting_for)

    def failure_of(self, manifest: BayManifest) -> str | None:
        return bay_manifests.failure_of(manifest)

    async def save(self, lease: Lease, observed: BayManifestObserved) -> BayManifest:
        """Write the observation and the public status; nothing if both are unchanged.

        `observed.generation` is the wish that is done: a wish that the user made meanwhile still waits. An earlier
        failure stands until the user asks for something else.
        """

        def set_observed(before: BayManifest) -> BayManifest:
            failure = before.observed.failure if before.observed.generation == observed.generation else None
            new_observed = replace(observed, failure=failure)
            return project_bay_manifest(replace(before, observed=new_observed))

        return await self._write(lease, set_observed)

    async def fail(self, lease: Lease, generation: int, reason: str) -> None:
        """Write that the wish of that number will not be carried out; nothing if there is a newer wish."""

        def set_failure(before: BayManifest) -> BayManifest:
            if before.generation != generation:
                return before
            observed = replace(before.observed, generation=generation, failure=reason)
            return project_bay_manifest(replace(before, observed=observed))

        await self._write(lease, set_failure)
