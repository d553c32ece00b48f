"""Looks again at rows that could not be read: the operator may have repaired or removed them meanwhile.

Nothing else would notice that such a row is gone. Neighbours: `broken`, which holds their keys; `store`, which calls
this before it counts them.
"""

import sqlalchemy as sa

from jeroboam.store.kinds import ALL_KINDS
from jeroboam.store.rows import QueryConnection, Rows

# So many keys of a table one look takes: a bound for the statement and for its time.
_MOST = 500


async def look_again(session: QueryConnection) -> None:
    """Forget rows that are gone or can be read; the session must not be strict."""
    for table in {kind.table for kind in ALL_KINDS}:
        keys = session.broken.keys_of(table.name, limit=_MOST)
        if not keys:
            continue
        kinds = [kind for kind in ALL_KINDS if kind.table is table]
        column = kinds[0].key_column
        existing_keys = set((await session.execute(sa.select(column).where(column.in_(keys)))).scalars())
        for key in keys:
            if key not in existing_keys:
                session.broken.mark_removed(table.name, key)
        for kind in kinds:
            await Rows(session, kind, for_update=False).where(kind.key_column.in_(keys))
