"""Clusters: create and show (contract: container-infra, section 6). Changes are in `changes`.

A create is one transaction: limit, cluster, both node groups, hint. The row exists before the 202 is sent.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.container_infra import filters
from jeroboam.api.container_infra.bounds import bounds_for
from jeroboam.api.container_infra.clusters.events import record_event
from jeroboam.api.container_infra.lookup import cluster_of, project_scope, select_usable, template_scope
from jeroboam.api.container_infra.pages import reply_page
from jeroboam.api.container_infra.schema import MOST_NODES, NODES, UNUSED_UUID, labels, refuse_unknown
from jeroboam.api.container_infra.shapes import ClusterDetailList, ClusterInList, ClusterList, ClusterShape
from jeroboam.api.fields import FieldCheck, flag, integer, no_effect, optional, read_fields, text
from jeroboam.api.wire import format_time, links, page_of, wants_total
from jeroboam.domain.clusters import MASTER, WORKER, Cluster, ClusterSpec, NodeGroup, NodeGroupSpec, Template
from jeroboam.domain.errors import Invalid, NotFound, OverQuota
from jeroboam.domain.events import CLUSTER_CREATE
from jeroboam.store import ClusterBrief, GroupBrief

_TEXT = optional(text())
_NAME = text(
    high=242, pattern=r"\A[a-zA-Z][a-zA-Z0-9_.-]*\Z", rule="it has to be letters, digits and _.- with a letter first."
)
FIELDS: dict[str, FieldCheck] = {
    "uuid": UNUSED_UUID,
    "name": optional(_NAME),
    "cluster_template_id": text(),
    "keypair": _TEXT,
    "node_count": optional(NODES),
    "master_count": optional(integer(low=1, high=MOST_NODES)),
    "docker_volume_size": optional(integer(low=1)),
    "labels": optional(labels),
    "merge_labels": optional(flag),
    "master_flavor_id": _TEXT,
    "flavor_id": _TEXT,
    "create_timeout": optional(integer(low=0, high=60 * 24 * 365)),
    "discovery_url": _TEXT,
    "fixed_network": _TEXT,
    "fixed_subnet": _TEXT,
    "floating_ip_enabled": optional(flag),
    "master_lb_enabled": optional(flag),
    # Clients send back what they have read.
    "status": no_effect,
    "status_reason": no_effect,
    "health_status": no_effect,
    "health_status_reason": no_effect,
}
REQUIRED = "cluster_template_id"
_READ_ONLY = frozenset(
    "links stack_id cluster_id api_address coe_version container_version project_id user_id node_addresses "
    "master_addresses created_at updated_at".split()
)
# The first versions that have a behaviour.
ZERO_NODES = 10
CLUSTER_ID = 13


def summary_view(cluster: Cluster | ClusterBrief, masters: int, workers: int, call: Call) -> ClusterInList:
    """The object as lists show it. Its size is the sum over its groups."""
    spec = cluster.spec
    body: ClusterInList = {
        "uuid": cluster.uuid,
        "name": cluster.name,
        "cluster_template_id": cluster.template_id,
        "keypair": spec.keypair,
        "node_count": workers,
        "master_count": masters,
        "docker_volume_size": spec.docker_volume_size,
        "labels": spec.labels,
        "master_flavor_id": spec.master_flavor_id,
        "flavor_id": spec.flavor_id,
        "create_timeout": spec.create_timeout,
        "links": links(call.base, "clusters", cluster.uuid),
        "status": cluster.status,
        "health_status": cluster.observed.health_status,
        "merge_labels": False,
        # The auto-healer of Kubernetes asks for the latest version and still reads this field.
        "stack_id": cluster.uuid,
    }
    # There is no stack. A later version renamed the field; its value is the cluster's own id.
    if call.version >= CLUSTER_ID:
        body["cluster_id"] = cluster.uuid
    return body


def detail_view(cluster: Cluster, groups: Sequence[NodeGroup] | Sequence[GroupBrief], call: Call) -> ClusterShape:
    """The whole object, with `faults` if it failed."""
    spec, observed = cluster.spec, cluster.observed
    labels_added, labels_overridden, labels_skipped = label_difference(spec.labels, spec.template.labels)
    masters = sum(group.spec.node_count for group in groups if group.spec.role == MASTER)
    body: ClusterShape = {
        **summary_view(cluster, masters, sum(group.spec.node_count for group in groups) - masters, call),
        "status_reason": cluster.status_reason,
        "health_status_reason": observed.health_status_reason,
        "discovery_url": spec.discovery_url,
        "api_address": observed.api_address,
        "coe_version": observed.coe_version,
        "container_version": observed.container_version,
        "project_id": cluster.project_id,
        "user_id": cluster.user_id,
        "node_addresses": [
            address for group in groups if group.spec.role != MASTER for address in list_addresses(group)
        ],
        "master_addresses": [
            address for group in groups if group.spec.role == MASTER for address in list_addresses(group)
        ],
        "fixed_network": spec.fixed_network,
        "fixed_subnet": spec.fixed_subnet,
        "floating_ip_enabled": spec.floating_ip_enabled,
        "master_lb_enabled": spec.master_lb_enabled,
        "labels_overridden": labels_overridden,
        "labels_added": labels_added,
        "labels_skipped": labels_skipped,
        "created_at": format_time(cluster.created_at),
        "updated_at": format_time(cluster.updated_at),
        "faults": {
            group.name: group.status_reason or cluster.status_reason
            for group in groups
            if group.status.endswith("_FAILED")
        },
    }
    if not cluster.status.endswith("_FAILED"):
        del body["faults"]
    return body


def list_addresses(group: NodeGroup | GroupBrief) -> list[str]:
    """The known addresses of the group's nodes."""
    return [node.address for node in group.observed if node.address]


