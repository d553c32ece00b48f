"""Bays: clusters in the shape of 2015.

Clients of 2015 expect the whole bay in the answer, and name no version. So a bay is shown in full as soon as its wish
is stored, and its status shows the progress. Its sizes are the sums over the cluster's node groups.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from jeroboam.api.bays.lookup import bay_of, baymodel_of_field
from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.container_infra.bounds import bounds_for
from jeroboam.api.container_infra.clusters import changes, clusters
from jeroboam.api.container_infra.clusters.fields import FIELDS as CLUSTER_FIELDS
from jeroboam.api.container_infra.clusters.fields import build_context
from jeroboam.api.container_infra.fields import (
    InfraField,
    create_checks,
    effects_of,
    links_to,
    read_only_names,
    select_brief_values,
)
from jeroboam.api.container_infra.lookup import group_of, groups_of, project_scope
from jeroboam.api.container_infra.pages import reply_page
from jeroboam.api.container_infra.schema import MOST_NODES, refuse_unknown
from jeroboam.api.field_table import build_shape, compile_view
from jeroboam.api.fields import integer, optional, read_fields
from jeroboam.api.shapes import Link, NextPage
from jeroboam.api.wire import PatchOperation, apply_patch, changes_of, page_of
from jeroboam.domain import field_effects
from jeroboam.domain.clusters import DEFAULT_WORKERS, Cluster, NodeGroup
from jeroboam.domain.errors import Invalid
from jeroboam.domain.field_effects import service
from jeroboam.store import ClusterBrief, GroupBrief

_COUNT = integer(low=1, high=MOST_NODES)
RENAMED_FIELDS = {"baymodel_id": "cluster_template_id", "bay_create_timeout": "create_timeout"}
_OF_CLUSTER = {field.name: field for field in CLUSTER_FIELDS}
_IN_LIST = (
    _OF_CLUSTER["uuid"],
    _OF_CLUSTER["name"],
    replace(_OF_CLUSTER["cluster_template_id"], name="baymodel_id"),
    replace(_OF_CLUSTER["node_count"], check=optional(_COUNT)),
    replace(
        _OF_CLUSTER["master_count"],
        check=optional(_COUNT),
        effect=service("with a load balancer in front of several, where the COE has one"),
    ),
    replace(_OF_CLUSTER["create_timeout"], name="bay_create_timeout", attribute="create_timeout"),
    _OF_CLUSTER["stack_id"],
    # Clients of 2015 do not send it back.
    replace(_OF_CLUSTER["status"], check=None),
    InfraField(name="links", type=list[Link], show=links_to("bays")),
)
FIELDS = (
    *_IN_LIST,
    replace(_OF_CLUSTER["status_reason"], check=None),
    *(
        _OF_CLUSTER[name]
        for name in "discovery_url api_address node_addresses master_addresses created_at updated_at".split()
    ),
)
CREATE_CHECKS = create_checks(FIELDS)
EFFECTS = effects_of(FIELDS, field_effects.CLUSTERS)
REQUIRED = "baymodel_id"
_READ_ONLY = read_only_names(FIELDS) | {"ca_cert_ref", "project_id", "user_id"}
_view_brief = compile_view(select_brief_values(_IN_LIST))
_view_whole = compile_view(FIELDS)
if TYPE_CHECKING:
    BayInList = dict[str, Any]
    BayShape = dict[str, Any]
else:
    BayInList = build_shape("BayInList", "A bay as lists show it.", _IN_LIST)
    BayShape = build_shape("BayShape", "A bay.", FIELDS)


class BayList(TypedDict):
    """A page of bays."""

    bays: list[BayInList]
    next: NotRequired[NextPage]


class BayDetailList(TypedDict):
    """A page of bays, whole."""

    bays: list[BayShape]
    next: NotRequired[NextPage]


def detail_view(bay: Cluster, groups: Sequence[NodeGroup] | Sequence[GroupBrief], call: Call) -> BayShape:
    """The whole object."""
    return _view_whole(bay, build_context(bay, groups, call))


async def index(call: Call) -> Answer:
    """GET /bays: the bays, in short"""
    return await _list(call, "bays", with_details=False)


async def detail(call: Call) -> Answer:
    """GET /bays/detail: the bays, whole"""
    return await _list(call, "bays/detail", with_details=True)


async def _list(call: Call, path: str, *, with_details: bool) -> Answer:
    page = page_of(call)
    scope = project_scope(call, "cluster:get_all_all_projects")
    by_key = replace(page, sort_key=RENAMED_FIELDS.get(page.sort_key, page.sort_key))
    bays: Sequence[Cluster] | Sequence[ClusterBrief]
    body: BayList | BayDetailList
    async with call.parts.store.read() as tx:
        if with_details:
            bays = await tx.clusters.list_page(by_key, scope)
            groups = await tx.nodegroups.briefs_of(*(bay.uuid for bay in bays))
            body = {"bays": [detail_view(bay, groups[bay.uuid], call) for bay in bays]}
        else:
            bays = await tx.clusters.list_briefs(by_key, scope)
            body = {"bays": [_view_brief(bay, call) for bay in bays]}
    return reply_page(call, page, path, bays, body)


async def show(call: Call) -> Answer:
    """GET /bays/{id or name}: a bay"""
    async with call.parts.store.read() as tx:
        bay = await bay_of(tx, call, call.path["bay"])
        groups = await groups_of(tx, bay)
    return reply(detail_view(bay, groups, call))


async def create(call: Call) -> Answer:
    """POST /bays: a new bay"""
    body = call.fields()
    refuse_unknown(body, CREATE_CHECKS, "bay", read_only=_READ_ONLY)
    if body.get(REQUIRED) is None:
        raise Invalid(f"Mandatory field missing: {REQUIRED}.", field=REQUIRED)
    values = {name: value for name, value in read_fields(body, CREATE_CHECKS).items() if value is not None}
    async with call.parts.store.read() as tx:
        values[REQUIRED] = (await baymodel_of_field(tx, call, REQUIRED, values[REQUIRED])).uuid
    wish = {RENAMED_FIELDS.get(name, name): value for name, value in values.items()}
    if values.get("master_count", 1) > 1:
        # In 2015 the masters of a bay were always reachable together; there was no field to ask for a load balancer.
        wish["master_lb_enabled"] = True
    bay, groups = await clusters.create_cluster(call, wish)
    view = detail_view(bay, groups, call)
    return reply(view, 201, ("Location", view["links"][0]["href"]))


async def update(call: Call) -> Answer:
    """PATCH /bays/{id or name}: another number of nodes of a bay"""
    steps = changes_of(call.json())
    for step in steps:
        if step.root in _READ_ONLY | {"id", "uuid"}:
            raise Invalid(f"'/{step.root}' is an internal attribute and can not be updated", field=step.root)
        if step.root != "node_count" or step.member is not None:
            raise Invalid(f"cannot change bay property(ies) {step.root}.", field=step.root)
    async with call.parts.store.read() as tx:
        bay = await bay_of(tx, call, call.path["bay"], "cluster:update_all_projects")
        workers = await group_of(tx, bay, DEFAULT_WORKERS)
    bounds = await bounds_for(call, bay.project_id)
    await changes.check_growth(call, bay, workers, _read_node_count(workers, steps))
    async with call.parts.store.write() as tx:
        bay = await bay_of(tx, call, bay.uuid, "cluster:update_all_projects")
        if steps:
            workers = await group_of(tx, bay, DEFAULT_WORKERS)
            await changes.resize_group(tx, call, bounds, bay, workers, _read_node_count(workers, steps))
            bay = await bay_of(tx, call, bay.uuid)
        groups = await groups_of(tx, bay)
    return reply(detail_view(bay, groups, call))


def _read_node_count(workers: NodeGroup, steps: list[PatchOperation]) -> int:
    """The node count after the patch."""
    document = apply_patch({"node_count": workers.spec.node_count}, steps)
    return int(_COUNT("node_count", document.get("node_count", 1)))


async def delete(call: Call) -> Answer:
    """DELETE /bays/{id or name}: the end of a bay"""
    async with call.parts.store.write() as tx:
        await changes.delete_cluster(tx, call, await bay_of(tx, call, call.path["bay"], "cluster:delete_all_projects"))
    return NO_CONTENT
