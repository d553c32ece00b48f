"""What the orchestration loop reads before and writes after its work: one object, under its lease."""

from collections.abc import Iterable
from dataclasses import replace

from jeroboam.conductor.records import LeaseLost
from jeroboam.domain.orchestrated import Orchestrated, OrchestratedObserved, project_orchestrated
from jeroboam.store import Lease, Store, Transaction


class OrchestrationRecords:
    """Reads and writes what manifests make, for its loop."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def everything(self) -> Iterable[str]:
        async with self._store.read() as tx:
            return await tx.orchestrated.uuids()

    async def get(self, uuid: str) -> Orchestrated | None:
        async with self._store.read() as tx:
            return await tx.orchestrated.get(uuid)

    async def save(
        self, lease: Lease, observed: OrchestratedObserved, *, waiting_for: str | None = None
    ) -> Orchestrated:
        """Write what was observed and what follows for the public status; nothing is written twice.

        `observed.generation` says which wish is done: what the user has asked for meanwhile still waits. An earlier
        failure stands until the user asks for something else.
        """
        async with self._store.write() as tx:
            before = await self._held(tx, lease)
            kept = replace(observed, failure=before.observed.failure)
            return await self._write(tx, before, kept, waiting_for)

    async def fail(self, lease: Lease, generation: int, reason: str) -> None:
        """Write that the wish of that number will not be done, and why; nothing if it is not the last any more."""
        async with self._store.write() as tx:
            before = await self._held(tx, lease)
            if before.generation == generation:
                await self._write(tx, before, replace(before.observed, generation=generation, failure=reason))

    async def _write(
        self, tx: Transaction, before: Orchestrated, observed: OrchestratedObserved, waiting_for: str | None = None
    ) -> Orchestrated:
        after = project_orchestrated(replace(before, observed=observed), waiting_for=waiting_for)
        if after == before:
            return before
        after = replace(after, updated_at=tx.now)
        await tx.orchestrated.update(after)
        return after

    async def forget(self, lease: Lease) -> None:
        """Remove it."""
        async with self._store.write() as tx:
            await self._held(tx, lease)
            await tx.orchestrated.remove(uuid=lease.uuid)

    async def _held(self, tx: Transaction, lease: Lease) -> Orchestrated:
        it = await tx.orchestrated.get(lease.uuid)
        if it is None or not await tx.leases("orchestrated").held(lease):
            raise LeaseLost(lease.uuid)
        return it
