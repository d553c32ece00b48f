"""The loop of containers inside bays: carries out what their users asked for, and observes them.

A pass does only what is missing. Whether a reboot was done cannot be seen from the container itself, so the reboot is
noted before it begins. A container that changes by itself is seen by the next look. Neighbours: `objects` (deadlines,
failures), `connector` (the connection to a cluster), the COE (what a container is there), `domain.bay_containers`
(states).
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
    parse_memory,
    pending_ops_of,
    split_command,
)
from jeroboam.domain.containers import RuntimeState
from jeroboam.domain.errors import Temporary
from jeroboam.kit.clock import Clock
from jeroboam.store import Lease, Store


class BayContainerReconciler(BayObjectReconciler[BayContainer, SupportsContainers]):
    """The reconciler of containers inside bays."""

    topic = "workload"
    _records: BayContainerRecords

    def __init__(self, *, store: Store, connector: ClusterConnector, clock: Clock, check_seconds: float) -> None:
        super().__init__(records=BayContainerRecords(store), clock=clock, check_seconds=check_seconds)
        self._connector = connector
        self._silent: dict[str, tuple[float, str]] = {}
        """Until when a bay counts as one that does not answer, and why."""

    async def generation(self, uuid: str) -> int | None:
        """Counts only the delete: it interrupts work in progress. All other wishes wait for their turn."""
        container = await self._records.get(uuid)
        return None if container is None else int(container.deleting)

    async def _connect(self, cluster_id: str) -> ClusterConnection[SupportsContainers] | None:
        return await self._connector.connect_containers(cluster_id)

    def _forget_bay(self, cluster_id: str) -> None:
        self._silent.pop(cluster_id, None)

    async def _give_up(self, lease: Lease, snapshot: BayContainer, reason: str) -> None:  # noqa: ARG002  (all that waits)
        await self._records.fail(lease, reason)

    async def _work(
        self, lease: Lease, container: BayContainer, connection: ClusterConnection[SupportsContainers]
    ) -> BayContainer:
        pending_ops = pending_ops_of(container)
        for op in pending_ops:
            container = await self._perform_op(lease, container, connection, op)
        if not pending_ops:
            container_state = await self._read_state(connection, container)
            container = await self._records.save(lease, _merge_state(container.observed, container_state))
        return container

    async def _read_state(
        self, connection: ClusterConnection[SupportsContainers], container: BayContainer
    ) -> BayContainerState | None:
        """Return the state of the container. Raises `Temporary` for a bay that did not answer a moment ago.

        Otherwise each container of that bay would wait for an answer, and containers of other bays behind it.
        """
        until, reason = self._silent.get(container.cluster_id, (0.0, ""))
        if self._clock.monotonic() < until:
            raise Temporary(reason)
        try:
            container_state = await connection.coe.inspect(connection.plan, container.uuid)
        except Temporary as error:
            self._silent[container.cluster_id] = (self._clock.monotonic() + SILENT_SECONDS, error.reason)
            raise
        self._silent.pop(container.cluster_id, None)
        return container_state

    # ------------------------------------------------------------------------------------------------------- ops

    async def _perform_op(
        self,
        lease: Lease,
        container: BayContainer,
        connection: ClusterConnection[SupportsContainers],
        op: BayContainerOp,
    ) -> BayContainer:
        """Carry out one op to its end, and write what was observed after it."""
        container = await self._touch(lease, container)
        coe, plan, uuid = connection.coe, connection.plan, container.uuid
        container_state: BayContainerState | None
        if op.act in {ContainerAction.CREATE, ContainerAction.START, ContainerAction.REBOOT}:
            container_state = await coe.create(plan, _build_desired(container))
            if op.act is ContainerAction.REBOOT:
                container, container_state = await self._reboot(lease, container, connection, op, container_state)
            elif op.act is ContainerAction.START:
                container_state = await coe.act(plan, uuid, op.act)
        else:
            container_state = await coe.act(plan, uuid, op.act)
        return await self._records.save(lease, _merge_state(container.observed, container_state, seq=op.seq))

    async def _touch(self, lease: Lease, container: BayContainer) -> BayContainer:
        """Note that something may exist from now on, so that a delete looks for it."""
        if container.observed.touched:
            return container
        return await self._records.save(lease, replace(container.observed, touched=True))

    async def _reboot(
        self,
        lease: Lease,
        container: BayContainer,
        connection: ClusterConnection[SupportsContainers],
        op: BayContainerOp,
        container_state: BayContainerState,
    ) -> tuple[BayContainer, BayContainerState]:
        """Restart the container once. A reboot that was begun and followed by a start is done."""
        observed = container.observed
        if (
            observed.begun == op.seq
            and container_state.started_at != observed.before
            and container_state.state is RuntimeState.RUNNING
        ):
            return container, container_state
        if observed.begun != op.seq:
            next_observed = replace(observed, begun=op.seq, before=container_state.started_at)
            container = await self._records.save(lease, next_observed)
        return container, await connection.coe.act(connection.plan, container.uuid, op.act)


def _build_desired(container: BayContainer) -> DesiredContainer:
    spec = container.spec
    return DesiredContainer(
        uuid=container.uuid,
        name=container.name,
        image=spec.image,
        command=split_command(spec.command) if spec.command else (),
        memory=parse_memory(spec.memory) if spec.memory else None,
    )


def _merge_state(
    observed: BayContainerObserved, container_state: BayContainerState | None, *, seq: int | None = None
) -> BayContainerObserved:
    """Return the observation with this look merged in; `seq` is the op that ended before it."""
    state = RuntimeState.ABSENT if container_state is None else container_state.state
    started_at = None if container_state is None else container_state.started_at
    return replace(observed, state=state, started_at=started_at, silent=None, seq=observed.seq if seq is None else seq)
