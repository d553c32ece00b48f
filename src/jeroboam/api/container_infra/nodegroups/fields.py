"""The fields of a node group, in one table (contract: container-infra, section 7).

Checks, views, OpenAPI and the table in the docs follow from it. A new field takes an attribute of `NodeGroupSpec` and a
row here, in the order of answers; where drivers carry it out, also their rules in `domain.field_effects`. Neighbours:
`field_checks`; `nodegroups` and `changes`, the handlers.
"""

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import msgspec

from jeroboam.api.container_infra.clusters.fields import list_addresses
from jeroboam.api.container_infra.fields import (
    InfraField,
    create_checks,
    effects_of,
    patch_checks,
    read_only_names,
    show_created_at,
    show_updated_at,
)
from jeroboam.api.container_infra.label_difference import LabelDifference, compare_labels
from jeroboam.api.container_infra.nodegroups.field_checks import GROUP_NAME, NODE_LABELS, NODE_TAINTS
from jeroboam.api.container_infra.schema import MOST_NODES, NODES, UNUSED_UUID, labels
from jeroboam.api.container_infra.shapes import Labels, NodeShape
from jeroboam.api.field_table import build_shape, compile_view
from jeroboam.api.fields import flag, integer, optional, text
from jeroboam.api.shapes import Link, Moment, NextPage, Uuid
from jeroboam.api.wire import links
from jeroboam.domain import field_effects
from jeroboam.domain.clusters import Cluster, NodeGroup
from jeroboam.domain.field_effects import SERVICE, ignore, service

_TEXT = optional(text())
_BOUND = service("a bound of resizing and of autoscaling")


class GroupContext(msgspec.Struct, frozen=True, gc=False):
    """What a node group shows besides its own row."""

    base: str
    cluster_id: str
    labels: LabelDifference


def _show_nodes(group: NodeGroup, context: GroupContext) -> list[NodeShape]:
    del context
    return [
        {
            "uuid": node.uuid,
            "name": node.name,
            "address": node.address,
            "server_id": node.server_id,
            "state": node.state,
            "ready": node.ready,
            "reason": node.reason,
            "up_to_date": node.build == group.spec.build,
        }
        for node in group.observed
    ]


def _show_links(group: NodeGroup, context: GroupContext) -> list[Link]:
    return links(context.base, f"clusters/{context.cluster_id}/nodegroups", group.uuid)


FIELDS = (
    InfraField(
        name="uuid",
        check=UNUSED_UUID,
        effect={SERVICE: ignore("checked, and replaced by an id of the service's own")},
        type=Uuid,
        show="uuid",
        in_list=True,
    ),
    InfraField(
        name="name",
        check=GROUP_NAME,
        effect=service("a part of the names of its nodes"),
        required=True,
        type=str,
        show="name",
        in_list=True,
    ),
    InfraField(
        name="flavor_id",
        check=_TEXT,
        updatable=True,
        removable=False,
        inherits="flavor_id",
        type=str | None,
        in_list=True,
    ),
    InfraField(name="image_id", check=_TEXT, inherits="template.image_id", type=str | None, in_list=True),
    InfraField(name="node_count", check=optional(NODES), effect=service(), type=int, in_list=True),
    InfraField(name="role", check=_TEXT, effect=service("any word but `master`"), type=str, in_list=True),
    InfraField(name="min_node_count", check=optional(NODES), effect=_BOUND, updatable=True, type=int, in_list=True),
    InfraField(
        name="max_node_count",
        check=optional(integer(low=1, high=MOST_NODES)),
        effect=_BOUND,
        updatable=True,
        type=int | None,
        in_list=True,
    ),
    InfraField(name="is_default", type=bool, in_list=True),
    # As in Magnum: the default groups belong to the cluster's stack, any other group has its own.
    InfraField(
        name="stack_id",
        type=Uuid,
        show=lambda group, _: group.cluster_id if group.spec.is_default else group.uuid,
        in_list=True,
    ),
    InfraField(name="status", type=str, show="status", in_list=True),
    InfraField(name="merge_labels", check=optional(flag), effect=service(), type=bool, in_list=True),
    InfraField(name="id", type=int | None, show="id"),
    InfraField(name="cluster_id", type=Uuid, show="cluster_id"),
    InfraField(name="project_id", type=str, show="project_id"),
    InfraField(
        name="docker_volume_size", check=optional(integer(low=1)), inherits="docker_volume_size", type=int | None
    ),
    InfraField(name="labels", check=optional(labels), updatable=True, inherits="labels", type=Labels),
    InfraField(name="labels_overridden", type=Labels, show="context.labels.overridden", sortable=False),
    InfraField(name="labels_added", type=Labels, show="context.labels.added", sortable=False),
    InfraField(name="labels_skipped", type=Labels, show="context.labels.skipped", sortable=False),
    InfraField(name="links", type=list[Link], show=_show_links, sortable=False),
    InfraField(name="node_addresses", type=list[str], show=lambda group, _: list_addresses(group), sortable=False),
    InfraField(name="nodes", type=list[NodeShape], show=_show_nodes, sortable=False),
    InfraField(name="status_reason", type=str | None, show="status_reason"),
    InfraField(name="version", type=str | None, show=lambda _, __: None, sortable=False),
    InfraField(
        name="node_labels", check=optional(NODE_LABELS), usable_since=14, updatable=True, type=Labels, sortable=False
    ),
    InfraField(
        name="node_taints",
        check=optional(NODE_TAINTS),
        usable_since=14,
        updatable=True,
        type=tuple[Labels, ...],
        sortable=False,
    ),
    InfraField(name="created_at", type=Moment | None, show=show_created_at),
    InfraField(name="updated_at", type=Moment | None, show=show_updated_at),
)

CREATE_CHECKS = create_checks(FIELDS)
PATCH_CHECKS = patch_checks(FIELDS)
READ_ONLY = read_only_names(FIELDS)
REQUIRED = "name"
UNREMOVABLE = frozenset(field.name for field in FIELDS if not field.removable)
EFFECTS = effects_of(FIELDS, field_effects.NODE_GROUPS)
HIDDEN = frozenset({"nodes_to_remove", "build", "builds"})
"""Attributes of the spec that answers do not show."""

_IN_LIST = [field for field in FIELDS if field.in_list]
_view_short = compile_view(_IN_LIST)
_view_whole = compile_view(FIELDS)
if TYPE_CHECKING:
    NodeGroupInList = dict[str, Any]
    NodeGroupShape = dict[str, Any]
else:
    NodeGroupInList = build_shape("NodeGroupInList", "A node group as lists show it.", _IN_LIST)
    NodeGroupShape = build_shape("NodeGroupShape", "A node group.", FIELDS)


class NodeGroupList(TypedDict):
    """A page of a cluster's node groups."""

    nodegroups: list[NodeGroupInList]
    next: NotRequired[NextPage]
    total_count: NotRequired[int]


def summary_view(group: NodeGroup) -> NodeGroupInList:
    """The object as lists show it."""
    return _view_short(group, None)


def detail_view(group: NodeGroup, cluster: Cluster, base: str) -> NodeGroupShape:
    """The whole object."""
    difference = compare_labels(group.spec.labels, cluster.spec.labels)
    return _view_whole(group, GroupContext(base=base, cluster_id=cluster.uuid, labels=difference))
