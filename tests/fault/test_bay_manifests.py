"""Manifests in a bay while the service is killed: whatever was asked is done, and nothing is there twice."""

import json

import pytest

from tests.builders import manifest
from tests.fault.installation import until
from tests.fault.test_kubernetes_by_itself import kubectl

pytestmark = [pytest.mark.docker, pytest.mark.kubernetes, pytest.mark.slow]

BAYS, PODS = "/container-infra/v1/bays", "/container-infra/v1/pods"
IMAGE = "docker.io/library/busybox:latest"


def wish(**labels: str) -> str:
    made = manifest(name="box")
    made["metadata"]["labels"] = labels
    it = {"name": "it", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "600"]}
    made["spec"] = {"terminationGracePeriodSeconds": 1, "containers": [it]}
    return json.dumps(made)


def uuids(bay: str) -> list[str]:
    """Those of ours that the bay's pods carry."""
    path = "{.items[*].metadata.labels.jeroboam\\.io/workload}"
    return kubectl(bay, "get", "pods", "-o", f"jsonpath={path}").split()


@pytest.fixture
async def bay(own):
    """An installation with a bay; the bay's uuid."""
    await own.up()
    made = await own.good("POST", BAYS, {"name": "b", "baymodel_id": "kubernetes", "node_count": 1})

    async def complete() -> bool:
        return (await own.good("GET", f"{BAYS}/b"))["status"] == "CREATE_COMPLETE"

    await until(complete, 120)
    return own, made["uuid"]


async def test_a_kill_after_every_wish(bay):
    up, uuid = bay
    made = await up.good("POST", PODS, {"bay_uuid": "b", "manifest": wish(a="b")})
    up.kill()
    await up.up()

    async def is_(labels: dict) -> bool:
        shown = await up.good("GET", f"{PODS}/box")
        return (shown["status"], shown["status_reason"], shown["labels"]) == ("Running", None, labels)

    await until(lambda: is_({"a": "b"}), 90)
    assert uuids(uuid) == [made["uuid"]]

    await up.good("PATCH", f"{PODS}/box", [{"op": "replace", "path": "/manifest", "value": wish(c="d")}])
    up.kill()
    await up.up()
    await until(lambda: is_({"c": "d"}), 90)
    assert uuids(uuid) == [made["uuid"]]

    assert (await up.ask("DELETE", f"{PODS}/box")).status == 204
    up.kill()
    await up.up()

    async def gone() -> bool:
        return (await up.ask("GET", f"{PODS}/{made['uuid']}")).status == 404

    await until(gone, 90)
    assert uuids(uuid) == []

    # A bay takes what is in it along, done or not.
    await up.good("POST", PODS, {"bay_uuid": "b", "manifest": wish()})
    assert (await up.ask("DELETE", f"{BAYS}/b")).status == 204
    up.kill()
    await up.up()

    async def nothing() -> bool:
        return set(up.rows().values()) == {0}

    await until(nothing, 90)
