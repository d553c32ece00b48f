"""Opens the database for commands that read it beside the service, and says what is wrong with a database.

Neighbours: `upkeep`; `explain`; `load`; `service`.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.clock import SystemClock
from jeroboam.settings import Settings, name_database
from jeroboam.store import Store, StoreUnavailable, fault_of
from jeroboam.store.migrations import current, newest


@contextmanager
def translate_faults(name: str) -> Iterator[None]:
    """Raise `ValueError` that names the database for every error that says that it does not work."""
    try:
        yield
    except StoreUnavailable as error:
        raise ValueError(f"{name}: the database does not work: {error.reason}") from error
    except Exception as error:
        reason = fault_of(error)
        if reason is None:
            raise
        raise ValueError(f"{name}: the database does not work: {reason}") from error


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """Return the store. Raises `ValueError` that names the database if it does not work or has another version."""
    name = name_database(settings.database_url)
    store = Store(settings.database_url, clock=SystemClock(), bus=MemoryBus())
    try:
        with translate_faults(name):
            version = await current(store.engine)
            if version is None:
                raise ValueError(f"{name}: there is nothing in the database: the service was never started on it")
            if version != newest():
                text = f"the database has version {version}, and this program needs {newest()}"
                raise ValueError(f"{name}: {text}: `jeroboam up` brings an older database up to date")
            yield store
    finally:
        await store.close()
