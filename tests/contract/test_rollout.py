"""What drivers do so that nodes can be made anew under the work that runs on them."""

import asyncio
import dataclasses

import pytest

from jeroboam.clients.docker import connect
from jeroboam.coes.base import SupportsRollout
from jeroboam.domain.clusters import NodeState, TemplateSpec
from jeroboam.domain.errors import Invalid, Permanent
from jeroboam.providers.base import SupportsRebuild
from tests.contract.rigs import (
    IDLE,
    a_want,
    eventually,
    fake_coe_rig,
    fake_rig,
    idle,
    last,
    local_rig,
    ready,
    swarm_rig,
)
from tests.contract.test_swarm import User, give_busybox, serve

DRIVERS = ["fake", pytest.param("local", marks=pytest.mark.docker)]
COES = ["fake", pytest.param("swarm", marks=pytest.mark.docker)]


@pytest.fixture(params=DRIVERS)
async def rig(request):
    made = fake_rig() if request.param == "fake" else await local_rig()
    yield made
    await made.close()


def next_build(want, *, flavor="m1.small"):
    return dataclasses.replace(
        want, nodes=tuple(dataclasses.replace(node, build=node.build + 1, flavor=flavor) for node in want.nodes)
    )


async def test_a_node_made_anew_is_where_it_was_and_says_what_it_is_of(rig):
    provider, want = rig.provider(), a_want(2)
    assert SupportsRebuild in type(provider).__mro__
    made = {node.uuid: node for node in (await last(provider.ensure(want, idle(want)))).nodes}
    assert {node.build for node in made.values()} == {0}
    wanted = next_build(want)
    first, second = want.nodes
    await provider.rebuild(wanted, first.uuid, IDLE)
    seen = {node.uuid: node for node in (await provider.observe(want.cluster_id)).nodes}
    assert [seen[node.uuid].build for node in (first, second)] == [1, 0]
    assert seen[second.uuid] == made[second.uuid]
    assert seen[first.uuid].state is NodeState.RUNNING
    assert seen[first.uuid].address == made[first.uuid].address


@pytest.mark.parametrize("before", ["killed", "lost", "running"])
async def test_it_does_not_matter_what_stood_there(rig, before):
    provider, want = rig.provider(), a_want(1)
    await last(provider.ensure(want, idle(want)))
    [node] = want.nodes
    if before == "killed":
        await rig.kill(want.cluster_id, node.uuid)
    if before == "lost":
        await rig.lose(want.cluster_id, node.uuid)
    wanted = next_build(want)
    for _ in range(2):
        await rig.provider().rebuild(wanted, node.uuid, IDLE)
    [seen] = (await provider.observe(want.cluster_id)).nodes
    assert (seen.build, seen.state) == (1, NodeState.RUNNING)


async def test_a_lost_node_is_made_as_the_wanted_build(rig):
    provider, want = rig.provider(), a_want(1)
    await last(provider.ensure(want, idle(want)))
    await rig.lose(want.cluster_id, want.nodes[0].uuid)
    infra = await last(provider.ensure(next_build(want), idle(want)))
    assert [node.build for node in infra.nodes] == [1]


async def test_a_flavour_that_is_not_there_is_told(rig):
    provider, want = rig.provider(), a_want(1)
    await last(provider.ensure(want, idle(want)))
    with pytest.raises(Permanent, match="no flavor nope"):
        await provider.rebuild(next_build(want, flavor="nope"), want.nodes[0].uuid, IDLE)


@pytest.mark.docker
async def test_the_disk_stays_and_the_limits_are_the_new_ones():
    rig = await local_rig()
    provider, want = rig.provider(), a_want(1)
    try:
        await last(provider.ensure(want, idle(want)))
        [node] = (await provider.observe(want.cluster_id)).nodes
        assert node.server_id is not None
        async with connect() as docker:
            container = docker.containers.container(node.server_id)
            writing = await container.exec(["touch", "/var/lib/docker/kept"])
            await writing.start(detach=True)
            await eventually(writing.inspect, lambda shown: not shown["Running"])
        assert isinstance(provider, SupportsRebuild)
        await provider.rebuild(next_build(want, flavor="m1.large"), node.uuid, IDLE)
        [after] = (await provider.observe(want.cluster_id)).nodes
        assert after.server_id not in {None, node.server_id}
        async with connect() as docker:
            container = docker.containers.container(str(after.server_id))
            assert (await container.show())["HostConfig"]["Memory"] == 8192 << 20
            await container.get_archive("/var/lib/docker/kept")
    finally:
        await rig.close()


