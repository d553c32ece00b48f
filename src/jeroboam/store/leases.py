"""Leases: the right to work on an object, and the fencing token that shuts out an earlier holder."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from jeroboam.store.rows import QueryExecutor


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The right of one holder to write its results about one object."""

    uuid: str
    owner: str
    token: int


class Leases:
    """The leases on the objects of one table, within one transaction."""

    def __init__(self, connection: QueryExecutor, table: sa.Table, now: dt.datetime) -> None:
        self._connection = connection
        self._table = table
        self._now = now

    async def claim(self, uuid: str, owner: str, seconds: float) -> Lease | None:
        """Return the lease, or None if another holder has one that has not run out, or if there is no such object."""
        table = self._table
        free = sa.or_(table.c.lease_until.is_(None), table.c.lease_until <= self._now, table.c.lease_owner == owner)
        claim = (
            table.update()
            .where(table.c.uuid == uuid, free)
            .values(
                lease_owner=owner,
                lease_token=table.c.lease_token + 1,
                lease_until=self._now + dt.timedelta(seconds=seconds),
            )
            .returning(table.c.lease_token)
        )
        token = (await self._connection.execute(claim)).scalar_one_or_none()
        return None if token is None else Lease(uuid=uuid, owner=owner, token=int(token))

    async def renew(self, lease: Lease, seconds: float) -> bool:
        """Return whether the lease was still held; it then runs for that long from now on."""
        return await self._change(lease, lease_until=self._now + dt.timedelta(seconds=seconds))

    async def is_held(self, lease: Lease) -> bool:
        """Whether the lease is still held; its row stays locked until the end of the transaction."""
        table = self._table
        query = sa.select(table.c.lease_token).where(table.c.uuid == lease.uuid).with_for_update()
        return (await self._connection.execute(query)).scalar_one_or_none() == lease.token

    async def release(self, lease: Lease) -> bool:
        """Give the lease back. False: it had been lost, so the results of the work have to be discarded."""
        return await self._change(lease, lease_owner=None, lease_until=None)

    async def release_all(self) -> None:
        """Release all leases. Only for a process that knows that no other one runs."""
        await self._connection.execute(self._table.update().values(lease_owner=None, lease_until=None))

    async def _change(self, lease: Lease, **values: Any) -> bool:
        table = self._table
        condition = sa.and_(table.c.uuid == lease.uuid, table.c.lease_token == lease.token)
        result = await self._connection.execute(table.update().where(condition).values(**values))
        return bool(result.rowcount)
