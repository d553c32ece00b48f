"""A PostgreSQL server that goes away or hangs: 503 that says so, and work goes on when it is back."""

import pytest
from structlog.testing import capture_logs

from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.clock import SystemClock
from jeroboam.store import Store
from jeroboam.store.migrations import upgrade
from tests.postgres import running_server

pytestmark = pytest.mark.postgres

AWAY = "The database does not work: it does not answer."


@pytest.fixture
def server():
    """One that no other test uses."""
    with running_server() as server:
        yield server


@pytest.fixture
async def store(server):
    """A store that waits no longer than a test does."""
    url = f"{server.url}postgres"
    store = Store(url, clock=SystemClock(), bus=MemoryBus(), lock_seconds=0.5, answer_seconds=0.5)
    await upgrade(store.engine)
    yield store
    await store.close()


async def refused(zun, plain):
    """The reason that all requests and the health check give."""
    reasons = set()
    for answer in (await zun.get("/v1/containers"), await zun.post("/v1/containers", {"image": "busybox"})):
        assert answer.status == 503, answer.body
        reasons.add(answer.error["detail"])
    health = await plain.get("/healthcheck?detailed", headers={"host": "localhost"})
    assert (health.status, health.json()["checks"]["database"]) == (503, False)
    [reason] = reasons
    return reason


async def test_a_server_that_is_stopped_and_started_again(zun, plain, server):
    uuid = (await zun.post("/v1/containers", {"image": "busybox"})).json()["uuid"]
    server.stop()
    with capture_logs() as logs:
        assert await refused(zun, plain) == AWAY
    assert len([line for line in logs if line["log_level"] == "error"]) == 1
    server.start()
    assert (await zun.get(f"/v1/containers/{uuid}")).status == 200
    assert (await zun.post("/v1/containers", {"image": "busybox"})).status == 202
    assert (await plain.get("/healthcheck")).status == 200


async def test_a_server_that_hangs(zun, plain, server):
    uuid = (await zun.post("/v1/containers", {"image": "busybox"})).json()["uuid"]
    with server.hanging():
        assert await refused(zun, plain) == AWAY
    assert (await zun.get(f"/v1/containers/{uuid}")).status == 200
    assert (await zun.post("/v1/containers", {"image": "busybox"})).status == 202
    assert (await plain.get("/healthcheck")).status == 200