@pytest.fixture(params=COES)
async def members(request):
    made = await (fake_coe_rig() if request.param == "fake" else swarm_rig())
    yield made
    await made.infra.close()


async def test_a_drained_member_takes_work_again_once_it_is_ready(members):
    await members.boot(members.nodes(1, 1))
    assert SupportsRollout in type(members.coe).__mro__
    await members.coe.join(members.plan())
    worker = members.members[1]
    for _ in range(2):
        await members.coe.drain(members.plan(), [worker.uuid])
    assert all(ready(await members.coe.observe(members.plan())).values())
    await members.coe.join(members.plan())
    assert all(ready(await members.coe.observe(members.plan())).values())


async def test_nobody_to_drain_is_no_error(members):
    await members.boot(members.nodes(1, 0))
    await members.coe.join(members.plan())
    await members.coe.drain(members.plan(), ["3b5b9bf7-0000-4000-8000-000000000000"])


async def test_changes_that_disks_do_not_survive_are_refused(members):
    old = TemplateSpec(coe="swarm", image_id="swarm-node", docker_storage_driver="overlay2")
    members.coe.check_change(old, dataclasses.replace(old, insecure_registry="r:5000"))
    with pytest.raises(Invalid) as refused:
        members.coe.check_change(old, dataclasses.replace(old, docker_storage_driver="vfs"))
    assert refused.value.field == "docker_storage_driver"


def test_the_address_of_a_swarm_stays():
    old = TemplateSpec(coe="swarm", image_id="swarm-node")
    coe = asyncio.run(swarm_rig()).coe
    assert isinstance(coe, SupportsRollout)
    coe.check_change(old, dataclasses.replace(old, apiserver_port=2376))
    with pytest.raises(Invalid, match="from 2376 to 4000"):
        coe.check_change(old, dataclasses.replace(old, apiserver_port=4000))


@pytest.fixture
async def swarm():
    made = await swarm_rig()
    yield made
    await made.infra.close()


@pytest.mark.docker
async def test_a_service_lives_through_its_nodes_being_made_anew(swarm, tmp_path):
    await swarm.boot(swarm.nodes(1, 2))
    await swarm.coe.join(swarm.plan())
    user = User(swarm, tmp_path)
    await give_busybox(swarm, user)
    await serve(user, "web", 2)
    await eventually(lambda: user.running("web"), lambda found: sum(found.values()) == 2)
    for member in list(swarm.members):
        await swarm.coe.drain(swarm.plan(), [member.uuid])
        left = await user.running("web")
        assert sum(left.values()) == 2, "the others have its work before it goes"
        assert member.name not in left
        wanted = next_build(swarm.want([node for node in swarm.wanted if node.uuid == member.uuid]))
        script = swarm.coe.build_script(swarm.plan(), member)
        await swarm.provider.rebuild(wanted, member.uuid, script)
        await eventually(lambda: swarm.coe.join(swarm.plan()), lambda found: all(ready(found).values()))
    shown = await user.docker("node", "ls", "--format", "{{.Availability}}")
    assert shown.split() == ["Active"] * 3
    assert sum((await user.running("web")).values()) == 2


@pytest.mark.docker
@pytest.mark.parametrize("availability", ["drain", "pause"])
async def test_what_its_user_decided_of_a_node_stays(swarm, tmp_path, availability):
    await swarm.boot(swarm.nodes(1, 1))
    await swarm.coe.join(swarm.plan())
    user = User(swarm, tmp_path)
    worker = swarm.members[1]
    await user.docker("node", "update", "--availability", availability, worker.name)
    await swarm.coe.drain(swarm.plan(), [worker.uuid])
    assert await user.docker("node", "inspect", "--format", "{{.Spec.Availability}}", worker.name) == "drain\n"
    await swarm.coe.join(swarm.plan())
    assert (
        await user.docker("node", "inspect", "--format", "{{.Spec.Availability}}", worker.name) == f"{availability}\n"
    )
