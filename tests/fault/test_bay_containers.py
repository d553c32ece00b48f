"""Containers in a bay while the service is killed: whatever was asked is done, and nothing is there twice."""

import asyncio

import pytest

from tests.clients.engine import Engine, new_key
from tests.fault.installation import until

pytestmark = [pytest.mark.docker, pytest.mark.slow]

BAYS, CONTAINERS = "/container-infra/v1/bays", "/container-infra/v1/containers"
SLEEP = "sh -c \"trap 'exit 0' TERM; sleep 600 & wait\""


async def engine_of(up, folder) -> Engine:
    """The Engine of the bay, with an image to run."""
    request = {"bay_uuid": "b", "csr": new_key(folder)}
    (folder / "ca.pem").write_text((await up.good("GET", "/container-infra/v1/certificates/b"))["pem"])
    (folder / "cert.pem").write_text((await up.good("POST", "/container-infra/v1/certificates", request))["pem"])
    engine = Engine(folder, (await up.good("GET", f"{BAYS}/b"))["api_address"])
    await asyncio.to_thread(engine.load, "busybox:latest")
    return engine


@pytest.fixture
async def bay(own, tmp_path):
    """An installation with a bay."""
    await own.up()
    await own.good("POST", BAYS, {"name": "b", "baymodel_id": "swarm", "node_count": 1})

    async def complete() -> bool:
        return (await own.good("GET", f"{BAYS}/b"))["status"] == "CREATE_COMPLETE"

    await until(complete)
    return own, await engine_of(own, tmp_path)


async def is_(up, uuid: str, status: str) -> None:
    async def so() -> bool:
        shown = await up.good("GET", f"{CONTAINERS}/{uuid}")
        return shown["status"] == status and shown["status_reason"] is None

    await until(so, what=lambda: f"{status} of {uuid}")


async def test_a_kill_after_every_wish(bay):
    up, engine = bay
    made = await up.good("POST", CONTAINERS, {"name": "box", "image": "busybox", "bay_uuid": "b", "command": SLEEP})
    uuid = made["uuid"]
    up.kill()
    await up.up()
    await is_(up, uuid, "Stopped")
    assert engine.uuids() == [uuid]

    await up.good("PUT", f"{CONTAINERS}/box/start")
    up.kill()
    await up.up()
    await is_(up, uuid, "Running")
    started = engine.state(uuid)["StartedAt"]

    for act in ("reboot", "pause"):
        await up.good("PUT", f"{CONTAINERS}/box/{act}")
    up.kill()
    await up.up()
    await is_(up, uuid, "Paused")
    assert engine.state(uuid)["StartedAt"] > started
    assert engine.state(uuid)["Paused"] is True
    assert engine.uuids() == [uuid]

    assert (await up.ask("DELETE", f"{CONTAINERS}/box")).status == 204
    up.kill()
    await up.up()

    async def gone() -> bool:
        return (await up.ask("GET", f"{CONTAINERS}/{uuid}")).status == 404

    await until(gone)
    assert engine.uuids() == []

    await up.good("POST", CONTAINERS, {"name": "last", "image": "busybox", "bay_uuid": "b"})
    assert (await up.ask("DELETE", f"{BAYS}/b")).status == 204
    up.kill()
    await up.up()

    async def nothing() -> bool:
        return set(up.rows().values()) == {0}

    await until(nothing)
