"""Node groups: create, change and delete (contract: container-infra, section 7).

Each is a wish of the cluster, in one transaction with the group's row. If the state forbids it, the answer is a 409 at
once. Neighbours: `nodegroups.fields` has the fields and shows groups, `clusters.changes` resizes them.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.container_infra.bounds import bounds_for
from jeroboam.api.container_infra.clusters.changes import minutes_for
from jeroboam.api.container_infra.clusters.clusters import ZERO_NODES, zero_nodes_error
from jeroboam.api.container_infra.clusters.events import record_event
from jeroboam.api.container_infra.clusters.updates import batch_of
from jeroboam.api.container_infra.fields import default_values, merge_into_parent, refuse_early_use, spec_values
from jeroboam.api.container_infra.lookup import cluster_of, group_of, project_scope
from jeroboam.api.container_infra.nodegroups.fields import (
    CREATE_CHECKS,
    FIELDS,
    PATCH_CHECKS,
    READ_ONLY,
    UNREMOVABLE,
    detail_view,
)
from jeroboam.api.container_infra.schema import decode_labels, parse_literal, refuse_unknown
from jeroboam.api.fields import InvalidField, read_fields
from jeroboam.api.wire import PatchOperation, apply_patch, changes_of
from jeroboam.domain.clusters import (
    LOAD_BALANCER,
    MASTER,
    WORKER,
    Cluster,
    NodeGroup,
    NodeGroupSpec,
    Operation,
    role_of,
)
from jeroboam.domain.errors import Conflict, Invalid
from jeroboam.domain.events import NODEGROUP_CREATE, NODEGROUP_DELETE, NODEGROUP_UPDATE, count_nodes_in_words
from jeroboam.domain.limits import RequestedSize
from jeroboam.domain.states import ask_cluster, ask_group
from jeroboam.domain.upgrades import set_group_spec
from jeroboam.store import Transaction

_ARGUMENT = "nodegroup"
_UPDATABLE = [field for field in FIELDS if field.updatable]
# A patch has these as text that holds JSON.
_IN_JSON = ("node_labels", "node_taints")
_RESERVED_ROLES = frozenset({MASTER, LOAD_BALANCER})


async def create(call: Call) -> Answer:
    """POST /clusters/{id or name}/nodegroups: a new node group"""
    body = call.fields()
    refuse_unknown(body, CREATE_CHECKS, _ARGUMENT, read_only=READ_ONLY)
    if body.get("name") is None:
        raise Invalid("Mandatory field missing: name.", field="name")
    wish = {name: value for name, value in read_fields(body, CREATE_CHECKS).items() if value is not None}
    refuse_early_use(FIELDS, wish, call.version)
    scope = project_scope(call, "nodegroup:create_all_projects")
    async with call.parts.store.read() as tx:
        cluster = await cluster_of(tx, call.path["cluster"], scope)
    group = _build_group(call, cluster, wish)
    _check_sizes(group.name, group.spec)
    bounds = await bounds_for(call, cluster.project_id)
    bounds.check_group(cluster, group)
    await call.parts.conductor.admit_nodegroup(cluster, group, call.caller)
    async with call.parts.store.write() as tx:
        cluster = await cluster_of(tx, cluster.uuid, scope)
        if cluster.observed.api_address is None:
            raise Conflict(f"Cluster API address is not available yet: the cluster's status is {cluster.status}.")
        if await tx.nodegroups.count({"cluster_id": cluster.uuid, "name": group.name}):
            raise Conflict(f"A node group with name {group.name} already exists in the cluster.", field="name")
        await bounds.check_growth(tx, cluster.project_id, group.spec.node_count, cluster_id=cluster.uuid)
        updated_cluster = await _write_cluster(tx, call, cluster)
        await tx.nodegroups.insert(group)
        message = f"Node group {group.name} requested with {count_nodes_in_words(group.spec.node_count)}."
        await record_event(tx, call, updated_cluster, NODEGROUP_CREATE, message, nodegroup=group.name)
        call.subject.set_object(group.uuid, group.name)
        [row] = await tx.nodegroups.select({"uuid": group.uuid})
    return reply(detail_view(row, cluster, call.base), 202)


def _build_group(call: Call, cluster: Cluster, wish: dict[str, Any]) -> NodeGroup:
    """The group with the checked fields. Unset fields come from the cluster or its template."""
    role: str = wish.get("role", WORKER)
    if role in _RESERVED_ROLES:
        raise Invalid(f"Cannot create a nodegroup with role {role}: a cluster has its own.", field="role")
    count: int = wish.get("node_count", 1)
    if count == 0 and call.version < ZERO_NODES:
        raise zero_nodes_error()
    values = merge_into_parent(FIELDS, NodeGroupSpec, wish, cluster.spec)
    return NodeGroup(
        uuid=call.parts.ids.uuid(),
        name=wish["name"],
        cluster_id=cluster.uuid,
        project_id=cluster.project_id,
        spec=NodeGroupSpec(**(values | {"role": role, "node_count": count})),
        created_at=call.parts.clock.now(),
    )


def _check_sizes(name: str, spec: NodeGroupSpec) -> None:
    """Raise `Conflict` unless minimum, count and maximum are in order."""
    min_count, count, max_count = spec.min_node_count, spec.node_count, spec.max_node_count
    if max_count is not None and min_count > max_count:
        text = f"min_node_count ({min_count}) should be less or equal to max_node_count ({max_count})"
        raise Conflict(f"max_node_count for {name} is invalid ({text}).", field="max_node_count")
    if max_count is not None and count > max_count:
        text = f"max_node_count ({max_count}) should be greater or equal to node_count ({count})"
        raise Conflict(f"max_node_count for {name} is invalid ({text}).", field="max_node_count")
    if min_count > count:
        text = f"min_node_count ({min_count}) should be less or equal to node_count ({count})"
        raise Conflict(f"min_node_count for {name} is invalid ({text}).", field="min_node_count")


async def update(call: Call) -> Answer:
    """PATCH /clusters/{id or name}/nodegroups/{id or name}: bounds, labels, flavour; labels and taints of its nodes"""
    changes = _changes(call)
    batch = batch_of(call)
    scope = project_scope(call, "nodegroup:update_all_projects")
    async with call.parts.store.read() as tx:
        cluster = await cluster_of(tx, call.path["cluster"], scope)
        group = await group_of(tx, cluster, call.path["group"])
    if not changes:
        return reply(detail_view(group, cluster, call.base), 202)
    new_spec = _apply_patch(group, changes)
    bounds = await bounds_for(call, cluster.project_id)
    if (new_spec.max_node_count or 0) > (group.spec.max_node_count or 0):
        bounds.check(RequestedSize(cluster_nodes=new_spec.max_node_count))
    roles: frozenset[str] = frozenset()
    if (new_spec.flavor_id, new_spec.labels) != (group.spec.flavor_id, group.spec.labels):
        before, after = _with_group_labels(cluster, group.spec), _with_group_labels(cluster, new_spec)
        candidate = replace(group, spec=new_spec)
        bounds.check_group(cluster, candidate, group)
        roles = await call.parts.conductor.admit_change(before, after, (candidate,))
    async with call.parts.store.write() as tx:
        cluster = await cluster_of(tx, cluster.uuid, scope)
        group = await group_of(tx, cluster, group.uuid)
        new_spec = _apply_patch(group, changes)
        updated_group = ask_group(
            set_group_spec(group, new_spec, force_rebuild=role_of(new_spec) in roles), Operation.UPDATE, now=tx.now
        )
        updated_cluster = await _write_cluster(tx, call, cluster, batch=batch)
        await tx.nodegroups.update(updated_group)
        changed_fields = ", ".join(dict.fromkeys(change.root for change in changes))
        message = f"{group.name}: change of {changed_fields} requested."
        await record_event(tx, call, updated_cluster, NODEGROUP_UPDATE, message, nodegroup=group.name)
        call.subject.set_object(group.uuid, group.name)
    return reply(detail_view(updated_group, cluster, call.base), 202)


def _changes(call: Call) -> list[PatchOperation]:
    """The operations of the patch. Raises if the caller may not use one of them at that version."""
    changes = changes_of(call.json())
    for change in changes:
        if change.root not in PATCH_CHECKS:
            raise Invalid(f"'/{change.root}' is an internal attribute and can not be updated", field=change.root)
        if change.member is not None and change.root not in {"node_labels", "labels"}:
            raise Invalid(f"Couldn't apply patch, reason: there is nothing at '/{change.root}/{change.member}'")
    refuse_early_use(FIELDS, {change.root for change in changes}, call.version)
    return [_decode_value(change) for change in changes]


def _apply_patch(group: NodeGroup, changes: Sequence[PatchOperation]) -> NodeGroupSpec:
    """The group's spec after the patch."""
    old = group.spec
    document = {field.name: getattr(old, field.spec_attribute) for field in _UPDATABLE}
    result = apply_patch(document, changes, mandatory=UNREMOVABLE)
    wish = read_fields({name: value for name, value in result.items() if value is not None}, PATCH_CHECKS)
    # A removed field has its default again.
    defaults = default_values(NodeGroupSpec)
    blank = {field.spec_attribute: defaults[field.spec_attribute] for field in _UPDATABLE}
    spec = replace(old, **(blank | spec_values(FIELDS, NodeGroupSpec, wish)))
    _check_sizes(group.name, spec)
    if spec.role == MASTER and (spec.node_labels or spec.node_taints):
        raise Conflict(f"Labels and taints of the nodes of {group.name} cannot be set: they are masters.")
    return spec


