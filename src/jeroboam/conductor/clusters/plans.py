"""Builds what the drivers are asked for from a cluster's rows, and rows from what the drivers observed. Pure.

Neighbours: the cluster loop and its steps, which call this.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from uuid import UUID, uuid5

from jeroboam.coes.base import (
    Authority,
    Coe,
    CoeObserved,
    CoePlan,
    HasOpenPorts,
    Member,
    SupportsImageVersions,
    SupportsLoadBalancer,
)
from jeroboam.domain import infra_labels
from jeroboam.domain.clusters import (
    DEFAULT_FLAVOR,
    LOAD_BALANCER,
    MASTER,
    Cluster,
    ClusterObserved,
    Health,
    Node,
    NodeGroup,
    NodeObserved,
    NodeState,
    flavor_of,
    role_of,
)
from jeroboam.domain.errors import Invalid, Permanent
from jeroboam.domain.field_effects import check_effects, list_infra_labels
from jeroboam.domain.nodes import OpenPort
from jeroboam.domain.states import record_health_look
from jeroboam.providers.base import (
    CloudUser,
    DesiredInfra,
    DesiredLoadBalancer,
    DesiredNode,
    HasProviderIds,
    NodeAddress,
    ObservedInfra,
    Provider,
)


def image_of(coe: Coe, ref: str, labels: dict[str, str]) -> str:
    """Return the image that nodes boot from."""
    return coe.image(ref, labels) if isinstance(coe, SupportsImageVersions) else ref


def owner_of(cluster: Cluster) -> CloudUser:
    """Return as whom the provider looks up what the cluster names."""
    return CloudUser(project_id=cluster.project_id, user_id=cluster.user_id)


def build_desired_infra(cluster: Cluster, groups: Iterable[NodeGroup], coe: Coe) -> DesiredInfra:
    """Return the infrastructure that the cluster should have.

    Raises `Permanent` for a label whose value cannot be carried out and must not be left out.
    """
    spec, template = cluster.spec, cluster.spec.template
    nodes = tuple(_build_node(cluster, group, node, coe) for group in groups for node in group.desired)
    load_balancer = None
    if spec.master_lb_enabled and isinstance(coe, SupportsLoadBalancer):
        balancer_node = _build_balancer(cluster, coe)
        nodes = (*nodes, balancer_node)
        load_balancer = DesiredLoadBalancer(
            uuid=balancer_node.uuid,
            allowed_cidrs=_read_allowed_cidrs(cluster),
            octavia_provider=infra_labels.read_text(spec.labels, infra_labels.OCTAVIA_PROVIDER),
            octavia_lb_algorithm=infra_labels.read_text(spec.labels, infra_labels.OCTAVIA_LB_ALGORITHM),
            octavia_lb_healthcheck=infra_labels.read_choice(
                spec.labels, infra_labels.OCTAVIA_LB_HEALTHCHECK, default=True
            ),
        )
    return DesiredInfra(
        cluster_id=cluster.uuid,
        cluster_name=cluster.name,
        owner=owner_of(cluster),
        nodes=nodes,
        server_type=template.server_type,
        keypair=spec.keypair,
        external_network_id=template.external_network_id,
        fixed_network=spec.fixed_network,
        fixed_subnet=spec.fixed_subnet,
        fixed_subnet_cidr=infra_labels.read_text(spec.labels, infra_labels.FIXED_SUBNET_CIDR),
        dns_nameservers=tuple(word.strip() for word in (template.dns_nameserver or "").split(",") if word.strip()),
        load_balancer=load_balancer,
    )


def _read_allowed_cidrs(cluster: Cluster) -> tuple[str, ...]:
    """Return who may connect to the load balancer. The label of a stored cluster may be older than its check."""
    if infra_labels.MASTER_LB_ALLOWED_CIDRS not in list_infra_labels(cluster.spec.template.driver):
        return ()
    try:
        return infra_labels.read_cidrs(cluster.spec.labels, infra_labels.MASTER_LB_ALLOWED_CIDRS)
    except Invalid as error:
        raise Permanent(error.detail) from error


def _build_node(cluster: Cluster, group: NodeGroup, node: Node, coe: Coe) -> DesiredNode:
    spec, template = cluster.spec, cluster.spec.template
    labels = spec.labels | group.spec.labels
    has_etcd = group.spec.role == MASTER
    return DesiredNode(
        uuid=node.uuid,
        name=node.name,
        group=group.name,
        role=group.spec.role,
        image=image_of(coe, group.spec.image_id or template.image_id, labels),
        flavor=flavor_of(cluster, group),
        availability_zone=infra_labels.read_text(labels, infra_labels.AVAILABILITY_ZONE),
        boot_volume_size=infra_labels.read_size(labels, infra_labels.BOOT_VOLUME_SIZE),
        boot_volume_type=infra_labels.read_text(labels, infra_labels.BOOT_VOLUME_TYPE),
        docker_volume_size=group.spec.docker_volume_size or spec.docker_volume_size,
        docker_volume_type=infra_labels.read_text(labels, infra_labels.DOCKER_VOLUME_TYPE),
        etcd_volume_size=infra_labels.read_size(labels, infra_labels.ETCD_VOLUME_SIZE) if has_etcd else None,
        etcd_volume_type=infra_labels.read_text(labels, infra_labels.ETCD_VOLUME_TYPE) if has_etcd else None,
        floating_ip_enabled=spec.floating_ip_enabled,
        open_ports=_list_open_ports(cluster, coe, role_of(group.spec)),
        build=group.spec.build,
    )


def _list_open_ports(cluster: Cluster, coe: object, role: str) -> tuple[OpenPort, ...]:
    return tuple(coe.list_open_ports(cluster.spec.template, role)) if isinstance(coe, HasOpenPorts) else ()


def balancer_uuid_of(cluster_id: str) -> str:
    """Return the uuid of the cluster's load balancer, as a server of the provider."""
    return str(uuid5(UUID(cluster_id), LOAD_BALANCER))


