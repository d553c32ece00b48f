"""The routes of Heat that the Kubernetes cluster autoscaler and auto-healer call, and no others.

Contract: clients, sections 5 and 6. All but one only read. Marking a server as unhealthy stores the same wish as a
resize with `nodes_to_remove`. Neighbours: `stacks` has the shapes, `container_infra.clusters.changes` stores the wish.
"""

from collections.abc import Mapping
from typing import Any

from jeroboam.api.call import Answer, Call, Handler, Route, reply
from jeroboam.api.container_infra.clusters.changes import replace_node
from jeroboam.api.container_infra.lookup import cluster_of, expect_one, groups_of, project_scope
from jeroboam.api.fields import FieldCheck, body_of, flag, integer, optional, read_fields, text
from jeroboam.api.heat_views import stacks
from jeroboam.api.heat_views.stacks import Stack
from jeroboam.domain.clusters import MASTER, Cluster
from jeroboam.domain.errors import Conflict, Forbidden, Invalid, NotFound
from jeroboam.domain.nodeidents import find_node
from jeroboam.kit.ids import is_uuid
from jeroboam.store import Transaction

MARK: dict[str, FieldCheck] = {"mark_unhealthy": flag, "resource_status_reason": optional(text(low=0, high=4096))}
_STACK = "/{tenant}/stacks/{stack}"
_STACK_WITH_ID = f"{_STACK}/{{stack_id}}"
_DEPTH: dict[str, FieldCheck] = {"nested_depth": integer(low=0, high=100)}


async def show(call: Call) -> Answer:
    """GET /stacks/{name}/{id}: a cluster, or one of its groups, as a stack"""
    async with call.parts.store.read() as tx:
        stack = await _find(tx, call)
    return reply({"stack": stacks.show_stack(stack, call.base)})


async def resources(call: Call) -> Answer:
    """GET /stacks/{name}/{id}/resources: groups of a cluster, or nodes of a group"""
    async with call.parts.store.read() as tx:
        stack = await _find(tx, call)
    depth: int = call.query.get("nested_depth", 0)
    return reply({"resources": stacks.list_resources(stack, call.base, depth=depth)})


async def resource(call: Call) -> Answer:
    """GET /stacks/{name}/{id}/resources/{resource}: a group of a cluster, or a node of a group"""
    async with call.parts.store.read() as tx:
        stack = await _find(tx, call)
    return reply({"resource": _resource(stack, call)})


async def mark(call: Call) -> Answer:
    """PATCH /stacks/{name}/{id}/resources/{resource}: a worker that does not work is replaced"""
    body = call.fields()
    if unknown := sorted(body.keys() - MARK.keys()):
        raise Invalid(f"Unknown field {unknown[0]}. It has to be one of: {', '.join(MARK)}.", field=unknown[0])
    if "mark_unhealthy" not in body:
        raise Invalid("Mandatory field missing: mark_unhealthy.", field="mark_unhealthy")
    wish = read_fields(body, MARK)
    async with call.parts.store.read() as tx:
        stack = await _find(tx, call, "cluster:resize_all_projects")
        groups = await groups_of(tx, stack.cluster)
    physical = _resource(stack, call)["physical_resource_id"]
    for group in groups:
        node = find_node(group, physical) if physical != group.uuid else None
        if node is None or not wish["mark_unhealthy"]:
            continue
        if group.spec.role == MASTER:
            message = f"{node.name} is a master: the service replaces it itself where auto_healing_enabled is set."
            raise Conflict(message, field="mark_unhealthy")
        await replace_node(call, stack.cluster, group, node)
    return reply(None)


def _resource(stack: Stack, call: Call) -> dict[str, Any]:
    body = stacks.find_resource(stack, call.path["resource"], call.base)
    if body is None:
        raise NotFound(f"The Resource ({call.path['resource']}) could not be found in Stack {stack.name}.")
    return body


async def _find(tx: Transaction, call: Call, foreign: str = "cluster:get_one_all_projects") -> Stack:
    """The stack that the path names: by its id if the path has one, else by id or name.

    `foreign` is the rule that allows other projects.
    """
    tenant = call.path["tenant"]
    if project_scope(call, foreign) not in {None, tenant}:
        raise Forbidden(f"The token is of project {call.caller.project_id}, the path names {tenant}.")
    ident = call.path.get("stack_id") or call.path["stack"]
    if is_uuid(ident):
        stack = await _find_by_id(tx, tenant, ident)
        if stack is None:
            raise NotFound(f"The Stack ({ident}) could not be found.")
        return stack
    cluster = await cluster_of(tx, ident, tenant)
    return await _stack_of(tx, cluster)


async def _find_by_id(tx: Transaction, tenant: str, ident: str) -> Stack | None:
    if clusters := await tx.clusters.find(ident, {"project_id": tenant}):
        return await _stack_of(tx, clusters[0])
    if groups := await tx.nodegroups.find(ident, {"project_id": tenant}):
        group = expect_one(groups, ident, "Stack", "stacks")
        return Stack(cluster=await cluster_of(tx, group.cluster_id, tenant), group=group)
    for group in await tx.nodegroups.select({"project_id": tenant}):
        node = next((node for node in group.desired if node.uuid == ident.lower()), None)
        if node is not None:
            return Stack(cluster=await cluster_of(tx, group.cluster_id, tenant), group=group, node=node)
    return None


async def _stack_of(tx: Transaction, cluster: Cluster) -> Stack:
    """The stack of a cluster. It holds the default groups; each other group has a stack of its own."""
    groups = [group for group in await groups_of(tx, cluster) if group.spec.is_default]
    return Stack(cluster=cluster, groups=groups)


def _read_route(path: str, handler: Handler, query: Mapping[str, FieldCheck] | None = None) -> Route:
    return Route(method="GET", path=path, handler=handler, rule="cluster:get", query=query or {}, answer=dict[str, Any])


ROUTES = (
    _read_route(_STACK, show),
    _read_route(_STACK_WITH_ID, show),
    _read_route(f"{_STACK}/resources", resources, _DEPTH),
    _read_route(f"{_STACK_WITH_ID}/resources", resources, _DEPTH),
    _read_route(f"{_STACK_WITH_ID}/resources/{{resource}}", resource),
    Route(
        method="PATCH",
        path=f"{_STACK_WITH_ID}/resources/{{resource}}",
        handler=mark,
        rule="cluster:resize",
        body=body_of(MARK, "mark_unhealthy"),
        answer=None,
    ),
)