def _with_group_labels(cluster: Cluster, group_spec: NodeGroupSpec) -> Cluster:
    """The cluster with the labels of that group, as drivers see it."""
    return replace(cluster, spec=replace(cluster.spec, labels=group_spec.labels))


def _decode_value(change: PatchOperation) -> PatchOperation:
    """The change with its labels or taints decoded. A patch has them as text: JSON, or Python's notation."""
    if change.root == "labels":
        return decode_labels(change)
    if change.root not in _IN_JSON or change.op == "remove" or change.member is not None:
        return replace(change, op="replace") if change.root == "flavor_id" and change.op == "add" else change
    try:
        return replace(change, op="replace", value=parse_literal(str(change.value)))
    except ValueError as error:
        raise InvalidField(change.root, change.value, "it has to be JSON.") from error


async def delete(call: Call) -> Answer:
    """DELETE /clusters/{id or name}/nodegroups/{id or name}: the group's end

    Asking twice is asking once.
    """
    scope = project_scope(call, "nodegroup:delete_all_projects")
    async with call.parts.store.write() as tx:
        cluster = await cluster_of(tx, call.path["cluster"], scope)
        group = await group_of(tx, cluster, call.path["group"])
        if group.spec.is_default:
            raise Invalid(f"Deleting the default nodegroup {group.name} is not supported.", field="nodegroup")
        updated_group = ask_group(group, Operation.DELETE, now=tx.now)
        if not (group.deleting and group.status == updated_group.status):
            updated_cluster = await _write_cluster(tx, call, cluster)
            await tx.nodegroups.update(updated_group)
            message = f"Deletion of node group {group.name} requested."
            await record_event(tx, call, updated_cluster, NODEGROUP_DELETE, message, nodegroup=group.name)
            call.subject.set_object(group.uuid, group.name)
    return NO_CONTENT


async def _write_cluster(tx: Transaction, call: Call, cluster: Cluster, *, batch: int | None = None) -> Cluster:
    updated_cluster = ask_cluster(cluster, Operation.UPDATE, now=tx.now, minutes=minutes_for(call, cluster))
    spec = replace(updated_cluster.spec, max_batch_size=batch or updated_cluster.spec.max_batch_size)
    updated_cluster = replace(updated_cluster, spec=spec)
    await tx.clusters.update(updated_cluster)
    tx.hint("cluster", cluster.uuid)
    return updated_cluster