def _build_balancer(cluster: Cluster, coe: SupportsLoadBalancer) -> DesiredNode:
    tail = f"-{cluster.uuid[:8]}-lb"
    labels = cluster.spec.labels
    return DesiredNode(
        uuid=balancer_uuid_of(cluster.uuid),
        name=cluster.name.lower().replace("_", "-").replace(".", "-")[: 63 - len(tail)].rstrip("-") + tail,
        group=LOAD_BALANCER,
        role=LOAD_BALANCER,
        image=coe.balancer_image,
        flavor=cluster.spec.master_flavor_id or cluster.spec.template.master_flavor_id or DEFAULT_FLAVOR,
        availability_zone=infra_labels.read_text(labels, infra_labels.AVAILABILITY_ZONE),
        boot_volume_size=infra_labels.read_size(labels, infra_labels.BOOT_VOLUME_SIZE),
        boot_volume_type=infra_labels.read_text(labels, infra_labels.BOOT_VOLUME_TYPE),
        floating_ip_enabled=infra_labels.read_choice(
            labels, infra_labels.MASTER_LB_FLOATING_IP, default=cluster.spec.floating_ip_enabled
        ),
        open_ports=_list_open_ports(cluster, coe, LOAD_BALANCER),
    )


def addresses_of(infra: ObservedInfra) -> dict[str, NodeAddress]:
    """Return the addresses of the nodes, by uuid."""
    return {
        node.uuid: NodeAddress(address=node.address, floating_address=node.floating_address)
        for node in infra.nodes
        if node.address is not None
    }


def list_standing_nodes(groups: Iterable[NodeGroup], infra: ObservedInfra) -> list[NodeGroup]:
    """Return the groups, each with those of its nodes that exist."""
    made_uuids = {
        node.uuid for node in infra.nodes if node.address is not None and node.state is not NodeState.CREATING
    }
    return [
        replace(group, desired=tuple(node for node in group.desired if node.uuid in made_uuids)) for group in groups
    ]


def build_plan(
    cluster: Cluster,
    groups: Iterable[NodeGroup],
    addresses: Mapping[str, NodeAddress],
    authorities: dict[str, Authority],
    provider: Provider | None = None,
) -> CoePlan:
    """Return the cluster as its COE has to know it. The provider is needed for the scripts of nodes."""
    balancer = addresses.get(balancer_uuid_of(cluster.uuid))
    members = [
        Member(
            uuid=node.uuid,
            name=node.name,
            role=role_of(group.spec),
            group=group.name,
            address=addresses[node.uuid].address,
            floating_address=addresses[node.uuid].floating_address,
            provider_id=_build_provider_id(provider, node.uuid, None),
            labels=group.spec.node_labels,
            taints=group.spec.node_taints,
            options=group.spec.labels,
            build=group.spec.build,
        )
        for group in groups
        for node in group.desired
    ]
    members.sort(key=lambda member: member.role != MASTER)
    return CoePlan(
        cluster_id=cluster.uuid,
        cluster_name=cluster.name,
        template=cluster.spec.template,
        labels=cluster.spec.labels,
        members=tuple(members),
        authorities=authorities,
        balancer=None if balancer is None else balancer.address,
        balancer_floating_address=None if balancer is None else balancer.floating_address,
    )


