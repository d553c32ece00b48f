"""Rows that cannot be read: left out, logged once, counted.

A row breaks when somebody edits the database by hand, or when a disk loses a page. Whoever lists objects goes on with
the others. Whoever would act on what is *not* there, as the conductor does with nodes that no group wishes for, reads
strictly and gets `BrokenRow`. Neighbours: `rows`, which reads; `recheck`, which looks at known ones again; the API,
whose `/metrics` shows the counts.
"""

from collections import Counter
from collections.abc import Mapping

import structlog

from jeroboam.domain.errors import UnreadableRow

log = structlog.get_logger("jeroboam.store")


class BrokenRow(UnreadableRow):
    """A row cannot be read, and the work at hand cannot do without it."""

    def __init__(self, table: str, key: str | int) -> None:
        super().__init__(f"The row {key} of table {table} cannot be read: the operator has to repair it.")


class BrokenRows:
    """Those that this process has met and that have not been read since."""

    def __init__(self) -> None:
        # Keys only; a dict, since it keeps the order in which they are looked at again.
        self._known: dict[tuple[str, str | int], None] = {}

    def add(self, table: str, key: str | int, error: Exception) -> None:
        """Note that the row could not be read."""
        if (table, key) not in self._known:
            self._known[table, key] = None
            log.error("row cannot be read", table=table, key=key, error=f"{type(error).__name__}: {error}"[:300])

    def repaired(self, table: str, key: str | int) -> None:
        """The row has been read, whole."""
        if (table, key) in self._known:
            del self._known[table, key]
            log.info("row can be read again", table=table, key=key)

    def removed(self, table: str, key: str | int) -> None:
        """The row is not there any more."""
        if (table, key) in self._known:
            del self._known[table, key]
            log.info("row that could not be read is gone", table=table, key=key)

    def keys_of(self, table: str, *, most: int) -> list[str | int]:
        """Keys of that table to look at again, at most so many; the next call goes on behind them."""
        keys = [key for name, key in self._known if name == table][:most]
        for key in keys:
            del self._known[table, key]
            self._known[table, key] = None
        return keys

    def __bool__(self) -> bool:
        return bool(self._known)

    def counts(self) -> Mapping[str, int]:
        """How many there are, by table."""
        return Counter(table for table, _ in self._known)
