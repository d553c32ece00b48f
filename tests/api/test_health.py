"""`/healthcheck` in detail and the page at `/`: who sees what, and that neither shows anything secret."""

import asyncio
from dataclasses import replace

import pytest

from jeroboam.api.app import create_app
from jeroboam.api.front_page import read_version
from jeroboam.domain.errors import Unavailable
from tests.api.client import Client
from tests.clock import ManualClock

ELSEWHERE = "192.0.2.7"
LOCAL_HOSTS = ("127.0.0.1", "127.0.0.2:9511", "localhost:9511", "LocalHost", "[::1]:9511", "[::ffff:127.0.0.1]")
FOREIGN_HOSTS = (
    "evil.example",
    "evil.example:9511",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "192.0.2.7",
    "[::1",
    "evil@localhost",
    "evil.example/@127.0.0.1",
    "",
    None,
)
AWAY = "The identity service does not answer."


async def sound() -> None:
    return None


async def away() -> str:
    return AWAY


def app_of(parts, **details):
    return create_app(replace(parts, details=details))


@pytest.fixture
def app(parts):
    return app_of(parts, keystone=away, engine=sound, disk=sound, loops=sound)


async def detail_of(app, query="?detailed=true", *, token=None, peer=ELSEWHERE, headers=None):
    """The status, and whether the answer was a detailed one."""
    headers = {"host": "127.0.0.1:9511"} | (headers or {})
    answer = await Client(app, "", token=token, peer=peer).get(f"/healthcheck{query}", headers=headers)
    return answer.status, answer.json()["detailed"], answer


async def test_each_part_has_its_state_and_none_but_the_database_is_a_503(app):
    status, _, answer = await detail_of(app, peer="127.0.0.1")
    assert status == 200
    assert answer.json() == {
        "detailed": True,
        "reasons": [AWAY],
        "checks": {"database": True, "hosts": True, "keystone": False, "engine": True, "disk": True, "loops": True},
    }


