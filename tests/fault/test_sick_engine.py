"""An Engine that is away, slow, silent, full or without the image, under the whole service.

The service reaches it through a socket that the test can cut or poison.
"""

import math
import signal
import time
from asyncio import to_thread

import pytest

from tests.engine_proxy import proxied
from tests.fault.engine import things
from tests.fault.installation import Installation, until

pytestmark = [pytest.mark.docker, pytest.mark.slow]

# What "within seconds" means to a user who waits.
TOLD_SECONDS = 8.0
AWAY = "the Docker Engine does not answer"
FULL = "write /var/lib/docker/tmp: no space left on device"

CONFIG = """\
[docker]
url = unix://{socket}
[clusters]
operation_minutes = 1
[containers]
create_seconds = {create_seconds}
action_seconds = 10
[conductor]
resync_seconds = 2
check_seconds = 2
"""


@pytest.fixture(scope="module")
def homes(tmp_path_factory, busybox):
    folder = tmp_path_factory.mktemp("sick")
    made = Installation(folder, CONFIG.format(socket=folder / "engine.sock", create_seconds=20))
    yield made
    made.down()


@pytest.fixture
async def sick(homes):
    """The installation, and the proxy between it and the Engine; at the end nothing is left on the Engine."""
    async with proxied(homes.state.parent / "engine.sock") as (proxy, _):
        if homes.process is None:
            await homes.up()
        yield homes, proxy


async def cluster_until(service, uuid: str, wanted, seconds: float = 60.0) -> dict:
    last = {}

    async def look():
        last.update(await service.good("GET", f"/container-infra/v1/clusters/{uuid}"))
        return wanted(last)

    await until(look, seconds, what=lambda: (last["status"], last["status_reason"]))
    return last


async def container_until(service, uuid: str, wanted, seconds: float = 60.0) -> dict:
    last = {}

    async def look():
        last.update(await service.good("GET", f"/container/v1/containers/{uuid}"))
        return wanted(last)

    await until(look, seconds, what=lambda: (last["status"], last["status_reason"], last["task_state"]))
    return last


def says(words: str):
    return lambda shown: words in (shown["status_reason"] or "")


def is_(*statuses: str):
    return lambda shown: shown["status"] in statuses and not shown.get("task_state")


async def gone(service, engine, *, clusters=(), containers=()) -> None:
    for uuid in clusters:
        # One that was to be deleted already may have gone meanwhile.
        answer = await service.ask("DELETE", f"/container-infra/v1/clusters/{uuid}")
        assert answer.status in {204, 404}
    for uuid in containers:
        await service.good("DELETE", f"/container/v1/containers/{uuid}?stop=true")

    async def look():
        paths = [f"/container-infra/v1/clusters/{uuid}" for uuid in clusters]
        paths += [f"/container/v1/containers/{uuid}" for uuid in containers]
        return all([(await service.ask("GET", path)).status == 404 for path in paths])

    await until(look)
    seen = await things(engine, service.id)
    assert not set(clusters) & {*seen.nodes, *seen.networks, *seen.volumes}
    assert not set(containers) & {*seen.containers}


async def test_an_engine_that_goes_away_and_comes_back(sick, engine):
    service, proxy = sick
    begun = await service.cluster("begun")
    await proxy.cut()
    asked = await service.cluster("asked")
    container = await service.container("asked", "sleep", "600")
    for cluster in (begun, asked):
        await cluster_until(service, cluster, says(AWAY), TOLD_SECONDS)
    await container_until(service, container, says("Docker Engine"), TOLD_SECONDS)
    await proxy.open()
    for cluster in (begun, asked):
        shown = await cluster_until(service, cluster, is_("CREATE_COMPLETE"))
        assert shown["status_reason"] is None
    shown = await container_until(service, container, is_("Running"))
    assert shown["status_reason"] is None
    await gone(service, engine, clusters=[begun, asked], containers=[container])


