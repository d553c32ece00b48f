"""Events of clusters: record one with each wish, and show them to the cluster's project.

An extension: no published API has it.

Neighbours: each handler that stores a wish to a cluster calls `record_event` beside `tx.hint`, and checks the limits
(`bounds`) before. The conductor has `conductor/clusters/history.py`.
"""

import datetime as dt
from collections.abc import Sequence

from jeroboam.api.call import Answer, Call
from jeroboam.api.container_infra.filters import TOTAL, word_list
from jeroboam.api.container_infra.lookup import cluster_of, project_scope
from jeroboam.api.container_infra.pages import reply_page
from jeroboam.api.container_infra.shapes import EventList, EventShape
from jeroboam.api.fields import FieldCheck, InvalidField, text
from jeroboam.api.wire import format_time, page_of, wants_total
from jeroboam.domain.clusters import Cluster, NodeGroup
from jeroboam.domain.events import CLUSTER_HEALTH, TYPES, WISHES, Event
from jeroboam.domain.notifications import ActionResult, Initiator, build_cadf_event, event_type_of, result_of
from jeroboam.store import EventFilter, Transaction


async def record_event(
    tx: Transaction,
    call: Call,
    cluster: Cluster,
    event_type: str,
    message: str,
    *,
    nodegroup: str | None = None,
    groups: Sequence[NodeGroup] | None = None,
) -> None:
    """Record that the caller's wish was accepted. Call it last, in the transaction that stores the wish.

    `cluster` is the cluster with the wish, so already in progress. `event_type` is one of `domain.events`. `message` is
    a plain sentence for its users. `nodegroup` is the name of the group that the wish is about. If the cluster is in
    progress, a notification for other services is stored too; `groups` avoids another read of the cluster's groups for
    it.
    """
    call.subject.set_object(cluster.uuid, cluster.name)
    caller = call.caller
    event = Event(
        uuid=call.parts.ids.uuid(),
        cluster_id=cluster.uuid,
        cluster_name=cluster.name,
        project_id=cluster.project_id,
        event_type=event_type,
        nodegroup=nodegroup,
        status=cluster.health.health_status if event_type == CLUSTER_HEALTH else cluster.status,
        message=message,
        user_id=caller.user_id,
        user_project_id=caller.project_id,
        request_id=call.request_id,
        created_at=tx.now,
    )
    await tx.events.insert(event)
    if event_type not in WISHES or result_of(cluster) is not ActionResult.PENDING:
        return
    initiator = Initiator(user_id=caller.user_id, project_id=caller.project_id, request_id=call.request_id)
    if groups is None:
        groups = await tx.nodegroups.select({"cluster_id": cluster.uuid})
    payload = build_cadf_event(cluster, groups, initiator, ident=call.parts.ids.uuid(), now=tx.now)
    await tx.notify(event_type_of(cluster), cluster.uuid, payload)


def _view(event: Event) -> EventShape:
    return {
        "uuid": event.uuid,
        "cluster_uuid": event.cluster_id,
        "cluster_name": event.cluster_name,
        "project_id": event.project_id,
        "nodegroup": event.nodegroup,
        "event_type": event.event_type,
        "status": event.status,
        "message": event.message,
        "user_id": event.user_id,
        "request_id": event.request_id,
        "created_at": format_time(event.created_at),
    }


async def index_of_cluster(call: Call) -> Answer:
    """GET /clusters/{id or name}/events: what happened to the cluster, the oldest first"""
    scope = project_scope(call, "event:get_all_all_projects")
    async with call.parts.store.read() as tx:
        cluster = await cluster_of(tx, call.path["cluster"], scope)
    return await _list(call, f"clusters/{cluster.uuid}/events", cluster.uuid)


async def index(call: Call) -> Answer:
    """GET /events: what happened to all clusters of the project, those that are gone too"""
    return await _list(call, "events", call.query.get("cluster"))


async def _list(call: Call, path: str, cluster: str | None) -> Answer:
    page = page_of(call)
    event_filter = EventFilter(
        cluster=cluster,
        event_types=call.query.get("event_type", ()),
        nodegroup=call.query.get("nodegroup"),
        since=call.query.get("since"),
    )
    scope = project_scope(call, "event:get_all_all_projects")
    async with call.parts.store.read() as tx:
        events = await tx.events.list_page(page, scope, event_filter)
        body: EventList = {"events": [_view(event) for event in events]}
        if wants_total(call):
            body["total_count"] = await tx.events.total(scope, event_filter)
    return reply_page(call, page, path, events, body)


def _since(name: str, value: str) -> dt.datetime:
    """A time in ISO 8601. Without a zone it is UTC."""
    try:
        # An unencoded plus sign arrives as a space.
        moment = dt.datetime.fromisoformat(value.strip().replace(" ", "+") if "T" in value else value)
        return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidField(name, value, "it has to be a time such as 2026-11-21T21:32:11+00:00.") from error


ARGUMENTS: dict[str, FieldCheck] = {
    "event_type": word_list(sorted(TYPES)),
    "nodegroup": text(),
    "since": FieldCheck(_since, {"type": "string", "format": "date-time"}),
    **TOTAL,
}
