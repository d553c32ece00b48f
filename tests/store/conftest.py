"""Every store test runs on SQLite and on PostgreSQL."""

import shutil

import pytest

from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.clock import SystemClock
from jeroboam.store import Store
from jeroboam.store.migrations import upgrade
from tests.postgres import database, running_server

FILE = "store.db"


@pytest.fixture(scope="session")
def postgres():
    with running_server() as server:
        yield server.url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def store_url(request, tmp_path):
    """Where an empty database is, or with SQLite none yet."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / FILE}"
        return
    async with database(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture
def bus():
    return MemoryBus()


@pytest.fixture
async def store(store_url, bus, tmp_path, empty_database):
    if store_url.startswith("sqlite"):
        shutil.copy(empty_database, tmp_path / FILE)
    store = Store(store_url, clock=SystemClock(), bus=bus)
    await upgrade(store.engine)
    yield store
    await store.close()
