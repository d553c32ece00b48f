"""What can never work is refused before it is stored, in the words of the published API."""

import ipaddress
from dataclasses import replace

import pytest

from jeroboam.coes.fake.coe import FakeCoe
from jeroboam.conductor.admission.admission import DriverAdmission
from jeroboam.domain.caller import Caller
from jeroboam.domain.errors import Conflict, Invalid, NotFound, Refused, Temporary, Unavailable
from jeroboam.domain.upgrades import set_template
from jeroboam.providers.base import HostCapacity, Network, Subnet
from jeroboam.providers.fake import FakeProvider
from tests import builders
from tests.clock import ManualClock

CALLER = Caller(user_id="u1", project_id="p1", roles=frozenset({"member"}))


@pytest.fixture
def provider():
    return FakeProvider(installation="i", clock=ManualClock())


@pytest.fixture
def admission(provider):
    coe = FakeCoe(clock=ManualClock())
    return DriverAdmission(providers={"fake": provider}, coes={"fake": coe}, default_provider="fake")


async def test_what_the_provider_decides_is_filled_in(admission):
    spec = replace(builders.template().spec, driver=None, cluster_distro=None)
    filled = await admission.admit_template(spec, CALLER)
    assert (filled.driver, filled.cluster_distro) == ("fake", "jeroboam")


@pytest.mark.parametrize(
    ("changes", "kind", "text", "field"),
    [
        ({"coe": "nope"}, Invalid, "Requested COE type nope is not supported, this service has: fake.", "coe"),
        ({"driver": "nope"}, Invalid, "Cluster driver (nope) not supported, this service has: fake.", "driver"),
        ({"image_id": "nope"}, Invalid, "Unable to find image nope.", "image_id"),
        ({"flavor_id": "nope"}, Invalid, "Unable to find flavor nope.", "flavor_id"),
        ({"master_flavor_id": "nope"}, Invalid, "Unable to find flavor nope.", "master_flavor_id"),
        ({"external_network_id": "nope"}, Invalid, "Unable to find external network nope.", "external_network_id"),
        ({"fixed_network": "nope"}, Invalid, "Unable to find fixed network nope.", "fixed_network"),
        ({"fixed_subnet": "nope"}, Invalid, "Unable to find fixed subnet nope.", "fixed_subnet"),
        ({"external_network_id": "twice"}, Conflict, "Multiple external networks exist", "external_network_id"),
        ({"fixed_network": "twice"}, Conflict, "Multiple networks exist", "fixed_network"),
        ({"network_driver": "unsupported"}, Invalid, "network_driver unsupported", "network_driver"),
    ],
)
async def test_a_template_that_cannot_work_is_refused_by_field(admission, provider, changes, kind, text, field):
    twice = [Network(id=number, name="twice", external=external) for number in "12" for external in (True, False)]
    provider.cloud.offers.networks += twice
    with pytest.raises(Refused) as refused:
        await admission.admit_template(replace(builders.template().spec, **changes), CALLER)
    assert type(refused.value) is kind
    assert text in refused.value.detail
    assert refused.value.field == field


async def test_an_image_that_was_never_made_is_refused_when_a_cluster_wants_it(admission):
    template = builders.template()
    template = replace(template, spec=replace(template.spec, image_id="kubernetes-node"))
    assert await admission.admit_template(template.spec, CALLER)
    cluster = builders.cluster(template)
    with pytest.raises(Invalid, match="cannot be used yet: it was never made"):
        await admission.admit_cluster(cluster, builders.groups(cluster), CALLER)


async def test_a_load_balancer_whose_image_was_never_made_is_refused_by_its_field(admission, provider):
    cluster = builders.cluster(builders.template())
    cluster = replace(cluster, spec=replace(cluster.spec, master_lb_enabled=True))
    await admission.admit_cluster(cluster, builders.groups(cluster), CALLER)
    images = provider.cloud.offers.images
    images["load-balancer"] = replace(
        images["load-balancer"], unavailable_reason="`jeroboam node-image build load-balancer`"
    )
    with pytest.raises(Invalid, match="node-image build load-balancer") as refused:
        await admission.admit_cluster(cluster, builders.groups(cluster), CALLER)
    assert refused.value.field == "master_lb_enabled"


async def test_a_keypair_that_nobody_has_is_not_found(admission, provider):
    cluster = builders.cluster(builders.template())
    cluster = replace(cluster, spec=replace(cluster.spec, keypair="mine"))
    with pytest.raises(NotFound, match="keypair mine"):
        await admission.admit_cluster(cluster, builders.groups(cluster), CALLER)
    provider.cloud.offers.keypairs.add(("u2", "mine"))
    with pytest.raises(NotFound, match="keypair mine"):
        await admission.admit_cluster(cluster, builders.groups(cluster), CALLER)
    provider.cloud.offers.keypairs.add(("u1", "mine"))
    await admission.admit_cluster(cluster, builders.groups(cluster), CALLER)


