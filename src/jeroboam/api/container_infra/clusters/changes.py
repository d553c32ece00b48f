"""Changes of a cluster: size, labels, flavours, name, health, and its deletion.

Each is a wish in one transaction. If the state forbids it, the answer is a 409 at once, and not a line in a log.
Neighbours: `updates` applies a change of labels or flavours to the groups, `upgrades` moves a cluster to another
template.
"""

from dataclasses import replace
from typing import Any

from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.container_infra.bounds import ProjectLimits, bounds_for
from jeroboam.api.container_infra.clusters.clusters import ZERO_NODES, zero_nodes_error
from jeroboam.api.container_infra.clusters.events import record_event
from jeroboam.api.container_infra.clusters.fields import PATCH_CHECKS
from jeroboam.api.container_infra.clusters.updates import ClusterUpdate, batch_of, build_update
from jeroboam.api.container_infra.lookup import cluster_of, group_of, groups_of, project_scope
from jeroboam.api.container_infra.schema import NODES, decode_labels, parse_literal, refuse_unknown
from jeroboam.api.fields import FieldCheck, InvalidField, optional, read_fields, strings, text
from jeroboam.api.wire import PatchOperation, apply_patch, changes_of, query_flag
from jeroboam.domain.clusters import DEFAULT_WORKERS, MASTER, Cluster, Node, NodeGroup, Operation
from jeroboam.domain.errors import Invalid
from jeroboam.domain.events import CLUSTER_DELETE, CLUSTER_HEALTH, CLUSTER_RESIZE, CLUSTER_UPDATE, count_nodes_in_words
from jeroboam.domain.nodeidents import find_node, format_node_names, list_leaving_nodes
from jeroboam.domain.states import ask_cluster, ask_group
from jeroboam.domain.upgrades import build_previous_spec
from jeroboam.store import Transaction

_INTERNAL = frozenset(
    "created_at id links updated_at uuid project_id user_id api_address node_addresses master_addresses stack_id "
    "cluster_id ca_cert_ref magnum_cert_ref etcd_ca_cert_ref front_proxy_ca_cert_ref".split()
)
RESIZE: dict[str, FieldCheck] = {
    "node_count": NODES,
    "nodes_to_remove": optional(strings()),
    "nodegroup": optional(text()),
}
ROLLBACK = 3


async def update(call: Call) -> Answer:
    """PATCH /clusters/{id or name}: another size, other labels or flavours, another name or health"""
    changes = _changes(call)
    field_names = {change.root for change in changes}
    batch = batch_of(call)
    scope = project_scope(call, "cluster:update_all_projects")
    async with call.parts.store.read() as tx:
        before = await cluster_of(tx, call.path["cluster"], scope)
        groups = await groups_of(tx, before)
        workers = await group_of(tx, before, DEFAULT_WORKERS) if "node_count" in field_names else None
        now = tx.now
    # A cluster whose name is removed gets a generated one, like a cluster that was created without a name.
    spare = {"name": call.parts.ids.name("cluster")}
    wish = spare | _apply_patch(before, groups, changes)
    cluster_update = build_update(before, groups, wish, now=now)
    roles: frozenset[str] = frozenset()
    bounds = await bounds_for(call, before.project_id)
    bounds.check_change(before, cluster_update.cluster, cluster_update.groups)
    if workers is not None:
        await check_growth(call, before, workers, wish.get("node_count", 1))
    if cluster_update.cluster.spec != before.spec or cluster_update.groups:
        roles = await call.parts.conductor.admit_change(before, cluster_update.cluster, cluster_update.groups)
    async with call.parts.store.write() as tx:
        cluster = await cluster_of(tx, before.uuid, scope)
        groups = await groups_of(tx, cluster)
        wish = spare | _apply_patch(cluster, groups, changes)
        cluster_update = build_update(cluster, groups, wish, now=tx.now, roles=roles)
        if "node_count" in field_names:
            workers = await group_of(tx, cluster, DEFAULT_WORKERS)
            cluster_update = _set_size(call, cluster_update, workers, wish.get("node_count", 1))
        rollback = query_flag(call.query, "rollback")
        await _write(tx, call, bounds, cluster, cluster_update, batch=batch, rollback=rollback)
    return reply({"uuid": cluster.uuid}, 202)


