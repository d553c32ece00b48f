"""The fields of a cluster, in one table (contract: container-infra, section 6).

Checks, views, OpenAPI and the table in the docs follow from it. A new field takes an attribute of `ClusterSpec` and a
row here, in the order of answers; if lists show it, also an attribute of the store's brief; where drivers carry it out,
also their rules in `domain.field_effects`. Neighbours: `clusters` and `changes`, the handlers.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import msgspec

from jeroboam.api.call import Call
from jeroboam.api.container_infra.fields import (
    InfraField,
    create_checks,
    effects_of,
    hidden_at,
    links_to,
    patch_checks,
    read_only_names,
    select_brief_values,
    show_created_at,
    show_updated_at,
)
from jeroboam.api.container_infra.label_difference import LabelDifference, compare_labels
from jeroboam.api.container_infra.schema import MOST_NODES, NODES, UNUSED_UUID, labels
from jeroboam.api.container_infra.shapes import Labels
from jeroboam.api.field_table import build_shape, compile_view
from jeroboam.api.fields import choice, flag, integer, mapping, no_effect, optional, text
from jeroboam.api.shapes import Link, Moment, NextPage, Uuid
from jeroboam.domain import field_effects
from jeroboam.domain.clusters import MASTER, Cluster, Health, NodeGroup, OperationOutcome
from jeroboam.domain.field_effects import SERVICE, ignore, service
from jeroboam.store import ClusterBrief, GroupBrief

_TEXT = optional(text())
_NAME = text(
    high=242, pattern=r"\A[a-zA-Z][a-zA-Z0-9_.-]*\Z", rule="it has to be letters, digits and _.- with a letter first."
)
_SENT_BACK = service("not read: clients send back what they have read")
_SET_BY_PATCH = service("set by a PATCH; a POST does not read it")


class ClusterContext(msgspec.Struct, frozen=True, gc=False):
    """What a cluster shows besides its own row: the sums over its groups, and the difference from its template.

    It is a struct, as briefs are, since a page makes one for each cluster.
    """

    base: str
    masters: int
    workers: int
    master_addresses: list[str]
    node_addresses: list[str]
    faults: dict[str, str | None]
    """Why each of the groups that failed did so."""
    labels: LabelDifference


def list_addresses(group: NodeGroup | GroupBrief) -> list[str]:
    """The known addresses of the group's nodes."""
    return [node.address for node in group.observed if node.address]


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
        check=optional(_NAME),
        effect=service("a part of the names of its nodes"),
        updatable=True,
        type=str,
        show="name",
        in_list=True,
    ),
    InfraField(
        name="cluster_template_id",
        check=text(),
        effect=service(),
        required=True,
        type=Uuid,
        show="template_id",
        in_list=True,
    ),
    InfraField(name="keypair", check=_TEXT, inherits="keypair_id", type=str | None, in_list=True),
    InfraField(
        name="node_count",
        check=optional(NODES),
        effect=service(),
        updatable=True,
        patch_check=integer(low=0, high=MOST_NODES, strings=False),
        type=int,
        show="context.workers",
        in_list=True,
        brief="workers",
    ),
    InfraField(
        name="master_count",
        check=optional(integer(low=1, high=MOST_NODES)),
        effect=service(),
        type=int,
        show="context.masters",
        in_list=True,
        brief="masters",
    ),
    InfraField(
        name="docker_volume_size",
        check=optional(integer(low=1)),
        inherits="docker_volume_size",
        type=int | None,
        in_list=True,
    ),
    InfraField(name="labels", check=optional(labels), updatable=True, inherits="labels", type=Labels, in_list=True),
    InfraField(
        name="master_flavor_id",
        check=_TEXT,
        updatable=True,
        inherits="master_flavor_id",
        type=str | None,
        in_list=True,
    ),
    InfraField(
        name="flavor_id",
        check=_TEXT,
        updatable=True,
        inherits="flavor_id",
        type=str | None,
        in_list=True,
    ),
    InfraField(
        name="create_timeout",
        check=optional(integer(low=0, high=60 * 24 * 365)),
        effect=service("minutes"),
        type=int,
        in_list=True,
    ),
    InfraField(name="links", type=list[Link], show=links_to("clusters"), in_list=True, sortable=False),
    InfraField(name="status", check=no_effect, effect=_SENT_BACK, type=str, show="status", in_list=True),
    InfraField(
        name="health_status",
        check=no_effect,
        effect=_SET_BY_PATCH,
        updatable=True,
        patch_check=optional(choice(*Health)),
        type=Health | None,
        show="health.health_status",
        in_list=True,
    ),
    InfraField(
        name="merge_labels",
        check=optional(flag),
        effect=service(),
        type=bool,
        show=lambda _, __: False,
        in_list=True,
        sortable=False,
    ),
    # There is no stack: its id is the cluster's own. A later version renamed the field, and the auto-healer of
    # Kubernetes, which asks for the latest version, still reads the old name.
    InfraField(name="stack_id", type=Uuid, show="uuid", in_list=True),
    InfraField(name="cluster_id", type=Uuid, show="uuid", in_list=True, shown_since=13),
    InfraField(name="status_reason", check=no_effect, effect=_SENT_BACK, type=str | None, show="status_reason"),
    InfraField(
        name="health_status_reason",
        check=no_effect,
        effect=_SET_BY_PATCH,
        updatable=True,
        patch_check=mapping(scalars=True),
        type=dict[str, str],
        show="health.health_status_reason",
    ),
    InfraField(name="discovery_url", check=_TEXT, type=str | None),
    InfraField(name="api_address", type=str | None, show="observed.api_address"),
    InfraField(name="coe_version", type=str | None, show="observed.coe_version"),
    InfraField(name="container_version", type=str | None, show="observed.container_version"),
    InfraField(name="project_id", type=str, show="project_id"),
    InfraField(name="user_id", type=str, show="user_id"),
    InfraField(name="node_addresses", type=list[str], show="context.node_addresses", sortable=False),
    InfraField(name="master_addresses", type=list[str], show="context.master_addresses", sortable=False),
    InfraField(name="fixed_network", check=_TEXT, inherits="fixed_network", type=str | None),
    InfraField(name="fixed_subnet", check=_TEXT, inherits="fixed_subnet", type=str | None),
    InfraField(name="floating_ip_enabled", check=optional(flag), inherits="floating_ip_enabled", type=bool),
    InfraField(name="master_lb_enabled", check=optional(flag), inherits="master_lb_enabled", type=bool),
    InfraField(name="labels_overridden", type=Labels, show="context.labels.overridden", sortable=False),
    InfraField(name="labels_added", type=Labels, show="context.labels.added", sortable=False),
    InfraField(name="labels_skipped", type=Labels, show="context.labels.skipped", sortable=False),
    InfraField(name="created_at", type=Moment | None, show=show_created_at),
    InfraField(name="updated_at", type=Moment | None, show=show_updated_at),
    InfraField(name="faults", type=dict[str, str | None], show="context.faults", conditional=True, sortable=False),
)

