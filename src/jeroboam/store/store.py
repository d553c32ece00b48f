"""The store: opens the database and hands out transactions.

SQLite (WAL) has one writer at a time, held back here rather than by lock errors there; PostgreSQL locks rows.
Nobody above this package sees SQLAlchemy, and nobody holds a transaction open over a call to the outside world.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from jeroboam.domain.ports import Bus
from jeroboam.kit.clock import Clock
from jeroboam.store.rows import encode_json, keep_json
from jeroboam.store.transaction import Transaction


class _Reading:
    """A SQLite reader that answers at once.

    A read from a local file in WAL mode waits for nobody, and handing it to a thread and back costs more than the
    read itself; so it is done on the spot. Shaped like the part of an `AsyncConnection` that reading needs.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._connection: sa.Connection | None = None
        self.dialect = engine.dialect

    async def execute(self, statement: sa.Executable) -> sa.CursorResult[Any]:
        """The whole result; every caller takes all its rows before it lets go of the event loop."""
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection.execute(statement)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()


class Store:
    """The one home of all objects."""

    def __init__(self, url: str, *, clock: Clock, bus: Bus) -> None:
        """Nothing is opened yet. The URL is SQLAlchemy's: `sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`."""
        self._clock = clock
        self._bus = bus
        self._sqlite = url.startswith("sqlite")
        options: dict[str, Any] = {"json_serializer": encode_json, "json_deserializer": keep_json}
        if self._sqlite:
            self._writer = create_async_engine(url, pool_size=1, max_overflow=0, **options)
            reader = sa.create_engine(
                url.replace("sqlite+aiosqlite", "sqlite"), poolclass=sa.pool.StaticPool, **options
            )
            self._reader: _Reading | None = _Reading(reader)
            sa.event.listen(self._writer.sync_engine, "connect", _sqlite_writer)
            sa.event.listen(reader, "connect", _sqlite_reader)
            sa.event.listen(self._writer.sync_engine, "begin", _begin_immediate)
        else:
            self._writer = create_async_engine(url, pool_pre_ping=True, **options)
            self._reader = None
        self._turn = asyncio.Lock()

    @property
    def engine(self) -> AsyncEngine:
        """The writing engine, for migrations."""
        return self._writer

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """A transaction that only reads."""
        if self._reader is not None:
            yield Transaction(self._reader, self._clock.now(), writing=False)
            return
        async with self._writer.connect() as connection:
            yield Transaction(connection, self._clock.now(), writing=False)

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """A transaction that is committed at the end of the block, and undone whole if the block raises.

        Its hints are published after the commit.
        """
        async with self._turn if self._sqlite else contextlib.nullcontext(), self._writer.begin() as connection:
            transaction = Transaction(connection, self._clock.now(), writing=True)
            yield transaction
        for topic, key in transaction.messages:
            self._bus.publish(topic, key)

    async def close(self) -> None:
        """Close every connection."""
        await self._writer.dispose()
        if self._reader is not None:
            self._reader.close()


def _sqlite_writer(connection: Any, _record: Any) -> None:
    """The writer's settings: WAL, so that readers never wait; a commit is safe from a crash of the process."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()


def _sqlite_reader(connection: Any, _record: Any) -> None:
    """A reader's settings: it can change nothing, and opens no transaction beyond its statement."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()


def _begin_immediate(connection: sa.Connection) -> None:
    """Take the write lock at the start: a transaction that read first could not be granted it later."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
