"""Capsules, which containers belong to them, and their events, in their tables."""

import datetime as dt
from typing import Any

import sqlalchemy as sa

from jeroboam.domain.capsule_events import CapsuleEvent
from jeroboam.domain.capsules import Capsule
from jeroboam.store import capsule_tables as tables
from jeroboam.store.rows import RowKind, Rows, readable
from jeroboam.store.selectors import CapsuleEventSelector, CapsuleSelector

CAPSULE = RowKind(
    tables.capsule,
    Capsule,
    CapsuleSelector,
    derived_columns={
        "cpu": lambda capsule: capsule.spec.cpu,
        "memory": lambda capsule: capsule.spec.memory,
        "disk": lambda capsule: capsule.spec.disk or 0,
        "containers": lambda capsule: len(capsule.spec.members),
    },
    sortable={"restart_policy": readable(tables.capsule.c.spec)["restart_policy"].as_string()},
)
CAPSULE_EVENT = RowKind(tables.capsule_event, CapsuleEvent, CapsuleEventSelector)


class CapsuleRows(Rows[Capsule, CapsuleSelector]):
    """Capsules. The table of their containers is written with them."""

    async def insert(self, item: Capsule) -> None:
        await super().insert(item)
        rows = [{"uuid": member.uuid, "capsule_id": item.uuid} for member in item.spec.members]
        await self._connection.execute(tables.capsule_member.insert().values(rows))

    async def remove(self, selector: CapsuleSelector | None = None) -> int:
        table, member = tables.capsule, tables.capsule_member
        uuids = sa.select(table.c.uuid).where(*self.build_conditions(selector))
        await self._connection.execute(member.delete().where(member.c.capsule_id.in_(uuids)))
        return await super().remove(selector)

    async def find_by_member(self, uuid: str, project_id: str | None) -> Capsule | None:
        """Return the capsule that the container with that uuid belongs to, if it is the project's (None: any)."""
        member = tables.capsule_member
        conditions: list[sa.ColumnElement[bool]] = [
            tables.capsule.c.uuid.in_(sa.select(member.c.capsule_id).where(member.c.uuid == uuid))
        ]
        if project_id is not None:
            conditions += self.build_conditions({"project_id": project_id})
        capsules = await self.where(*conditions, strict=True)
        return capsules[0] if capsules else None

    async def list_unsettled(self) -> list[str]:
        """Return the uuids of capsules with work to do, for a resync."""
        return await list_unsettled(self._connection, tables.capsule)


async def list_unsettled(connection: Any, table: sa.Table) -> list[str]:
    """Return the uuids of what is on hosts, or should be, and is not as it was asked for."""
    query = sa.select(table.c.uuid).where(sa.or_(table.c.deadline_at.is_not(None), table.c.host_id.is_(None)))
    return [row[0] for row in await connection.execute(query)]


class CapsuleEventRows(Rows[CapsuleEvent, CapsuleEventSelector]):
    """Events of capsules. They are added and removed, never changed."""

    async def forget(self, before: dt.datetime) -> None:
        """Remove older events."""
        table = tables.capsule_event
        await self._connection.execute(table.delete().where(table.c.created_at < before))