def _build_provider_id(provider: Provider | None, node_uuid: str, server_id: str | None) -> str | None:
    return provider.build_provider_id(node_uuid, server_id) if isinstance(provider, HasProviderIds) else None


def build_current_plan(plan: CoePlan, infra: ObservedInfra, provider: Provider) -> CoePlan:
    """Return the plan with the build and the server that each member has now.

    A member that does not exist gets the desired build.
    """
    nodes = {node.uuid: node for node in infra.nodes if node.state is not NodeState.GONE}
    members = []
    for member in plan.members:
        node = nodes.get(member.uuid)
        provider_id = _build_provider_id(provider, member.uuid, None if node is None else node.server_id)
        members.append(replace(member, build=member.build if node is None else node.build, provider_id=provider_id))
    return replace(plan, members=tuple(members))


def build_observed(cluster: Cluster, infra: ObservedInfra, coe_observed: CoeObserved) -> ClusterObserved:
    """Return what was observed. The published object has no conditions: the limiting ones show as health reasons."""
    # A condition of the COE replaces the provider's condition of the same type.
    all_conditions = (*infra.conditions, *coe_observed.conditions, check_effects(cluster))
    by_type = {condition.type: condition for condition in all_conditions}
    conditions = tuple(by_type.values())
    limits = {condition.type: condition.message for condition in conditions if condition.status is False}
    observed = replace(
        cluster.observed,
        generation=cluster.generation,
        ca_generation=cluster.spec.ca_generation,
        api_address=coe_observed.api_address,
        coe_version=coe_observed.coe_version,
        container_version=coe_observed.container_version,
        health_status=coe_observed.health,
        health_status_reason=limits | coe_observed.health_reasons,
        conditions=conditions,
        failure=None,
        failed_generation=0,
    )
    return record_health_look(observed, cluster.generation)


def build_unhealthy(cluster: Cluster, infra: ObservedInfra, coe_observed: CoeObserved) -> ClusterObserved:
    """Return what was observed of a healthy cluster with nodes that do not work. Its wish stays carried out."""
    reasons = {f"{node.name}.NotReady": node.reason for node in merge_nodes(infra, coe_observed) if not node.ready}
    health = replace(coe_observed, health=Health.UNHEALTHY, health_reasons=coe_observed.health_reasons | reasons)
    return build_observed(cluster, infra, health)


def build_failed(cluster: Cluster, infra: ObservedInfra, coe_observed: CoeObserved) -> ClusterObserved:
    """Return what was observed of a cluster whose last wish failed; the failure stays."""
    now, before = build_unhealthy(cluster, infra, coe_observed), cluster.observed
    if all(member.ready for member in coe_observed.members):
        now = build_observed(cluster, infra, coe_observed)
    return replace(
        now,
        generation=before.generation,
        ca_generation=before.ca_generation,
        failure=before.failure,
        failed_generation=before.failed_generation,
    )


def build_silent(cluster: Cluster, reason: str) -> ClusterObserved:
    """Return what is known of a cluster that does not answer."""
    observed = replace(cluster.observed, health_status=Health.UNHEALTHY, health_status_reason={"api": reason})
    return record_health_look(observed, cluster.generation)


def merge_nodes(infra: ObservedInfra, coe_observed: CoeObserved) -> list[NodeObserved]:
    """Return the provider's view of each node, with the COE's view merged in."""
    members = {member.uuid: member for member in coe_observed.members}

    def merge_node(node: NodeObserved) -> NodeObserved:
        member = members[node.uuid]
        since = None if member.ready else member.since
        return replace(node, ready=member.ready, reason=member.reason, unready_since=since)

    return [merge_node(node) for node in infra.nodes if node.uuid in members]


def merge_all_nodes(infra: ObservedInfra, coe_observed: CoeObserved) -> tuple[NodeObserved, ...]:
    """Return the same, with the nodes that the COE was not asked about."""
    nodes = {node.uuid: node for node in merge_nodes(infra, coe_observed)}
    return tuple(nodes.get(node.uuid, node) for node in infra.nodes)
