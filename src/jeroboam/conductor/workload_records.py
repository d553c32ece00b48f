"""What the workload loop reads before and writes after its work: one workload, under its lease."""

from collections.abc import Iterable
from dataclasses import replace

from jeroboam.conductor.records import LeaseLost
from jeroboam.domain.workloads import Workload, WorkloadObserved, pending, project_workload
from jeroboam.store import Lease, Store, Transaction


class WorkloadRecords:
    """Reads and writes workloads for their loop."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def everything(self) -> Iterable[str]:
        async with self._store.read() as tx:
            return await tx.workloads.uuids()

    async def get(self, uuid: str) -> Workload | None:
        async with self._store.read() as tx:
            return await tx.workloads.get(uuid)

    async def known(self, cluster_id: str) -> frozenset[str]:
        """The uuids of all that was made in a cluster."""
        async with self._store.read() as tx:
            return await tx.workloads.inside(cluster_id)

    async def clusters(self) -> Iterable[str]:
        """The uuids of all clusters."""
        async with self._store.read() as tx:
            return [cluster.uuid for cluster in await tx.clusters.select()]

    async def save(self, lease: Lease, observed: WorkloadObserved, *, waiting_for: str | None = None) -> Workload:
        """Write what was observed and what follows for the public status; nothing is written twice.

        `observed.seq` says which op has ended: what the user has asked for meanwhile still waits. An earlier failure
        stands until the user asks for something else.
        """
        async with self._store.write() as tx:
            before = await self._held(tx, lease)
            failure, failed = before.observed.failure, before.observed.failed
            return await self._write(tx, before, replace(observed, failure=failure, failed=failed), waiting_for)

    async def fail(self, lease: Lease, reason: str) -> Workload:
        """Write that what waits will not be done, and why."""
        async with self._store.write() as tx:
            before = await self._held(tx, lease)
            waiting, observed = pending(before), replace(before.observed, failure=reason)
            if waiting:
                observed = replace(observed, seq=waiting[-1].seq, failed=waiting[0].act)
            return await self._write(tx, before, observed)

    async def _write(
        self, tx: Transaction, before: Workload, observed: WorkloadObserved, waiting_for: str | None = None
    ) -> Workload:
        after = project_workload(replace(before, observed=observed), waiting_for=waiting_for)
        if after == before:
            return before
        after = replace(after, updated_at=tx.now)
        await tx.workloads.update(after)
        return after

    async def forget(self, lease: Lease) -> None:
        """Remove it."""
        async with self._store.write() as tx:
            await self._held(tx, lease)
            await tx.workloads.remove(uuid=lease.uuid)

    async def _held(self, tx: Transaction, lease: Lease) -> Workload:
        workload = await tx.workloads.get(lease.uuid)
        if workload is None or not await tx.leases("workload").held(lease):
            raise LeaseLost(lease.uuid)
        return workload
