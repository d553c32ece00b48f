"""Scales groups of workers with their work, in clusters whose users asked for that.

A group is scaled if the cluster's label `auto_scaling_enabled` is true and the group has a maximum: its own
`max_node_count`, or for the default workers the label of that name. It grows by as many nodes as give room to work that
finds none. It shrinks by the nodes that have had no work for long: since when is in the node's row. It never leaves its
bounds. The wish that is written is the same as a user's resize, with its checks and its event. One transaction writes
it, and only if nobody has wished anything else meanwhile. Neighbours: the cluster loop, which calls this while the
cluster is well; the COE, which knows the work.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import structlog

from jeroboam.coes.base import GroupShape, NodeDemand, SupportsScaling
from jeroboam.conductor.admission.capacity import check_room_to_grow
from jeroboam.conductor.clusters.history import EventRecorder
from jeroboam.conductor.clusters.scope import ClusterScope
from jeroboam.domain import automation
from jeroboam.domain.clusters import (
    DEFAULT_WORKERS,
    MASTER,
    Cluster,
    ClusterObserved,
    NodeGroup,
    NodeObserved,
    Operation,
)
from jeroboam.domain.conditions import Condition, merge_conditions
from jeroboam.domain.errors import Conflict, Forbidden, Unavailable
from jeroboam.domain.events import count_nodes_in_words
from jeroboam.domain.limits import Limit, LimitOwner, select_limits
from jeroboam.domain.ports import Projects
from jeroboam.domain.states import ask_cluster, ask_group, is_in_progress
from jeroboam.kit.clock import Clock
from jeroboam.kit.ids import Ids
from jeroboam.store import Store, Transaction, check_growth

# So long the scheduler may take to find new nodes.
SETTLE_SECONDS = 10.0

log = structlog.get_logger("jeroboam.conductor.clusters.scaling")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaleStep:
    """A new size for one group."""

    group: NodeGroup
    count: int
    nodes_to_remove: tuple[str, ...]
    """Uuids of the nodes that go."""
    reason: str


class AutoScaler:
    """Writes the wish for another size if there is a reason."""

    def __init__(
        self,
        *,
        store: Store,
        projects: Projects,
        limits: Iterable[Limit],
        clock: Clock,
        ids: Ids,
        idle_seconds: float,
        operation_minutes: int,
    ) -> None:
        """`operation_minutes` is how long a resize may take if the cluster has no limit of its own."""
        self._store = store
        self._projects = projects
        self._limits = tuple(limits)
        self._clock = clock
        self._history = EventRecorder(ids)
        self._idle = dt.timedelta(seconds=idle_seconds)
        self._operation_minutes = operation_minutes

    async def advance(
        self, scope: ClusterScope, observed: ClusterObserved, nodes: Sequence[NodeObserved]
    ) -> tuple[ClusterObserved, list[NodeObserved]]:
        """Return the observation with the demand for nodes; wish for another size if the demand needs one.

        Raises `Temporary` if the cluster does not answer.
        """
        cluster = scope.state.cluster
        bounds = {
            group.uuid: group_bounds for group in scope.state.groups if (group_bounds := bounds_of(cluster, group))
        }
        if not automation.is_enabled(cluster.spec.labels, automation.SCALING) or not isinstance(
            scope.coe, SupportsScaling
        ):
            return observed, list(nodes)
        shapes = [_build_shape(group, bounds[group.uuid][1]) for group in scope.state.groups if group.uuid in bounds]
        demand = await scope.coe.observe_demand(scope.plan, shapes)
        new_nodes = _with_idle(scope.state.groups, nodes, demand, self._clock.now())
        step = self._choose_step(scope, bounds, new_nodes, demand)
        refusal = None if step is None else await self._write_wish(scope, step)
        return _add_condition(observed, _build_condition(demand, refusal), self._clock.now()), new_nodes

    def _choose_step(
        self, scope: ClusterScope, bounds: dict[str, tuple[int, int]], nodes: Sequence[NodeObserved], demand: NodeDemand
    ) -> ScaleStep | None:
        cluster, now = scope.state.cluster, self._clock.now()
        if now - (cluster.updated_at or cluster.created_at) < dt.timedelta(seconds=SETTLE_SECONDS):
            return None
        idle = {node.uuid for node in nodes if node.idle_since is not None and now - node.idle_since >= self._idle}
        for group in scope.state.groups:
            if group.uuid not in bounds:
                continue
            min_count, max_count = bounds[group.uuid]
            count = group.spec.node_count
            growth = min(demand.extra_nodes.get(group.name, 0), max_count - count)
            if growth > 0:
                pods = ", ".join(demand.unschedulable[:3]) + (" and others" if len(demand.unschedulable) > 3 else "")  # noqa: PLR2004
                return ScaleStep(
                    group=group, count=count + growth, nodes_to_remove=(), reason=f"{pods} could not be scheduled"
                )
            if demand.extra_nodes or group.name in demand.protected_groups:
                continue
            idle_uuids = [node.uuid for node in group.desired if node.uuid in idle][: max(count - min_count, 0)]
            if idle_uuids:
                minutes = f"{self._idle.total_seconds() / 60:g} minutes"
                reason = f"{count_nodes_in_words(len(idle_uuids))} had no work for {minutes}"
                return ScaleStep(
                    group=group, count=count - len(idle_uuids), nodes_to_remove=tuple(idle_uuids), reason=reason
                )
        return None

    async def _write_wish(self, scope: ClusterScope, step: ScaleStep) -> str | None:
        """Write the wish. Return the reason if that was refused."""
        cluster, growth = scope.state.cluster, step.count - step.group.spec.node_count
        try:
            owner = await self._find_owner(cluster) if self._limits else None
            if growth > 0:
                await check_room_to_grow(scope.coe, scope.provider, cluster, step.group, growth)
            async with self._store.write() as tx:
                await self._resize(tx, scope, step, owner)
        except (Conflict, Forbidden, Unavailable) as error:
            return error.detail
        return None

    async def _find_owner(self, cluster: Cluster) -> LimitOwner:
        owner = await self._projects.describe(cluster.project_id)
        return owner or LimitOwner(project_id=cluster.project_id)

    async def _resize(self, tx: Transaction, scope: ClusterScope, step: ScaleStep, owner: LimitOwner | None) -> None:
        before = scope.state.cluster
        cluster, group = await tx.clusters.get(before.uuid), await tx.nodegroups.get(step.group.uuid)
        if cluster is None or group is None or not await tx.leases("cluster").is_held(scope.lease):
            return
        if cluster.generation != before.generation or is_in_progress(cluster) or group.spec != step.group.spec:
            # Somebody has wished something else meanwhile.
            return
        if owner is not None:
            limits = select_limits(self._limits, owner)
            growth = step.count - group.spec.node_count
            await check_growth(tx, limits, growth, project_id=cluster.project_id, cluster_id=cluster.uuid)
        minutes = cluster.spec.create_timeout or self._operation_minutes
        new_cluster = ask_cluster(cluster, Operation.UPDATE, now=tx.now, minutes=minutes)
        spec = replace(group.spec, node_count=step.count, nodes_to_remove=step.nodes_to_remove)
        await tx.clusters.update(new_cluster)
        await tx.nodegroups.update(ask_group(replace(group, spec=spec), Operation.UPDATE, now=tx.now))
        message = (
            f"{group.name} resized from {group.spec.node_count} to {count_nodes_in_words(step.count)}: {step.reason}."
        )
        log.info("cluster is scaled", cluster=cluster.uuid, message=message)
        await self._history.record_scaling(tx, new_cluster, group, message)
        tx.hint("cluster", cluster.uuid)


def bounds_of(cluster: Cluster, group: NodeGroup) -> tuple[int, int] | None:
    """Return the minimum and the maximum of the group; None for a group that is not scaled."""
    if group.spec.role == MASTER or group.deleting:
        return None
    min_count, max_count = group.spec.min_node_count, group.spec.max_node_count
    if group.name == DEFAULT_WORKERS:
        labels = cluster.spec.labels
        label_value = automation.read_count(labels, automation.MIN_NODE_COUNT)
        min_count = max(min_count, 1) if label_value is None else label_value
        max_count = automation.read_count(labels, automation.MAX_NODE_COUNT) if max_count is None else max_count
    return None if max_count is None else (min_count, max_count)


def _build_shape(group: NodeGroup, max_count: int) -> GroupShape:
    return GroupShape(
        name=group.name,
        labels=group.spec.node_labels,
        taints=group.spec.node_taints,
        room=max(max_count - group.spec.node_count, 0),
    )


def _with_idle(
    groups: Iterable[NodeGroup], nodes: Iterable[NodeObserved], demand: NodeDemand, now: dt.datetime
) -> list[NodeObserved]:
    """Return the nodes, each with the time since when it has no work."""
    before = {node.uuid: node.idle_since for group in groups for node in group.observed}
    return [
        replace(node, idle_since=(before.get(node.uuid) or now) if node.uuid in demand.idle else None) for node in nodes
    ]


def _build_condition(demand: NodeDemand, refusal: str | None) -> Condition:
    """Return the condition: whether all work has room, or will have."""
    if refusal is not None:
        return Condition(type="Scaling", status=False, reason="Refused", message=refusal)
    if demand.unschedulable and not demand.extra_nodes:
        subject = "1 pod" if len(demand.unschedulable) == 1 else f"{len(demand.unschedulable)} pods"
        text = f"{subject} could not be scheduled, and no node group can grow: {', '.join(demand.unschedulable[:3])}"
        return Condition(type="Scaling", status=False, reason="NoRoom", message=text)
    return Condition(type="Scaling", status=True)


def _add_condition(observed: ClusterObserved, condition: Condition, now: dt.datetime) -> ClusterObserved:
    """Return the observation with that condition; one that limits also shows as a health reason."""
    limits = {condition.type: condition.message} if condition.status is False else {}
    return replace(
        observed,
        conditions=merge_conditions(observed.conditions, (condition,), now),
        health_status_reason=limits | observed.health_status_reason,
    )
