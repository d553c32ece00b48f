"""Rows that could not be read, looked at again: the operator may have repaired or removed them meanwhile.

Nobody else would notice a row that is gone. Neighbours: `broken`, which knows their keys; `store`, which asks before it
counts them.
"""

import sqlalchemy as sa

from jeroboam.store.kinds import WHOLE
from jeroboam.store.rows import QueryConnection, Rows

# Keys that one look takes of a table: a bound for the statement, and for the time that it takes.
_MOST = 500


async def look_again(session: QueryConnection) -> None:
    """Forget those that are gone or can be read; the session must not be strict."""
    for table in {kind.table for kind in WHOLE}:
        keys = session.broken.keys_of(table.name, most=_MOST)
        if not keys:
            continue
        kinds = [kind for kind in WHOLE if kind.table is table]
        column = kinds[0].key_column
        existing_keys = set((await session.execute(sa.select(column).where(column.in_(keys)))).scalars())
        for key in keys:
            if key not in existing_keys:
                session.broken.removed(table.name, key)
        for kind in kinds:
            await Rows(session, kind, for_update=False).where(kind.key_column.in_(keys))
