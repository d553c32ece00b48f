"""Holds a wish for more nodes to the limits, in the transaction that writes it.

Parallel wishes of a project wait for each other, so they cannot exceed a limit together. Neighbours: `domain.limits`
has the rules; users' wishes come through the API, those of clusters that scale themselves from the conductor.
"""

from collections.abc import Sequence

from jeroboam.domain.limits import Limit, RequestedSize, check_limits
from jeroboam.store.transaction import Transaction


async def check_growth(
    tx: Transaction, limits: Sequence[Limit], growth: int, *, project_id: str, cluster_id: str | None = None
) -> None:
    """Raise `Forbidden` if the project may not have that many more nodes, in that cluster or in a new one."""
    if growth <= 0 or not any(_counts_nodes(limit) for limit in limits):
        return
    await tx.serialise(project_id, "clusters")
    _, nodes = await tx.clusters.totals(project_id)
    cluster_nodes = None
    if cluster_id is not None:
        groups = await tx.nodegroups.select({"cluster_id": cluster_id})
        cluster_nodes = sum(group.spec.node_count for group in groups) + growth
    check_limits(limits, RequestedSize(cluster_nodes=cluster_nodes, project_nodes=nodes + growth))


def _counts_nodes(limit: Limit) -> bool:
    return limit.max_nodes_per_cluster is not None or limit.max_nodes_per_project is not None
