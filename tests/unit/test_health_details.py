"""The checks behind the detailed `/healthcheck`: Keystone, Engine, disk and loops, on real sockets and a real store."""

import asyncio
import pathlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator

import pytest
from prometheus_client import CollectorRegistry

from jeroboam.bootstrap.context import ProcessContext
from jeroboam.bootstrap.health import build_health_details
from jeroboam.conductor.metrics import LoopMetrics
from jeroboam.identity.keystone import KeystoneTokens
from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.ids import RandomIds
from jeroboam.kit.tasks import Tasks
from jeroboam.settings import load
from jeroboam.store import Store
from jeroboam.store.migrations import upgrade
from tests.clock import ManualClock
from tests.unix_engine import serve_engine


@pytest.fixture
def folder() -> Iterator[pathlib.Path]:
    path = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks(lambda _name, _error: None)
    yield tasks
    await tasks.close()


@pytest.fixture
async def context(folder: pathlib.Path, clock: ManualClock, tasks: Tasks) -> AsyncIterator[ProcessContext]:
    config = folder / "jeroboam.conf"
    config.write_text(f"[docker]\nurl = unix://{folder}/engine.sock\n")
    settings = load(config, state=str(folder), host="h")
    store = Store(settings.database_url, clock=clock, bus=MemoryBus())
    await upgrade(store.engine)
    yield ProcessContext(
        settings=settings,
        store=store,
        bus=MemoryBus(),
        clock=clock,
        ids=RandomIds(),
        tasks=tasks,
        limits=(),
        counters=CollectorRegistry(),
        meter=LoopMetrics(),
        name="h/1",
    )
    await store.close()


@pytest.fixture
async def keystone_url() -> AsyncIterator[str]:
    """A Keystone that answers for its version."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v3"
    server.close()


def tokens_of(url: str) -> KeystoneTokens:
    return KeystoneTokens(auth_url=url, username="u", password="p", project_name="s", clock=SystemClock())


async def test_keystone(context: ProcessContext, keystone_url: str) -> None:
    for url, expected in ((keystone_url, None), ("http://127.0.0.1:1/v3", "The identity service does not answer.")):
        tokens = tokens_of(url)
        assert await build_health_details(context, tokens=tokens, loops=frozenset())["keystone"]() == expected
        await tokens.close()


async def test_the_engine(context: ProcessContext, folder: pathlib.Path) -> None:
    check = build_health_details(context, tokens=tokens_of("http://127.0.0.1:1"), loops=frozenset())["engine"]
    assert await check() == "The Docker Engine has no socket."
    async with serve_engine(folder / "engine.sock", "no Engine"):
        assert await check() == "The Docker Engine has an address that is none of an Engine."
    (folder / "engine.sock").unlink(missing_ok=True)
    async with serve_engine(folder / "engine.sock"):
        assert await check() is None


async def test_the_disk(context: ProcessContext, folder: pathlib.Path) -> None:
    check = build_health_details(context, tokens=tokens_of("http://127.0.0.1:1"), loops=frozenset())["disk"]
    fault = await check()
    free = shutil.disk_usage(folder).free / (1 << 30)
    assert (fault is None) == (free >= 5)


async def test_a_loop_that_has_ended(context: ProcessContext, tasks: Tasks) -> None:
    async def fail() -> None:
        raise RuntimeError("a bug")

    stop = asyncio.Event()
    works, fails = tasks.start("clusters", stop.wait()), tasks.start("containers", fail())
    loops = tasks.names
    assert loops == {"clusters", "containers"}
    check = build_health_details(context, tokens=tokens_of("http://127.0.0.1:1"), loops=loops)["loops"]
    assert await check() is None
    await asyncio.wait({fails})
    assert await check() == "These have ended, and the log says why: containers."
    stop.set()
    await asyncio.wait({works})


async def test_a_process_of_this_host_that_gives_no_sign_of_life(context: ProcessContext, clock: ManualClock) -> None:
    check = build_health_details(context, tokens=tokens_of("http://127.0.0.1:1"), loops=frozenset())["loops"]
    async with context.store.write() as tx:
        await tx.beat("h", "jeroboam-conductor")
        await tx.beat("another", "jeroboam-agent")
    await clock.advance(179)
    assert await check() is None
    await clock.advance(2)
    assert await check() == "No sign of life of late from jeroboam-conductor."