def _changes(call: Call) -> list[PatchOperation]:
    """The operations of the patch. Raises if the caller may not use one of them at that version."""
    if "rollback" in call.query and call.version < ROLLBACK:
        raise Invalid('Unknown argument: "rollback"', field="rollback")
    changes = changes_of(call.json())
    for change in changes:
        if change.root in _INTERNAL:
            raise Invalid(f"'/{change.root}' is an internal attribute and can not be updated", field=change.root)
        if change.root not in PATCH_CHECKS or (change.member is not None and change.root != "labels"):
            raise Invalid(f"cannot change cluster property(ies) {change.root}.", field=change.root)
    if any(change.root.startswith("health_status") for change in changes):
        call.enforce("cluster:update_health_status")
    return [decode_labels(change) for change in changes]


def _apply_patch(cluster: Cluster, groups: list[NodeGroup], changes: list[PatchOperation]) -> dict[str, Any]:
    """The fields that may be patched, with their new values. Removed fields are absent."""
    sizes = {group.name: group.spec.node_count for group in groups}
    health, spec = cluster.health, cluster.spec
    document: dict[str, Any] = {
        "node_count": sizes.get(DEFAULT_WORKERS),
        "health_status": health.health_status,
        "health_status_reason": health.health_status_reason or None,
        "name": cluster.name,
        "labels": spec.labels,
        "flavor_id": spec.flavor_id,
        "master_flavor_id": spec.master_flavor_id,
    }
    result = apply_patch(document, [_add_as_replace(change) for change in changes])
    reason = result.get("health_status_reason")
    if isinstance(reason, str):
        try:
            result["health_status_reason"] = parse_literal(reason)
        except ValueError as error:
            raise InvalidField("health_status_reason", reason, "it has to be an object of strings, in JSON.") from error
    return read_fields({name: value for name, value in result.items() if value is not None}, PATCH_CHECKS)


def _add_as_replace(change: PatchOperation) -> PatchOperation:
    """The change of a flavour with `replace`: a cluster without a flavour of its own has its template's."""
    return replace(change, op="replace") if change.op == "add" and change.root.endswith("flavor_id") else change


async def resize(call: Call) -> Answer:
    """POST /clusters/{id or name}/actions/resize: another size of a node group"""
    body = call.fields()
    refuse_unknown(body, RESIZE, "cluster_resize_req")
    if "node_count" not in body:
        raise Invalid("Mandatory field missing: node_count.", field="node_count")
    wish = read_fields(body, RESIZE)
    scope = project_scope(call, "cluster:resize_all_projects")
    async with call.parts.store.read() as tx:
        cluster = await cluster_of(tx, call.path["cluster"], scope)
        group = await group_of(tx, cluster, wish.get("nodegroup") or DEFAULT_WORKERS)
    bounds = await bounds_for(call, cluster.project_id)
    await check_growth(call, cluster, group, wish["node_count"])
    async with call.parts.store.write() as tx:
        cluster = await cluster_of(tx, cluster.uuid, scope)
        group = await group_of(tx, cluster, group.uuid)
        nodes_to_remove = wish.get("nodes_to_remove") or ()
        cluster_update = _set_size(call, ClusterUpdate(cluster=cluster), group, wish["node_count"], nodes_to_remove)
        await _write(tx, call, bounds, cluster, cluster_update)
    return reply({"uuid": cluster.uuid}, 202)


async def replace_node(call: Call, cluster: Cluster, group: NodeGroup, node: Node) -> None:
    """Store the wish to replace this node, as a resize to the same size does."""
    bounds = await bounds_for(call, cluster.project_id)
    async with call.parts.store.write() as tx:
        cluster = await cluster_of(tx, cluster.uuid, cluster.project_id)
        group = await group_of(tx, cluster, group.uuid)
        cluster_update = _set_size(call, ClusterUpdate(cluster=cluster), group, group.spec.node_count, (node.uuid,))
        await _write(tx, call, bounds, cluster, cluster_update)


