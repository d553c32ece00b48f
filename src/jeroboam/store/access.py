"""One transaction's connection, and the faults of a database that does not work.

Each fault of the database itself (a full disk, a lock, a file that is gone or damaged, a server that does not answer)
becomes one `StoreUnavailable` with a plain reason, and one line in the log for as long as it lasts. An error in a
statement is a bug and stays what it is. Neighbour: `store`, which opens transactions.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
import structlog

from jeroboam.domain.errors import Unavailable
from jeroboam.store.broken import BrokenRows
from jeroboam.store.rows import QueryExecutor

log = structlog.get_logger("jeroboam.store")

_SQLITE = {
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_BUSY: "another program holds it locked",
    sqlite3.SQLITE_LOCKED: "another program holds it locked",
    sqlite3.SQLITE_CORRUPT: "its file is damaged",
    sqlite3.SQLITE_NOTADB: "its file is damaged",
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened",
    sqlite3.SQLITE_READONLY: "its file cannot be written",
    sqlite3.SQLITE_IOERR: "its disk has an error",
}
_PRIMARY = 0xFF
# Classes of SQLSTATE, and single codes: faults of a server, not of a statement.
_POSTGRES = {
    "53100": "its disk is full",
    "53300": "it takes no more connections",
    "53": "its server is out of resources",
    "55P03": "another program holds it locked",
    "57": "its server is being stopped or was started a moment ago",
    "58": "its disk has an error",
    "XX001": "its file is damaged",
    "XX002": "its file is damaged",
    "08": "it does not answer",
    "28": "it does not accept the user or the password",
    "3D000": "it is gone",
    "25006": "it cannot be written",
}


class StoreUnavailable(Unavailable):
    """The database does not work now. The text has the reason, and nothing of a statement."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The database does not work: {reason}.")
        self.reason = reason


class TransactionConnection:
    """A connection with the state of one transaction on it."""

    def __init__(self, connection: QueryExecutor, broken: BrokenRows, *, strict: bool) -> None:
        self.execute = connection.execute
        self.dialect = connection.dialect
        self.broken = broken
        self.strict = strict


class DatabaseFault:
    """The fault of the database, as the last transaction found it."""

    def __init__(self, database: str) -> None:
        """`database` is how the log names it, with no password."""
        self.reason: str | None = None
        self._database = database

    @contextmanager
    def translate_faults(self) -> Iterator[None]:
        """Wrap a whole transaction: faults of the database become `StoreUnavailable`."""
        try:
            yield
        except StoreUnavailable as error:
            self._note(error.reason, error)
            raise
        except Exception as error:
            reason = fault_of(error)
            if reason is None:
                raise
            self._note(reason, error)
            raise StoreUnavailable(reason) from error

    def clear(self) -> None:
        """Clear the fault: a transaction that writes has succeeded."""
        if self.reason is not None:
            log.info("the database works again", database=self._database)
            self.reason = None

    def _note(self, reason: str, error: Exception) -> None:
        if reason != self.reason:
            self.reason = reason
            text = str(getattr(error, "orig", None) or error)[:300]
            log.error("the database does not work", database=self._database, reason=reason, error=text)


def fault_of(error: BaseException) -> str | None:
    """Return the fault of the database itself, or None for any other error."""
    if isinstance(error, sa.exc.TimeoutError | TimeoutError | ConnectionError):
        return "it does not answer"
    if isinstance(error, sa.exc.DBAPIError):
        orig = error.orig
        if isinstance(orig, sqlite3.Error):
            return _SQLITE.get((getattr(orig, "sqlite_errorcode", None) or 0) & _PRIMARY)
        state = str(getattr(orig, "sqlstate", None) or getattr(orig, "pgcode", None) or "")
        if state:
            return _POSTGRES.get(state) or _POSTGRES.get(state[:2])
        return "it does not answer" if error.connection_invalidated else _reason_without_state(orig)
    state = str(getattr(error, "sqlstate", None) or "")
    if state:
        return _POSTGRES.get(state) or _POSTGRES.get(state[:2])
    return "it does not answer" if isinstance(error, OSError) else None


def _reason_without_state(orig: BaseException | None) -> str | None:
    """Return the fault of an error without SQLSTATE, such as a lost connection."""
    cause = getattr(orig, "__cause__", None)
    if isinstance(cause, OSError | TimeoutError) or "connection" in str(orig).lower():
        return "it does not answer"
    return None
