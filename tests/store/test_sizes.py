"""Sizes of clusters, as lists show them."""

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
        assert await tx.nodegroups.sizes(small.uuid, large.uuid) == {small.uuid: (3, 0), large.uuid: (3, 7)}
        assert await tx.nodegroups.sizes() == {}