@pytest.mark.security
@pytest.mark.parametrize(
    ("token", "peer", "headers", "is_detailed"),
    [
        (None, "127.0.0.1", None, True),
        (None, "::1", None, True),
        (None, "::ffff:127.0.0.1", None, True),
        (None, ELSEWHERE, None, False),
        (None, "", None, False),
        ("admin", ELSEWHERE, None, True),
        ("member", ELSEWHERE, None, False),
        ("nobody's", ELSEWHERE, None, False),
        # A proxy on this machine passes on requests of others.
        (None, "127.0.0.1", {"x-forwarded-for": ELSEWHERE}, False),
        (None, "127.0.0.1", {"forwarded": f"for={ELSEWHERE}"}, False),
        (None, "127.0.0.1", {"via": "1.1 proxy"}, False),
        *(
            (None, "127.0.0.1", {f"x-forwarded-{part}": "1"}, False)
            for part in ("host", "proto", "port", "prefix", "by")
        ),
        (None, "127.0.0.1", {"x-real-ip": "127.0.0.1"}, False),
        ("admin", "127.0.0.1", {"x-forwarded-host": "cloud"}, True),
        # The name of a page in a browser on this machine may be made to lead here.
        *((None, "127.0.0.1", {"host": host}, False) for host in FOREIGN_HOSTS),
        *((None, "127.0.0.1", {"host": host}, True) for host in LOCAL_HOSTS),
        ("admin", "127.0.0.1", {"host": "evil.example"}, True),
        ("admin", "127.0.0.1", {"via": "1.1 proxy"}, True),
        # What a stranger claims does not make him local.
        (None, ELSEWHERE, {"x-forwarded-for": "127.0.0.1"}, False),
        (None, ELSEWHERE, {"host": "127.0.0.1:9511"}, False),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/container-infra"])
async def test_who_may_see_the_details(app, prefix, token, peer, headers, is_detailed):
    headers = {"host": "127.0.0.1:9511"} | (headers or {})
    answer = await Client(app, prefix, token=token, peer=peer).get("/healthcheck?detailed=true", headers=headers)
    assert answer.status == 200
    if is_detailed:
        assert answer.json()["checks"]["keystone"] is False
    else:
        assert answer.json() == {"detailed": False, "reasons": []}


@pytest.mark.parametrize(
    ("query", "is_detailed"),
    [("", False), ("?detailed", True), ("?detailed=1", True), ("?detailed=false", False), ("?detailed=No", False)],
)
async def test_how_the_details_are_asked_for(app, query, is_detailed):
    assert (await detail_of(app, query, peer="127.0.0.1"))[1] is is_detailed


async def test_a_stranger_costs_no_check(parts):
    asked = []

    async def count() -> None:
        asked.append(1)

    app = app_of(parts, engine=count)
    await detail_of(app)
    assert asked == []
    await detail_of(app, peer="127.0.0.1")
    assert asked == [1]


async def test_without_a_keystone_a_token_is_worth_nothing(parts, app):
    class Away:
        async def caller(self, token):
            raise Unavailable(AWAY)

    app = create_app(replace(parts, tokens=Away(), details={"keystone": away}))
    status, is_detailed, _ = await detail_of(app, token="admin")
    assert (status, is_detailed) == (200, False)


async def test_a_check_that_hangs_or_breaks_spoils_no_other(parts):
    clock = ManualClock()
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def break_down() -> None:
        raise RuntimeError("s3cr3t")

    app = create_app(replace(parts, clock=clock, details={"engine": hang, "disk": break_down, "loops": sound}))
    asking = asyncio.ensure_future(detail_of(app, peer="127.0.0.1"))
    await begun.wait()
    await clock.advance(6)
    _, _, answer = await asking
    assert answer.json()["checks"] == {"database": True, "hosts": True, "engine": False, "disk": False, "loops": True}
    assert answer.json()["reasons"] == [
        "The check of engine did not end within 6 seconds.",
        "The check of disk failed; the log says why.",
    ]
    assert b"s3cr3t" not in answer.body


async def test_the_page_says_what_this_is_and_how_to_come_in(app):
    page = await Client(app, "", token=None, peer=ELSEWHERE).get("/", headers={"accept": "text/html"})
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    text = page.body.decode()
    for part in (
        f"Version {read_version()}.",
        '<strong class="works">works</strong>',
        "export OS_AUTH_URL=http://127.0.0.1:5000/v3\n",
        "<code>http://cloud:9511/container-infra/v1</code>",
        "<code>http://cloud:9511/container/v1</code>",
        'href="container-infra/openapi.json"',
        'href="container/openapi.json"',
        'href="healthcheck?detailed=true"',
        'href="metrics"',
        "operators.md",
    ):
        assert part in text
    assert "$" not in text
    assert AWAY not in text


async def test_every_link_of_the_page_leads_somewhere(app):
    plain = Client(app, "", token=None)
    text = (await plain.get("/")).body.decode()
    links = [part.partition('"')[0] for part in text.split('href="')[1:]]
    own = [link for link in links if not link.startswith("https://docs.openstack.org/")]
    assert len(own) >= 7
    for link in own:
        assert (await plain.get(f"/{link}")).status == 200, link


async def test_the_page_says_what_does_not_work(parts):
    async def broken() -> str:
        return "the <conductor> stands still"

    app = create_app(replace(parts, health=(broken,)))
    page = await Client(app, "", token=None).get("/")
    assert page.status == 200
    assert '<strong class="limps">the &lt;conductor&gt; stands still</strong>' in page.body.decode()


@pytest.mark.security
@pytest.mark.parametrize("name", ["host", "x-forwarded-host", "x-forwarded-prefix", "x-forwarded-proto"])
async def test_no_header_gets_markup_into_the_page(app, name):
    page = await Client(app, "", token=None).get("/", headers={name: 'x"><script>alert(1)</script>'})
    assert b"<script" not in page.body


@pytest.mark.parametrize("path", ["/container-infra/", "/container-infra/v1/", "/container/", "/container/v1/"])
async def test_version_documents_are_the_same_for_a_browser(app, path):
    plain = Client(app, "", token=None)
    browser = await plain.get(path, headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    client = await plain.get(path, headers={"accept": "application/json"})
    assert (browser.status, browser.body) == (client.status, client.body)
    assert browser.headers["content-type"] == client.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("auth_uri", "reach"),
    [
        ("http://127.0.0.1:5000/v3", "on that machine only"),
        ("http://localhost:5000/v3", "on that machine only"),
        ("http://0.0.0.0:5000/v3", "with the address of that machine in place of 0.0.0.0"),
        ("http://192.0.2.1:5000/v3", "also from elsewhere"),
        ("https://keystone.example/v3", "also from elsewhere"),
    ],
)
async def test_the_page_says_from_where_a_client_can_log_in(parts, auth_uri, reach):
    app = create_app(replace(parts, options=replace(parts.options, auth_uri=auth_uri)))
    text = (await Client(app, "", token=None).get("/")).body.decode()
    assert f"With a user of your own, {reach}" in text
    assert ("elsewhere" in text) == ("elsewhere" in reach)
