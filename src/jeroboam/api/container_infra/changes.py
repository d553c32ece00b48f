"""What can be asked of a cluster that is there: another size, another health, its end.

Each is a new wish in one transaction; a state that forbids it is a 409 at once, never a line in a log.
"""

from dataclasses import replace
from typing import Any

from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.container_infra.clusters import ZERO_NODES, zero_refused
from jeroboam.api.container_infra.lookup import cluster_of, group_of, project_scope
from jeroboam.api.container_infra.schema import MOST_NODES, NODES, literal, refuse_unknown
from jeroboam.api.fields import Check, choice, mapping, optional, read, strings, text, whole
from jeroboam.api.wire import apply, changes_of, query_flag
from jeroboam.domain.clusters import MASTER, Cluster, Health, NodeGroup, Operation
from jeroboam.domain.errors import Invalid
from jeroboam.domain.states import ask_cluster, ask_group
from jeroboam.store import Transaction

DEFAULT_WORKERS = "default-worker"
_CHANGEABLE = frozenset({"node_count", "health_status", "health_status_reason"})
_INTERNAL = frozenset(
    "created_at id links updated_at uuid project_id user_id api_address node_addresses master_addresses stack_id "
    "cluster_id ca_cert_ref magnum_cert_ref etcd_ca_cert_ref front_proxy_ca_cert_ref".split()
)
_PATCHED: dict[str, Check] = {
    "node_count": whole(low=0, high=MOST_NODES, strings=False),
    "health_status": optional(choice(*Health)),
    "health_status_reason": mapping(scalars=True),
}
_RESIZE: dict[str, Check] = {
    "node_count": NODES,
    "nodes_to_remove": optional(strings()),
    "nodegroup": optional(text()),
}
ROLLBACK = 3


async def update(call: Call) -> Answer:
    """PATCH /clusters/{id or name}"""
    if "rollback" in call.query:
        if call.version < ROLLBACK:
            raise Invalid('Unknown argument: "rollback"', field="rollback")
        query_flag(call.query, "rollback")
    changes = changes_of(call.json())
    for change in changes:
        if change.root in _INTERNAL:
            raise Invalid(f"'/{change.root}' is an internal attribute and can not be updated", field=change.root)
        if change.root not in _CHANGEABLE or change.member is not None:
            raise Invalid(f"cannot change cluster property(ies) {change.root}.", field=change.root)
    named = {change.root for change in changes}
    if "health_status" in named or "health_status_reason" in named:
        call.enforce("cluster:update_health_status")
    scope = project_scope(call, "cluster:update_all_projects")
    async with call.parts.store.write() as tx:
        cluster = await cluster_of(tx, call.path["cluster"], scope)
        workers = await group_of(tx, cluster, DEFAULT_WORKERS)
        seen = cluster.observed
        document: dict[str, Any] = {
            "node_count": workers.spec.node_count,
            "health_status": seen.health_status,
            "health_status_reason": seen.health_status_reason or None,
        }
        patched = _readable(apply(document, changes))
        wanted = patched.get("node_count", 1)
        health = replace(
            seen,
            health_status=Health(patched["health_status"]) if patched.get("health_status") else None,
            health_status_reason=patched.get("health_status_reason", {}),
        )
        if health != seen:
            cluster = replace(cluster, observed=health, updated_at=tx.now)
            await tx.clusters.update(cluster)
        if "node_count" in named:
            await resized(tx, call, cluster, workers, wanted, (), rollback=query_flag(call.query, "rollback"))
    return reply({"uuid": cluster.uuid}, 202)


def _readable(patched: dict[str, Any]) -> dict[str, Any]:
    reason = patched.get("health_status_reason")
    if isinstance(reason, str):
        try:
            patched["health_status_reason"] = literal(reason)
        except ValueError as error:
            text = "Invalid input for field/attribute health_status_reason. It has to be a dictionary."
            raise Invalid(text, field="health_status_reason") from error
    return read({name: value for name, value in patched.items() if value is not None}, _PATCHED)


