"""What drivers do for another certificate authority: nodes are renewed in place, and say themselves what they take."""

import dataclasses

import pytest

from jeroboam.coes.base import Authority, SupportsRotation
from jeroboam.coes.swarm.engines import SwarmEngines
from jeroboam.domain.clusters import NodeState
from jeroboam.kit.x509 import make_ca
from jeroboam.providers.base import SupportsScriptRenewal
from tests.contract.rigs import CLOCK, a_want, fake_rig, idle, last, local_rig, ready, swarm_rig

DRIVERS = ["fake", pytest.param("local", marks=pytest.mark.docker)]


@pytest.fixture(params=DRIVERS)
async def rig(request):
    made = fake_rig() if request.param == "fake" else await local_rig()
    yield made
    await made.close()


async def test_a_renewed_node_runs_on_where_it_was(rig):
    provider, want = rig.provider(), a_want(2)
    assert SupportsScriptRenewal in type(provider).__mro__
    made = await last(provider.ensure(want, idle(want)))
    node = want.nodes[0]
    for _ in range(2):
        await provider.renew(want.cluster_id, node.uuid, idle(want)[node.uuid])
    seen = await provider.observe(want.cluster_id)
    assert {(each.uuid, each.server_id, each.address) for each in seen.nodes} == {
        (each.uuid, each.server_id, each.address) for each in made.nodes
    }
    assert all(each.state is NodeState.RUNNING for each in seen.nodes)


async def test_a_node_that_is_gone_needs_no_renewal(rig):
    provider, want = rig.provider(), a_want(1)
    await last(provider.ensure(want, idle(want)))
    await provider.remove(want.cluster_id, [want.nodes[0].uuid])
    await provider.renew(want.cluster_id, want.nodes[0].uuid, idle(want)[want.nodes[0].uuid])
    assert not (await provider.observe(want.cluster_id)).nodes


@pytest.fixture
async def swarm():
    made = await swarm_rig()
    yield made
    await made.infra.close()


def authority() -> Authority:
    pair = make_ca(common_name="contract", now=CLOCK.now())
    return Authority(pem=pair.pem, key=pair.key)


async def takes(swarm, trusted: Authority, shown: Authority) -> list[bool]:
    """Whether each node takes a client that trusts the one authority and has a certificate of the other."""
    async with SwarmEngines(authority=trusted, signer=shown, port=2376, clock=CLOCK) as fleet:
        return [await fleet.can_authenticate(member.address) for member in swarm.members]


@pytest.mark.docker
async def test_engines_change_their_authority_and_the_swarm_lives_on(swarm):
    assert SupportsRotation in type(swarm.coe).__mro__
    await swarm.boot(swarm.nodes(1, 1))
    await swarm.coe.join(swarm.plan())
    old, new = swarm.authority, authority()
    both, turned = dataclasses.replace(old, peers=(new,)), dataclasses.replace(new, peers=(old,))

    async def renew(spoken: Authority, given: Authority) -> None:
        """Both nodes, one after the other, as the loop does it."""
        plan = swarm.plan(authorities={"main": spoken})
        for left in range(len(swarm.members), 0, -1):
            stale = await swarm.coe.list_stale_members(plan, {"main": given})
            assert len(stale) == left
            member = next(each for each in swarm.members if each.uuid == stale[0])
            script = swarm.coe.build_script(swarm.plan(authorities={"main": given}), member)
            await swarm.provider.renew(swarm.cluster_id, member.uuid, script)
            assert all(ready(await swarm.coe.join(plan)).values())
        assert await swarm.coe.list_stale_members(plan, {"main": given}) == []

    assert await swarm.coe.list_stale_members(swarm.plan(), {"main": old}) == []
    assert await takes(swarm, old, new) == [False, False]
    await renew(both, both)
    for client in (old, new):
        assert await takes(swarm, old, client) == [True, True]
    await renew(turned, new)
    assert await takes(swarm, new, new) == [True, True]
    assert await takes(swarm, new, old) == [False, False], "a certificate of the old authority is refused"
    assert await takes(swarm, old, new) == [False, False], "nothing of the old authority is shown"
