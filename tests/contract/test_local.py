"""What only `local` does: it shares an Engine with others, and nodes that cannot run say why."""

import asyncio
import uuid

import pytest
from aiodocker import DockerError

from jeroboam.domain.clusters import NodeState
from jeroboam.domain.errors import DriverError, Permanent, Temporary
from jeroboam.domain.nodes import NodeScript
from jeroboam.domain.subnets import PROJECTS
from jeroboam.kit.clock import SystemClock
from jeroboam.nodeimages import fromhost, swarm
from jeroboam.providers.local import subnets
from jeroboam.providers.local.engine import read_free_disk, read_free_memory
from jeroboam.providers.local.inventory import OwnedResources
from jeroboam.providers.local.networks import NETWORK_GONE, NOT_ATTACHED
from jeroboam.providers.local.nodes import container_name, volume_name
from jeroboam.providers.local.provider import LocalProvider
from tests.contract.rigs import OWNER, a_want, eventually, idle, last, local_rig

pytestmark = pytest.mark.docker


@pytest.fixture
async def rig():
    made = await local_rig()
    yield made
    await made.close()


async def test_a_second_build_takes_no_time(docker):
    first = await fromhost.build(docker, swarm.build_recipe())
    second = await fromhost.build(docker, swarm.build_recipe())
    assert second.id == first.id
    assert not second.fresh


async def test_the_image_says_what_it_is(docker):
    image = await docker.images.inspect((await fromhost.build(docker, swarm.build_recipe())).name)
    labels = image["Config"]["Labels"]
    assert labels["jeroboam.node-image"] == "swarm-node"
    assert labels["jeroboam.os-distro"] == "jeroboam"
    assert labels["jeroboam.coes"] == "swarm"


async def test_a_node_that_cannot_run_says_why(rig):
    provider, want = rig.provider(), a_want(1)
    broken = NodeScript(commands=(("sh", "-c", "echo this node is broken >&2; exit 3"),))

    async def reason() -> str:
        try:
            await last(provider.ensure(want, {want.nodes[0].uuid: broken}))
        except Temporary as error:
            return error.reason
        return ""

    said = await eventually(reason, lambda text: "this node is broken" in text)
    assert want.nodes[0].name in said

    async def look():
        return (await provider.observe(want.cluster_id)).nodes[0]

    # The last try has started it once more.
    seen = await eventually(look, lambda node: node.state is NodeState.STOPPED)
    assert "this node is broken" in seen.reason


async def test_limits_of_the_flavour_hold(rig, docker):
    provider, want = rig.provider(), a_want(1)
    infra = await last(provider.ensure(want, idle(want)))
    shown = await (await docker.containers.get(infra.nodes[0].server_id)).show()
    assert shown["HostConfig"]["Memory"] == 2048 << 20
    assert shown["HostConfig"]["NanoCpus"] == 1_000_000_000
    assert shown["Config"]["Hostname"] == want.nodes[0].name


async def test_files_are_laid_in_with_their_modes(rig, docker):
    provider, want = rig.provider(), a_want(1)
    infra = await last(provider.ensure(want, idle(want)))
    archive = await (await docker.containers.get(infra.nodes[0].server_id)).get_archive("/etc/idle/file")
    info = archive.getmembers()[0]
    assert archive.extractfile(info).read() == b"laid in"
    assert info.mode & 0o777 == 0o640


async def test_a_paused_node_runs_again(rig, docker):
    provider, want = rig.provider(), a_want(1)
    infra = await last(provider.ensure(want, idle(want)))
    await (await docker.containers.get(infra.nodes[0].server_id)).pause()
    assert (await provider.observe(want.cluster_id)).nodes[0].state is NodeState.STOPPED
    assert (await last(provider.ensure(want, {}))).nodes[0].state is NodeState.RUNNING


