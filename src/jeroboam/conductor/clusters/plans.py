"""Builds what the drivers are asked for from a cluster's rows, and rows from what the drivers observed. Pure.

Neighbours: the cluster loop and its steps, which call this.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from uuid import UUID, uuid5

from jeroboam.coes.base import Authority, Coe, CoeObserved, CoePlan, Member, SupportsImageVersions, SupportsLoadBalancer
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
from jeroboam.domain.field_effects import check_effects
from jeroboam.domain.states import record_health_look
from jeroboam.providers.base import DesiredInfra, DesiredNode, ObservedInfra


def image_of(coe: Coe, ref: str, labels: dict[str, str]) -> str:
    """Return the image that nodes boot from."""
    return coe.image(ref, labels) if isinstance(coe, SupportsImageVersions) else ref


def build_desired_infra(cluster: Cluster, groups: Iterable[NodeGroup], coe: Coe) -> DesiredInfra:
    """Return the infrastructure that the cluster should have."""

    def build_node(group: NodeGroup, node: Node) -> DesiredNode:
        image_ref = group.spec.image_id or cluster.spec.template.image_id
        return DesiredNode(
            uuid=node.uuid,
            name=node.name,
            group=group.name,
            role=group.spec.role,
            image=image_of(coe, image_ref, cluster.spec.labels | group.spec.labels),
            flavor=flavor_of(cluster, group),
            docker_volume_size=group.spec.docker_volume_size,
            build=group.spec.build,
        )

    nodes = tuple(build_node(group, node) for group in groups for node in group.desired)
    if cluster.spec.master_lb_enabled and isinstance(coe, SupportsLoadBalancer):
        nodes = (*nodes, _build_balancer(cluster, coe))
    return DesiredInfra(
        cluster_id=cluster.uuid, cluster_name=cluster.name, nodes=nodes, network=cluster.spec.fixed_network
    )


def balancer_uuid_of(cluster_id: str) -> str:
    """Return the uuid of the cluster's load balancer, as a server of the provider."""
    return str(uuid5(UUID(cluster_id), LOAD_BALANCER))


def _build_balancer(cluster: Cluster, coe: SupportsLoadBalancer) -> DesiredNode:
    tail = f"-{cluster.uuid[:8]}-lb"
    return DesiredNode(
        uuid=balancer_uuid_of(cluster.uuid),
        name=cluster.name.lower().replace("_", "-").replace(".", "-")[: 63 - len(tail)].rstrip("-") + tail,
        group=LOAD_BALANCER,
        role=LOAD_BALANCER,
        image=coe.balancer_image,
        flavor=cluster.spec.master_flavor_id or cluster.spec.template.master_flavor_id or DEFAULT_FLAVOR,
    )


def addresses_of(infra: ObservedInfra) -> dict[str, str]:
    """Return the addresses of the nodes, by uuid."""
    return {node.uuid: node.address for node in infra.nodes if node.address is not None}


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
    addresses: Mapping[str, str],
    authorities: dict[str, Authority],
) -> CoePlan:
    """Return the cluster as its COE has to know it."""
    members = [
        Member(
            uuid=node.uuid,
            name=node.name,
            role=role_of(group.spec),
            group=group.name,
            address=addresses[node.uuid],
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
        balancer=addresses.get(balancer_uuid_of(cluster.uuid)),
    )


def build_current_plan(plan: CoePlan, infra: ObservedInfra) -> CoePlan:
    """Return the plan with the build that each member has now; a member that does not exist gets the desired one."""
    builds = {node.uuid: node.build for node in infra.nodes if node.state is not NodeState.GONE}
    members = tuple(replace(member, build=builds.get(member.uuid, member.build)) for member in plan.members)
    return replace(plan, members=members)


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
