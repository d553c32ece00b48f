"""Replaces nodes that have not worked for long, in clusters whose users asked for that (`auto_healing_enabled`).

Since when a node does not work lies in its row, so that a restart of the service forgets nothing. One node is replaced
at a time, the one that has been away longest: it is made anew in its place, with its disk and its address. What that
begins is written down before, so that a kill in between costs time and never a second replacement. A master is only
touched where all others are well and there are more than two, since a majority of them holds what the cluster knows.
Neighbours: the cluster loop, which calls when a node of a cluster that was well is not; `rollout`, which makes nodes
anew because they are to be others.
"""

import datetime as dt
from collections.abc import Iterable

import structlog

from jeroboam.conductor.clusters.records import ClusterRecords
from jeroboam.conductor.clusters.rollout import rebuild
from jeroboam.conductor.clusters.scope import ClusterScope
from jeroboam.domain import automation
from jeroboam.domain.clusters import MASTER, NodeGroup, NodeObserved, NodeState
from jeroboam.kit.clock import Clock
from jeroboam.providers.base import SupportsRebuild

_FEW_MASTERS = 2

log = structlog.get_logger("jeroboam.conductor.clusters.healing")


class AutoHealer:
    """Takes one step of healing where one is due."""

    def __init__(self, *, records: ClusterRecords, clock: Clock, after_seconds: float) -> None:
        self._records = records
        self._clock = clock
        self._after = dt.timedelta(seconds=after_seconds)

    async def advance(self, scope: ClusterScope) -> bool:
        """Replace the node that is due, if one is. The rows tell what was seen a moment ago."""
        if not automation.wants(scope.state.cluster.spec.labels, automation.HEALING):
            return False
        state = await self._records.load(scope.lease.uuid)
        if state is None or not isinstance(scope.provider, SupportsRebuild):
            return False
        unready_node = due(state.groups, self._clock.now(), self._after)
        if unready_node is None or unready_node.unready_since is None:
            return False
        seconds = int((self._clock.now() - unready_node.unready_since).total_seconds())
        message = f"{unready_node.name} has not worked for {seconds} seconds ({unready_node.reason}): it is replaced."
        log.warning("node is replaced", cluster=scope.lease.uuid, node=unready_node.name, reason=unready_node.reason)
        await self._records.healing(scope.lease, unready_node, message)
        await rebuild(scope, [node for node in scope.desired_infra.nodes if node.uuid == unready_node.uuid])
        return True


def due(groups: Iterable[NodeGroup], now: dt.datetime, after: dt.timedelta) -> NodeObserved | None:
    """The node to be replaced now, if any may be."""
    nodes = [(group.spec.role == MASTER, node) for group in groups for node in group.observed]
    unready_nodes = [(master, node) for master, node in nodes if not node.ready]
    if any(node.healed_at is not None and now - node.healed_at < after for _, node in unready_nodes):
        # One is on its way back, or has still time to come.
        return None
    masters = sum(master for master, _ in nodes)
    unready_masters = sum(master for master, _ in unready_nodes)
    may_touch_masters = masters > _FEW_MASTERS and unready_masters == 1
    candidates = [
        node
        for master, node in unready_nodes
        if node.state is NodeState.RUNNING
        and node.unready_since is not None
        and now - max(node.unready_since, node.healed_at or node.unready_since) >= after
        and (may_touch_masters or not master)
    ]
    return min(candidates, key=lambda node: node.unready_since or now, default=None)
