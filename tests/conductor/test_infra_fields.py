"""What users ask of the infrastructure reaches the provider: each field of a template, a cluster, a group, a label."""

from dataclasses import fields, replace

import pytest

from jeroboam.conductor.clusters.plans import balancer_uuid_of, build_desired_infra
from jeroboam.domain import infra_labels
from jeroboam.domain.clusters import LOAD_BALANCER, Operation
from jeroboam.domain.field_effects import INFRA_LABELS
from jeroboam.providers.base import CloudUser, DesiredInfra, DesiredLoadBalancer, DesiredNode, Network, Subnet
from tests import builders
from tests.infra_fields import IDENTITY, MASTER_LB, ROWS

NODE_PARTS = ("worker", "master", "balancer")


def place_of(where: str) -> str:
    """The place in the contract: all nodes are of one class."""
    part, _, attribute = where.partition(".")
    return f"{'node' if part in NODE_PARTS else part}.{attribute}"


def test_no_field_of_the_contract_is_left_out():
    contract = {
        f"{part}.{field.name}"
        for part, kind in (("infra", DesiredInfra), ("node", DesiredNode), ("load_balancer", DesiredLoadBalancer))
        for field in fields(kind)
    }
    assert {place_of(row.where) for row in ROWS} | IDENTITY == contract - {"infra.load_balancer"}
    assert {row.field for row in ROWS if "label" in row.source} == set(INFRA_LABELS)


def set_field(cluster, groups, row):
    """The cluster and its groups with that value set."""
    workers = groups[1]
    if row.source == "template":
        spec = replace(cluster.spec, template=replace(cluster.spec.template, **{row.field: row.value}))
        return replace(cluster, spec=spec), groups
    if row.source == "cluster":
        return replace(cluster, spec=replace(cluster.spec, **{row.field: row.value})), groups
    if row.source == "label":
        return replace(cluster, spec=replace(cluster.spec, labels={row.field: row.value})), groups
    changes = {"labels": {row.field: row.value}} if row.source == "group label" else {row.field: row.value}
    return cluster, [groups[0], replace(workers, spec=replace(workers.spec, **changes))]


@pytest.fixture
def cloud(rig):
    """A cloud that offers all that the table names."""
    offers = rig.cloud.offers
    offers.networks.append(Network(id="inner", name="inner", external=False))
    offers.subnets.append(Subnet(id="inner-subnet", name="inner-subnet", network_id="inner"))
    offers.keypairs.add(("u1", "mine"))
    offers.zones.append("az2")
    offers.volume_types.append("fast")
    offers.images["another-node"] = replace(offers.images["swarm-node"], id="another-node", name="another-node")
    return rig.cloud


async def store(rig, cluster, groups) -> None:
    template = builders.template(uuid=cluster.template_id)
    async with rig.store.write() as tx:
        await tx.templates.insert(template)
        await tx.clusters.insert(cluster)
        for group in groups:
            await tx.nodegroups.insert(group)
        tx.hint("cluster", cluster.uuid)


def plain_cluster(**changes):
    """A cluster with a load balancer, without floating addresses and without a flavour."""
    template = builders.template()
    template = replace(template, spec=replace(template.spec, flavor_id=None))
    cluster = builders.cluster(template, deadline_at=None)
    changes = {"master_lb_enabled": True, "floating_ip_enabled": False} | changes
    return replace(cluster, spec=replace(cluster.spec, **changes))


def parts_of(infra, nodes):
    """By the names of the table."""
    roles = {"balancer" if node.role == LOAD_BALANCER else node.role: node for node in nodes}
    return {"infra": infra, "load_balancer": infra.load_balancer, **roles}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.source} {row.field} {row.where}")
async def test_what_a_user_asks_for_reaches_the_provider(rig, cloud, row):
    plain = plain_cluster()
    plain_groups = builders.groups(plain)
    cluster, groups = set_field(plain, plain_groups, row)
    await store(rig, cluster, groups)
    settled = await rig.settled(cluster.uuid)
    assert settled.status == "CREATE_COMPLETE", settled.status_reason
    made = cloud.clusters[cluster.uuid]
    part, _, attribute = row.where.partition(".")
    reached = getattr(parts_of(made.infra, made.desired.values())[part], attribute)
    assert reached == row.reaches
    # Without the wish it is something else; otherwise the row would prove nothing.
    stored = {group.uuid: group.desired for group in await rig.groups(cluster.uuid)}
    unset = [replace(group, desired=stored[group.uuid]) for group in plain_groups]
    desired = build_desired_infra(plain, unset, rig.coe)
    assert row.value is None or getattr(parts_of(desired, desired.nodes)[part], attribute) != row.reaches


async def test_masters_get_a_load_balancer_when_the_cluster_asks_for_one(rig):
    for wanted in (True, False):
        cluster = plain_cluster(**{MASTER_LB: wanted})
        await store(rig, cluster, builders.groups(cluster))
        assert (await rig.settled(cluster.uuid)).status == "CREATE_COMPLETE"
        made = rig.cloud.clusters[cluster.uuid]
        assert (made.infra.load_balancer is not None) is wanted
        assert (balancer_uuid_of(cluster.uuid) in made.desired) is wanted


