"""When a Kubernetes node is empty: an API that shows the same pods one look later."""

import asyncio
import json
import ssl

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from jeroboam.clients.kubernetes import KubernetesApi
from jeroboam.coes.kubernetes.fleet import KubeNode, Nodes
from tests.clock import ManualClock, until

NODE = KubeNode(
    name="w0",
    ready=True,
    reason="",
    since=None,
    shortages={},
    pods="",
    networked=True,
    unschedulable=True,
    labels={},
    taints=(),
    annotations={},
    written="1",
    machine="",
    provider_id="openstack:///u",
    runtime="",
)


def pod(phase: str, *, going: bool = False, owner: str = "ReplicaSet") -> dict:
    meta = {"name": "p", "namespace": "default", "ownerReferences": [{"kind": owner}]}
    return {
        "metadata": meta | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if going else {}),
        "status": {"phase": phase},
    }


class Shown:
    """Each look at the pods shows what comes next; the last one stays."""

    def __init__(self) -> None:
        self.next: list[dict] = []
        self.evicted: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            self.evicted.append(json.loads(await request.read())["metadata"]["name"])
            return web.json_response({})
        found = self.next.pop(0) if len(self.next) > 1 else self.next[0]
        return web.json_response({"items": [found] if found else []})


@pytest.fixture
async def shown():
    server, app, clock = Shown(), web.Application(), ManualClock()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with (
        TestServer(app) as running,
        KubernetesApi(str(running.make_url("/"))[:-1], ssl.create_default_context()) as api,
    ):

        async def emptied(*looks: dict, seconds: float = 60.0) -> float:
            """How long it took."""
            server.next, begun = list(looks), clock.monotonic()
            task = asyncio.create_task(Nodes(api, clock).empty(NODE, seconds=seconds))

            async def look() -> bool:
                return task.done()

            await until(clock, look, bool)
            await task
            return clock.monotonic() - begun

        server.emptied = emptied
        yield server


async def test_a_pod_is_waited_for_until_it_is_gone_and_not_only_until_it_has_ended(shown):
    ended = pod("Succeeded", going=True)
    await shown.emptied(pod("Running"), pod("Running", going=True), ended, ended, {})
    assert shown.evicted == ["p"]
    assert shown.next == [{}], "the last look showed nothing"


@pytest.mark.parametrize(
    "left",
    [pod("Succeeded"), pod("Failed"), pod("Running", owner="DaemonSet"), pod("Running", owner="Node", going=True)],
)
async def test_what_a_drain_leaves(shown, left):
    assert await shown.emptied(left) == 0
    assert shown.evicted == []


async def test_one_that_never_goes_is_waited_for_as_long_as_was_said(shown):
    assert 5 <= await shown.emptied(pod("Failed", going=True), seconds=5) < 7
    assert shown.evicted == []