async def test_a_removal_that_was_broken_off_is_seen_and_can_be_finished(rig, docker):
    provider, want = rig.provider(), a_want(1)
    await last(provider.ensure(want, idle(want)))
    node = want.nodes[0]
    await rig.lose(want.cluster_id, node.uuid)
    (left,) = (await provider.observe(want.cluster_id)).nodes
    assert (left.uuid, left.name, left.state) == (node.uuid, node.name, NodeState.GONE)
    await provider.remove(want.cluster_id, [node.uuid])
    assert (await provider.observe(want.cluster_id)).nodes == ()
    with pytest.raises(DockerError):
        await docker.volumes.get(volume_name(node.uuid))


async def test_a_container_of_the_same_name_is_not_taken_for_ours(rig, docker):
    provider, want = rig.provider(), a_want(1)
    foreign = await docker.containers.create(
        {"Image": (await fromhost.build(docker, swarm.build_recipe())).name},
        name=container_name(want.nodes[0].name, want.nodes[0].uuid),
    )
    try:
        with pytest.raises(Permanent, match="not ours"):
            await last(provider.ensure(want, idle(want)))
        await provider.destroy(want.cluster_id)
        assert (await foreign.show())["State"]["Status"] == "created"
    finally:
        await foreign.delete(force=True)


async def test_a_volume_of_the_same_name_is_not_taken_for_ours(rig, docker):
    provider, want = rig.provider(), a_want(1)
    foreign = await docker.volumes.create({"Name": volume_name(want.nodes[0].uuid)})
    try:
        with pytest.raises(Permanent, match="not ours"):
            await provider.reserve(want)
        await provider.destroy(want.cluster_id)
        assert (await foreign.show())["Name"] == foreign.name
    finally:
        await foreign.delete()


async def test_a_subnet_that_somebody_has_is_passed_over(rig, docker):
    provider, want = rig.provider(), a_want(1)
    first = next(subnets.list_candidates(want.cluster_id, 1, []))
    foreign = await docker.networks.create(
        {"Name": f"foreign-{uuid.uuid4()}", "IPAM": {"Config": [{"Subnet": str(first)}]}}
    )
    try:
        address = (await provider.reserve(want))[want.nodes[0].uuid].address
        assert not address.startswith(str(first.network_address).rpartition(".")[0] + ".")
    finally:
        await foreign.delete()


async def test_one_network_comes_of_many_starts_at_once(rig):
    want = a_want(2)
    reserved = await asyncio.gather(*(rig.provider().reserve(want) for _ in range(4)), return_exceptions=True)
    assert any(isinstance(each, dict) for each in reserved)
    assert all(isinstance(each, dict | DriverError) for each in reserved)
    assert len({tuple(sorted(each.items())) for each in reserved if isinstance(each, dict)}) == 1


async def test_a_network_with_a_strangers_container_is_destroyed(rig, docker):
    provider, want = rig.provider(), a_want(1)
    infra = await last(provider.ensure(want, idle(want)))
    config = {
        "Image": (await fromhost.build(docker, swarm.build_recipe())).name,
        "Entrypoint": ["tail", "-f", "/dev/null"],
    }
    foreign = await docker.containers.run(
        {**config, "HostConfig": {"NetworkMode": infra.network_id}}, name=f"foreign-{uuid.uuid4()}"
    )
    try:
        await provider.destroy(want.cluster_id)
        assert await provider.list_owned() == []
        assert (await foreign.show())["State"]["Running"]
    finally:
        await foreign.delete(force=True)


async def test_what_a_killed_probe_left_is_tidied_up(rig, docker):
    image = (await fromhost.build(docker, swarm.build_recipe())).id
    labels = {"jeroboam.installation": rig.installation, "jeroboam.probe": "1"}
    left = await docker.containers.create({"Image": image, "Labels": labels}, name=f"jeroboam-probe.{uuid.uuid4()}")
    assert await rig.provider().list_owned() == []
    found = await docker.containers.list(all=True, filters={"label": [f"jeroboam.installation={rig.installation}"]})
    assert found == [], f"{left.id} was left"


async def test_an_engine_that_is_away_is_temporary(tmp_path):
    provider = LocalProvider(installation="x", clock=SystemClock(), url=f"unix://{tmp_path}/none.sock")
    want = a_want(1)
    for asked in (
        provider.reserve(want),
        last(provider.ensure(want, {})),
        provider.observe("c"),
        provider.remove("c", ["n"]),
        provider.destroy("c"),
        provider.list_owned(),
        provider.limits(),
        provider.catalog(OWNER).image("swarm-node"),
    ):
        with pytest.raises(Temporary):
            await asked
    await provider.close()


