"""A database that does not work: 503 that says so, one line in the log, and a health check that says it too."""

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.clock import SystemClock
from jeroboam.store import Store
from tests import builders


@pytest.fixture
async def store(tmp_path, empty_database):
    """One that waits for others no longer than a test does."""
    url = f"sqlite+aiosqlite:///{shutil.copy(empty_database, tmp_path / 'store.db')}"
    store = Store(url, clock=SystemClock(), bus=MemoryBus(), lock_seconds=0.2)
    yield store
    await store.close()


@pytest.fixture
def path(store):
    return Path(store.engine.url.database)


@pytest.fixture
def locked(path):
    """Another program holds the database."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    yield other
    other.close()


async def test_a_database_that_is_locked(zun, infra, plain, locked):
    with capture_logs() as logs:
        for client, route in ((zun, "/v1/containers"), (infra, "/v1/clustertemplates")):
            body = {"image": "busybox"} if client is zun else {"name": "t", "coe": "swarm", "image_id": "node"}
            answer = await client.post(route, body)
            assert (answer.status, answer.error["detail"]) == (
                503,
                "The database does not work: another program holds it locked.",
            )
        answer = await plain.get("/healthcheck")
    assert answer.status == 503
    assert answer.json()["reasons"] == ["The database does not work: another program holds it locked."]
    assert len([line for line in logs if line["log_level"] == "error"]) == 1
    locked.execute("ROLLBACK")
    assert (await zun.post("/v1/containers", {"image": "busybox"})).status == 202
    assert (await plain.get("/healthcheck")).status == 200


async def test_a_disk_that_is_full(zun, plain, store):
    async with store.engine.connect() as writer:
        [pages] = (await writer.exec_driver_sql("PRAGMA page_count")).one()
        await writer.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    accepted = [await zun.post("/v1/containers", {"image": "busybox", "labels": {"a": "b" * 200}}) for _ in range(60)]
    full = [answer for answer in accepted if answer.status != 202]
    assert {(answer.status, answer.error["detail"]) for answer in full} == {
        (503, "The database does not work: its disk is full.")
    }
    rows = (await zun.get("/v1/containers")).json()["containers"]
    assert len(rows) == len(accepted) - len(full)
    assert (await plain.get("/healthcheck")).json()["reasons"] == ["The database does not work: its disk is full."]
    async with store.engine.connect() as writer:
        await writer.exec_driver_sql("PRAGMA max_page_count=1000000")
    assert (await zun.post("/v1/containers", {"image": "busybox"})).status == 202
    assert (await plain.get("/healthcheck")).status == 200


@pytest.mark.parametrize("how", ["gone", "replaced", "damaged"])
async def test_a_file_that_is_not_what_it_was(zun, plain, path, how):
    assert (await zun.get("/v1/containers")).status == 200
    if how == "damaged":
        for file in (path, path.with_name(f"{path.name}-wal")):
            if file.exists():
                with file.open("r+b") as content:
                    content.write(b"\xff" * file.stat().st_size)
    else:
        path.unlink()
        if how == "replaced":
            path.touch()
    with capture_logs() as logs:
        for _ in range(3):
            answer = await zun.post("/v1/containers", {"image": "busybox"})
            assert answer.status == 503, answer.body
            assert "The database does not work: its file" in answer.error["detail"]
            assert str(path) not in answer.error["detail"]
    assert len([line for line in logs if line["log_level"] == "error"]) == 1
    health = await plain.get("/healthcheck?detailed", headers={"host": "localhost"})
    assert (health.status, health.json()["checks"]["database"]) == (503, False)


async def test_a_host_whose_runtime_hangs_is_told(plain, store):
    async with store.write() as tx:
        sick = replace(builders.host(), hostname="h7", runtime_error="the runtime has not answered for 5 seconds")
        await tx.hosts.insert(sick)
    for query in ("", "?detailed"):
        answer = await plain.get(f"/healthcheck{query}", headers={"host": "localhost"})
        assert answer.status == 200
        assert answer.json()["reasons"] == ["The runtimes of 1 of 1 hosts do not answer."]
    assert answer.json()["checks"] == {"database": True, "hosts": False}
