"""What tests share: an image that is there without a registry, and an empty database."""

import asyncio
import signal

import hypothesis
import pytest

from jeroboam.bootstrap.images import build_busybox
from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.clock import SystemClock
from jeroboam.settings import load
from jeroboam.store import Store
from jeroboam.store.migrations import upgrade

# An example may take any time on a machine that does something else as well. A test that hangs meets pytest's limit.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

# A shell that runs the tests in the background has switched Ctrl-C off, for them and for what they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def busybox():
    asyncio.run(build_busybox(load(None)))
    return "busybox:latest"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A file of SQLite of the newest version, to be copied: making one takes longer than most tests."""
    path = tmp_path_factory.mktemp("empty") / "store.db"

    async def make() -> None:
        store = Store(f"sqlite+aiosqlite:///{path}", clock=SystemClock(), bus=MemoryBus())
        await upgrade(store.engine)
        await store.close()

    asyncio.run(make())
    return path
