"""The handlers that show a cluster's node groups (contract: container-infra, section 7)."""

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.container_infra.lookup import cluster_of, group_of, project_scope
from jeroboam.api.container_infra.nodegroups.fields import NodeGroupList, detail_view, summary_view
from jeroboam.api.container_infra.pages import reply_page
from jeroboam.api.wire import page_of, wants_total
from jeroboam.store import NodeGroupSelector


async def index(call: Call) -> Answer:
    """GET /clusters/{id or name}/nodegroups: the node groups of a cluster"""
    page = page_of(call)
    scope = project_scope(call, "nodegroup:get_all_all_projects")
    async with call.parts.store.read() as tx:
        cluster = await cluster_of(tx, call.path["cluster"], scope)
        selector: NodeGroupSelector = {"cluster_id": cluster.uuid}
        if "role" in call.query:
            selector["role"] = call.query["role"]
        groups = await tx.nodegroups.select(selector, page=page)
        total = await tx.nodegroups.count(selector) if wants_total(call) else None
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
