"""The published views of a cluster's node groups (contract: container-infra, section 7)."""

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.container_infra.clusters.clusters import label_difference, list_addresses
from jeroboam.api.container_infra.lookup import cluster_of, group_of, project_scope
from jeroboam.api.container_infra.pages import reply_page
from jeroboam.api.container_infra.shapes import NodeGroupInList, NodeGroupList, NodeGroupShape, NodeShape
from jeroboam.api.wire import format_time, links, page_of, wants_total
from jeroboam.domain.clusters import Cluster, NodeGroup, NodeObserved


def summary_view(group: NodeGroup) -> NodeGroupInList:
    """The object as lists show it."""
    spec = group.spec
    return {
        "uuid": group.uuid,
        "name": group.name,
        "flavor_id": spec.flavor_id,
        "image_id": spec.image_id,
        "node_count": spec.node_count,
        "role": spec.role,
        "min_node_count": spec.min_node_count,
        "max_node_count": spec.max_node_count,
        "is_default": spec.is_default,
        # As in Magnum: the default groups belong to the cluster's stack, any other group has its own.
        "stack_id": group.cluster_id if spec.is_default else group.uuid,
        "status": group.status,
        "merge_labels": spec.merge_labels,
    }


def detail_view(group: NodeGroup, cluster: Cluster, base: str) -> NodeGroupShape:
    """The whole object."""
    spec = group.spec
    labels_added, labels_overridden, labels_skipped = label_difference(spec.labels, cluster.spec.labels)
    return {
        **summary_view(group),
        "id": group.id,
        "cluster_id": group.cluster_id,
        "project_id": group.project_id,
        "docker_volume_size": spec.docker_volume_size,
        "labels": spec.labels,
        "labels_overridden": labels_overridden,
        "labels_added": labels_added,
        "labels_skipped": labels_skipped,
        "links": links(base, f"clusters/{cluster.uuid}/nodegroups", group.uuid),
        "node_addresses": list_addresses(group),
        "nodes": [_node(node, group) for node in group.observed],
        "status_reason": group.status_reason,
        "version": None,
        "node_labels": spec.node_labels,
        "node_taints": spec.node_taints,
        "created_at": format_time(group.created_at),
        "updated_at": format_time(group.updated_at),
    }


def _node(node: NodeObserved, group: NodeGroup) -> NodeShape:
    return {
        "uuid": node.uuid,
        "name": node.name,
        "address": node.address,
        "server_id": node.server_id,
        "state": node.state,
        "ready": node.ready,
        "reason": node.reason,
        "up_to_date": node.build == group.spec.build,
    }


async def index(call: Call) -> Answer:
    """GET /clusters/{id or name}/nodegroups: the node groups of a cluster"""
    page = page_of(call)
    scope = project_scope(call, "nodegroup:get_all_all_projects")
    role = {"role": call.query["role"]} if "role" in call.query else {}
    async with call.parts.store.read() as tx:
        cluster = await cluster_of(tx, call.path["cluster"], scope)
        groups = await tx.nodegroups.select(page, cluster_id=cluster.uuid, **role)
        total = await tx.nodegroups.count(cluster_id=cluster.uuid, **role) if wants_total(call) else None
    body: NodeGroupList = {"nodegroups": [summary_view(group) for group in groups]}
    if total is not None:
        body["total_count"] = total
    return reply_page(call, page, f"clusters/{cluster.uuid}/nodegroups", groups, body)


async def show(call: Call) -> Answer:
    """GET /clusters/{id or name}/nodegroups/{id or name}: a node group"""
    scope = project_scope(call, "nodegroup:get_one_all_projects")
    async with call.parts.store.read() as tx:
        cluster = await cluster_of(tx, call.path["cluster"], scope)
        group = await group_of(tx, cluster, call.path["group"])
    return reply(detail_view(group, cluster, call.base))
