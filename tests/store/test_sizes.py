"""Sizes of clusters, as lists show them."""

from dataclasses import replace

import sqlalchemy as sa

from jeroboam.kit.clock import SystemClock
from jeroboam.store import Page, Store, tables
from jeroboam.store.migrations import upgrade
from tests import builders


async def test_sizes_are_sums_over_groups(store):
    template = builders.template()
    small, large, other = (builders.cluster(template) for _ in range(3))
    async with store.write() as tx:
        await tx.templates.insert(template)
        for cluster, workers in ((small, 0), (large, 7), (other, 2)):
            await tx.clusters.insert(cluster)
            for group in builders.groups(cluster, 3, workers):
                await tx.nodegroups.insert(group)
    async with store.read() as tx:
        brief = {cluster.uuid: (cluster.masters, cluster.workers) for cluster in await tx.clusters.list_briefs(Page())}
    assert brief == {small.uuid: (3, 0), large.uuid: (3, 7), other.uuid: (3, 2)}


async def test_a_cluster_without_groups_has_no_nodes(store):
    cluster = await _one_with_workers(store)
    async with store.write() as tx:
        await tx.nodegroups.remove({"cluster_id": cluster.uuid})
    async with store.read() as tx:
        [brief] = await tx.clusters.list_briefs(Page())
    assert (brief.masters, brief.workers) == (0, 0)


async def test_sizes_follow_every_change_of_a_group(store):
    cluster = await _one_with_workers(store)
    async with store.write() as tx:
        _, workers = (await tx.nodegroups.groups_of(cluster.uuid))[cluster.uuid]
        await tx.nodegroups.update(replace(workers, spec=replace(workers.spec, node_count=9)))
    async with store.read() as tx:
        [brief] = await tx.clusters.list_briefs(Page())
        assert (brief.masters, brief.workers) == (1, 9)
        assert await tx.clusters.totals(None) == (1, 10)


async def _one_with_workers(store):
    template = builders.template()
    cluster = builders.cluster(template)
    async with store.write() as tx:
        await tx.templates.insert(template)
        await tx.clusters.insert(cluster)
        for group in builders.groups(cluster, 1, 2):
            await tx.nodegroups.insert(group)
    return cluster


OLD = {"name": "x", "project_id": "p1", "spec": {}, "created_at": builders.NOW}
OLD_ROWS = {
    tables.template: OLD | {"uuid": "t", "user_id": "u1", "public": False, "hidden": False},
    tables.cluster: OLD
    | {"uuid": "c", "user_id": "u1", "template_id": "t", "operation": "CREATE", "generation": 1}
    | {"observed": {}, "status": "CREATE_COMPLETE"},
    tables.nodegroup: OLD
    | {"uuid": "g", "cluster_id": "c", "spec": {"role": "worker", "node_count": 7}, "status": "CREATE_COMPLETE"}
    | {"desired": [], "observed": [], "deleting": False, "next_index": 0},
}


async def test_a_report_of_an_older_database_is_shown_on(store_url, bus):
    store = Store(store_url, clock=SystemClock(), bus=bus)
    await upgrade(store.engine, to="0005")
    health = {"health_status": "UNHEALTHY", "health_status_reason": {"api": "down"}}
    rows = {"reported": health | {"health_reported": True}, "observed": health | {"health_reported": False}}
    async with store.engine.begin() as connection:
        await connection.execute(sa.insert(tables.template).values(OLD_ROWS[tables.template]))
        for name, observed in rows.items():
            row = OLD_ROWS[tables.cluster] | {"uuid": name, "spec": {"template": {"coe": "x", "image_id": "x"}}}
            await connection.execute(sa.insert(tables.cluster).values(row | {"observed": observed}))
    await upgrade(store.engine)
    async with store.read() as tx:
        reported, observed = await tx.clusters.get("reported"), await tx.clusters.get("observed")
        assert (reported.health.health_status, reported.health.health_status_reason) == ("UNHEALTHY", {"api": "down"})
        assert (reported.health, observed.health) == (reported.reported_health, observed.observed)
        assert observed.reported_health is None
    await store.close()


async def test_an_older_database_gets_its_sizes(store_url, bus):
    store = Store(store_url, clock=SystemClock(), bus=bus)
    await upgrade(store.engine, to="0003")
    async with store.engine.begin() as connection:
        for table, row in OLD_ROWS.items():
            await connection.execute(sa.insert(table).values(row))
    await upgrade(store.engine)
    async with store.read() as tx:
        [brief] = await tx.clusters.list_briefs(Page())
        assert (brief.masters, brief.workers) == (0, 7)
    await store.close()
