"""The workload loop: brings the containers inside clusters to what their users asked, and sees what becomes of them.

A pass does only what is missing; what cannot be told from the container itself (whether a reboot was done) is noted
before it is begun. A container that changes behind our back is seen by the next look. Neighbours: `inside` (deadlines,
failures), `reach` (the way to a cluster), the COE (what a container is there), `domain.workloads` (what it means).
"""

from dataclasses import replace

from jeroboam.coes.base import BayContainerState, DesiredContainer, SupportsContainers
from jeroboam.conductor.bays.connector import ClusterConnection, ClusterConnector
from jeroboam.conductor.bays.objects import SILENT_SECONDS, BayObjectReconciler
from jeroboam.conductor.bays.records import BayContainerRecords
from jeroboam.domain.bay_containers import (
    BayContainer,
    BayContainerObserved,
    BayContainerOp,
    ContainerAction,
    octets,
    pending,
    words,
)
from jeroboam.domain.containers import RuntimeState
from jeroboam.domain.errors import Temporary
from jeroboam.kit.clock import Clock
from jeroboam.store import Lease, Store


class BayContainerReconciler(BayObjectReconciler[BayContainer, SupportsContainers]):
    """The reconciler of workloads."""

    topic = "workload"
    _records: BayContainerRecords

    def __init__(self, *, store: Store, reach: ClusterConnector, clock: Clock, check_seconds: float) -> None:
        super().__init__(records=BayContainerRecords(store), clock=clock, check_seconds=check_seconds)
        self._reach = reach
        self._silent: dict[str, tuple[float, str]] = {}
        """Until when a bay counts as one that does not answer, and why."""

    async def generation(self, uuid: str) -> int | None:
        """Counts what work under way is broken off for: only the wish to be gone overtakes, all else waits its turn."""
        workload = await self._records.get(uuid)
        return None if workload is None else int(workload.deleting)

    async def _way(self, cluster_id: str) -> ClusterConnection[SupportsContainers] | None:
        return await self._reach.containers(cluster_id)

    def _bay_gone(self, cluster_id: str) -> None:
        self._silent.pop(cluster_id, None)

    async def _give_up(self, lease: Lease, tried: BayContainer, reason: str) -> None:  # noqa: ARG002  (all that waits)
        await self._records.fail(lease, reason)

    async def _work(
        self, lease: Lease, it: BayContainer, reached: ClusterConnection[SupportsContainers]
    ) -> BayContainer:
        waiting = pending(it)
        for op in waiting:
            it = await self._do(lease, it, reached, op)
        if not waiting:
            seen = await self._look(reached, it)
            it = await self._records.save(lease, _seen(it.observed, seen))
        return it

    async def _look(
        self, reached: ClusterConnection[SupportsContainers], workload: BayContainer
    ) -> BayContainerState | None:
        """What it is now. A bay that has just not answered is not asked about each of its containers in turn.

        Each would wait for it, and those of other bays behind them.
        """
        until, reason = self._silent.get(workload.cluster_id, (0.0, ""))
        if self._clock.monotonic() < until:
            raise Temporary(reason)
        try:
            seen = await reached.coe.look(reached.plan, workload.uuid)
        except Temporary as error:
            self._silent[workload.cluster_id] = (self._clock.monotonic() + SILENT_SECONDS, error.reason)
            raise
        self._silent.pop(workload.cluster_id, None)
        return seen

    # ------------------------------------------------------------------------------------------------------- ops

    async def _do(
        self, lease: Lease, workload: BayContainer, reached: ClusterConnection[SupportsContainers], op: BayContainerOp
    ) -> BayContainer:
        """One op, to its end; what was seen after it is written with it."""
        workload = await self._touch(lease, workload)
        coe, plan, uuid = reached.coe, reached.plan, workload.uuid
        seen: BayContainerState | None
        if op.act in {ContainerAction.CREATE, ContainerAction.START, ContainerAction.REBOOT}:
            seen = await coe.make(plan, _want(workload))
            if op.act is ContainerAction.REBOOT:
                workload, seen = await self._reboot(lease, workload, reached, op, seen)
            elif op.act is ContainerAction.START:
                seen = await coe.act(plan, uuid, op.act)
        else:
            seen = await coe.act(plan, uuid, op.act)
        return await self._records.save(lease, _seen(workload.observed, seen, seq=op.seq))

    async def _touch(self, lease: Lease, workload: BayContainer) -> BayContainer:
        """Note that something of it may exist from now on, so that a delete knows to look for it."""
        if workload.observed.touched:
            return workload
        return await self._records.save(lease, replace(workload.observed, touched=True))

    async def _reboot(
        self,
        lease: Lease,
        workload: BayContainer,
        reached: ClusterConnection[SupportsContainers],
        op: BayContainerOp,
        seen: BayContainerState,
    ) -> tuple[BayContainer, BayContainerState]:
        """Start it anew, once: one that was begun before and has been started since was done."""
        noted = workload.observed
        if noted.begun == op.seq and seen.started_at != noted.before and seen.state is RuntimeState.RUNNING:
            return workload, seen
        if noted.begun != op.seq:
            begun = replace(noted, begun=op.seq, before=seen.started_at)
            workload = await self._records.save(lease, begun)
        return workload, await reached.coe.act(reached.plan, workload.uuid, op.act)


def _want(workload: BayContainer) -> DesiredContainer:
    spec = workload.spec
    return DesiredContainer(
        uuid=workload.uuid,
        name=workload.name,
        image=spec.image,
        command=words(spec.command) if spec.command else (),
        memory=octets(spec.memory) if spec.memory else None,
    )


def _seen(
    observed: BayContainerObserved, seen: BayContainerState | None, *, seq: int | None = None
) -> BayContainerObserved:
    """What was observed, with this look; `seq` says which op ended before it."""
    state = RuntimeState.ABSENT if seen is None else seen.state
    started_at = None if seen is None else seen.started_at
    return replace(observed, state=state, started_at=started_at, silent=None, seq=observed.seq if seq is None else seq)
