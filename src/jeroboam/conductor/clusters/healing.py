"""Replaces nodes that have not worked for long, in clusters with the label `auto_healing_enabled`.

The row of a node (`NodeObserved`) holds since when the node does not work, so a restart of the service forgets nothing.
One node is
replaced at a time, the one that has been away longest. It is made anew in its place, with its disk and its address. The
replacement is written down before it begins, so a kill in between never leads to a second one. A master is only
replaced if there are more than two masters and all others are well: a majority of them holds the state of the cluster.
Neighbours: the cluster loop, which calls this when a node of a healthy cluster stops working; `rollout`, which makes
nodes of an earlier build anew.
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
    """Takes one step of healing if one is due."""

    def __init__(self, *, records: ClusterRecords, clock: Clock, after_seconds: float) -> None:
        self._records = records
        self._clock = clock
        self._after = dt.timedelta(seconds=after_seconds)

    async def advance(self, scope: ClusterScope) -> bool:
        """Replace the node that is due. Return whether one was. The rows hold the last observation."""
        if not automation.is_enabled(scope.state.cluster.spec.labels, automation.HEALING):
            return False
        state = await self._records.load(scope.lease.uuid)
        if state is None or not isinstance(scope.provider, SupportsRebuild):
            return False
        unready_node = find_due_node(state.groups, self._clock.now(), self._after)
        if unready_node is None or unready_node.unready_since is None:
            return False
        seconds = int((self._clock.now() - unready_node.unready_since).total_seconds())
        message = f"{unready_node.name} has not worked for {seconds} seconds ({unready_node.reason}): it is replaced."
        log.warning("node is replaced", cluster=scope.lease.uuid, node=unready_node.name, reason=unready_node.reason)
        await self._records.start_healing(scope.lease, unready_node, message)
        await rebuild(scope, [node for node in scope.desired_infra.nodes if node.uuid == unready_node.uuid])
        return True


def find_due_node(groups: Iterable[NodeGroup], now: dt.datetime, after: dt.timedelta) -> NodeObserved | None:
    """Return the node to replace now, or None."""
    nodes = [(group.spec.role == MASTER, node) for group in groups for node in group.observed]
    unready_nodes = [(master, node) for master, node in nodes if not node.ready]
    if any(node.healed_at is not None and now - node.healed_at < after for _, node in unready_nodes):
        # A replaced node is coming back, or still has time to do so.
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
