"""The journal: a small SQLite file with what the agent must remember when it is killed.

For each container: the last op that ended, the op that was begun, when the container had been started before that op,
and the last observation. For each capsule: the last observation, with what was decided on its containers. Of images:
which were pulled here and when they were used last, and of those that need a login, for which projects they are. WAL
with synchronous=NORMAL keeps every write if the process is killed; more is not needed. A write takes some fifty
microseconds, so it runs in the event loop. Neighbours: the executors and `session`.
"""

import datetime as dt
import pathlib
import sqlite3
from dataclasses import dataclass

import msgspec

from jeroboam.domain.capsules import CapsuleObserved
from jeroboam.domain.containers import ContainerObserved

_TABLE = """
CREATE TABLE IF NOT EXISTS container (
    uuid TEXT PRIMARY KEY,
    begun INTEGER,
    mark TEXT,
    observed BLOB NOT NULL
) WITHOUT ROWID
"""

_CAPSULE_TABLE = """
CREATE TABLE IF NOT EXISTS capsule (
    uuid TEXT PRIMARY KEY,
    observed BLOB NOT NULL
) WITHOUT ROWID
"""

# A row without a project says that the repository is private.
_PRIVATE_TABLE = """
CREATE TABLE IF NOT EXISTS private_image (
    repository TEXT NOT NULL,
    project TEXT NOT NULL,
    PRIMARY KEY (repository, project)
) WITHOUT ROWID
"""
_PULLED_TABLE = """
CREATE TABLE IF NOT EXISTS pulled_image (
    image TEXT PRIMARY KEY,
    used_at TEXT NOT NULL
) WITHOUT ROWID
"""

NOTHING = ContainerObserved()
NO_CAPSULE = CapsuleObserved()


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalEntry:
    """The entry of one container."""

    observed: ContainerObserved = NOTHING
    """`observed.seq` is the last op that ended."""
    begun_seq: int | None = None
    """The op that was begun and has not ended."""
    mark: dt.datetime | None = None
    """When the container had last been started before that op began."""


class Journal:
    """The journal: one file, one writer."""

    def __init__(self, path: pathlib.Path | None = None) -> None:
        """Open the file; `path` None keeps the journal in memory."""
        self._db = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute(_TABLE)
        self._db.execute(_CAPSULE_TABLE)
        self._db.execute(_PRIVATE_TABLE)
        self._db.execute(_PULLED_TABLE)
        self._entries = dict(self._read())
        self._capsules = {
            uuid: msgspec.json.decode(observed, type=CapsuleObserved)
            for uuid, observed in self._db.execute("SELECT uuid, observed FROM capsule").fetchall()
        }
        self._private = set(self._db.execute("SELECT repository, project FROM private_image").fetchall())

    def entry(self, uuid: str) -> JournalEntry:
        """Return the entry; an empty one for a new container."""
        return self._entries.get(uuid, JournalEntry())

    def list_uuids(self) -> frozenset[str]:
        """Return the uuids of all containers and capsules."""
        return frozenset(self._entries) | frozenset(self._capsules)

    def has_capsule(self, uuid: str) -> bool:
        """Whether the entry of that uuid is a capsule's."""
        return uuid in self._capsules

    def capsule(self, uuid: str) -> CapsuleObserved:
        """Return the last observation of the capsule; an empty one for a new capsule."""
        return self._capsules.get(uuid, NO_CAPSULE)

    def record_capsule(self, uuid: str, observed: CapsuleObserved) -> None:
        """Note what was observed of the capsule, and what was decided on its containers."""
        values = (uuid, msgspec.json.encode(observed))
        self._db.execute("INSERT OR REPLACE INTO capsule (uuid, observed) VALUES (?, ?)", values)
        self._capsules[uuid] = observed

    def forget_capsule(self, uuid: str) -> None:
        """Remove the entry of the capsule: the server has forgotten it too."""
        self._db.execute("DELETE FROM capsule WHERE uuid = ?", (uuid,))
        self._capsules.pop(uuid, None)

    def begin(self, uuid: str, seq: int, mark: dt.datetime | None) -> None:
        """Note that an op begins, on a container that was last started at `mark`."""
        self._write(uuid, JournalEntry(observed=self.entry(uuid).observed, begun_seq=seq, mark=mark))

    def end(self, uuid: str, observed: ContainerObserved) -> None:
        """Note that the op `observed.seq` has ended, done or failed."""
        self._write(uuid, JournalEntry(observed=observed))

    def record_observed(self, uuid: str, observed: ContainerObserved) -> None:
        """Note that the container has changed. An op that was begun stays begun."""
        before = self.entry(uuid)
        self._write(uuid, JournalEntry(observed=observed, begun_seq=before.begun_seq, mark=before.mark))

    def forget(self, uuid: str) -> None:
        """Remove the entry: the server has forgotten the container too."""
        self._db.execute("DELETE FROM container WHERE uuid = ?", (uuid,))
        self._entries.pop(uuid, None)

    def is_private(self, repository: str) -> bool:
        """Whether the registry of that repository wants a login, as far as is known here."""
        return (repository, "") in self._private

    def has_shown_login(self, repository: str, project: str) -> bool:
        """Whether the project has shown the registry a login that works for that repository."""
        return (repository, project) in self._private

    def mark_private(self, repository: str) -> None:
        """Note that the registry wants a login for that repository."""
        self.note_login(repository, "")

    def note_login(self, repository: str, project: str) -> None:
        """Note that the project has shown a login that works. No login is written."""
        self._db.execute("INSERT OR IGNORE INTO private_image VALUES (?, ?)", (repository, project))
        self._private.add((repository, project))

    def note_image(self, image: str, used_at: dt.datetime, *, is_pulled: bool) -> None:
        """Note that the image was used, if it was pulled here: now, or at any time before."""
        moment = used_at.astimezone(dt.UTC).isoformat(timespec="seconds")
        if is_pulled:
            self._db.execute("INSERT OR REPLACE INTO pulled_image VALUES (?, ?)", (image, moment))
        else:
            self._db.execute("UPDATE pulled_image SET used_at = ? WHERE image = ?", (moment, image))

    def list_images_unused_since(self, moment: dt.datetime) -> list[str]:
        """Return the images that were pulled here and not used since."""
        oldest = moment.astimezone(dt.UTC).isoformat(timespec="seconds")
        query = "SELECT image FROM pulled_image WHERE used_at < ? ORDER BY used_at"
        return [row[0] for row in self._db.execute(query, (oldest,))]

    def forget_image(self, image: str) -> None:
        """Forget that the image was pulled here."""
        self._db.execute("DELETE FROM pulled_image WHERE image = ?", (image,))

    def close(self) -> None:
        self._db.close()

    def _write(self, uuid: str, entry: JournalEntry) -> None:
        mark = entry.mark.isoformat() if entry.mark is not None else None
        self._db.execute(
            "INSERT OR REPLACE INTO container (uuid, begun, mark, observed) VALUES (?, ?, ?, ?)",
            (uuid, entry.begun_seq, mark, msgspec.json.encode(entry.observed)),
        )
        self._entries[uuid] = entry

    def _read(self) -> list[tuple[str, JournalEntry]]:
        rows = self._db.execute("SELECT uuid, begun, mark, observed FROM container").fetchall()
        return [
            (
                uuid,
                JournalEntry(
                    observed=msgspec.json.decode(observed, type=ContainerObserved),
                    begun_seq=begun,
                    mark=dt.datetime.fromisoformat(mark) if mark is not None else None,
                ),
            )
            for uuid, begun, mark, observed in rows
        ]
