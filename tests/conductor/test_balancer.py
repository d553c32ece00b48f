"""A load balancer before the masters is one more server of the provider's, and no node of the cluster's."""

from dataclasses import replace

import pytest

from jeroboam.conductor.clusters.plans import balancer_uuid_of
from jeroboam.domain.clusters import Operation


@pytest.fixture
async def made(rig):
    cluster = await rig.create(masters=3, workers=1)
    await rig.settled(cluster.uuid)
    async with rig.store.write() as tx:
        known = await tx.clusters.get(cluster.uuid)
        await tx.clusters.update(replace(known, spec=replace(known.spec, master_lb_enabled=True)))
    await rig.ask(cluster.uuid, Operation.UPDATE)
    await rig.settled(cluster.uuid)
    return cluster.uuid


async def test_it_is_made_with_the_cluster_and_is_in_no_group(rig, made):
    assert (await rig.get(made)).status == "UPDATE_COMPLETE"
    servers = rig.cloud.clusters[made].nodes
    assert servers[balancer_uuid_of(made)].name.endswith("-lb")
    seen = {node.uuid for group in await rig.groups(made) for node in group.observed}
    assert seen == servers.keys() - {balancer_uuid_of(made)}


async def test_one_that_is_killed_or_lost_comes_back(rig, made):
    first = rig.cloud.clusters[made].nodes[balancer_uuid_of(made)]
    for fate in (rig.cloud.kill, rig.cloud.lose):
        fate(made, balancer_uuid_of(made))
        await rig.ask(made, Operation.UPDATE)
        await rig.settled(made)
        now = rig.cloud.clusters[made].nodes[balancer_uuid_of(made)]
        assert (now.state, now.address) == ("running", first.address)


async def test_it_goes_with_its_cluster(rig, made):
    await rig.ask(made, Operation.DELETE)
    assert await rig.settled(made) is None
    assert made not in rig.cloud.clusters
