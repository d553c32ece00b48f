"""Sizes of clusters, as lists show them."""

from dataclasses import replace

from jeroboam.store import Page
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
        brief = {cluster.uuid: (cluster.masters, cluster.others) for cluster in await tx.clusters.brief(Page())}
    assert brief == {small.uuid: (3, 0), large.uuid: (3, 7), other.uuid: (3, 2)}


async def test_a_cluster_without_groups_has_no_nodes(store):
    cluster = await _one_with_workers(store)
    async with store.write() as tx:
        await tx.nodegroups.remove(cluster_id=cluster.uuid)
    async with store.read() as tx:
        [brief] = await tx.clusters.brief(Page())
    assert (brief.masters, brief.others) == (0, 0)


async def test_sizes_follow_every_change_of_a_group(store):
    cluster = await _one_with_workers(store)
    async with store.write() as tx:
        _, workers = (await tx.nodegroups.of(cluster.uuid))[cluster.uuid]
        await tx.nodegroups.update(replace(workers, spec=replace(workers.spec, node_count=9)))
    async with store.read() as tx:
        [brief] = await tx.clusters.brief(Page())
        assert (brief.masters, brief.others) == (1, 9)
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