async def test_a_fixed_network_is_one_inside(admission, provider):
    provider.cloud.offers.networks.append(Network(id="inner", name="inner", external=False))
    provider.cloud.offers.subnets.append(Subnet(id="s", name="s", network_id="inner"))
    spec = replace(builders.template().spec, fixed_network="inner", fixed_subnet="s")
    assert await admission.admit_template(spec, CALLER)
    with pytest.raises(Invalid, match="public: it is an external network") as refused:
        await admission.admit_template(replace(spec, fixed_network="public"), CALLER)
    assert refused.value.field == "fixed_network"
    cluster = builders.cluster(builders.template())
    for changes in ({"fixed_network": "public"}, {"fixed_subnet": "nope"}):
        wish = replace(cluster, spec=replace(cluster.spec, **changes))
        with pytest.raises(Invalid) as refused:
            await admission.admit_cluster(wish, builders.groups(wish), CALLER)
        assert {refused.value.field} == set(changes)


async def test_a_catalogue_that_does_not_answer_is_nobodys_fault(admission, provider):
    provider.faults.fail("image", Temporary("the Docker Engine does not answer"))
    with pytest.raises(Unavailable, match="does not answer"):
        await admission.admit_template(builders.template().spec, CALLER)


async def test_a_cluster_is_taken_while_images_cannot_be_looked_up(admission, provider):
    provider.faults.fail("image", Temporary("the Docker Engine does not answer"))
    cluster = builders.cluster(builders.template())
    await admission.admit_cluster(cluster, builders.groups(cluster), CALLER)
    cluster = replace(cluster, spec=replace(cluster.spec, flavor_id="nope"))
    with pytest.raises(Invalid, match="flavor nope"):
        await admission.admit_cluster(cluster, builders.groups(cluster), CALLER)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"flavor_id": "nope"}, "flavor nope"),
        ({"image_id": "nope"}, "image nope"),
        ({"image_id": "kubernetes-node"}, "cannot be used yet"),
    ],
)
async def test_a_group_needs_a_flavor_and_an_image_that_are_there(admission, changes, text):
    cluster = builders.cluster(builders.template())
    cluster = replace(cluster, spec=replace(cluster.spec, keypair="a colleague's"))
    [_, group] = builders.groups(cluster)
    await admission.admit_nodegroup(cluster, group, CALLER)
    with pytest.raises(Invalid, match=text):
        await admission.admit_nodegroup(cluster, replace(group, spec=replace(group.spec, **changes)), CALLER)


async def test_an_authority_is_replaced_where_both_drivers_can(admission, provider):
    cluster = builders.cluster(builders.template())
    await admission.admit_rotation(cluster)

    both = {"providers": {"fake": provider}, "coes": {"fake": FakeCoe(clock=ManualClock())}}
    for lacking in ({"providers": {"fake": object()}}, {"coes": {"fake": object()}}):
        with pytest.raises(Invalid, match="Rotating the CA certificate is not supported for fake on fake"):
            await DriverAdmission(**(both | lacking), default_provider="fake").admit_rotation(cluster)


def to(cluster, **changes):
    """The cluster with that template."""
    return set_template(cluster, replace(builders.template(), spec=replace(cluster.spec.template, **changes)))


async def test_a_change_says_whether_nodes_have_to_be_made_anew(admission):
    cluster = builders.cluster(builders.template())
    cluster = replace(cluster, spec=replace(cluster.spec, keypair="a colleague's"))
    groups = builders.groups(cluster)

    def labelled(**labels):
        return replace(cluster, spec=replace(cluster.spec, labels=labels))

    assert not await admission.admit_change(cluster, cluster, groups)
    assert not await admission.admit_change(cluster, labelled(other="1"), groups)
    assert await admission.admit_change(cluster, labelled(fake_setting="1"), groups) == {"master", "worker"}
    assert await admission.admit_change(cluster, labelled(fake_master_setting="1"), groups) == {"master"}
    assert not await admission.admit_change(labelled(fake_setting="1"), labelled(fake_setting="1", other="2"), groups)
    assert await admission.admit_change(cluster, to(cluster, insecure_registry="r:5000"), groups) == {
        "master",
        "worker",
    }


@pytest.mark.parametrize(
    ("changes", "kind", "field"),
    [
        ({"coe": "swarm"}, Conflict, "cluster_template"),
        ({"driver": "heat"}, Conflict, "cluster_template"),
        ({"server_type": "bm"}, Conflict, "cluster_template"),
        ({"image_id": "nope"}, Invalid, "image_id"),
        ({"image_id": "kubernetes-node"}, Invalid, "image_id"),
        ({"network_driver": "unsupported"}, Invalid, "network_driver"),
        ({"docker_storage_driver": "vfs"}, Invalid, "docker_storage_driver"),
    ],
)
async def test_a_template_that_a_cluster_cannot_go_to(admission, changes, kind, field):
    cluster = builders.cluster(builders.template())
    with pytest.raises(kind) as refused:
        await admission.admit_change(cluster, to(cluster, **changes), builders.groups(cluster))
    assert refused.value.field == field


