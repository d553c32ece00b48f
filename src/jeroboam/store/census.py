"""The census: the number of objects of each kind for the service's metrics, in a constant number of statements."""

from dataclasses import dataclass

import sqlalchemy as sa

from jeroboam.store import tables
from jeroboam.store.rows import QueryExecutor, readable


@dataclass(frozen=True, kw_only=True, slots=True)
class Census:
    """Counts over all projects."""

    clusters: dict[tuple[str, str], int]
    """By status and COE."""
    nodegroups: int
    nodes: int
    """The nodes that are wished for, masters included."""
    containers: dict[str, int]
    """By status."""
    events: int
    outbox: int
    """Notifications that have not left yet."""


async def take_census(connection: QueryExecutor) -> Census:
    """Count now; four statements, however many objects there are."""
    cluster, group, container = tables.cluster, tables.nodegroup, tables.container
    coe = readable(cluster.c.spec)["template"]["coe"].as_string().label("coe")
    by_kind = sa.select(cluster.c.status, coe, sa.func.count()).group_by(cluster.c.status, "coe")
    clusters = {(row[0], row[1]): int(row[2]) for row in (await connection.execute(by_kind)).all()}
    sizes = sa.func.coalesce(sa.func.sum(group.c.node_count), 0)
    nodes = (await connection.execute(sa.select(sa.func.count(), sizes).select_from(group))).one()
    by_status = sa.select(container.c.status, sa.func.count()).group_by(container.c.status)
    containers = {row[0]: int(row[1]) for row in (await connection.execute(by_status)).all()}

    def count_rows(table: sa.Table) -> sa.ScalarSelect[int]:
        return sa.select(sa.func.count()).select_from(table).scalar_subquery()

    counts = (await connection.execute(sa.select(count_rows(tables.event), count_rows(tables.outbox)))).one()
    return Census(
        clusters=clusters,
        nodegroups=int(nodes[0]),
        nodes=int(nodes[1]),
        containers=containers,
        events=int(counts[0]),
        outbox=int(counts[1]),
    )
