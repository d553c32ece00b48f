"""Marks that somebody else has set: no container, volume or network of a user passes for one of the service's own."""

import uuid as uuids
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from jeroboam.domain.containers import ContainerSpec, RuntimeState
from jeroboam.domain.nodes import NodeScript
from jeroboam.nodeimages import fromhost, swarm
from jeroboam.providers.local.images import copy_images
from jeroboam.providers.local.nodes import volume_name
from tests.contract.rigs import IDLE, OWNER, a_want, docker_runtime, idle, last, local_rig

pytestmark = [pytest.mark.docker, pytest.mark.security, pytest.mark.usefixtures("busybox")]


@pytest.fixture
async def rig():
    made = await local_rig()
    yield made
    await made.close()


@pytest.fixture
async def runtime(rig):
    """The runtime of the same installation as the provider."""
    async with docker_runtime(installation=rig.installation) as made:
        yield made


def forged(rig, want, *, name="stolen-worker-0", uuid=None, **more) -> dict[str, str]:
    """The labels of a node of that cluster, as an attacker who knows a cluster's uuid writes them."""
    return {
        "jeroboam.kind": "node",
        "jeroboam.installation": rig.installation,
        "jeroboam.cluster": want.cluster_id,
        "jeroboam.node": uuid or str(uuids.uuid4()),
        "jeroboam.node-name": name,
        "jeroboam.address": "10.200.0.9",
        "jeroboam.build": "0",
        "jeroboam.role": "master",
        **more,
    }


async def a_container(runtime, image="busybox", **labels) -> str:
    uuid = str(uuids.uuid4())
    spec = ContainerSpec(image=image, command=("sleep", "600"), cpu=0.1, memory=32, labels=labels)
    await runtime.create(uuid, "a", spec, project="p")
    await runtime.start(uuid)
    return uuid


async def an_image(docker, labels) -> str:
    """An image that carries these labels itself, as one from any registry may."""
    name = f"labelled-{uuids.uuid4().hex[:8]}"
    source = await docker.containers.create({"Image": "busybox", "Labels": labels})
    try:
        await source.commit(repository=name, tag="latest")
    finally:
        await source.delete(force=True)
    return name


@pytest.mark.parametrize("by", ["label", "image"])
async def test_a_container_of_a_user_is_no_node(rig, docker, runtime, by):
    provider, want = rig.provider(), a_want(1)
    folder = replace(IDLE, commands=(("mkdir", "-p", "/var/lib/jeroboam"), *IDLE.commands))
    await last(provider.ensure(want, dict.fromkeys(idle(want), folder)))
    labels = forged(rig, want)
    if by == "label":
        mine = await a_container(runtime, **labels)
    else:
        image = await an_image(docker, labels)
        mine = await a_container(runtime, image)
    try:
        seen = await provider.observe(want.cluster_id)
        assert [node.name for node in seen.nodes] == [want.nodes[0].name]
        assert [each.status for each in seen.conditions if each.type == "Inventory"] == [True]
        names = await copy_images(
            docker,
            installation=rig.installation,
            cluster_id=want.cluster_id,
            images=["busybox"],
            command=lambda _: ["true"],
        )
        assert names == [want.nodes[0].name]
        # A cluster's new keys go to its nodes alone, and its end takes nothing of a user's along.
        script = NodeScript(commands=(("true",),), reload=("true",))
        await provider.renew(want.cluster_id, labels["jeroboam.node"], script)
        with pytest.raises(Exception, match="404"):
            await docker.containers.container(f"jeroboam-{mine}").get_archive("/etc/jeroboam")
        await provider.destroy(want.cluster_id)
        assert (await runtime.inspect(mine)).state is RuntimeState.RUNNING
        assert await provider.list_owned() == []
    finally:
        await runtime.remove(mine, force=True)
        if by == "image":
            await docker.images.delete(image, force=True)


async def test_a_cluster_of_which_only_a_users_label_is_there_is_none(rig, runtime):
    mine = await a_container(runtime, **{"jeroboam.cluster": str(uuids.uuid4())})
    assert await rig.provider().list_owned() == []
    assert (await runtime.inspect(mine)).state is RuntimeState.RUNNING


