"""When a Kubernetes node is empty: an API that shows the same pods one look later."""

import asyncio
import json
import ssl

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from jeroboam.clients.kubernetes import KubernetesApi
from jeroboam.coes.kubernetes.drains import drain_node
from jeroboam.coes.kubernetes.node_ops import KubernetesNode, NodeOps
from tests.clock import ManualClock, until

NODE = KubernetesNode(
    name="w0",
    ready=True,
    reason="",
    since=None,
    shortages={},
    pods="",
    has_pod_network=True,
    unschedulable=True,
    labels={},
    taints=(),
    annotations={},
    resource_version="1",
    machine="",
    provider_id="openstack:///u",
    runtime="",
)


def pod(phase: str, *, going: bool = False, owner: str = "ReplicaSet", name: str = "p") -> dict:
    meta = {"name": name, "namespace": "default", "ownerReferences": [{"kind": owner}]}
    return {
        "metadata": meta | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if going else {}),
        "status": {"phase": phase},
    }


# As the eviction API answers.
HELD = {
    "kind": "Status",
    "message": "Cannot evict pod as it would violate the pod's disruption budget.",
    "reason": "TooManyRequests",
    "details": {
        "causes": [
            {
                "reason": "DisruptionBudget",
                "message": "The disruption budget web needs 1 healthy pods and has 1 currently",
            }
        ]
    },
    "code": 429,
}


class Heard:
    """What was told of the drain."""

    def __init__(self) -> None:
        self.waits: list[tuple[str, ...]] = []
        self.notes: list[str] = []

    def wait_for(self, things) -> None:
        if not self.waits or self.waits[-1] != tuple(things):
            self.waits.append(tuple(things))

    def note(self, sentence) -> None:
        self.notes.append(sentence)


class Shown:
    """Each look at the pods shows what comes next; the last one stays."""

    def __init__(self) -> None:
        self.next: list[dict] = []
        self.evicted: list[str] = []
        self.held = False
        """Whether a disruption budget lets no pod go."""
        self.silent: asyncio.Event | None = None
        """What evictions wait for before they are answered."""
        self.asked = asyncio.Condition()
        self.progress = Heard()

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            async with self.asked:
                self.evicted.append(json.loads(await request.read())["metadata"]["name"])
                self.asked.notify_all()
            if self.silent is not None:
                await self.silent.wait()
            if self.held:
                return web.json_response(HELD, status=429)
            return web.json_response({})
        found = self.next.pop(0) if len(self.next) > 1 else self.next[0]
        return web.json_response({"items": found if isinstance(found, list) else [found] if found else []})


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
            work = drain_node(NodeOps(api, clock), NODE, seconds=seconds, clock=clock, progress=server.progress)
            task = asyncio.create_task(work)

            async def look() -> bool:
                return task.done()

            await until(clock, look, bool)
            await task
            return clock.monotonic() - begun

        server.emptied, server.clock, server.nodes = emptied, clock, NodeOps(api, clock)
        yield server
        if server.silent is not None:
            server.silent.set()


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


async def test_a_budget_that_keeps_a_pod_is_named_while_it_does_and_its_override_is_noted(shown):
    shown.held = True
    await shown.emptied(pod("Running"), seconds=5)
    budget = "The disruption budget web needs 1 healthy pods and has 1 currently"
    kept = f"pod default/p is kept by a disruption budget: {budget}"
    assert shown.progress.waits == [(kept,)]
    assert shown.progress.notes == [f"Node w0 is taken down after 5 seconds with pods on it: {kept}."]


async def test_a_drain_that_ends_notes_nothing_and_waits_for_nothing(shown):
    await shown.emptied(pod("Running"), pod("Running", going=True), {})
    assert shown.progress.waits == [("pod default/p has not ended yet",), ()]
    assert shown.progress.notes == []


async def test_an_api_that_does_not_answer_evictions_makes_a_drain_no_longer(shown):
    shown.silent = asyncio.Event()
    shown.next = [[pod("Running", name=f"p{number}") for number in range(20)]]
    drain = asyncio.create_task(drain_node(shown.nodes, NODE, seconds=5, clock=shown.clock, progress=shown.progress))
    async with asyncio.timeout(10), shown.asked:
        # Several are asked at once, and not all.
        await shown.asked.wait_for(lambda: len(shown.evicted) == 8)
    await shown.clock.advance(5)
    async with asyncio.timeout(10):
        await drain
    assert len(shown.evicted) == 8
    left = "; ".join(f"pod default/p{number} has not ended yet" for number in range(3))
    assert shown.progress.notes == [f"Node w0 is taken down after 5 seconds with pods on it: {left}; and 17 more."]
