"""Writes events and notifications about a cluster's changes, in the same transaction as the change.

Events are for the users of the cluster, notifications are for other services and say how a wish ended. Neighbours:
`records`, which calls this with a cluster before and after; `domain.events` and `domain.notifications`, which decide
what is written and in which form.
"""

from jeroboam.domain import events
from jeroboam.domain.clusters import Cluster, NodeGroup, Operation
from jeroboam.domain.events import Event, EventDraft
from jeroboam.domain.notifications import ActionResult, Initiator, build_cadf_event, event_type_of, result_of
from jeroboam.kit.ids import Ids
from jeroboam.store import Transaction


class EventRecorder:
    """Writes events and notifications of clusters."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    async def record_change(self, tx: Transaction, before: Cluster, after: Cluster) -> None:
        """Record that the loop has changed the cluster from `before` to `after`."""
        for draft in events.draft_events(before, after):
            if not events.is_repeated(draft, await tx.events.list_since_wish(after.uuid)):
                await self._write_event(tx, after, draft)
        if after.status != before.status and result_of(after) is not ActionResult.PENDING:
            await self._notify(tx, after)

    async def record_rollback(self, tx: Transaction, before: Cluster, after: Cluster) -> None:
        """Record that a change has failed for good and that the rollback has begun."""
        reason = f" ({before.status_reason})" if before.status_reason else ""
        message = f"The change failed{reason}; the cluster is rolled back to its previous state."
        await self._write_event(
            tx, after, EventDraft(event_type=events.CLUSTER_ROLLBACK, status=after.status, message=message)
        )

    async def record_removal(self, tx: Transaction, cluster: Cluster) -> None:
        """Record that the cluster is removed."""
        draft = EventDraft(event_type=events.CLUSTER_STATUS, status=cluster.status, message="The cluster is gone.")
        await self._write_event(tx, cluster, draft)
        await self._notify(tx, cluster)

    async def record_age(self, tx: Transaction, cluster: Cluster, message: str) -> None:
        """Record that the cluster is older than a limit allows; with a delete as its operation, that it is removed."""
        is_delete = cluster.operation is Operation.DELETE
        kind = events.CLUSTER_DELETE if is_delete else events.CLUSTER_AGE
        await self._write_event(tx, cluster, EventDraft(event_type=kind, status=cluster.status, message=message))
        if is_delete:
            await self._notify(tx, cluster)

    async def record_healing(self, tx: Transaction, cluster: Cluster, group: NodeGroup, message: str) -> None:
        """Record that a node of that group is replaced because it has not worked for long."""
        draft = EventDraft(event_type=events.NODE_HEAL, status=cluster.status, message=message)
        await self._write_event(tx, cluster, draft, group)

    async def record_note(self, tx: Transaction, cluster: Cluster, event_type: str, message: str) -> None:
        """Record something that was done beside the wish, with an event type of its own."""
        await self._write_event(tx, cluster, EventDraft(event_type=event_type, status=cluster.status, message=message))

    async def record_scaling(self, tx: Transaction, cluster: Cluster, group: NodeGroup, message: str) -> None:
        """Record that the service has wished for another size of that group by itself."""
        draft = EventDraft(event_type=events.CLUSTER_RESIZE, status=cluster.status, message=message)
        await self._write_event(tx, cluster, draft, group)
        await self._notify(tx, cluster)

    async def _write_event(
        self, tx: Transaction, cluster: Cluster, draft: EventDraft, group: NodeGroup | None = None
    ) -> None:
        event = Event(
            uuid=self._ids.uuid(),
            cluster_id=cluster.uuid,
            cluster_name=cluster.name,
            project_id=cluster.project_id,
            nodegroup=None if group is None else group.name,
            event_type=draft.event_type,
            status=draft.status,
            message=draft.message,
            created_at=tx.now,
        )
        await tx.events.insert(event)

    async def _notify(self, tx: Transaction, cluster: Cluster) -> None:
        """Notify of the end of the last wish. Its author is the initiator: the loop itself asks for nothing."""
        wish = await tx.events.last_wish(cluster.uuid)
        initiator = Initiator(
            user_id=wish.user_id if wish else None,
            project_id=(wish.user_project_id if wish else None) or cluster.project_id,
            request_id=wish.request_id if wish else None,
        )
        groups = await tx.nodegroups.select({"cluster_id": cluster.uuid})
        payload = build_cadf_event(cluster, groups, initiator, ident=self._ids.uuid(), now=tx.now)
        await tx.notify(event_type_of(cluster), cluster.uuid, payload)