async def check_growth(call: Call, cluster: Cluster, group: NodeGroup, count: int) -> None:
    """Raise `Conflict` if the provider has no room for the additional nodes. To be called before the wish is stored."""
    if (growth := count - group.spec.node_count) > 0:
        await call.parts.conductor.admit_growth(cluster, group, growth)


async def resize_group(
    tx: Transaction, call: Call, bounds: ProjectLimits, cluster: Cluster, group: NodeGroup, count: int
) -> None:
    """Store the wish for another size of the group. Raises if the size or the cluster's state forbids it."""
    await _write(tx, call, bounds, cluster, _set_size(call, ClusterUpdate(cluster=cluster), group, count))


def _set_size(
    call: Call, cluster_update: ClusterUpdate, group: NodeGroup, count: int, nodes_to_remove: tuple[str, ...] = ()
) -> ClusterUpdate:
    """The update with another size of that group."""
    _check_size(call, group, count)
    # Nodes of an earlier wish that have not left yet are still removed: both wishes were accepted.
    uuids_to_remove = dict.fromkeys(
        node.uuid for node in (*list_leaving_nodes(group), *_find_nodes(group, nodes_to_remove))
    )
    groups_by_uuid = {changed.uuid: changed for changed in cluster_update.groups}
    group = groups_by_uuid.get(group.uuid, group)
    new_group = replace(group, spec=replace(group.spec, node_count=count, nodes_to_remove=tuple(uuids_to_remove)))
    return replace(cluster_update, groups=tuple({**groups_by_uuid, group.uuid: new_group}.values()))


async def _write(
    tx: Transaction,
    call: Call,
    bounds: ProjectLimits,
    before: Cluster,
    cluster_update: ClusterUpdate,
    *,
    batch: int | None = None,
    rollback: bool = False,
) -> None:
    """Store the changed wish. If it is about nodes, the cluster is in progress from now on."""
    after, groups_by_uuid = cluster_update.cluster, {group.uuid: group for group in await groups_of(tx, before)}
    sizes = {uuid: group.spec.node_count for uuid, group in groups_by_uuid.items()}
    growth = sum(group.spec.node_count - sizes[group.uuid] for group in cluster_update.groups)
    await bounds.check_growth(tx, before.project_id, growth, cluster_id=before.uuid)
    if after.health.health_status != before.health.health_status:
        await record_event(tx, call, after, CLUSTER_HEALTH, "Set by request.")
    event_type, message, nodegroup = _describe_change(before, cluster_update, sizes)
    if not cluster_update.groups and after.spec == before.spec:
        if after != before:
            await tx.clusters.update(replace(after, updated_at=tx.now))
        if message:
            await record_event(tx, call, after, event_type, message)
        return
    updated_cluster = ask_cluster(after, Operation.UPDATE, now=tx.now, minutes=minutes_for(call, before))
    spec = replace(updated_cluster.spec, max_batch_size=batch or updated_cluster.spec.max_batch_size)
    if rollback:
        spec = replace(
            spec, former=build_previous_spec(before, [groups_by_uuid[group.uuid] for group in cluster_update.groups])
        )
    updated_cluster = replace(updated_cluster, spec=spec)
    await tx.clusters.update(updated_cluster)
    for group in cluster_update.groups:
        await tx.nodegroups.update(ask_group(group, Operation.UPDATE, now=tx.now))
    groups = tuple((groups_by_uuid | {group.uuid: group for group in cluster_update.groups}).values())
    await record_event(tx, call, updated_cluster, event_type, message, nodegroup=nodegroup, groups=groups)
    tx.hint("cluster", before.uuid)