def label_difference(
    own_labels: dict[str, str], parent_labels: dict[str, str]
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Labels that are added, overridden (with the parent's value) and skipped, compared with the parent's labels."""
    if own_labels == parent_labels:
        return {}, {}, {}
    labels_added = {key: value for key, value in own_labels.items() if key not in parent_labels}
    labels_overridden = {
        key: value for key, value in parent_labels.items() if key in own_labels and own_labels[key] != value
    }
    return (
        labels_added,
        labels_overridden,
        {key: value for key, value in parent_labels.items() if key not in own_labels},
    )


async def index(call: Call) -> Answer:
    """GET /clusters: the clusters, in short"""
    return await _list(call, "clusters", with_details=False)


async def detail(call: Call) -> Answer:
    """GET /clusters/detail: the clusters, whole"""
    return await _list(call, "clusters/detail", with_details=True)


async def _list(call: Call, path: str, *, with_details: bool) -> Answer:
    page = page_of(call)
    scope = project_scope(call, "cluster:get_all_all_projects")
    cluster_filter = filters.read_cluster_filter(call)
    clusters: Sequence[Cluster] | Sequence[ClusterBrief]
    body: ClusterList | ClusterDetailList
    async with call.parts.store.read() as tx:
        if with_details:
            clusters = await tx.clusters.list_page(page, scope, cluster_filter)
            groups = await tx.nodegroups.briefs_of(*(cluster.uuid for cluster in clusters))
            body = {"clusters": [detail_view(cluster, groups[cluster.uuid], call) for cluster in clusters]}
        else:
            clusters = await tx.clusters.list_briefs(page, scope, cluster_filter)
            body = {"clusters": [summary_view(cluster, cluster.masters, cluster.workers, call) for cluster in clusters]}
        if wants_total(call):
            body["total_count"] = await tx.clusters.total(scope, cluster_filter)
    return reply_page(call, page, path, clusters, body)


async def show(call: Call) -> Answer:
    """GET /clusters/{id or name}: a cluster"""
    scope = project_scope(call, "cluster:get_one_all_projects")
    async with call.parts.store.read() as tx:
        cluster = await cluster_of(tx, call.path["cluster"], scope)
        groups = await tx.nodegroups.briefs_of(cluster.uuid)
    return reply(detail_view(cluster, groups[cluster.uuid], call))


async def create(call: Call) -> Answer:
    """POST /clusters: a new cluster"""
    body = call.fields()
    refuse_unknown(body, FIELDS, "cluster", read_only=_READ_ONLY)
    if body.get(REQUIRED) is None:
        raise Invalid(f"Mandatory field missing: {REQUIRED}.", field=REQUIRED)
    # A null counts as absent: clients send it for options that were not set.
    wish = {name: value for name, value in read_fields(body, FIELDS).items() if value is not None}
    cluster, _ = await create_cluster(call, wish)
    return reply({"uuid": cluster.uuid}, 202)


async def create_cluster(call: Call, wish: dict[str, Any]) -> tuple[Cluster, tuple[NodeGroup, NodeGroup]]:
    """Create and store a cluster and its node groups from a checked wish. The template fills in absent fields."""
    async with call.parts.store.read() as tx:
        matches = await tx.templates.find_visible(wish["cluster_template_id"], **template_scope(call))
    template = select_usable(call, matches, wish["cluster_template_id"])
    if template is None:
        raise _unknown_template(call, wish["cluster_template_id"])
    now = call.parts.clock.now()
    cluster = _build_cluster(call, wish, template, now)
    groups = _build_groups(call, cluster, wish, now)
    bounds = await bounds_for(call, cluster.project_id)
    bounds.check_cluster(cluster, groups, template)
    await call.parts.conductor.admit_cluster(cluster, groups, call.caller)
    async with call.parts.store.write() as tx:
        await tx.serialise(cluster.project_id, "clusters")
        limit = await tx.limit(cluster.project_id, "Cluster", call.parts.options.max_clusters_per_project)
        if await tx.clusters.count(project_id=cluster.project_id) >= limit:
            raise OverQuota(
                "Resource limit exceeded: You have reached the maximum clusters per project, "
                f"{limit}. You may delete a cluster to make room for a new one."
            )
        await bounds.check_growth(tx, cluster.project_id, sum(group.spec.node_count for group in groups))
        if await tx.templates.get(template.uuid) is None:
            raise _unknown_template(call, template.uuid)
        await tx.clusters.insert(cluster)
        for group in groups:
            await tx.nodegroups.insert(group)
        sizes = ", ".join(f"{group.name} of {group.spec.node_count}" for group in groups)
        message = f"Cluster asked for from template {template.name}: {sizes}."
        await record_event(tx, call, cluster, CLUSTER_CREATE, message, groups=groups)
        tx.hint("cluster", cluster.uuid)
    return cluster, groups


def _unknown_template(call: Call, ident: str) -> Invalid | NotFound:
    kind = NotFound if call.version >= ZERO_NODES else Invalid
    return kind(f"ClusterTemplate {ident} could not be found.", field="cluster_template_id")


def _build_cluster(call: Call, wish: dict[str, Any], template: Template, now: dt.datetime) -> Cluster:
    template_spec = template.spec
    own_labels: dict[str, str] | None = wish.get("labels")
    merged_labels = (
        template_spec.labels
        if own_labels is None
        else template_spec.labels | own_labels
        if wish.get("merge_labels")
        else own_labels
    )
    minutes: int = wish.get("create_timeout", 60)
    spec = ClusterSpec(
        template=template_spec,
        keypair=wish.get("keypair", template_spec.keypair_id),
        docker_volume_size=wish.get("docker_volume_size", template_spec.docker_volume_size),
        labels=merged_labels,
        master_flavor_id=wish.get("master_flavor_id", template_spec.master_flavor_id),
        flavor_id=wish.get("flavor_id", template_spec.flavor_id),
        create_timeout=minutes,
        discovery_url=wish.get("discovery_url"),
        fixed_network=wish.get("fixed_network", template_spec.fixed_network),
        fixed_subnet=wish.get("fixed_subnet", template_spec.fixed_subnet),
        floating_ip_enabled=wish.get("floating_ip_enabled", template_spec.floating_ip_enabled),
        master_lb_enabled=wish.get("master_lb_enabled", template_spec.master_lb_enabled),
    )
    return Cluster(
        uuid=call.parts.ids.uuid(),
        name=wish.get("name") or call.parts.ids.name("cluster"),
        project_id=call.caller.project_id,
        user_id=call.caller.user_id,
        template_id=template.uuid,
        spec=spec,
        deadline_at=now + dt.timedelta(minutes=minutes or call.parts.options.create_timeout),
        created_at=now,
    )


def _build_groups(call: Call, cluster: Cluster, wish: dict[str, Any], now: dt.datetime) -> tuple[NodeGroup, NodeGroup]:
    masters: int = wish.get("master_count", 1)
    workers: int = wish.get("node_count", 1)
    if masters % 2 == 0:
        raise Invalid(f"master nodegroup size of {masters} is invalid, size cannot be an even number.")
    if masters > 1 and not cluster.spec.master_lb_enabled:
        reason = f"master_count must be 1 when master_lb_enabled is False, and it is {masters}."
        raise Invalid(reason, field="master_count")
    if workers == 0 and call.version < ZERO_NODES:
        raise zero_nodes_error()
    least = int(cluster.spec.labels.get("min_node_count", 0))
    if workers < least:
        raise Invalid(f"node_count {workers} is below the label min_node_count {least}.", field="node_count")
    master = _build_group(call, cluster, MASTER, masters, 1, now)
    return master, _build_group(call, cluster, WORKER, workers, least, now)


def _build_group(call: Call, cluster: Cluster, role: str, count: int, least: int, now: dt.datetime) -> NodeGroup:
    spec = cluster.spec
    return NodeGroup(
        uuid=call.parts.ids.uuid(),
        name=f"default-{role}",
        cluster_id=cluster.uuid,
        project_id=cluster.project_id,
        spec=NodeGroupSpec(
            role=role,
            node_count=count,
            flavor_id=spec.master_flavor_id if role == MASTER else spec.flavor_id,
            image_id=spec.template.image_id,
            docker_volume_size=spec.docker_volume_size,
            labels=spec.labels,
            min_node_count=least,
            is_default=True,
        ),
        created_at=now,
    )


def zero_nodes_error() -> Invalid:
    """The refusal of a group without nodes, which needs a later version of the API."""
    return Invalid("Resizing a nodegroup to zero is not supported in the provided microversion.", field="node_count")
