"""Upgrades move a cluster, or one of its groups, to another template (contract: container-infra, section 6).

The default groups are upgraded with the cluster. Any other group is upgraded on request, and only to its cluster's
template of that time. An upgrade to the cluster's own template rebuilds the nodes from its image as it is now.
Neighbours: `domain.upgrades` builds the wish, the conductor rolls it out in batches.
"""

from dataclasses import replace
from typing import Any

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.container_infra.bounds import bounds_for
from jeroboam.api.container_infra.clusters.changes import minutes_for
from jeroboam.api.container_infra.clusters.events import record_event
from jeroboam.api.container_infra.lookup import (
    cluster_of,
    expect_one,
    groups_of,
    project_scope,
    select_usable,
    template_scope,
)
from jeroboam.api.container_infra.schema import MOST_NODES, refuse_unknown
from jeroboam.api.fields import FieldCheck, integer, optional, read_fields, text
from jeroboam.domain.clusters import Cluster, NodeGroup, Operation, Template
from jeroboam.domain.errors import Conflict, Invalid, NotFound
from jeroboam.domain.events import CLUSTER_UPGRADE
from jeroboam.domain.states import ask_cluster, ask_group
from jeroboam.domain.upgrades import is_rolled_out, set_group_spec, set_template
from jeroboam.kit.ids import is_uuid

FIELDS: dict[str, FieldCheck] = {
    "cluster_template": text(),
    "max_batch_size": optional(integer(low=1, high=MOST_NODES)),
    "nodegroup": optional(text()),
}
SUPPORTED = 8


async def upgrade(call: Call) -> Answer:
    """POST /clusters/{id or name}/actions/upgrade: the cluster goes to another template"""
    if call.version < SUPPORTED:
        raise Invalid("Upgrading a cluster is not supported in the provided microversion.")
    body = call.fields()
    refuse_unknown(body, FIELDS, "cluster_upgrade_req")
    if body.get("cluster_template") is None:
        raise Invalid("Mandatory field missing: cluster_template.", field="cluster_template")
    wish = read_fields(body, FIELDS)
    scope = project_scope(call, "cluster:upgrade_all_projects")
    async with call.parts.store.read() as tx:
        before = await cluster_of(tx, call.path["cluster"], scope)
        matches = await tx.templates.find_visible(wish["cluster_template"], **template_scope(call))
        template = select_usable(call, matches, wish["cluster_template"])
        if template is None:
            reason = f"ClusterTemplate {wish['cluster_template']} could not be found."
            raise NotFound(reason, field="cluster_template")
        groups = _select_groups(before, await groups_of(tx, before), template, wish)
    after, new_groups = _apply_template(before, groups, template)
    (await bounds_for(call, before.project_id)).check_upgrade(before, after, template)
    await call.parts.conductor.admit_change(before, after, new_groups)
    async with call.parts.store.write() as tx:
        if await tx.templates.get(template.uuid) is None:
            raise NotFound(f"ClusterTemplate {template.uuid} could not be found.", field="cluster_template")
        cluster = await cluster_of(tx, before.uuid, scope)
        groups = await groups_of(tx, cluster)
        after, new_groups = _apply_template(cluster, _select_groups(cluster, groups, template, wish), template)
        updated_cluster = ask_cluster(after, Operation.UPDATE, now=tx.now, minutes=minutes_for(call, cluster))
        spec = replace(updated_cluster.spec, max_batch_size=wish.get("max_batch_size") or 1)
        updated_cluster = replace(updated_cluster, spec=spec)
        await tx.clusters.update(updated_cluster)
        for group in new_groups:
            await tx.nodegroups.update(ask_group(group, Operation.UPDATE, now=tx.now))
        names = [group.name for group in new_groups]
        message = f"Upgrade to template {template.name} requested: {', '.join(names)}."
        nodegroup = names[0] if len(names) == 1 else None
        await record_event(tx, call, updated_cluster, CLUSTER_UPGRADE, message, nodegroup=nodegroup, groups=groups)
        tx.hint("cluster", cluster.uuid)
    return reply({"uuid": cluster.uuid}, 202)


def _select_groups(
    cluster: Cluster, groups: list[NodeGroup], template: Template, wish: dict[str, Any]
) -> list[NodeGroup]:
    """The groups that the wish upgrades."""
    ident = wish.get("nodegroup")
    default = [group for group in groups if group.spec.is_default]
    if ident is None:
        return default
    matches = [group for group in groups if ident == (group.uuid if is_uuid(ident) else group.name)]
    group = expect_one(matches, ident, "Nodegroup", "nodegroups")
    if template.uuid == cluster.template_id:
        return [group]
    if not group.spec.is_default:
        message = f"Nodegroup {group.name} can be upgraded only to match cluster's template ({cluster.template_id})."
        raise Conflict(message, field="nodegroup")
    return default


def _apply_template(cluster: Cluster, groups: list[NodeGroup], template: Template) -> tuple[Cluster, list[NodeGroup]]:
    after = set_template(cluster, template)
    has_moved = (after.template_id, after.spec) != (cluster.template_id, cluster.spec)
    # Another request during a roll-out continues it: that is how a user retries.
    must_rebuild = has_moved or is_rolled_out(groups)
    from_above = {key: after.spec.labels[key] for key in template.spec.labels.keys() & after.spec.labels.keys()}
    new_groups = []
    for group in groups:
        labels = after.spec.labels if group.spec.is_default else group.spec.labels | from_above
        spec = replace(group.spec, image_id=template.spec.image_id, labels=labels)
        new_groups.append(set_group_spec(group, spec, force_rebuild=must_rebuild or labels != group.spec.labels))
    return after, new_groups