def _describe_change(
    before: Cluster, cluster_update: ClusterUpdate, sizes: dict[str, int]
) -> tuple[str, str, str | None]:
    """The event of that change: its type, a sentence, and the node group if it is about one only."""
    after = cluster_update.cluster
    resized_groups = [group for group in cluster_update.groups if group.spec.node_count != sizes[group.uuid]]
    parts = [
        f"{group.name} resized from {sizes[group.uuid]} to {count_nodes_in_words(group.spec.node_count)}"
        for group in resized_groups
    ]
    parts += [text for group in cluster_update.groups if (text := _describe_leaving(group, sizes[group.uuid]))]
    if after.name != before.name:
        parts.append(f"renamed from {before.name} to {after.name}")
    fields = ("labels", "flavor_id", "master_flavor_id")
    if changed_fields := [name for name in fields if getattr(after.spec, name) != getattr(before.spec, name)]:
        parts.append(f"change of {', '.join(changed_fields)} requested")
    only_group = cluster_update.groups[0] if len(cluster_update.groups) == 1 else None
    if only_group is not None and not parts:
        parts.append(f"{only_group.name} requested again with {count_nodes_in_words(only_group.spec.node_count)}")
    resize = only_group is not None and after.name == before.name and not changed_fields
    message = f"{'; '.join(parts)}." if parts else ""
    return (CLUSTER_RESIZE if resize else CLUSTER_UPDATE), message, only_group.name if only_group and resize else None


def _describe_leaving(group: NodeGroup, size: int) -> str:
    """A sentence about the nodes that the wish removes or replaces."""
    leaving = list_leaving_nodes(group)
    if not leaving:
        return ""
    verb = "removed from" if group.spec.node_count < size else "replaced in"
    return f"{format_node_names(leaving)} to be {verb} {group.name}"


def _check_size(call: Call, group: NodeGroup, count: int) -> None:
    min_count, max_count = group.spec.min_node_count, group.spec.max_node_count
    if count == 0 and call.version < ZERO_NODES:
        raise zero_nodes_error()
    if group.spec.role == MASTER:
        raise Invalid(f"Resizing the master nodegroup {group.name} is not supported.", field="nodegroup")
    if count < min_count or (max_count is not None and count > max_count):
        raise Invalid(
            f"Resizing {group.name} outside the allowed range: min_node_count = {min_count}, "
            f"max_node_count = {max_count}",
            field="node_count",
        )


def _find_nodes(group: NodeGroup, idents: tuple[str, ...]) -> list[Node]:
    """The nodes that the request names. Raises `Invalid` for a name that no node of the group has."""
    nodes = []
    for ident in idents:
        node = find_node(group, ident)
        if node is None:
            raise Invalid(f"Nodegroup {group.name} has no node {ident} to remove.", field="nodes_to_remove")
        nodes.append(node)
    return nodes


async def delete(call: Call) -> Answer:
    """DELETE /clusters/{id or name}: the cluster's end"""
    scope = project_scope(call, "cluster:delete_all_projects")
    async with call.parts.store.write() as tx:
        await delete_cluster(tx, call, await cluster_of(tx, call.path["cluster"], scope))
    return NO_CONTENT


async def delete_cluster(tx: Transaction, call: Call, cluster: Cluster) -> None:
    """Store the wish to delete the cluster, whatever else is in progress."""
    updated_cluster = ask_cluster(cluster, Operation.DELETE, now=tx.now, minutes=minutes_for(call, cluster))
    if updated_cluster is not cluster:
        await tx.clusters.update(updated_cluster)
        status = updated_cluster.status
        # A delete does not need groups that cannot be read.
        groups = await tx.nodegroups.select({"cluster_id": cluster.uuid})
        for group in groups:
            await tx.nodegroups.update(replace(group, status=status, status_reason=None, updated_at=tx.now))
        await record_event(
            tx, call, updated_cluster, CLUSTER_DELETE, "Deletion of the cluster requested.", groups=groups
        )
    tx.hint("cluster", cluster.uuid)


def minutes_for(call: Call, cluster: Cluster) -> int:
    """The time limit of a wish for that cluster, in minutes."""
    return cluster.spec.create_timeout or call.parts.options.create_timeout
