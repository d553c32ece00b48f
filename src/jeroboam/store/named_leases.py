"""Leases by name: which process leads a piece of work, and which processes are alive.

As the Lease objects of Kubernetes: one holder a name, until a moment that the holder moves on. They protect no results:
whoever loses one stops. Neighbour: `leases`, for the right to work on one object.
"""

import datetime as dt

import sqlalchemy as sa

from jeroboam.store import tables
from jeroboam.store.rows import QueryExecutor, insert_of


class NamedLeases:
    """The leases by name, within one transaction."""

    def __init__(self, connection: QueryExecutor, now: dt.datetime) -> None:
        self._connection = connection
        self._now = now

    async def claim(self, name: str, holder: str, seconds: float) -> bool:
        """Take the lease for that long, or keep it. False while another process holds it."""
        table = tables.named_lease
        row = {"name": name, "holder": holder, "until": self._now + dt.timedelta(seconds=seconds)}
        insert = insert_of(self._connection)(table).values(row)
        claim = insert.on_conflict_do_update(
            index_elements=[table.c.name],
            set_={"holder": insert.excluded.holder, "until": insert.excluded.until},
            where=sa.or_(table.c.holder == holder, table.c.until <= self._now),
        )
        return (await self._connection.execute(claim.returning(table.c.name))).first() is not None

    async def release(self, name: str, holder: str) -> None:
        """Let another process take the lease now. Nothing happens if this one does not hold it."""
        table = tables.named_lease
        await self._connection.execute(table.delete().where(table.c.name == name, table.c.holder == holder))

    async def select(self, prefix: str) -> dict[str, str]:
        """Return the holders of the leases with such names, by name, without those that ran out."""
        table = tables.named_lease
        query = sa.select(table.c.name, table.c.holder).where(
            table.c.name.startswith(prefix, autoescape=True), table.c.until > self._now
        )
        return {row[0].removeprefix(prefix): row[1] for row in (await self._connection.execute(query)).all()}

    async def remove_expired(self, prefix: str) -> None:
        """Delete the leases with such names that ran out."""
        table = tables.named_lease
        is_expired = table.c.until <= self._now
        await self._connection.execute(
            table.delete().where(table.c.name.startswith(prefix, autoescape=True), is_expired)
        )

    async def release_all(self) -> None:
        """Release all leases. Only for a process that knows that no other one runs."""
        await self._connection.execute(tables.named_lease.delete())
