"""Checks of a cluster: how they end, and that what they made goes, on an API that only keeps what it is given."""

import asyncio
import base64
import json
import ssl

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from jeroboam.checks import ALL, select_checks
from jeroboam.checks.base import CheckOutcome, ClusterCheck
from jeroboam.checks.runner import carry_out
from jeroboam.checks.site import CheckFailed, CheckSkipped, enter
from jeroboam.clients.kubernetes import KubernetesApi
from jeroboam.domain.errors import Permanent
from tests.clock import ManualClock, until

IMAGE = "busybox"
PLAIN = ssl.create_default_context()
TAINT = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}


def node(name: str, *, ready: bool = True, **spec: object) -> dict:
    return {
        "metadata": {"name": name},
        "spec": spec,
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
            "nodeInfo": {"kubeletVersion": "v1.36.3"},
        },
    }


class Kept:
    """An API server without controllers: objects by path."""

    def __init__(self) -> None:
        self.objects: dict[str, dict] = {"/api/v1/nodes": {"items": [node("m", taints=[TAINT]), node("a"), node("b")]}}
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        path = request.path
        self.asked.append(f"{request.method} {path}")
        if request.method == "GET":
            found = self.objects.get(path)
            if found is None and path.rpartition("/")[2] in {"pods", "daemonsets", "persistentvolumeclaims"}:
                found = {"items": []}
            for kind in ("deployments", "statefulsets", "jobs"):
                found = found or ({"items": []} if path.endswith(kind) else None)
            return web.json_response(found or {"message": "not there"}, status=404 if found is None else 200)
        if request.method == "DELETE":
            gone = [each for each in self.objects if each.startswith(path)]
            for each in gone:
                del self.objects[each]
            return web.json_response({})
        body = json.loads(await request.read())
        if request.method == "POST":
            name = body["metadata"]["generateName"] + "x"
            body["metadata"]["name"] = name
            path = f"{path}/{name}"
        self.objects[path] = body
        return web.json_response(body)


@pytest.fixture
async def kept():
    server = Kept()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with TestServer(app) as running, KubernetesApi(str(running.make_url("/"))[:-1], PLAIN) as api:
        server.api = api
        yield server


class Told:
    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []

    def begin(self, check: ClusterCheck) -> None:
        self.begun.append(check.name)

    def end(self, result) -> None:
        self.ended.append(f"{result.check.name} {result.outcome} {result.text}".rstrip())


def a_check(name: str, *, raises: Exception | None = None, alone: bool = False, text: str = "") -> ClusterCheck:
    async def run(site) -> str:
        await asyncio.sleep(0)
        if raises is not None:
            raise raises
        return text

    return ClusterCheck(name=name, about=name, run=run, alone=alone)


async def a_site(kept: Kept, clock=None):
    return await enter(kept.api, lambda _: kept.api, clock or ManualClock(), image=IMAGE, seconds=10)


async def test_each_end_is_told_and_everything_is_removed(kept):
    site = await a_site(kept)
    told = Told()
    checks = [
        a_check("last", alone=True),
        a_check("good", text="twice"),
        a_check("bad", raises=CheckFailed("no answer")),
        a_check("poor", raises=CheckSkipped("one node only")),
        a_check("cut", raises=Permanent("the API refuses")),
    ]
    results = await carry_out(site, checks, told)
    assert sorted(told.ended[:-1]) == [
        "bad failed no answer",
        "cut failed the API refuses",
        "good passed twice",
        "poor skipped one node only",
    ]
    assert told.ended[-1] == "last passed"
    assert sorted(each.outcome for each in results) == sorted(
        [CheckOutcome.PASSED, CheckOutcome.PASSED, CheckOutcome.FAILED, CheckOutcome.FAILED, CheckOutcome.SKIPPED]
    )
    assert set(kept.objects) == {"/api/v1/nodes"}
    assert "PATCH /apis/apps/v1/namespaces/jeroboam-check-x/daemonsets/web" in kept.asked


async def test_a_check_that_hangs_is_given_up(kept):
    clock = ManualClock()
    site = await a_site(kept, clock)

    async def hang(site) -> str:
        await asyncio.Event().wait()
        return ""

    told = Told()
    going = asyncio.ensure_future(carry_out(site, [ClusterCheck(name="hung", about="", run=hang)], told))
    while told.begun != ["hung"]:
        await asyncio.sleep(0)
    await clock.advance(49)
    assert not told.ended
    await clock.advance(2)
    await going
    assert told.ended == ["hung failed not over after 50 s"]


async def test_a_bug_or_an_interruption_leaves_nothing_either(kept):
    with pytest.raises(ExceptionGroup, match="unhandled"):
        await carry_out(await a_site(kept), [a_check("buggy", raises=KeyError("x"))], Told())
    assert set(kept.objects) == {"/api/v1/nodes"}

    async def hang(site) -> str:
        await asyncio.Event().wait()
        return ""

    told = Told()
    going = asyncio.ensure_future(carry_out(await a_site(kept), [ClusterCheck(name="hung", about="", run=hang)], told))
    while told.begun != ["hung"]:
        await asyncio.sleep(0)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    assert set(kept.objects) == {"/api/v1/nodes"}


