"""Interactive sessions in their table: each is taken out once."""

import datetime as dt

import sqlalchemy as sa

from jeroboam.domain.interactive import InteractiveSession
from jeroboam.domain.streams import TerminalSize
from jeroboam.store import tables
from jeroboam.store.rows import RowKind, Rows, encode_json
from jeroboam.store.selectors import InteractiveSessionSelector

INTERACTIVE_SESSION = RowKind(
    tables.interactive_session, InteractiveSession, InteractiveSessionSelector, key="token_hash"
)


class InteractiveSessionRows(Rows[InteractiveSession, InteractiveSessionSelector]):
    """Sessions that were asked for and not opened yet."""

    async def take(self, token_hash: str) -> InteractiveSession | None:
        """Return the session with that token and remove it; None if there is none, or another request was faster."""
        sessions = await self.select({"token_hash": token_hash})
        removed = await self.remove({"token_hash": token_hash}) if sessions else 0
        return sessions[0] if removed else None

    async def set_size(self, container_id: str, exec_id: str, size: TerminalSize) -> bool:
        """Keep the size for the command that is not started yet. Return whether there is one."""
        table = tables.interactive_session
        is_meant = sa.and_(table.c.container_id == container_id, table.c.exec_id == exec_id)
        change = table.update().where(is_meant).values(size=sa.literal(encode_json(size), sa.Text))
        return (await self._connection.execute(change)).rowcount > 0

    async def forget(self, before: dt.datetime) -> None:
        """Remove the sessions that have expired by then."""
        table = tables.interactive_session
        await self._connection.execute(table.delete().where(table.c.expires_at < before))