CREATE_CHECKS = create_checks(FIELDS)
PATCH_CHECKS = patch_checks(FIELDS)
READ_ONLY = read_only_names(FIELDS)
REQUIRED = "cluster_template_id"
EFFECTS = effects_of(FIELDS, field_effects.CLUSTERS)
HIDDEN = frozenset({"template", "ca_generation", "max_batch_size", "former"})
"""Attributes of the spec that answers do not show."""

_IN_LIST = [field for field in FIELDS if field.in_list]
_LATE = [field for field in FIELDS if field.shown_since > 1]
_view_brief = compile_view(select_brief_values(_IN_LIST))
_view_whole = compile_view(FIELDS)
if TYPE_CHECKING:
    ClusterInList = dict[str, Any]
    ClusterShape = dict[str, Any]
else:
    ClusterInList = build_shape("ClusterInList", "A cluster as lists show it.", _IN_LIST)
    ClusterShape = build_shape("ClusterShape", "A cluster.", FIELDS)


class ClusterList(TypedDict):
    """A page of clusters."""

    clusters: list[ClusterInList]
    next: NotRequired[NextPage]
    total_count: NotRequired[int]


class ClusterDetailList(TypedDict):
    """A page of clusters, whole."""

    clusters: list[ClusterShape]
    next: NotRequired[NextPage]
    total_count: NotRequired[int]


def list_view(clusters: Iterable[ClusterBrief], call: Call) -> list[ClusterInList]:
    """The clusters as lists show them."""
    hidden_names = hidden_at(_LATE, call.version)
    views = [_view_brief(cluster, call) for cluster in clusters]
    for name in hidden_names:
        for body in views:
            del body[name]
    return views


def build_context(cluster: Cluster, groups: Sequence[NodeGroup] | Sequence[GroupBrief], call: Call) -> ClusterContext:
    """What the cluster shows besides its own row. Its size is the sum over its groups."""
    masters, workers = 0, 0
    master_addresses: list[str] = []
    node_addresses: list[str] = []
    faults = {}
    for group in groups:
        if group.spec.role == MASTER:
            masters += group.spec.node_count
            master_addresses += list_addresses(group)
        else:
            workers += group.spec.node_count
            node_addresses += list_addresses(group)
        if group.status.outcome is OperationOutcome.FAILED:
            faults[group.name] = group.status_reason or cluster.status_reason
    return ClusterContext(
        base=call.base,
        masters=masters,
        workers=workers,
        master_addresses=master_addresses,
        node_addresses=node_addresses,
        faults=faults,
        labels=compare_labels(cluster.spec.labels, cluster.spec.template.labels),
    )


def detail_view(cluster: Cluster, groups: Sequence[NodeGroup] | Sequence[GroupBrief], call: Call) -> ClusterShape:
    """The whole object, with `faults` if it failed."""
    body = _view_whole(cluster, build_context(cluster, groups, call))
    for name in hidden_at(_LATE, call.version):
        del body[name]
    if cluster.status.outcome is not OperationOutcome.FAILED:
        del body["faults"]
    return body
