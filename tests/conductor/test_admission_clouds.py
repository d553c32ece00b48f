"""What a cloud shows to some and not to others, and the labels that it reads, are checked before a wish is stored."""

from dataclasses import replace

import pytest

from jeroboam.coes.fake.coe import FakeCoe
from jeroboam.conductor.admission.admission import DriverAdmission
from jeroboam.domain.caller import Caller
from jeroboam.domain.errors import Conflict, Invalid
from jeroboam.domain.upgrades import set_template
from jeroboam.providers.base import Network, Subnet
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


async def test_a_fixed_subnet_is_in_the_fixed_network(admission, provider):
    offers = provider.cloud.offers
    offers.networks += [Network(id=name, name=name, external=False) for name in ("inner", "other")]
    offers.subnets += [Subnet(id=number, name="s", network_id=net) for number, net in (("1", "inner"), ("2", "other"))]
    spec = replace(builders.template().spec, fixed_network="inner", fixed_subnet="s")
    assert await admission.admit_template(spec, CALLER)
    with pytest.raises(Invalid, match="2: it is not in fixed network inner") as refused:
        await admission.admit_template(replace(spec, fixed_subnet="2"), CALLER)
    assert refused.value.field == "fixed_subnet"
    # Without a network the name is ambiguous.
    with pytest.raises(Conflict, match="Multiple subnets exist with same name 's'") as refused:
        await admission.admit_template(replace(spec, fixed_network=None), CALLER)
    assert refused.value.field == "fixed_subnet"


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"image_id": "i9"}, "image_id"), ({"flavor_id": "f9"}, "flavor_id"), ({"fixed_network": "n9"}, "fixed_network")],
)
async def test_what_another_project_has_cannot_be_named(admission, provider, changes, field):
    offers = provider.cloud.offers
    offers.images["i9"] = replace(offers.images["swarm-node"], id="i9")
    offers.flavors["f9"] = replace(offers.flavors["m1.small"], id="f9")
    offers.networks.append(Network(id="n9", name="n9", external=False))
    template = builders.template()
    spec = replace(template.spec, **changes)
    assert await admission.admit_template(spec, CALLER)
    offers.private_to |= dict.fromkeys(("i9", "f9", "n9"), "p9")
    with pytest.raises(Invalid, match="Unable to find") as refused:
        await admission.admit_template(spec, CALLER)
    assert refused.value.field == field
    assert await admission.admit_template(spec, replace(CALLER, project_id="p9"))


async def test_a_public_template_may_name_an_external_network_that_its_users_do_not_see(admission, provider):
    provider.cloud.offers.networks.append(Network(id="n9", name="n9", external=True))
    cluster = builders.cluster(builders.template())
    template = replace(builders.template(), spec=replace(cluster.spec.template, external_network_id="n9"))
    named = set_template(cluster, template)
    await admission.admit_cluster(named, builders.groups(cluster), CALLER)
    await admission.admit_change(cluster, named, [])
    provider.cloud.offers.private_to["n9"] = "p9"
    for question in (
        admission.admit_cluster(named, builders.groups(cluster), CALLER),
        admission.admit_change(cluster, named, []),
    ):
        with pytest.raises(Invalid, match="Unable to find external network n9") as refused:
            await question
        assert refused.value.field == "external_network_id"
    # What a cluster has already is no change.
    await admission.admit_change(named, named, [])


async def test_a_node_group_and_a_change_name_what_the_clusters_project_sees(admission, provider):
    """An administrator of another project may ask for either."""
    offers = provider.cloud.offers
    offers.flavors["f1"] = replace(offers.flavors["m1.small"], id="f1")
    offers.private_to["f1"] = "p1"
    cluster = builders.cluster(builders.template())
    [_, group] = builders.groups(cluster)
    group = replace(group, spec=replace(group.spec, flavor_id="f1"))
    administrator = Caller(user_id="u9", project_id="p9", roles=frozenset({"admin"}))
    await admission.admit_nodegroup(cluster, group, administrator)
    await admission.admit_change(cluster, cluster, [group])
    offers.private_to["f1"] = "p9"
    for question in (
        admission.admit_nodegroup(cluster, group, administrator),
        admission.admit_change(cluster, cluster, [group]),
    ):
        with pytest.raises(Invalid, match="Unable to find flavor f1"):
            await question


@pytest.mark.parametrize(
    ("label", "value", "text"),
    [
        ("availability_zone", "az9", "there is: nova."),
        ("boot_volume_type", "slow", "there is: __DEFAULT__."),
        ("docker_volume_type", "slow", "there is: __DEFAULT__."),
        ("etcd_volume_type", "slow", "there is: __DEFAULT__."),
        ("etcd_volume_size", "big", "it has to be a whole number of GiB."),
        ("master_lb_allowed_cidrs", "10.0.0.0/8,everybody", "it has to be a comma separated list of IPv4 networks."),
        ("fixed_subnet_cidr", "here", "it has to be an IPv4 network such as 10.0.0.0/24."),
    ],
)
async def test_a_label_that_the_provider_reads_is_checked_by_name(admission, label, value, text):
    cluster = builders.cluster(builders.template())
    [_, group] = builders.groups(cluster)
    labelled = replace(cluster, spec=replace(cluster.spec, labels={label: value}))
    own = replace(group, spec=replace(group.spec, labels={label: value}))
    for question in (
        admission.admit_cluster(labelled, builders.groups(cluster), CALLER),
        admission.admit_nodegroup(cluster, own, CALLER),
        admission.admit_change(cluster, labelled, []),
    ):
        with pytest.raises(Invalid) as refused:
            await question
        assert refused.value.field == f"labels/{label}"
        assert refused.value.detail == f"Invalid input for field 'labels/{label}', value '{value}': {text}"
