"""Makes the nodes of an earlier build anew, in their places, batch by batch.

The provider is asked for the builds of the nodes, so each step can start again: a node is stale if its build is not the
one that its group wishes for. Masters go first, one at a time. Then each group follows, as many workers at once as the
wish allows. The next batch waits until every node works in the cluster. If a node does not come back, the roll-out
stops and the other nodes go on with their work. Neighbours: the cluster loop and `healing`, which call this.
"""

import asyncio
from collections.abc import Collection, Sequence

from jeroboam.coes.base import SupportsRollout
from jeroboam.conductor.clusters.progress import list_names
from jeroboam.conductor.clusters.scope import ClusterScope, Requeue
from jeroboam.domain.clusters import MASTER, NodeState
from jeroboam.domain.errors import DriverError, Permanent, Temporary
from jeroboam.providers.base import DesiredNode, SupportsRebuild

_DOWN = frozenset({NodeState.CREATING, NodeState.STOPPED})


async def rebuild_stopped(scope: ClusterScope) -> bool:
    """Rebuild stale nodes that do not run: starting them first has no use. Return whether there were any."""
    observed_nodes = {node.uuid: node for node in scope.infra.nodes}
    stopped_nodes = [node for node in _list_stale(scope) if observed_nodes[node.uuid].state in _DOWN]
    await rebuild(scope, stopped_nodes)
    return bool(stopped_nodes)


async def rebuild_unusable(scope: ClusterScope, unready: Collection[str]) -> Requeue | None:
    """Rebuild a batch of stale nodes that the cluster cannot use, without a drain. None if there are none."""
    unusable = [node for node in _list_stale(scope) if node.uuid in unready]
    if not unusable:
        return None
    batch = _choose_batch(scope, unusable)
    await rebuild(scope, batch)
    return Requeue(reason=f"rebuilt nodes that did not work: {_join_names(batch)}", seconds=0.0)


async def advance(scope: ClusterScope) -> Requeue | None:
    """Drain and rebuild one batch; None if no node is stale. Every node works at the time of the call."""
    stale = _list_stale(scope)
    if not stale:
        return None
    if not isinstance(scope.coe, SupportsRollout):
        raise Permanent("the COE of this cluster does not support that its nodes are rebuilt")
    batch = _choose_batch(scope, stale)
    scope.progress.begin(f"draining {list_names(node.name for node in batch)}")
    await scope.coe.drain(scope.plan, [node.uuid for node in batch], scope.progress)
    await rebuild(scope, batch)
    remaining = len(stale) - len(batch)
    return Requeue(reason=f"rebuilt: {_join_names(batch)}; nodes still to rebuild: {remaining}", seconds=0.0)


def _list_stale(scope: ClusterScope) -> list[DesiredNode]:
    """Return the existing nodes of another build than desired, masters first."""
    builds = {node.uuid: node.build for node in scope.infra.nodes if node.state is not NodeState.GONE}
    stale = [node for node in scope.desired_infra.nodes if builds.get(node.uuid, node.build) != node.build]
    return sorted(stale, key=lambda node: node.role != MASTER)


def _choose_batch(scope: ClusterScope, stale: Sequence[DesiredNode]) -> list[DesiredNode]:
    first = stale[0]
    limit = 1 if first.role == MASTER else scope.state.cluster.spec.max_batch_size
    return [node for node in stale if node.group == first.group][:limit]


async def rebuild(scope: ClusterScope, nodes: Sequence[DesiredNode]) -> None:
    """Rebuild these nodes, all at once. Raises an error that no retry can mend first, else the first failure."""
    if not nodes:
        return
    provider = scope.provider
    scope.progress.begin(f"rebuilding {list_names(node.name for node in nodes)}")
    if not isinstance(provider, SupportsRebuild):
        raise Permanent("the provider of this cluster cannot rebuild nodes in place")
    work = (provider.rebuild(scope.desired_infra, node.uuid, scope.build_script(node.uuid)) for node in nodes)
    failures = [error for error in await asyncio.gather(*work, return_exceptions=True) if error is not None]
    for failure in sorted(failures, key=lambda error: isinstance(error, Temporary)):
        if isinstance(failure, DriverError):
            raise type(failure)(f"rebuilding {_join_names(nodes)}: {failure.reason}") from failure
        raise failure


def _join_names(nodes: Sequence[DesiredNode]) -> str:
    return ", ".join(node.name for node in nodes)
