"""Events: what happened to a cluster, when, why, and who asked for it; for its users.

The API writes an event with every wish that it accepts, the conductor one with every change that it observes, each in
the transaction that stores the change. An event is never changed, and outlives its cluster. This module decides which
changes get an event, by comparing two states of a cluster. Neighbour: `notifications`, which tells other services of
the beginning and the end of a wish.
"""

import datetime as dt
import re
from collections.abc import Collection
from dataclasses import dataclass

from jeroboam.domain.clusters import WELL, Cluster, Health

# Wishes. The first half is the kind of the object.
CLUSTER_CREATE = "cluster.create"
CLUSTER_UPDATE = "cluster.update"
CLUSTER_RESIZE = "cluster.resize"
CLUSTER_UPGRADE = "cluster.upgrade"
CLUSTER_ROTATE_CA = "cluster.rotate_ca"
CLUSTER_DELETE = "cluster.delete"
NODEGROUP_CREATE = "nodegroup.create"
NODEGROUP_UPDATE = "nodegroup.update"
NODEGROUP_DELETE = "nodegroup.delete"
# Observations.
CLUSTER_ROLLBACK = "cluster.rollback"
CLUSTER_STATUS = "cluster.status"
CLUSTER_HEALTH = "cluster.health"
CLUSTER_AGE = "cluster.age"
NODE_HEAL = "node.heal"
NODE_DRAIN = "node.drain"
CLUSTER_REPAIR = "cluster.repair"

WISHES = frozenset(
    {
        CLUSTER_CREATE,
        CLUSTER_UPDATE,
        CLUSTER_RESIZE,
        CLUSTER_UPGRADE,
        CLUSTER_ROTATE_CA,
        CLUSTER_DELETE,
        NODEGROUP_CREATE,
        NODEGROUP_UPDATE,
        NODEGROUP_DELETE,
    }
)
TYPES = WISHES | {CLUSTER_ROLLBACK, CLUSTER_STATUS, CLUSTER_HEALTH, CLUSTER_AGE, NODE_HEAL, NODE_DRAIN, CLUSTER_REPAIR}

_COUNTS = re.compile(r"[0-9]+ of [0-9]+ ")
_NUMBERS = re.compile(r"[0-9]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One thing that happened to one cluster."""

    uuid: str
    cluster_id: str
    cluster_name: str
    project_id: str
    """The cluster's project: its members may read the event."""
    event_type: str
    nodegroup: str | None = None
    """The name of the node group; None for the whole cluster."""
    status: str | None = None
    """The cluster's status, or its health, from that moment on."""
    message: str | None = None
    """A plain sentence for its users."""
    user_id: str | None = None
    """Who asked; None for what the service observed or did by itself."""
    user_project_id: str | None = None
    request_id: str | None = None
    created_at: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class EventDraft:
    """An event before it has a number and a time."""

    event_type: str
    status: str
    message: str | None


def draft_events(before: Cluster, after: Cluster) -> list[EventDraft]:
    """Return the events for that change: a new status, a new reason for it, a new health."""
    drafts = []
    reason = after.status_reason
    if after.status != before.status or (reason and reason != before.status_reason and not is_count_only(reason)):
        drafts.append(EventDraft(event_type=CLUSTER_STATUS, status=after.status, message=reason))
    health = after.health.health_status
    if health is not None and health != before.health.health_status:
        drafts.append(EventDraft(event_type=CLUSTER_HEALTH, status=health, message=_describe_unhealthy(after)))
    return drafts


def _describe_unhealthy(cluster: Cluster) -> str | None:
    """Return the parts of the cluster that are not well; None if all are."""
    health = cluster.health
    if health.health_status is Health.HEALTHY:
        return None
    unhealthy_parts = {part: text for part, text in health.health_status_reason.items() if text not in WELL}
    return "; ".join(f"{part}: {text}" for part, text in unhealthy_parts.items()) or None


def count_nodes_in_words(count: int) -> str:
    """Return the number of nodes in words."""
    return f"{count} node" if count == 1 else f"{count} nodes"


def is_count_only(reason: str) -> bool:
    """Whether the text only says how far something has come: `2 of 3 nodes are up`."""
    return _COUNTS.match(reason) is not None


def is_repeated(draft: EventDraft, since_wish: Collection[Event]) -> bool:
    """Whether the same was told since the last wish, apart from numbers: a retry fails again in the same way."""
    if draft.event_type != CLUSTER_STATUS:
        return False
    gist = _hide_numbers(draft.message)
    return any(
        event.event_type == CLUSTER_STATUS and event.status == draft.status and _hide_numbers(event.message) == gist
        for event in since_wish
    )


def _hide_numbers(message: str | None) -> str:
    return _NUMBERS.sub("0", message or "")