async def test_one_that_stays_away_ends_in_a_failure_that_can_be_mended(sick, engine):
    service, proxy = sick
    retried = await service.cluster("retried", create_timeout=1)
    deleted = await service.cluster("deleted", create_timeout=1)
    await proxy.cut()
    container = await service.container("failed", "sleep", "600")
    shown = await container_until(service, container, is_("Error"), 60)
    assert "Docker Engine" in shown["status_reason"]
    for cluster in (retried, deleted):
        shown = await cluster_until(service, cluster, is_("CREATE_FAILED"), 80)
        assert AWAY in shown["status_reason"]
        assert all(AWAY in fault for fault in shown["faults"].values())
    await service.good("DELETE", f"/container-infra/v1/clusters/{deleted}")
    await cluster_until(service, deleted, says(AWAY), TOLD_SECONDS)
    await proxy.open()
    await service.good("POST", f"/container-infra/v1/clusters/{retried}/actions/resize", {"node_count": 1})
    await cluster_until(service, retried, is_("UPDATE_COMPLETE"))
    await gone(service, engine, clusters=[retried, deleted], containers=[container])


async def test_a_full_one_is_told_and_made_up_for(sick, engine):
    service, proxy = sick
    proxy.refuse("POST .*/containers/create", 500, FULL)
    cluster = await service.cluster("full")
    container = await service.container("full", "sleep", "600")
    await cluster_until(service, cluster, says("no space left on device"), TOLD_SECONDS)
    await container_until(service, container, says("no space left on device"), TOLD_SECONDS)
    proxy.mend()
    await cluster_until(service, cluster, is_("CREATE_COMPLETE"))
    await container_until(service, container, is_("Running"))
    await gone(service, engine, clusters=[cluster], containers=[container])


async def test_a_slow_one_is_waited_for(sick, engine):
    service, proxy = sick
    proxy.slow("POST|DELETE", 1.0)
    cluster = await service.cluster("slow")
    container = await service.container("slow", "sleep", "600")
    await cluster_until(service, cluster, is_("CREATE_COMPLETE"))
    await container_until(service, container, is_("Running"))
    await gone(service, engine, clusters=[cluster], containers=[container])


async def test_a_silent_one_is_told_and_holds_nobody(sick, engine):
    service, proxy = sick
    proxy.slow("POST", math.inf)
    cluster = await service.cluster("silent")
    container = await service.container("silent", "sleep", "600")
    await cluster_until(service, cluster, lambda shown: shown["status_reason"], TOLD_SECONDS)
    await container_until(service, container, lambda shown: shown["status_reason"], TOLD_SECONDS)
    began = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    assert await to_thread(service.process.wait, 30) == 0
    assert time.monotonic() - began < 5
    proxy.mend()
    await service.up()
    await cluster_until(service, cluster, is_("CREATE_COMPLETE"))
    await container_until(service, container, is_("Running"))
    await gone(service, engine, clusters=[cluster], containers=[container])


async def test_an_image_that_is_missing_is_told_at_once(sick, engine):
    service, proxy = sick
    container = await service.container("missing", "true", image="127.0.0.1:1/nosuch:1")
    await container_until(service, container, says("127.0.0.1:1"), TOLD_SECONDS)
    # Gone from the Engine after the cluster was accepted.
    proxy.refuse("GET .*/images/.*swarm-node.*/json", 404, "No such image")
    cluster = await service.ask(
        "POST",
        "/container-infra/v1/clusters",
        {"name": "missing", "cluster_template_id": "swarm", "node_count": 1},
    )
    assert cluster.status == 400
    assert "jeroboam node-image build swarm" in cluster.body["errors"][0]["detail"]
    proxy.mend()
    shown = await container_until(service, container, is_("Error"))
    assert "127.0.0.1:1" in shown["status_reason"]
    await gone(service, engine, containers=[container])
