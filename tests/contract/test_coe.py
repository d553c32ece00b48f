"""The contract of COEs, kept by the fake, and by Swarm and Kubernetes on nodes of a real Engine."""

import dataclasses

import pytest

from jeroboam.domain.clusters import Health, TemplateSpec
from jeroboam.domain.errors import Invalid, Temporary
from tests.contract.rigs import fake_coe_rig, kubernetes_rig, ready, swarm_rig

DRIVERS = [
    "fake",
    pytest.param("swarm", marks=pytest.mark.docker),
    pytest.param("kubernetes", marks=[pytest.mark.docker, pytest.mark.kubernetes]),
]
MAKES = {"fake": fake_coe_rig, "swarm": swarm_rig, "kubernetes": kubernetes_rig}


@pytest.fixture(params=DRIVERS)
async def rig(request):
    made = await MAKES[request.param]()
    yield made
    await made.infra.close()


async def test_nodes_become_one_cluster_that_grows_and_shrinks(rig):
    nodes = rig.nodes(1, 1)
    await rig.boot(nodes)
    joined = await rig.coe.join(rig.plan())
    assert ready(joined) == {node.uuid: True for node in nodes}
    assert rig.members[0].address in joined.api_address
    assert joined.health is Health.HEALTHY
    assert joined.health_reasons == {"api": "ok", **{f"{node.name}.Ready": "True" for node in nodes}}
    assert joined.coe_version
    assert joined.container_version
    assert joined.strangers == ()

    more = [*nodes, *rig.nodes(0, 1, first=2)]
    await rig.boot(more)
    before = await rig.coe.observe(rig.plan())
    assert ready(before) == {nodes[0].uuid: True, nodes[1].uuid: True, more[2].uuid: False}
    assert before.health is Health.UNHEALTHY
    assert next(state.reason for state in before.members if not state.ready)
    assert ready(await rig.coe.join(rig.plan())) == {node.uuid: True for node in more}

    gone = rig.members.pop(1)
    assert (await rig.coe.observe(rig.plan())).strangers == (gone.name,)
    await rig.coe.leave(rig.plan(), [gone.name])
    await rig.coe.leave(rig.plan(), [gone.name, "never-was"])
    after = await rig.coe.observe(rig.plan())
    assert after.strangers == ()
    assert ready(after) == {nodes[0].uuid: True, more[2].uuid: True}


async def test_joining_again_changes_nothing(rig):
    await rig.boot(rig.nodes(1, 1))
    first = await rig.coe.join(rig.plan())
    assert await rig.coe.join(rig.plan()) == first
    assert await rig.coe.observe(rig.plan()) == first


async def test_nobody_has_joined_yet(rig):
    await rig.boot(rig.nodes(1, 0))
    with pytest.raises(Temporary):
        await rig.coe.observe(rig.plan())


async def test_there_is_a_main_authority_first(rig):
    assert rig.coe.authorities[0] == "main"


async def test_what_cannot_be_honoured_is_refused_by_name(rig):
    template = TemplateSpec(coe="any", image_id="swarm-node", labels={"anything": "goes"})
    rig.coe.check(template)
    with pytest.raises(Invalid, match="network_driver") as caught:
        rig.coe.check(dataclasses.replace(template, network_driver="unsupported"))
    assert caught.value.field == "network_driver"