async def resize(call: Call) -> Answer:
    """POST /clusters/{id or name}/actions/resize"""
    body = call.fields()
    refuse_unknown(body, _RESIZE, "cluster_resize_req")
    if "node_count" not in body:
        raise Invalid("Mandatory field missing: node_count.", field="node_count")
    wish = read(body, _RESIZE)
    async with call.parts.store.write() as tx:
        cluster = await cluster_of(tx, call.path["cluster"], project_scope(call, "cluster:resize_all_projects"))
        group = await group_of(tx, cluster, wish.get("nodegroup") or DEFAULT_WORKERS)
        await resized(tx, call, cluster, group, wish["node_count"], wish.get("nodes_to_remove") or ())
    return reply({"uuid": cluster.uuid}, 202)


async def resized(
    tx: Transaction,
    call: Call,
    cluster: Cluster,
    group: NodeGroup,
    count: int,
    leavers: tuple[str, ...] = (),
    *,
    rollback: bool = False,
) -> Cluster:
    """The cluster with a wish for another size of that group, written. Raises for a size that cannot be."""
    _check_size(call, group, count)
    _check_leavers(group, leavers)
    asked = ask_cluster(cluster, Operation.UPDATE, now=tx.now, minutes=minutes_for(call, cluster))
    if rollback:
        asked = replace(asked, spec=replace(asked.spec, rollback_to={group.uuid: group.spec.node_count}))
    await tx.clusters.update(asked)
    other = replace(group, spec=replace(group.spec, node_count=count, nodes_to_remove=leavers))
    await tx.nodegroups.update(ask_group(other, Operation.UPDATE, now=tx.now))
    tx.hint("cluster", cluster.uuid)
    return asked


def _check_size(call: Call, group: NodeGroup, count: int) -> None:
    least, most = group.spec.min_node_count, group.spec.max_node_count
    if count == 0 and call.version < ZERO_NODES:
        raise zero_refused()
    if group.spec.role == MASTER:
        raise Invalid(f"Resizing the master nodegroup {group.name} is not supported.", field="nodegroup")
    if count < least or (most is not None and count > most):
        raise Invalid(
            f"Resizing {group.name} outside the allowed range: min_node_count = {least}, max_node_count = {most}",
            field="node_count",
        )


def _check_leavers(group: NodeGroup, leavers: tuple[str, ...]) -> None:
    known = {word for node in group.desired for word in (node.uuid, node.name)}
    known |= {word for seen in group.observed for word in (seen.uuid, seen.name, seen.address, seen.server_id) if word}
    for leaver in leavers:
        if leaver not in known:
            raise Invalid(f"Nodegroup {group.name} has no node {leaver} to remove.", field="nodes_to_remove")


async def delete(call: Call) -> Answer:
    """DELETE /clusters/{id or name}"""
    scope = project_scope(call, "cluster:delete_all_projects")
    async with call.parts.store.write() as tx:
        await ended(tx, call, await cluster_of(tx, call.path["cluster"], scope))
    return NO_CONTENT


async def ended(tx: Transaction, call: Call, cluster: Cluster) -> None:
    """Write the wish that it be gone, over whatever else is under way."""
    leaving = ask_cluster(cluster, Operation.DELETE, now=tx.now, minutes=minutes_for(call, cluster))
    if leaving is not cluster:
        await tx.clusters.update(leaving)
        status = leaving.status
        for group in (await tx.nodegroups.of(cluster.uuid))[cluster.uuid]:
            await tx.nodegroups.update(replace(group, status=status, status_reason=None, updated_at=tx.now))
    tx.hint("cluster", cluster.uuid)


def minutes_for(call: Call, cluster: Cluster) -> int:
    """How long a wish to that cluster may take."""
    return cluster.spec.create_timeout or call.parts.options.create_timeout