@pytest.mark.parametrize("missing", ["jeroboam.node-name", "jeroboam.node", "jeroboam.address", "jeroboam.build"])
async def test_marks_that_cannot_be_read_are_told_and_left_alone(rig, docker, missing):
    """Only somebody who may use the Engine can do that; it is no reason to fail either."""
    provider, want = rig.provider(), a_want(1)
    await last(provider.ensure(want, idle(want)))
    labels = forged(rig, want)
    labels.pop(missing)
    if missing == "jeroboam.build":
        labels[missing] = "one"
    name = f"foreign-{uuids.uuid4().hex[:8]}"
    foreign = await docker.containers.create({"Image": "busybox", "Labels": labels}, name=name)
    try:
        with capture_logs() as logs:
            infra = await provider.observe(want.cluster_id)
            again = await provider.observe(want.cluster_id)
        assert [node.name for node in infra.nodes] == [node.name for node in again.nodes] == [want.nodes[0].name]
        (inventory,) = (condition for condition in infra.conditions if condition.type == "Inventory")
        assert inventory.status is False
        assert name in inventory.message
        assert len([line for line in logs if name in str(line.get("names"))]) == 1
        await provider.destroy(want.cluster_id)
        assert (await foreign.show())["State"]["Status"] == "created"
    finally:
        await foreign.delete(force=True)
    infra = await provider.observe(want.cluster_id)
    assert [condition.status for condition in infra.conditions if condition.type == "Inventory"] == [True]


async def test_volumes_and_networks_with_our_marks_are_not_ours(rig, docker):
    provider, want = rig.provider(), a_want(1)
    labels = forged(rig, want) | {"jeroboam.kind": "node-volume"}
    volume = await docker.volumes.create({"Name": f"foreign-{uuids.uuid4()}", "Labels": labels})
    odd = labels | {"jeroboam.address": "nowhere"}
    second = await docker.volumes.create({"Name": volume_name(odd["jeroboam.node"]), "Labels": odd})
    marks = labels | {"jeroboam.kind": "cluster-network"}
    network = await docker.networks.create({"Name": f"foreign-{uuids.uuid4().hex}", "Labels": marks})
    try:
        assert await provider.list_owned() == []
        infra = await provider.observe(want.cluster_id)
        assert (infra.network_id, infra.nodes) == (None, ())
        await provider.destroy(want.cluster_id)
        assert (await volume.show())["Name"] == volume.name
        assert (await second.show())["Name"] == second.name
        assert (await network.show())["Id"] == network.id
    finally:
        await volume.delete()
        await second.delete()
        await network.delete()


async def test_the_network_of_a_project_is_no_stray(rig, runtime):
    await a_container(runtime)
    with capture_logs() as logs:
        assert await rig.provider().list_owned() == []
    assert not [line for line in logs if "marks" in line["event"]]


@pytest.mark.parametrize("by", ["label", "image"])
async def test_a_container_that_calls_itself_a_probe_stays(rig, docker, runtime, by):
    labels = {"jeroboam.probe": "1", "jeroboam.kind": "probe", "jeroboam.installation": rig.installation}
    image = await an_image(docker, labels) if by == "image" else "busybox"
    mine = await a_container(runtime, image, **(labels if by == "label" else {}))
    try:
        await rig.provider().list_owned()
        assert (await runtime.inspect(mine)).state is RuntimeState.RUNNING
    finally:
        await runtime.remove(mine, force=True)
        if by == "image":
            await docker.images.delete(image, force=True)


async def test_a_label_makes_no_container_of_the_services(rig, docker, runtime):
    """A container with the uuid of another, under a name that we have not given."""
    mine = await a_container(runtime)
    labels = {"jeroboam.kind": "container", "jeroboam.installation": rig.installation, "jeroboam.container": mine}
    foreign = await docker.containers.create({"Image": "busybox", "Labels": labels}, name=f"foreign-{mine}")
    try:
        assert [seen.uuid for seen in await runtime.list_owned()] == [mine]
        await runtime.remove(mine, force=True)
        assert await runtime.list_owned() == []
        assert (await foreign.show())["State"]["Status"] == "created"
    finally:
        await foreign.delete(force=True)


async def test_an_image_with_the_labels_of_a_node_image_is_none(rig, docker):
    """Nodes get the rights of a machine: whoever can have an image pulled must not choose what they are made from."""
    real = await docker.images.inspect((await fromhost.build(docker, swarm.build_recipe())).name)
    image = await an_image(docker, real["Config"]["Labels"])
    try:
        catalog = rig.provider().catalog(OWNER)
        assert await catalog.image(image) is None
        assert await catalog.image((await docker.images.inspect(image))["Id"]) is None
        assert await catalog.find_any_image() != (await docker.images.inspect(image))["Id"]
        assert await catalog.image(real["Id"]) is not None
    finally:
        await docker.images.delete(image, force=True)


@pytest.mark.parametrize("name", ["jeroboam/swarm-node:latest", "docker.io/jeroboam/x", "index.docker.io/jeroboam/x:1"])
async def test_nobody_pulls_over_a_node_image(runtime, name):
    with pytest.raises(Exception, match="the service's own"):
        await runtime.pull(name, "always")
