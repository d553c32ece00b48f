"""Records of what was asked of containers, in their table. No foreign key: a record outlives its container."""

import datetime as dt

import sqlalchemy as sa

from jeroboam.domain.container_actions import ContainerAction, find_ended_ops
from jeroboam.domain.containers import Container
from jeroboam.store import tables
from jeroboam.store.rows import RowKind, Rows
from jeroboam.store.selectors import ContainerActionSelector

CONTAINER_ACTION = RowKind(tables.container_action, ContainerAction, ContainerActionSelector, key="id")


class ContainerActionRows(Rows[ContainerAction, ContainerActionSelector]):
    """What was asked of containers."""

    async def list_newest_first(self, container_id: str, limit: int) -> list[ContainerAction]:
        """Return the newest records of a container, which may be gone."""
        table = tables.container_action
        query = CONTAINER_ACTION.select.where(table.c.container_id == container_id)
        rows = await self._connection.execute(query.order_by(table.c.id.desc()).limit(limit))
        return self._load(CONTAINER_ACTION, rows.all())

    async def close_ended(self, before: Container, after: Container, now: dt.datetime) -> None:
        """Write how the ops ended that a change of the container has ended."""
        ended = find_ended_ops(before, after)
        if ended is None:
            return
        table = tables.container_action
        is_open = sa.and_(
            table.c.container_id == before.uuid, table.c.finish_time.is_(None), table.c.seq <= ended.last_seq
        )
        values: dict[str, object] = {"finish_time": now}
        if ended.failed_seq is not None:
            values["message"] = sa.case((table.c.seq >= ended.failed_seq, ended.reason), else_=None)
        await self._connection.execute(table.update().where(is_open).values(**values))

    async def close_deleted(self, container: Container, now: dt.datetime) -> None:
        """Write that all that was asked of a container has ended with it."""
        table = tables.container_action
        is_open = sa.and_(table.c.container_id == container.uuid, table.c.finish_time.is_(None))
        await self._connection.execute(table.update().where(is_open).values(finish_time=now))

    async def forget(self, before: dt.datetime) -> int:
        """Remove older records. Return how many there were."""
        table = tables.container_action
        result = await self._connection.execute(table.delete().where(table.c.start_time < before))
        return int(result.rowcount)