async def test_the_provider_works_for_the_owner_of_the_cluster(rig):
    cluster = await rig.create(project_id="p7", user_id="u7")
    await rig.settled(cluster.uuid)
    assert rig.cloud.clusters[cluster.uuid].infra.owner == CloudUser(project_id="p7", user_id="u7")


@pytest.mark.parametrize(
    ("source", "field", "value", "text"),
    [
        ("cluster", "keypair", "a colleague's", "keypair: user u1 has no key pair a colleague's"),
        ("template", "external_network_id", "inner", "external_network_id: there is not one network inner"),
        ("cluster", "fixed_network", "another project's", "fixed_network: there is not one network"),
        ("cluster", "fixed_subnet", "nowhere", "fixed_subnet: there is not one subnet nowhere"),
        ("label", "availability_zone", "az9", "availability_zone: there is no zone az9"),
        ("label", "boot_volume_type", "slow", "boot_volume_type: there is no volume type slow"),
        ("label", "docker_volume_type", "slow", "docker_volume_type: there is no volume type slow"),
        ("label", "etcd_volume_type", "slow", "etcd_volume_type: there is no volume type slow"),
    ],
)
async def test_what_the_cloud_has_not_fails_the_cluster_by_its_field(rig, cloud, source, field, value, text):
    cloud.offers.networks.append(Network(id="n9", name="another project's", external=False))
    cloud.offers.private_to["n9"] = "p9"
    cloud.offers.keypairs.add(("u9", "a colleague's"))
    row = replace(ROWS[0], source=source, field=field, value=value)
    plain = plain_cluster()
    cluster, groups = set_field(plain, builders.groups(plain), row)
    await store(rig, cluster, groups)
    settled = await rig.settled(cluster.uuid)
    assert settled.status == "CREATE_FAILED"
    assert text in settled.status_reason


async def test_a_stored_list_of_networks_that_is_not_valid_opens_no_load_balancer(rig, cloud):
    cluster = plain_cluster(labels={infra_labels.MASTER_LB_ALLOWED_CIDRS: "10.0.0.0/8,everybody"})
    await store(rig, cluster, builders.groups(cluster))
    settled = await rig.settled(cluster.uuid)
    assert settled.status == "CREATE_FAILED"
    assert settled.status_reason == (
        "Invalid input for field 'labels/master_lb_allowed_cidrs', value '10.0.0.0/8,everybody': "
        "it has to be a comma separated list of IPv4 networks."
    )
    assert cluster.uuid not in cloud.clusters
    await rig.ask(cluster.uuid, Operation.DELETE)
    assert await rig.settled(cluster.uuid) is None


def test_a_list_of_networks_that_the_provider_ignores_is_not_read(rig):
    cluster = plain_cluster(labels={infra_labels.MASTER_LB_ALLOWED_CIDRS: "everybody"})
    local_template = replace(cluster.spec.template, driver="local")
    cluster = replace(cluster, spec=replace(cluster.spec, template=local_template))
    assert build_desired_infra(cluster, [], rig.coe).load_balancer.allowed_cidrs == ()


async def test_nodes_outlive_the_key_pair_of_their_creator(rig, cloud):
    cluster = plain_cluster(keypair="mine")
    await store(rig, cluster, builders.groups(cluster))
    assert (await rig.settled(cluster.uuid)).status == "CREATE_COMPLETE"
    cloud.offers.keypairs.clear()
    cloud.kill(cluster.uuid, next(iter(cloud.clusters[cluster.uuid].nodes)))
    await rig.ask(cluster.uuid, Operation.UPDATE)
    assert (await rig.settled(cluster.uuid)).status == "UPDATE_COMPLETE"


async def test_floating_addresses_and_server_ids_come_back_to_the_coe(rig, cloud):
    """What the COE plans with: addresses for its certificates, and the ids that programs of the cluster know."""
    cluster = plain_cluster(floating_ip_enabled=True)
    template = replace(cluster.spec.template, external_network_id="public")
    cluster = replace(cluster, spec=replace(cluster.spec, template=template))
    await store(rig, cluster, builders.groups(cluster))
    await rig.settled(cluster.uuid)
    plan = rig.members[cluster.uuid].plan
    assert [member.addresses for member in plan.members] == [
        (member.address, member.address.replace("198.18.", "198.19.")) for member in plan.members
    ]
    assert plan.balancer_addresses == (plan.balancer, plan.balancer.replace("198.18.", "198.19."))
    servers = {node.uuid: node.server_id for node in cloud.clusters[cluster.uuid].nodes.values()}
    assert {member.uuid: member.provider_id for member in plan.members} == {
        member.uuid: f"openstack:///{servers[member.uuid]}" for member in plan.members
    }
