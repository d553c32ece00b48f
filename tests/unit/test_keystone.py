"""The token check against a stand-in of Keystone that can be told to be slow, wrong or away."""

import asyncio
import datetime as dt
import socket

import pytest
from aiohttp import web

from jeroboam.domain.caller import AccessRule
from jeroboam.domain.errors import Forbidden, Unavailable
from jeroboam.domain.limits import LimitOwner
from jeroboam.identity.keystone import CACHED, KeystoneProjects, KeystoneTokens
from jeroboam.kit.clock import SystemClock


class Hand(SystemClock):
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> dt.datetime:
        return dt.datetime(2026, 1, 2, tzinfo=dt.UTC) + dt.timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed


class Stub:
    """Just so much of Keystone."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.own = "own-1"
        self.own_made = 0
        self.answer = 200
        self.lifetime = 3600.0
        self.more: dict = {}
        self.headers: list = []
        self.project: dict | None = {"id": "p1", "name": "demo", "domain": {"id": "default"}}
        self.hold = asyncio.Event()
        self.hold.set()
        self.event_for = asyncio.Event()

    def body(self) -> dict:
        expires = dt.datetime(2026, 1, 2, tzinfo=dt.UTC) + dt.timedelta(seconds=self.lifetime)
        token = {
            "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "user": {"id": "u1", "name": "demo", "domain": {"id": "default"}},
            "roles": [{"id": "1", "name": "Member"}, {"id": "2", "name": "reader"}],
        }
        return {"token": token | ({"project": self.project} if self.project else {}) | self.more}

    async def log_in(self, request: web.Request) -> web.Response:
        said = await request.json()
        assert said["auth"]["identity"]["password"]["user"]["password"] == "s3cr3t"
        self.own_made += 1
        return web.json_response(self.body(), status=201, headers={"X-Subject-Token": self.own})

    async def validate(self, request: web.Request) -> web.Response:
        self.asked.append(request.headers["X-Subject-Token"])
        self.headers.append(request.headers)
        self.event_for.set()
        await self.hold.wait()
        if request.headers["X-Auth-Token"] != self.own:
            return web.json_response({}, status=401)
        if request.headers["X-Subject-Token"] == "unknown":
            return web.json_response({}, status=404)
        return web.json_response(self.body(), status=self.answer)

    async def show_project(self, request: web.Request) -> web.Response:
        if request.match_info["id"] != "p1":
            return web.json_response({}, status=404)
        return web.json_response({"project": {"id": "p1", "name": "demo", "domain_id": "d1"}})


@pytest.fixture
async def stub():
    return Stub()


@pytest.fixture
async def clock():
    return Hand()


@pytest.fixture
async def url(stub):
    app = web.Application()
    app.router.add_post("/v3/auth/tokens", stub.log_in)
    app.router.add_get("/v3/auth/tokens", stub.validate)
    app.router.add_get("/v3/projects/{id}", stub.show_project)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    stub.hold.set()
    await runner.cleanup()


def tokens_of(url: str, clock) -> KeystoneTokens:
    return KeystoneTokens(auth_url=url, username="jeroboam", password="s3cr3t", project_name="service", clock=clock)


@pytest.fixture
async def tokens(url, clock):
    tokens = tokens_of(url, clock)
    yield tokens
    await tokens.close()


async def test_a_good_token_has_a_caller(tokens, stub):
    caller = await tokens.caller("good")
    assert (caller.user_id, caller.project_id, caller.roles) == ("u1", "p1", {"member", "reader"})
    assert caller.user_domain_id == "default"
    assert (await tokens.own()).project_id == "p1"
    assert stub.own_made == 1


async def test_a_url_may_name_its_version(url, clock):
    tokens = tokens_of(f"{url}/v3/", clock)
    assert await tokens.caller("good") is not None
    await tokens.close()


async def test_answers_are_believed_for_a_minute(tokens, stub, clock):
    for _ in range(3):
        await tokens.caller("good")
    clock.passed = 59
    await tokens.caller("good")
    assert len(stub.asked) == 1
    clock.passed = 61
    await tokens.caller("good")
    assert len(stub.asked) == 2


async def test_refusals_are_believed_for_ten_seconds(tokens, stub, clock):
    assert await tokens.caller("unknown") is None
    clock.passed = 9
    assert await tokens.caller("unknown") is None
    assert len(stub.asked) == 1
    clock.passed = 11
    assert await tokens.caller("unknown") is None
    assert len(stub.asked) == 2


async def test_nothing_is_believed_beyond_its_end(tokens, stub, clock):
    stub.lifetime = 20
    assert await tokens.caller("short") is not None
    clock.passed = 21
    assert await tokens.caller("short") is None


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ({}, "scoped to nothing"),
        ({"domain": {"id": "default", "name": "Default"}}, "scoped to the domain Default"),
        ({"system": {"all": True}}, "scoped to the system"),
    ],
)
async def test_a_token_without_a_project_is_told_which_scope_it_has(tokens, stub, scope, words):
    await tokens.own()
    stub.project, stub.more = None, scope
    for _ in range(2):
        with pytest.raises(Forbidden, match=words):
            await tokens.caller("elsewhere")
    assert len(stub.asked) == 1


async def test_access_rules_are_asked_for_and_kept(tokens, stub):
    rule = {"id": "r1", "service": "container", "method": "GET", "path": "/v1/containers"}
    stub.more = {"application_credential": {"id": "a", "restricted": True, "access_rules": [rule]}}
    caller = await tokens.caller("good")
    assert caller.access_rules == (AccessRule(service="container", method="GET", path="/v1/containers"),)
    assert stub.headers[-1]["OpenStack-Identity-Access-Rules"] == "1.0"
    stub.more = {"application_credential": {"id": "a", "restricted": True}}
    assert (await tokens.caller("another")).access_rules is None


@pytest.mark.parametrize(
    ("pattern", "path", "permitted"),
    [
        ("/v1/containers", "/v1/containers", True),
        ("/v1/containers", "/v1/containers/x", False),
        ("/v1/containers/*", "/v1/containers/x", True),
        ("/v1/containers/{id}", "/v1/containers/x", True),
        ("/v1/containers/{id}", "/v1/containers/x/logs", False),
        ("/v1/containers/*/logs", "/v1/containers/x/logs", True),
        ("/v1/**", "/v1/containers/x/logs", True),
        ("/v1.containers", "/v1/containers", False),
        ("/v1/(a|b)", "/v1/a", False),
        ("**", "/v1/a", True),
    ],
)
def test_patterns_of_access_rules(pattern, path, permitted):
    rule = AccessRule(service="container", method="GET", path=pattern)
    assert rule.permits({"container"}, "GET", [path]) is permitted
    assert not rule.permits({"container"}, "POST", [path])
    assert not rule.permits({"container-infra"}, "GET", [path])


@pytest.mark.parametrize("token", ["", "x" * 20000, "a\nb", "ä", "a\0b"])
async def test_what_cannot_be_a_token_is_not_asked_about(tokens, stub, token):
    assert await tokens.caller(token) is None
    assert stub.asked == []


async def test_requests_that_come_together_share_a_question(tokens, stub):
    stub.hold.clear()
    asking = [asyncio.ensure_future(tokens.caller("good")) for _ in range(20)]
    async with asyncio.timeout(5):
        await stub.event_for.wait()
        stub.hold.set()
        callers = await asyncio.gather(*asking)
    assert {caller.user_id for caller in callers} == {"u1"}
    assert stub.asked == ["good"]


async def test_a_client_that_goes_away_takes_no_answer_from_others(tokens, stub):
    stub.hold.clear()
    first = asyncio.ensure_future(tokens.caller("good"))
    async with asyncio.timeout(5):
        await stub.event_for.wait()
        second = asyncio.ensure_future(tokens.caller("good"))
        first.cancel()
        stub.hold.set()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await second).user_id == "u1"


async def test_an_own_token_that_ran_out_is_renewed(tokens, stub):
    await tokens.own()
    stub.own = "own-2"
    assert await tokens.caller("good") is not None
    assert stub.own_made == 2


@pytest.mark.parametrize("status", [500, 503, 403, 401])
async def test_a_keystone_that_errs_is_unavailable_and_not_believed(tokens, stub, status):
    stub.answer = status
    with pytest.raises(Unavailable):
        await tokens.caller("good")
    stub.answer = 200
    assert await tokens.caller("good") is not None


async def test_a_keystone_that_is_away_is_unavailable(clock):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        tokens = tokens_of(f"http://127.0.0.1:{unused.getsockname()[1]}", clock)
        with pytest.raises(Unavailable, match="does not answer"):
            await tokens.caller("good")
        await tokens.close()


async def test_the_cache_is_bounded_and_holds_no_token(tokens):
    for number in range(CACHED // 1024 * 1024 + 5):
        tokens._remember(number.to_bytes(4), None)
    assert len(tokens._cache) == CACHED
    await tokens.caller("good-token")
    assert "good-token" not in repr(tokens._cache)


async def test_projects(tokens):
    projects = KeystoneProjects(tokens)
    assert await projects.exists("p1")
    assert not await projects.exists("p2")
    assert not await projects.exists("../auth")
    assert await projects.describe("p1") == LimitOwner(project_id="p1", project_name="demo", domain_id="d1")
    assert await projects.describe("p2") is None