async def test_nothing_is_found_of_a_cluster_that_never_was(docker):
    estate = OwnedResources(lambda: docker, f"test-{uuid.uuid4()}")
    assert await estate.network("none") is None
    assert await estate.addresses("none") == {}
    assert await estate.list_clusters() == []


async def test_what_is_around_is_known(rig, docker):
    provider = rig.provider()
    subnet = f"10.{216 + uuid.uuid4().int % 30}.77.0/24"
    network = await docker.networks.create(
        {"Name": f"{rig.installation}-around", "IPAM": {"Config": [{"Subnet": subnet}]}, "Driver": "bridge"}
    )
    try:
        there = await provider.observe_capacity()
    finally:
        await network.delete()
    said = {str(each): what for each, what in there.networks}
    assert said[str(subnets.POOL)] == "where nodes have their addresses"
    assert said[subnet] == "a network of the Docker Engine"
    # Where others' clusters are is nobody's business.
    for pool in (subnets.POOL, PROJECTS):
        assert not [each for each, _ in there.networks if each != pool and each.overlaps(pool)]
    assert there.memory
    assert there.disk


def test_the_machine_of_another_engine_is_not_this_one():
    elsewhere = {"Name": "elsewhere", "DockerRootDir": "/"}
    assert (read_free_memory(elsewhere), read_free_disk(elsewhere)) == (None, None)


async def test_a_network_that_was_removed_is_told_and_made_again_around_its_nodes(rig, docker):
    provider, want = rig.provider(), a_want(3)
    before = await last(provider.ensure(want, idle(want)))
    running, stopped, alone = (docker.containers.container(node.server_id) for node in before.nodes)
    await stopped.stop(t=0)
    network = await docker.networks.get(before.network_id)
    for container in (running, alone):
        await network.disconnect({"Container": container.id, "Force": True})
    await network.delete()
    seen = await provider.observe(want.cluster_id)
    assert seen.troubles == (NETWORK_GONE,)
    assert {node.state for node in seen.nodes} == {NodeState.STOPPED}
    assert [node.reason for node in seen.nodes].count(NETWORK_GONE) == 2
    after = await last(provider.ensure(want, {}))
    assert after.troubles == ()
    assert after.network_id not in {None, before.network_id}
    assert addresses(after) == addresses(before)
    for node in after.nodes:
        shown = await docker.containers.container(node.server_id).show()
        (endpoint,) = shown["NetworkSettings"]["Networks"].values()
        assert (endpoint["NetworkID"], endpoint["IPAddress"]) == (after.network_id, node.address)
    # One node alone is taken off it.
    await (await docker.networks.get(after.network_id)).disconnect({"Container": alone.id, "Force": True})
    seen = await provider.observe(want.cluster_id)
    assert [node.reason for node in seen.nodes if node.state is NodeState.STOPPED] == [NOT_ATTACHED]
    assert addresses(await last(provider.ensure(want, {}))) == addresses(before)


async def test_a_network_whose_subnet_somebody_took_says_so(rig, docker):
    provider, want = rig.provider(), a_want(1)
    before = await last(provider.ensure(want, idle(want)))
    network = await docker.networks.get(before.network_id)
    subnet = (await network.show())["IPAM"]["Config"][0]["Subnet"]
    await network.disconnect({"Container": before.nodes[0].server_id, "Force": True})
    await network.delete()
    name = f"taker-{want.cluster_id[:8]}"
    config = {"Name": name, "Driver": "bridge", "IPAM": {"Config": [{"Subnet": subnet}]}}
    taker = await docker.networks.create(config)
    try:
        with pytest.raises(Temporary, match=f"was removed outside this service, and .* is taken by {name}"):
            await last(provider.ensure(want, {}))
    finally:
        await taker.delete()
    assert addresses(await last(provider.ensure(want, {}))) == addresses(before)


def addresses(infra) -> dict[str, str]:
    return {node.uuid: node.address for node in infra.nodes}
