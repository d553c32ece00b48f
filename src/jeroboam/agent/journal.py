"""What the agent must not forget when it is killed: a small SQLite file beside it.

For each container: the last op that ended, the op that was begun and how the container stood then, and what was last
observed. WAL with synchronous=NORMAL keeps every write through a killed process, which is all that is asked of it;
a write takes some fifty microseconds and so is made in the loop.
"""

import datetime as dt
import pathlib
import sqlite3
from dataclasses import dataclass

import msgspec

from jeroboam.domain.containers import ContainerObserved

_TABLE = """
CREATE TABLE IF NOT EXISTS container (
    uuid TEXT PRIMARY KEY,
    begun INTEGER,
    mark TEXT,
    observed BLOB NOT NULL
) WITHOUT ROWID
"""

NOTHING = ContainerObserved()


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalEntry:
    """What is known of one container."""

    observed: ContainerObserved = NOTHING
    """`observed.seq` is the last op that ended."""
    begun: int | None = None
    """An op that was begun and has not ended."""
    mark: dt.datetime | None = None
    """When the container had last been started as that op began."""


class Journal:
    """One file, one writer."""

    def __init__(self, path: pathlib.Path | None = None) -> None:
        """`path` None keeps it in memory."""
        self._db = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute(_TABLE)
        self._entries = dict(self._read())

    def entry(self, uuid: str) -> JournalEntry:
        """What is known; an empty entry for a container that is new."""
        return self._entries.get(uuid, JournalEntry())

    def known(self) -> frozenset[str]:
        """Containers that have not been forgotten."""
        return frozenset(self._entries)

    def begin(self, uuid: str, seq: int, mark: dt.datetime | None) -> None:
        """The op is about to be carried out on a container that was last started at `mark`."""
        self._write(uuid, JournalEntry(observed=self.entry(uuid).observed, begun=seq, mark=mark))

    def end(self, uuid: str, observed: ContainerObserved) -> None:
        """The op `observed.seq` has ended, well or not."""
        self._write(uuid, JournalEntry(observed=observed))

    def saw(self, uuid: str, observed: ContainerObserved) -> None:
        """The container has changed; what was begun stays begun."""
        before = self.entry(uuid)
        self._write(uuid, JournalEntry(observed=observed, begun=before.begun, mark=before.mark))

    def forget(self, uuid: str) -> None:
        """The server has forgotten it too."""
        self._db.execute("DELETE FROM container WHERE uuid = ?", (uuid,))
        self._entries.pop(uuid, None)

    def close(self) -> None:
        self._db.close()

    def _write(self, uuid: str, entry: JournalEntry) -> None:
        mark = entry.mark.isoformat() if entry.mark is not None else None
        self._db.execute(
            "INSERT OR REPLACE INTO container (uuid, begun, mark, observed) VALUES (?, ?, ?, ?)",
            (uuid, entry.begun, mark, msgspec.json.encode(entry.observed)),
        )
        self._entries[uuid] = entry

    def _read(self) -> list[tuple[str, JournalEntry]]:
        rows = self._db.execute("SELECT uuid, begun, mark, observed FROM container").fetchall()
        return [
            (
                uuid,
                JournalEntry(
                    observed=msgspec.json.decode(observed, type=ContainerObserved),
                    begun=begun,
                    mark=dt.datetime.fromisoformat(mark) if mark is not None else None,
                ),
            )
            for uuid, begun, mark, observed in rows
        ]
