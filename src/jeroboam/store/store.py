"""The store: opens the database and gives out transactions.

SQLite (WAL) has one writer at a time: a lock here makes writers wait, instead of lock errors there. PostgreSQL locks
rows. Nothing above this package uses SQLAlchemy, and no transaction stays open over a call to the outside world.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from jeroboam.domain.ports import Bus, Sealer
from jeroboam.kit.clock import Clock
from jeroboam.store.access import DatabaseFault, StoreUnavailable, TransactionConnection
from jeroboam.store.broken import BrokenRows
from jeroboam.store.rows import QueryExecutor
from jeroboam.store.sealing import SealedJson
from jeroboam.store.transaction import Transaction


class _SqliteReader:
    """A SQLite reader that answers at once.

    A read from a local file in WAL mode waits for nothing, and a thread would cost more than the read itself. So the
    read runs in the event loop. It has the part of `AsyncConnection`'s interface that reading needs.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._connection: sa.Connection | None = None
        self.dialect = engine.dialect

    async def execute(self, statement: sa.Executable) -> sa.CursorResult[Any]:
        """Return the whole result; each caller takes all rows before it gives control back to the event loop."""
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection.execute(statement)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()


class Store:
    """Stores all objects."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        bus: Bus,
        sealer: Sealer | None = None,
        lock_seconds: float = 10.0,
        answer_seconds: float = 30.0,
    ) -> None:
        """Open nothing yet. The URL is SQLAlchemy's: `sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`.

        With a sealer, secrets inside objects are sealed in the database. `lock_seconds` is how long a write waits for
        another program, or for the writes before it. `answer_seconds` is how long a PostgreSQL server may take for one
        statement.
        """
        self.broken = BrokenRows()
        """Rows that cannot be read."""
        self._trouble = DatabaseFault(sa.make_url(url).render_as_string(hide_password=True))
        self._lock_seconds = lock_seconds
        self._clock = clock
        self._bus = bus
        self._sqlite = url.startswith("sqlite")
        json = SealedJson(sealer)
        options: dict[str, Any] = {"json_serializer": json.encode, "json_deserializer": json.decode}
        self._file = DatabaseFile(url) if self._sqlite else None
        if self._sqlite:
            self._writer = create_async_engine(url, pool_size=1, max_overflow=0, **options)
            reader = sa.create_engine(
                url.replace("sqlite+aiosqlite", "sqlite"), poolclass=sa.pool.StaticPool, **options
            )
            self._reader: _SqliteReader | None = _SqliteReader(reader)
            sa.event.listen(self._writer.sync_engine, "connect", partial(_configure_writer, seconds=lock_seconds))
            sa.event.listen(reader, "connect", _configure_reader)
            sa.event.listen(self._writer.sync_engine, "begin", _begin_immediate)
            sa.event.listen(self._writer.sync_engine, "invalidate", _roll_back_cancelled)
        else:
            limits = {"timeout": lock_seconds, "command_timeout": answer_seconds}
            self._writer = create_async_engine(
                url, pool_pre_ping=True, pool_timeout=lock_seconds, connect_args=limits, **options
            )
            self._reader = None
        self._turn = asyncio.Lock()

    @property
    def engine(self) -> AsyncEngine:
        """The writing engine, for migrations."""
        return self._writer

    @contextlib.asynccontextmanager
    async def read(self, *, strict: bool = False) -> AsyncIterator[Transaction]:
        """A transaction that only reads. With `strict` a row that cannot be read raises `BrokenRow`.

        Without it such a row is left out. Raises `StoreUnavailable` if the database does not work.
        """
        with self._trouble.translate_faults():
            if self._file is not None:
                self._file.check()
            if self._reader is not None:
                yield self._transaction(self._reader, writable=False, strict=strict)
                return
            async with self._writer.connect() as connection:
                yield self._transaction(connection, writable=False, strict=strict)

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """A transaction that is committed at the end of the block, and rolled back if the block raises.

        Its hints are published after the commit. Raises `StoreUnavailable` if the database does not work.
        """
        with self._trouble.translate_faults():
            async with self._its_turn(), self._writer.begin() as connection:
                if self._file is not None:
                    self._file.check()
                transaction = self._transaction(connection, writable=True)
                yield transaction
        self._trouble.clear()
        for topic, key in transaction.messages:
            self._bus.publish(topic, key)

    def _transaction(self, connection: QueryExecutor, *, writable: bool, strict: bool = False) -> Transaction:
        access = TransactionConnection(connection, self.broken, strict=strict)
        return Transaction(access, self._clock.now(), writable=writable)

    @contextlib.asynccontextmanager
    async def _its_turn(self) -> AsyncIterator[None]:
        """Wait for the one writer of SQLite. Raises `StoreUnavailable` if that takes too long."""
        if not self._sqlite:
            yield
            return
        try:
            async with asyncio.timeout(self._lock_seconds):
                await self._turn.acquire()
        except TimeoutError as error:
            raise StoreUnavailable("too many writes wait for it") from error
        try:
            yield
        finally:
            self._turn.release()

    async def check(self) -> str | None:
        """Return the fault of the database in a sentence: as found now, or by the last write. None if it works."""
        try:
            async with asyncio.timeout(self._lock_seconds), self.read() as tx:
                await tx.ping()
                await tx.look_at_broken_rows()
        except StoreUnavailable as error:
            return error.detail
        except TimeoutError:
            return StoreUnavailable("it does not answer").detail
        return None if self._trouble.reason is None else StoreUnavailable(self._trouble.reason).detail

    async def close(self) -> None:
        """Close every connection."""
        await self._writer.dispose()
        if self._reader is not None:
            self._reader.close()


class DatabaseFile:
    """The file of SQLite. If it is removed while open, writes succeed and are lost."""

    def __init__(self, url: str) -> None:
        self._path = sa.make_url(url).database or ""
        self._identity: tuple[int, int] | None = None

    def check(self) -> None:
        """Raise `StoreUnavailable` if the file is gone, or is not the same as at the last call."""
        if not self._path or self._path == ":memory:":
            return
        try:
            status = os.stat(self._path)  # noqa: PTH116  (asked with every transaction: a Path takes longer to make)
        except OSError as error:
            if self._identity is None:
                return
            raise StoreUnavailable("its file is gone") from error
        identity = (status.st_dev, status.st_ino)
        if self._identity not in {None, identity}:
            raise StoreUnavailable("its file was replaced by another one")
        self._identity = identity


def _configure_writer(connection: Any, _record: Any, *, seconds: float) -> None:
    """Configure the writer: WAL, so that readers never wait; a commit survives a crash of the process."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA busy_timeout={int(seconds * 1000)}")
    cursor.close()


def _configure_reader(connection: Any, _record: Any) -> None:
    """Configure a reader: it can change nothing, and opens no transaction beyond its statement."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    # In WAL mode a reader hardly ever waits. It runs in the event loop, so everything waits with it.
    cursor.execute("PRAGMA busy_timeout=100")
    cursor.close()


def _begin_immediate(connection: sa.Connection) -> None:
    """Take the write lock at the start: a transaction that reads first may fail to get it later."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _roll_back_cancelled(connection: Any, _record: Any, _error: BaseException | None) -> None:
    """Roll back before a connection is closed because its task was cancelled in the middle of a statement.

    The cursor of that statement is still open. SQLite closes a connection with its last cursor, and keeps the write
    lock until then. A second cancellation is not lost: the first one is on its way up.
    """
    with contextlib.suppress(Exception, asyncio.CancelledError):
        connection.rollback()
