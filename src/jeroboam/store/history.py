"""Events in their table: pages for users, and the last events for code that is about to write another."""

import datetime as dt
from dataclasses import dataclass

import sqlalchemy as sa

from jeroboam.domain.events import WISHES, Event
from jeroboam.store import tables
from jeroboam.store.rows import Page, RowKind, Rows
from jeroboam.store.selectors import EventSelector

EVENT = RowKind(tables.event, Event, EventSelector)
# So many events are searched for one that says the same.
_LOOK_BACK = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class EventFilter:
    """Which events a user asks for; an empty field filters nothing."""

    cluster: str | None = None
    """The cluster's uuid or its name; the cluster may be gone."""
    event_types: tuple[str, ...] = ()
    nodegroup: str | None = None
    since: dt.datetime | None = None


class EventRows(Rows[Event, EventSelector]):
    """Events. They are added and removed, never changed."""

    async def list_page(self, page: Page, project_id: str | None, event_filter: EventFilter) -> list[Event]:
        """Return a page of the project's events (None: all projects)."""
        return await self.page(
            page, *self._project_conditions(project_id), extra_conditions=_build_event_conditions(event_filter)
        )

    async def total(self, project_id: str | None, event_filter: EventFilter) -> int:
        """Return the number of events on all pages together."""
        return await self.count_where(*self._project_conditions(project_id), *_build_event_conditions(event_filter))

    def _project_conditions(self, project_id: str | None) -> list[sa.ColumnElement[bool]]:
        return [] if project_id is None else self.build_conditions({"project_id": project_id})

    async def list_since_wish(self, cluster_id: str) -> list[Event]:
        """Return the last wish to that cluster and the events after it, newest first, within the last 50."""
        table = tables.event
        query = EVENT.select.where(table.c.cluster_id == cluster_id).order_by(table.c.id.desc()).limit(_LOOK_BACK)
        events = []
        for event in self._load(EVENT, (await self._connection.execute(query)).all()):
            events.append(event)
            if event.event_type in WISHES:
                break
        return events

    async def last_wish(self, cluster_id: str) -> Event | None:
        """Return the last wish to that cluster, if it is still stored."""
        table = tables.event
        query = EVENT.select.where(table.c.cluster_id == cluster_id, table.c.event_type.in_(WISHES))
        rows = (await self._connection.execute(query.order_by(table.c.id.desc()).limit(1))).all()
        return next(iter(self._load(EVENT, rows)), None)

    async def forget(self, before: dt.datetime) -> int:
        """Remove older events. Return how many there were."""
        result = await self._connection.execute(tables.event.delete().where(tables.event.c.created_at < before))
        return int(result.rowcount)


def _build_event_conditions(event_filter: EventFilter) -> list[sa.ColumnElement[bool]]:
    table = tables.event
    conditions: list[sa.ColumnElement[bool]] = []
    if event_filter.cluster is not None:
        conditions.append(
            sa.or_(table.c.cluster_id == event_filter.cluster, table.c.cluster_name == event_filter.cluster)
        )
    if event_filter.event_types:
        conditions.append(table.c.event_type.in_(event_filter.event_types))
    if event_filter.nodegroup is not None:
        conditions.append(table.c.nodegroup == event_filter.nodegroup)
    if event_filter.since is not None:
        conditions.append(table.c.created_at >= event_filter.since)
    return conditions
