"""The contract of providers, kept by the fake and by `local` on a real Engine."""

import asyncio
import dataclasses
import uuid

import pytest

from jeroboam.domain.clusters import NodeState
from jeroboam.domain.errors import DriverError, Permanent
from jeroboam.providers.base import HasProviderIds
from tests.contract.rigs import IDLE, OWNER, a_node, a_want, addresses_of, eventually, fake_rig, idle, last, local_rig

DRIVERS = ["fake", pytest.param("local", marks=pytest.mark.docker)]


@pytest.fixture(params=DRIVERS)
async def rig(request):
    made = fake_rig() if request.param == "fake" else await local_rig()
    yield made
    await made.close()


def states(infra) -> dict[str, NodeState]:
    return {node.uuid: node.state for node in infra.nodes}


def all_running(want) -> dict[str, NodeState]:
    return {node.uuid: NodeState.RUNNING for node in want.nodes}


async def test_what_is_wanted_comes_to_be(rig):
    provider, want = rig.provider(), a_want(3)
    reserved = await provider.reserve(want)
    infra = await last(provider.ensure(want, idle(want)))
    assert states(infra) == all_running(want)
    assert addresses_of(infra) == reserved
    assert {node.uuid: node.name for node in infra.nodes} == {node.uuid: node.name for node in want.nodes}
    assert len(set(reserved.values())) == 3
    assert all(node.server_id for node in infra.nodes)
    seen = await provider.observe(want.cluster_id)
    assert states(seen) == all_running(want)
    assert seen.network_id == infra.network_id is not None


async def test_addresses_are_kept_over_restarts_growth_and_removal(rig):
    want = a_want(3)
    reserved = await rig.provider().reserve(want)
    assert await rig.provider().reserve(want) == reserved
    more = dataclasses.replace(want, nodes=(a_node("n-x"), *want.nodes, a_node("n-y")))
    grown = await rig.provider().reserve(more)
    assert {uuid: grown[uuid] for uuid in reserved} == reserved
    assert len(set(grown.values())) == 5
    await rig.provider().remove(want.cluster_id, [want.nodes[0].uuid])
    less = dataclasses.replace(want, nodes=want.nodes[1:])
    assert await rig.provider().reserve(less) == {node.uuid: reserved[node.uuid] for node in less.nodes}


async def test_asking_again_changes_nothing(rig):
    provider, want = rig.provider(), a_want(2)
    first = await last(provider.ensure(want, idle(want)))
    again = await last(rig.provider().ensure(want, {}))
    assert {node.server_id for node in again.nodes} == {node.server_id for node in first.nodes}


async def test_an_interrupted_start_is_finished_by_the_next(rig):
    want = a_want(3)
    interrupted = rig.provider().ensure(want, idle(want))
    checkpoint = await anext(interrupted)
    await interrupted.aclose()
    assert checkpoint.network_id is not None
    infra = await last(rig.provider().ensure(want, idle(want)))
    assert states(infra) == all_running(want)
    assert len({node.server_id for node in infra.nodes}) == 3


async def test_a_start_can_be_cancelled_at_any_yield(rig):
    want = a_want(2)
    for stop_after in range(1, 5):
        interrupted = rig.provider().ensure(want, idle(want))
        for _ in range(stop_after):
            if await anext(interrupted, None) is None:
                break
        await interrupted.aclose()
    infra = await last(rig.provider().ensure(want, idle(want)))
    assert states(infra) == all_running(want)


async def test_a_killed_node_is_seen_and_started(rig):
    provider, want = rig.provider(), a_want(2)
    before = await last(provider.ensure(want, idle(want)))
    victim = want.nodes[0].uuid
    await rig.kill(want.cluster_id, victim)
    seen = await eventually(
        lambda: provider.observe(want.cluster_id), lambda infra: states(infra)[victim] is NodeState.STOPPED
    )
    assert next(node.reason for node in seen.nodes if node.uuid == victim)
    after = await last(provider.ensure(want, {}))
    assert states(after) == all_running(want)
    assert {node.uuid: node.server_id for node in after.nodes} == {node.uuid: node.server_id for node in before.nodes}


async def test_a_lost_node_is_made_anew_at_its_address(rig):
    provider, want = rig.provider(), a_want(2)
    reserved = await provider.reserve(want)
    await last(provider.ensure(want, idle(want)))
    victim = want.nodes[0].uuid
    await rig.lose(want.cluster_id, victim)
    assert states(await provider.observe(want.cluster_id)).get(victim) in {None, NodeState.GONE}
    infra = await last(provider.ensure(want, {victim: IDLE}))
    assert addresses_of(infra) == reserved
    assert states(infra) == all_running(want)


async def test_nodes_that_are_not_wanted_are_left_alone_and_removed_on_demand(rig):
    provider, want = rig.provider(), a_want(2)
    await last(provider.ensure(want, idle(want)))
    kept, other = want.nodes
    less = dataclasses.replace(want, nodes=(kept,))
    assert states(await last(provider.ensure(less, {}))) == all_running(want)
    await provider.remove(want.cluster_id, [other.uuid])
    await provider.remove(want.cluster_id, [other.uuid, str(uuid.uuid4())])
    assert states(await provider.observe(want.cluster_id)) == all_running(less)