async def test_a_flavour_that_a_group_cannot_go_to(admission):
    cluster = builders.cluster(builders.template())
    [_, workers] = builders.groups(cluster)
    with pytest.raises(Invalid, match="flavor nope"):
        await admission.admit_change(cluster, cluster, [replace(workers, spec=replace(workers.spec, flavor_id="nope"))])


class Particular(FakeCoe):
    """A COE whose nodes take something, and whose clusters have networks inside."""

    disk = 1.5

    def memory(self, role):
        return {"master": 1000, "worker": 100}[role]

    def networks(self, labels):
        return {"inner": ipaddress.IPv4Network(labels.get("inner", "10.1.0.0/16"))}


class Placed(FakeProvider):
    """A provider that knows what is around it."""

    around = HostCapacity(
        networks=((ipaddress.IPv4Network("10.2.0.0/24"), "a route of this machine"),), memory=1200, disk=4.0
    )
    away = False

    async def observe_capacity(self):
        if self.away:
            raise Temporary("the Docker Engine does not answer")
        return self.around


@pytest.fixture
def placed():
    return Placed(installation="i", clock=ManualClock())


@pytest.fixture
def particular(placed):
    coe = Particular(clock=ManualClock())
    return DriverAdmission(providers={"fake": placed}, coes={"fake": coe}, default_provider="fake")


def sized(workers, **labels):
    cluster = builders.cluster(builders.template())
    cluster = replace(cluster, spec=replace(cluster.spec, labels=labels))
    master, worker = builders.groups(cluster)
    return cluster, [master, replace(worker, spec=replace(worker.spec, node_count=workers))]


async def test_a_cluster_that_fits_is_taken(particular):
    await particular.admit_cluster(*sized(1, inner="10.3.0.0/16"), CALLER)


async def test_a_network_that_would_hide_another_is_refused_by_its_label(particular, placed):
    with pytest.raises(Invalid, match=r"labels/inner 10\.2\.0\.0/16 overlaps 10\.2\.0\.0/24, a route") as refused:
        await particular.admit_cluster(*sized(1, inner="10.2.0.0/16"), CALLER)
    assert refused.value.field == "labels/inner"
    placed.around = replace(placed.around, networks=((ipaddress.IPv4Network("10.0.0.0/8"), "a route"),))
    with pytest.raises(Invalid, match="This is the default: name another network"):
        await particular.admit_cluster(*sized(1), CALLER)
    placed.away = True
    await particular.admit_cluster(*sized(1), CALLER)


@pytest.mark.parametrize(
    ("memory", "disk", "text"),
    [
        (1099, 40.0, "2 nodes of fake would use 1100 MiB of memory before running anything; the machine has 1099 MiB"),
        (None, 2.9, "2 nodes of fake would use 3 GiB of disk before running anything; the Engine's disk has 2.9 GiB"),
    ],
)
async def test_what_the_machine_has_not_is_named(particular, placed, memory, disk, text):
    placed.around = replace(placed.around, memory=memory, disk=disk)
    with pytest.raises(Conflict, match=text):
        await particular.admit_cluster(*sized(1), CALLER)
    placed.around = HostCapacity()
    await particular.admit_cluster(*sized(1), CALLER)


async def test_more_nodes_have_to_fit_too(particular, placed):
    cluster, [_, workers] = sized(2)
    await particular.admit_nodegroup(cluster, workers, CALLER)
    placed.around = replace(placed.around, memory=199)
    with pytest.raises(Conflict, match="2 nodes of fake would use 200 MiB"):
        await particular.admit_nodegroup(cluster, workers, CALLER)


async def test_a_group_that_grows_has_to_fit_with_what_is_new(particular, placed):
    cluster, [_, workers] = sized(5)
    placed.around = replace(placed.around, memory=299)
    await particular.admit_growth(cluster, workers, 2)
    with pytest.raises(
        Conflict, match="3 nodes of fake would use 300 MiB of memory before running anything"
    ) as refused:
        await particular.admit_growth(cluster, workers, 3)
    assert refused.value.field == "node_count"


async def test_a_flavour_that_is_too_small_for_a_node_is_refused(particular):
    cluster, [master, workers] = sized(1)
    tiny = replace(master, spec=replace(master.spec, flavor_id="m1.tiny"))
    text = "Flavor m1.tiny has 512 MiB of memory; a master of fake takes 1000 MiB"
    with pytest.raises(Invalid, match=text):
        await particular.admit_cluster(cluster, [tiny, workers], CALLER)
    with pytest.raises(Invalid, match=text):
        await particular.admit_change(cluster, cluster, [tiny])
    await particular.admit_change(cluster, cluster, [replace(workers, spec=replace(workers.spec, flavor_id="m1.tiny"))])
