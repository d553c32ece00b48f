"""Bays: clusters in the shape of 2015.

Clients of 2015 expect the whole bay in the answer, and name no version. So a bay is shown in full as soon as its wish
is stored, and its status shows the progress. Its sizes are the sums over the cluster's node groups.
"""

from collections.abc import Sequence
from dataclasses import replace

from jeroboam.api.bays.lookup import bay_of, baymodel_of
from jeroboam.api.bays.shapes import BayDetailList, BayInList, BayList, BayShape
from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.container_infra.bounds import bounds_for
from jeroboam.api.container_infra.clusters import changes, clusters
from jeroboam.api.container_infra.lookup import group_of, groups_of, project_scope
from jeroboam.api.container_infra.pages import reply_page
from jeroboam.api.container_infra.schema import MOST_NODES, UNUSED_UUID, refuse_unknown
from jeroboam.api.fields import FieldCheck, integer, optional, read_fields
from jeroboam.api.wire import PatchOperation, apply_patch, changes_of, format_time, links, page_of
from jeroboam.domain.clusters import MASTER, Cluster, NodeGroup
from jeroboam.domain.errors import Invalid
from jeroboam.store import ClusterBrief, GroupBrief

_COUNT = integer(low=1, high=MOST_NODES)
FIELDS: dict[str, FieldCheck] = {
    "uuid": UNUSED_UUID,
    "name": clusters.FIELDS["name"],
    "baymodel_id": clusters.FIELDS["cluster_template_id"],
    "node_count": optional(_COUNT),
    "master_count": optional(_COUNT),
    "bay_create_timeout": clusters.FIELDS["create_timeout"],
    "discovery_url": clusters.FIELDS["discovery_url"],
}
RENAMED_FIELDS = {"baymodel_id": "cluster_template_id", "bay_create_timeout": "create_timeout"}
REQUIRED = "baymodel_id"
_READ_ONLY = frozenset(
    "links stack_id status status_reason api_address node_addresses master_addresses ca_cert_ref project_id "
    "user_id created_at updated_at".split()
)


def summary_view(bay: Cluster | ClusterBrief, masters: int, workers: int, call: Call) -> BayInList:
    """The object as lists show it."""
    return {
        "uuid": bay.uuid,
        "name": bay.name,
        "baymodel_id": bay.template_id,
        "node_count": workers,
        "master_count": masters,
        "bay_create_timeout": bay.spec.create_timeout,
        "stack_id": bay.uuid,
        "status": bay.status,
        "links": links(call.base, "bays", bay.uuid),
    }


def detail_view(bay: Cluster, groups: Sequence[NodeGroup | GroupBrief], call: Call) -> BayShape:
    """The whole object."""
    masters = [group for group in groups if group.spec.role == MASTER]
    workers = [group for group in groups if group.spec.role != MASTER]
    return {
        **summary_view(bay, _size(masters), _size(workers), call),
        "status_reason": bay.status_reason,
        "discovery_url": bay.spec.discovery_url,
        "api_address": bay.observed.api_address,
        "node_addresses": [address for group in workers for address in clusters.list_addresses(group)],
        "master_addresses": [address for group in masters for address in clusters.list_addresses(group)],
        "created_at": format_time(bay.created_at),
        "updated_at": format_time(bay.updated_at),
    }


def _size(groups: Sequence[NodeGroup | GroupBrief]) -> int:
    return sum(group.spec.node_count for group in groups)


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
            body = {"bays": [summary_view(bay, bay.masters, bay.workers, call) for bay in bays]}
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
    refuse_unknown(body, FIELDS, "bay", read_only=_READ_ONLY)
    if body.get(REQUIRED) is None:
        raise Invalid(f"Mandatory field missing: {REQUIRED}.", field=REQUIRED)
    values = {name: value for name, value in read_fields(body, FIELDS).items() if value is not None}
    async with call.parts.store.read() as tx:
        values["baymodel_id"] = (await baymodel_of(tx, call, values["baymodel_id"])).uuid
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
        workers = await group_of(tx, bay, changes.DEFAULT_WORKERS)
    bounds = await bounds_for(call, bay.project_id)
    await changes.check_growth(call, bay, workers, _read_node_count(workers, steps))
    async with call.parts.store.write() as tx:
        bay = await bay_of(tx, call, bay.uuid, "cluster:update_all_projects")
        if steps:
            workers = await group_of(tx, bay, changes.DEFAULT_WORKERS)
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