async def test_what_is_waited_for_in_vain_is_told_with_what_was_seen(kept):
    clock = ManualClock()
    site = await a_site(kept, clock)

    async def look() -> dict:
        return await site.get("ConfigMap", "none")

    going = asyncio.ensure_future(site.until("the settings", look, bool))
    while not going.done():
        await clock.advance(0.2)
        await asyncio.sleep(0.001)
    with pytest.raises(
        CheckFailed, match=r"the settings: not after 10 s; the last thing seen: asking for ConfigMap none: not there"
    ):
        await going


@pytest.mark.parametrize(
    "nodes",
    [
        [node("m", taints=[TAINT])],
        [node("a", ready=False)],
        [node("a", unschedulable=True)],
    ],
)
async def test_a_cluster_without_room_is_told_before_anything_is_made(kept, nodes):
    kept.objects["/api/v1/nodes"] = {"items": nodes}
    with pytest.raises(CheckFailed, match="no node of the cluster takes work"):
        await a_site(kept)
    assert not [line for line in kept.asked if not line.startswith("GET")]


def test_checks_are_chosen_by_name():
    assert select_checks(()) == ALL
    assert [check.name for check in select_checks(("rbac", "dns"))] == ["dns", "rbac"]
    with pytest.raises(ValueError, match=r"there is no check nonsense; there are: pod-network, .*drain.*rbac"):
        select_checks(("nonsense",))
    assert len({check.name for check in ALL}) == len(ALL)


def token(claims: dict, kid: str = "one") -> str:
    def encoded(part: dict) -> str:
        return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")

    return f"{encoded({'kid': kid})}.{encoded(claims)}.signature"


class Issuing(Kept):
    """One that hands out tokens and shows whose they are, and where a scheduler has a word for each pod."""

    issuer, kid, pod = "https://192.0.2.1:6443", "one", {}

    async def answer(self, request: web.Request) -> web.Response:
        self.objects["/.well-known/openid-configuration"] = {
            "issuer": "https://192.0.2.1:6443",
            "jwks_uri": "https://192.0.2.1:6443/openid/v1/jwks",
        }
        self.objects["/openid/v1/jwks"] = {"keys": [{"kid": "one"}]}
        for shown in self.objects["/api/v1/nodes"]["items"]:
            shown["status"]["allocatable"] = {"memory": "2Gi"}
        if request.path.endswith("/token"):
            return web.json_response({"status": {"token": token({"iss": self.issuer}, self.kid)}})
        if request.path.endswith("/jwks") and "*/*" not in request.headers["Accept"]:
            return web.json_response({}, status=406)
        answer = await super().answer(request)
        if request.method == "PATCH" and request.path.endswith("/pods/large"):
            wanted = self.objects[request.path]["spec"]["containers"][0]["resources"]["requests"]["memory"]
            assert int(wanted) > 2 << 30
            self.objects[request.path] |= {"status": self.pod.get("status", {})}
            self.objects[request.path]["spec"] |= self.pod.get("spec", {})
        return answer


@pytest.fixture
async def issuing():
    server, app = Issuing(), web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with TestServer(app) as running:
        server.url = str(running.make_url("/"))[:-1]
        async with KubernetesApi(server.url, PLAIN) as server.api:
            yield server


async def ended(kept: Kept, name: str) -> str:
    clock, told = ManualClock(), Told()
    site = await enter(kept.api, lambda _: KubernetesApi(kept.url, PLAIN), clock, image=IMAGE, seconds=10)
    task = asyncio.create_task(carry_out(site, select_checks([name]), told))

    async def look() -> bool:
        return task.done()

    await until(site.clock, look, bool)
    await task
    return told.ended[0]


@pytest.mark.parametrize(
    ("issuer", "kid", "said"),
    [
        ("https://192.0.2.1:6443", "one", "passed https://192.0.2.1:6443; anybody may ask"),
        ("https://elsewhere", "one", "failed tokens are of https://elsewhere, and the document is of"),
        ("https://192.0.2.1:6443", "two", "failed the token is signed with two, which is not among the keys"),
    ],
)
async def test_a_token_whose_issuer_cannot_be_looked_up_is_told(issuing, issuer, kid, said):
    issuing.issuer, issuing.kid = issuer, kid
    assert (await ended(issuing, "issuer")).startswith(f"issuer {said}")


def unscheduled(message: str) -> dict:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"status": {"conditions": [condition]}}


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        (
            unscheduled("0/2 nodes are available: 2 Insufficient memory."),
            "passed the largest node has 2.0 GiB for pods",
        ),
        (unscheduled("0/2 nodes are available: 2 had a taint."), "failed it is not scheduled, and the reason is: 0/2"),
        ({"spec": {"nodeName": "a"}}, "failed it came to node a, although no node has so much memory"),
        ({}, "failed why it is not scheduled: not after 10 s"),
    ],
)
async def test_a_pod_that_is_too_large_has_to_wait_and_say_so(issuing, pod, said):
    issuing.pod = pod
    assert (await ended(issuing, "too-large")).startswith(f"too-large {said}")
