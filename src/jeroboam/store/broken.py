"""Rows that cannot be read: they are left out, logged once and counted.

A row breaks if somebody edits the database by hand, or if a disk loses a page. Code that lists objects goes on with the
other rows. Code that acts on absence reads strictly and gets `BrokenRow`: the conductor, for example, removes nodes
that no group wishes for. Neighbours: `rows`, which reads; `recheck`, which looks at broken rows again; the API, whose
`/metrics` shows the counts.
"""

from collections import Counter
from collections.abc import Mapping

import structlog

from jeroboam.domain.errors import UnreadableRow

log = structlog.get_logger("jeroboam.store")


class BrokenRow(UnreadableRow):
    """A row cannot be read, and the work needs it."""

    def __init__(self, table: str, key: str | int) -> None:
        super().__init__(f"The row {key} of table {table} cannot be read: the operator has to repair it.")


class BrokenRows:
    """The rows that this process could not read, and that were not read since."""

    def __init__(self) -> None:
        # Only the keys are used. A dict keeps the order in which rows are looked at again.
        self._known: dict[tuple[str, str | int], None] = {}

    def add(self, table: str, key: str | int, error: Exception) -> None:
        """Note that the row could not be read."""
        if (table, key) not in self._known:
            self._known[table, key] = None
            log.error("row cannot be read", table=table, key=key, error=f"{type(error).__name__}: {error}"[:300])

    def mark_repaired(self, table: str, key: str | int) -> None:
        """Forget the row: it has been read in full."""
        if (table, key) in self._known:
            del self._known[table, key]
            log.info("row can be read again", table=table, key=key)

    def mark_removed(self, table: str, key: str | int) -> None:
        """Forget the row: it does not exist any more."""
        if (table, key) in self._known:
            del self._known[table, key]
            log.info("row that could not be read is gone", table=table, key=key)

    def keys_of(self, table: str, *, limit: int) -> list[str | int]:
        """Return up to so many keys of that table to look at again; the next call continues behind them."""
        keys = [key for name, key in self._known if name == table][:limit]
        for key in keys:
            del self._known[table, key]
            self._known[table, key] = None
        return keys

    def __bool__(self) -> bool:
        return bool(self._known)

    def count_by_table(self) -> Mapping[str, int]:
        """Return the number of broken rows by table."""
        return Counter(table for table, _ in self._known)