async def test_two_clusters_at_once_do_not_touch_each_other(rig):
    provider, one, two = rig.provider(), a_want(2), a_want(2)
    first, second = await asyncio.gather(last(provider.ensure(one, idle(one))), last(provider.ensure(two, idle(two))))
    assert states(first) == all_running(one)
    assert states(second) == all_running(two)
    assert first.network_id != second.network_id
    assert set(await provider.list_owned()) == {one.cluster_id, two.cluster_id}
    await provider.destroy(one.cluster_id)
    assert await provider.list_owned() == [two.cluster_id]
    assert states(await provider.observe(two.cluster_id)) == all_running(two)


async def test_destroy_ends_from_every_half_made_state(rig):
    provider = rig.provider()
    reserved, started, killed, lost = (a_want(1) for _ in range(4))
    await provider.reserve(reserved)
    interrupted = provider.ensure(started, idle(started))
    await anext(interrupted)
    await interrupted.aclose()
    await last(provider.ensure(killed, idle(killed)))
    await rig.kill(killed.cluster_id, killed.nodes[0].uuid)
    await last(provider.ensure(lost, idle(lost)))
    await rig.lose(lost.cluster_id, lost.nodes[0].uuid)
    assert len(await provider.list_owned()) == 4
    for want in (reserved, started, killed, lost):
        await provider.destroy(want.cluster_id)
        infra = await provider.observe(want.cluster_id)
        assert (infra.network_id, infra.nodes) == (None, ())
        await provider.destroy(want.cluster_id)
    assert await provider.list_owned() == []


async def test_another_installations_things_are_not_touched(rig):
    want = a_want(1)
    mine, theirs = rig.provider(), rig.provider(f"test-{uuid.uuid4()}")
    await last(theirs.ensure(want, idle(want)))
    assert await mine.list_owned() == []
    assert (await mine.observe(want.cluster_id)).nodes == ()
    await mine.destroy(want.cluster_id)
    await mine.remove(want.cluster_id, [want.nodes[0].uuid])
    assert states(await theirs.observe(want.cluster_id)) == all_running(want)


async def test_what_cannot_work_is_permanent_and_says_why(rig):
    provider = rig.provider()
    for change, said in (
        ({"flavor": "no-such"}, "no flavor no-such"),
        ({"image": "no-such"}, "no-such"),
        ({"image": "kubernetes-node:v0.0.1"}, "kubernetes-node"),
    ):
        want = a_want(0, nodes=(a_node("n", **change),))
        with pytest.raises(Permanent, match=said):
            await last(provider.ensure(want, idle(want)))
        await provider.destroy(want.cluster_id)


async def test_a_node_without_a_script_is_not_made(rig):
    provider, want = rig.provider(), a_want(2)
    with pytest.raises(DriverError, match=r"n-1.*no script"):
        await last(provider.ensure(want, {want.nodes[0].uuid: IDLE}))
    infra = await last(provider.ensure(want, idle(want)))
    assert states(infra) == all_running(want)


async def test_the_catalogue_knows_what_clients_ask_for(rig):
    catalog = rig.provider().catalog(OWNER)
    assert (await catalog.flavor("m1.medium")).ram == 4096
    assert await catalog.flavor("m9.none") is None
    image = await catalog.image("swarm-node")
    assert (image.name, image.os_distro, image.unavailable_reason) == ("swarm-node", "jeroboam", "")
    assert (await catalog.image("kubernetes-node:v0.0.1")).unavailable_reason
    assert await catalog.image("no such: image!") is None
    assert [network.external for network in await catalog.networks("public")] == [True]
    assert list(await catalog.networks("nowhere")) == []
    assert not await catalog.has_keypair("nobody")
    assert not await catalog.subnets("nothing")
    assert not await catalog.versions("nothing")
    assert "nowhere" not in await catalog.availability_zones()
    assert "nothing" not in await catalog.volume_types()


async def test_a_node_has_one_id_for_programs_of_its_cluster_and_keeps_it(rig):
    """The cluster autoscaler finds servers by it. It may be unknown until the node exists."""
    provider, want = rig.provider(), a_want(2)
    identity = provider
    assert isinstance(identity, HasProviderIds)
    infra = await last(provider.ensure(want, idle(want)))
    ids = {node.uuid: identity.build_provider_id(node.uuid, node.server_id) for node in infra.nodes}
    assert all(str(provider_id).startswith("openstack:///") for provider_id in ids.values())
    assert len(set(ids.values())) == 2
    for node in infra.nodes:
        assert identity.build_provider_id(node.uuid, None) in {None, ids[node.uuid]}
    await rig.kill(want.cluster_id, want.nodes[0].uuid)
    again = await last(provider.ensure(want, {}))
    assert {node.uuid: identity.build_provider_id(node.uuid, node.server_id) for node in again.nodes} == ids


async def test_limits_are_conditions_with_words(rig):
    for condition in await rig.provider().limits():
        assert condition.type
        assert condition.status or (condition.reason and condition.message)
