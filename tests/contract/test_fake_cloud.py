"""The fake provider is as strict as a cloud: it sees what the owner sees, checks all it is asked for, and keeps it."""

from typing import Any

import pytest

from jeroboam.domain.errors import Conflict, Permanent
from jeroboam.domain.nodes import open_tcp
from jeroboam.kit.clock import SystemClock
from jeroboam.providers.base import CloudUser, DesiredInfra, Flavor, Image, Network, Subnet
from jeroboam.providers.fake import FakeCloud, FakeProvider
from tests.contract.rigs import OWNER, a_node, a_want, idle, last

COLLEAGUE = CloudUser(project_id="p1", user_id="u2")
STRANGER = CloudUser(project_id="p9", user_id="u9")


@pytest.fixture
def cloud() -> FakeCloud:
    cloud = FakeCloud()
    offers = cloud.offers
    offers.networks += [
        Network(id="n1", name="inner", external=False),
        Network(id="n2", name="twice", external=False),
        Network(id="n3", name="twice", external=False),
    ]
    offers.subnets += [
        Subnet(id="s1", name="inner-subnet", network_id="n1"),
        Subnet(id="s2", name="another-subnet", network_id="n2"),
    ]
    offers.keypairs.add((OWNER.user_id, "mine"))
    offers.images["i1"] = Image(id="i1", name="own-image", os_distro="x")
    offers.flavors["f1"] = Flavor(id="f1", name="f1", vcpus=1, ram=512, disk=1)
    offers.private_to |= dict.fromkeys(("n1", "s1", "i1", "f1"), OWNER.project_id)
    offers.zones.append("az2")
    offers.volume_types.append("fast")
    return cloud


@pytest.fixture
def provider(cloud: FakeCloud) -> FakeProvider:
    return FakeProvider(installation="i", clock=SystemClock(), cloud=cloud)


async def test_a_project_sees_its_own_and_what_is_public(provider: FakeProvider) -> None:
    own, foreign = provider.catalog(OWNER), provider.catalog(STRANGER)
    for ref in ("inner", "n1"):
        assert [network.id for network in await own.networks(ref)] == ["n1"]
        assert not await foreign.networks(ref)
    assert [subnet.network_id for subnet in await own.subnets("inner-subnet")] == ["n1"]
    assert not await foreign.subnets("inner-subnet")
    assert await own.image("own-image") is not None
    assert await foreign.image("own-image") is None
    assert await own.flavor("f1") is not None
    assert await foreign.flavor("f1") is None
    for catalog in (own, foreign):
        assert await catalog.networks("public")
        assert await catalog.image("swarm-node") is not None


async def test_a_key_pair_is_its_users_alone(provider: FakeProvider) -> None:
    assert await provider.catalog(OWNER).has_keypair("mine")
    assert not await provider.catalog(COLLEAGUE).has_keypair("mine")


async def test_a_name_of_several_images_is_ambiguous(provider: FakeProvider, cloud: FakeCloud) -> None:
    cloud.offers.images["i2"] = Image(id="i2", name="own-image", os_distro="x")
    with pytest.raises(Conflict, match="Multiple images exist with same name 'own-image'") as refused:
        await provider.catalog(OWNER).image("own-image")
    assert refused.value.field == "image_id"
    want = a_want(0, nodes=(a_node("n", image="own-image"),))
    with pytest.raises(Permanent, match="image_id: Multiple images exist"):
        await last(provider.ensure(want, idle(want)))
    # Another project sees only one of them.
    assert await provider.catalog(STRANGER).image("own-image") is not None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"external_network_id": "nowhere"}, "external_network_id: there is not one network nowhere"),
        ({"external_network_id": "inner"}, "external_network_id: there is not one network inner"),
        ({"fixed_network": "nowhere"}, "fixed_network: there is not one network nowhere"),
        ({"fixed_network": "public"}, "fixed_network: there is not one network public"),
        ({"fixed_network": "twice"}, "fixed_network: there is not one network twice"),
        ({"fixed_network": "inner", "owner": STRANGER}, "fixed_network: there is not one network inner"),
        ({"fixed_subnet": "nowhere"}, "fixed_subnet: there is not one subnet nowhere"),
        ({"fixed_network": "inner", "fixed_subnet": "another-subnet"}, "fixed_subnet: there is not one subnet"),
        ({"keypair": "mine", "owner": COLLEAGUE}, "keypair: user u2 has no key pair mine"),
        ({"nodes": {"availability_zone": "az9"}}, "availability_zone: there is no zone az9"),
        ({"nodes": {"boot_volume_type": "slow"}}, "boot_volume_type: there is no volume type slow"),
        ({"nodes": {"docker_volume_type": "slow"}}, "docker_volume_type: there is no volume type slow"),
        ({"nodes": {"etcd_volume_type": "slow"}}, "etcd_volume_type: there is no volume type slow"),
        ({"nodes": {"flavor": "f1"}, "owner": STRANGER}, "flavor_id: there is no flavor f1"),
        ({"nodes": {"image": "own-image"}, "owner": STRANGER}, "image_id: no node can boot from image own-image"),
    ],
)
async def test_what_the_cloud_has_not_is_permanent_by_its_field(
    provider: FakeProvider, cloud: FakeCloud, changes: dict[str, Any], text: str
) -> None:
    if "nodes" in changes:
        changes = {**changes, "nodes": (a_node("n", **changes["nodes"]),)}
    want = a_want(1, **changes)
    with pytest.raises(Permanent, match=text):
        await last(provider.ensure(want, idle(want)))
    assert not cloud.boots


def everything() -> DesiredInfra:
    """A wish with all that a cloud offers."""
    node = a_node(
        "n",
        image="own-image",
        flavor="f1",
        availability_zone="az2",
        boot_volume_size=20,
        boot_volume_type="fast",
        docker_volume_size=30,
        docker_volume_type="fast",
        etcd_volume_size=5,
        etcd_volume_type="fast",
        floating_ip_enabled=True,
        open_ports=(open_tcp(6443),),
    )
    return a_want(
        0,
        nodes=(node,),
        keypair="mine",
        external_network_id="public",
        fixed_network="inner",
        fixed_subnet="inner-subnet",
        dns_nameservers=("8.8.8.8",),
    )


async def test_what_a_node_was_created_from_is_kept_beside_it(provider: FakeProvider, cloud: FakeCloud) -> None:
    want = everything()
    infra = await last(provider.ensure(want, idle(want)))
    made = cloud.clusters[want.cluster_id]
    assert made.infra == want
    assert list(made.desired.values()) == list(want.nodes)
    [node] = infra.nodes
    assert node.floating_address is not None
    assert node.floating_address != node.address
    await provider.remove(want.cluster_id, [node.uuid])
    assert not made.desired


async def test_a_node_has_a_floating_address_only_from_an_external_network(provider: FakeProvider) -> None:
    want = a_want(0, nodes=(a_node("n", floating_ip_enabled=True),))
    [reserved] = (await provider.reserve(want)).values()
    assert reserved.floating_address is None
