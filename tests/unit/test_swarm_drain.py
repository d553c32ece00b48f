"""When a Swarm node is drained: a manager that shows its tasks one look later."""

import asyncio
import json
import ssl

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from jeroboam.coes.base import Authority
from jeroboam.coes.swarm.drains import drain_node
from jeroboam.coes.swarm.engines import SwarmEngines
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.x509 import SERVER, issue, make_ca
from tests.clock import ManualClock, until

NODE = {
    "ID": "n1",
    "Version": {"Index": 7},
    "Spec": {"Availability": "active", "Role": "worker"},
    "Description": {"Hostname": "w1", "Engine": {"Labels": {"jeroboam.node": "u1", "jeroboam.node-name": "w1"}}},
    "Status": {"State": "ready"},
}


def task(name: str, state: str, desired: str = "running", *, node: str = "n2", slot: int = 1, error: str = "") -> dict:
    return {
        "ID": name,
        "ServiceID": "web",
        "Slot": slot,
        "NodeID": node,
        "DesiredState": desired,
        "Status": {"State": state, "Err": error},
        "Spec": {"ContainerSpec": {"Image": "busybox@sha256:1"}},
    }


OLD_RUNS = task("old", "running", node="n1")
OLD_ENDS = task("old", "running", "shutdown", node="n1")
OLD_ENDED = task("old", "shutdown", "shutdown", node="n1")
NEW_WAITS = task("new", "ready", "ready")
NEW_STARTS = task("new", "starting")
NEW_RUNS = task("new", "running")


class Manager:
    """Each look at the node's tasks shows the next state of the swarm; the last one stays."""

    def __init__(self, *states: list[dict]) -> None:
        self.states = list(states)
        self.tasks: list[dict] = []
        self.drained = False

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            self.drained = (await request.json())["Availability"] == "drain"
            return web.json_response({})
        if request.path.endswith("/version"):
            return web.json_response({"ApiVersion": "1.47", "Version": "27"})
        if request.path.endswith("/nodes"):
            return web.json_response([NODE])
        filters = json.loads(request.query["filters"])
        if "node" in filters:
            self.tasks = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        keys = {"node": "NodeID", "desired-state": "DesiredState"}
        return web.json_response(
            [task for task in self.tasks if all(task[keys[name]] in values for name, values in filters.items())]
        )


class Notes:
    """What a drain told."""

    def __init__(self) -> None:
        self.waits: list[tuple[str, ...]] = []
        self.notes: list[str] = []

    def wait_for(self, clauses) -> None:
        self.waits.append(tuple(clauses))

    def note(self, sentence) -> None:
        self.notes.append(sentence)


@pytest.fixture
async def drain(tmp_path):
    clock, progress = ManualClock(), Notes()
    # TLS asks the real clock.
    now = SystemClock().now()
    ca = make_ca(common_name="swarm", now=now)
    certificate = issue(ca=ca, common_name="manager", ips=["127.0.0.1"], usages=[SERVER], now=now)
    (tmp_path / "manager.pem").write_bytes(certificate.pem.encode() + certificate.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "manager.pem")

    async def run(manager: Manager) -> Notes:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", manager.answer)
        authority = Authority(pem=ca.pem, key=ca.key)
        server = TestServer(app, host="127.0.0.1")
        await server.start_server(ssl=context)
        try:
            async with SwarmEngines(authority=authority, port=server.port, clock=clock) as engines:
                [node] = await engines.nodes("127.0.0.1")
                work = asyncio.create_task(drain_node(engines, "127.0.0.1", node, clock, progress))

                async def look() -> bool:
                    return work.done()

                await until(clock, look, bool)
                await work
        finally:
            await server.close()
        return progress

    return run


async def test_a_drain_ends_when_the_tasks_run_elsewhere(drain):
    # The replacement waits until the old task has ended: for a moment nothing runs on the node and nothing starts.
    manager = Manager([OLD_RUNS], [OLD_ENDS, NEW_WAITS], [OLD_ENDED, NEW_WAITS], [OLD_ENDED, NEW_STARTS], [NEW_RUNS])
    progress = await drain(manager)
    assert manager.drained
    assert manager.states == [[NEW_RUNS]]
    assert progress.waits[-1] == ()
    assert ("task new (busybox, ready) has not started yet",) in progress.waits
    assert progress.notes == []


@pytest.mark.parametrize(
    "other", [task("sick", "ready", "ready", slot=2), task("big", "pending", slot=3, error="no suitable node")]
)
async def test_tasks_that_no_drain_brings_to_run_are_not_waited_for(drain, other):
    progress = await drain(Manager([OLD_RUNS, other], [OLD_ENDED, NEW_RUNS, other]))
    assert progress.waits[-1] == ()
    assert not any("sick" in clause or "big" in clause for clauses in progress.waits for clause in clauses)


async def test_a_replacement_that_fails_is_not_waited_for(drain):
    next_one = task("next", "ready", "ready")
    rejected = task("new", "rejected", "shutdown", error="No such image: busybox")
    manager = Manager([OLD_RUNS], [OLD_ENDED, NEW_STARTS], [OLD_ENDED, rejected, next_one])
    progress = await drain(manager)
    assert progress.waits == [("task new (busybox, starting) has not started yet",), ()]
    assert progress.notes == []


async def test_a_task_that_does_not_end_goes_down_with_the_node_and_is_noted(drain):
    progress = await drain(Manager([OLD_RUNS], [OLD_ENDS, NEW_WAITS]))
    assert progress.notes == ["Node w1 is taken down after 30 seconds with tasks on it: old (busybox, running)."]
