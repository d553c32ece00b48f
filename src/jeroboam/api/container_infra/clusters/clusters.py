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
from jeroboam.api.container_infra.clusters.fields import (
    CREATE_CHECKS,
    FIELDS,
    READ_ONLY,
    REQUIRED,
    ClusterDetailList,
    ClusterList,
    detail_view,
    list_view,
)
from jeroboam.api.container_infra.fields import inherit_values, merge_into_parent
from jeroboam.api.container_infra.lookup import cluster_of, project_scope, select_usable, template_scope
from jeroboam.api.container_infra.nodegroups import fields as group_fields
from jeroboam.api.container_infra.pages import reply_page
from jeroboam.api.container_infra.schema import refuse_unknown
from jeroboam.api.fields import read_fields
from jeroboam.api.wire import page_of, wants_total
from jeroboam.domain.clusters import (
    DEFAULT_MASTERS,
    DEFAULT_WORKERS,
    MASTER,
    WORKER,
    Cluster,
    ClusterSpec,
    NodeGroup,
    NodeGroupSpec,
    Template,
)
from jeroboam.domain.errors import Invalid, NotFound, OverQuota
from jeroboam.domain.events import CLUSTER_CREATE, count_nodes_in_words
from jeroboam.store import ClusterBrief

ZERO_NODES = 10
"""The first version in which a group may have no nodes."""


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
            body = {"clusters": list_view(clusters, call)}
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
    refuse_unknown(body, CREATE_CHECKS, "cluster", read_only=READ_ONLY)
    if body.get(REQUIRED) is None:
        raise Invalid(f"Mandatory field missing: {REQUIRED}.", field=REQUIRED)
    # A null counts as absent: clients send it for options that were not set.
    wish = {name: value for name, value in read_fields(body, CREATE_CHECKS).items() if value is not None}
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
        if await tx.clusters.count({"project_id": cluster.project_id}) >= limit:
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
        sizes = ", ".join(f"{group.name} with {count_nodes_in_words(group.spec.node_count)}" for group in groups)
        message = f"Cluster requested from template {template.name}: {sizes}."
        await record_event(tx, call, cluster, CLUSTER_CREATE, message, groups=groups)
        tx.hint("cluster", cluster.uuid)
    return cluster, groups


def _unknown_template(call: Call, ident: str) -> Invalid | NotFound:
    kind = NotFound if call.version >= ZERO_NODES else Invalid
    return kind(f"ClusterTemplate {ident} could not be found.", field="cluster_template_id")


def _build_cluster(call: Call, wish: dict[str, Any], template: Template, now: dt.datetime) -> Cluster:
    values = merge_into_parent(FIELDS, ClusterSpec, wish, template.spec)
    spec = ClusterSpec(template=template.spec, **values)
    minutes = spec.create_timeout or call.parts.options.create_timeout
    return Cluster(
        uuid=call.parts.ids.uuid(),
        name=wish.get("name") or call.parts.ids.name("cluster"),
        project_id=call.caller.project_id,
        user_id=call.caller.user_id,
        template_id=template.uuid,
        spec=spec,
        deadline_at=now + dt.timedelta(minutes=minutes),
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
    values = inherit_values(group_fields.FIELDS, cluster.spec)
    if role == MASTER:
        values["flavor_id"] = cluster.spec.master_flavor_id
    return NodeGroup(
        uuid=call.parts.ids.uuid(),
        name=DEFAULT_MASTERS if role == MASTER else DEFAULT_WORKERS,
        cluster_id=cluster.uuid,
        project_id=cluster.project_id,
        spec=NodeGroupSpec(role=role, node_count=count, min_node_count=least, is_default=True, **values),
        created_at=now,
    )


def zero_nodes_error() -> Invalid:
    """The refusal of a group without nodes, which needs a later version of the API."""
    return Invalid("Resizing a nodegroup to zero is not supported in the provided microversion.", field="node_count")
