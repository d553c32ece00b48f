"""Interactive sessions: the request with a token of Keystone, and the WebSocket with nothing but its URL."""

import contextlib
import datetime as dt

import aiohttp
import pytest

from jeroboam.api.app import create_app
from jeroboam.api.container.terminals import split_incomplete
from jeroboam.domain.errors import Unavailable
from jeroboam.domain.interactive import MAX_WAITING
from jeroboam.domain.streams import TerminalSize
from tests.api.own_routes import within
from tests.api.server import serving

SIZE = TerminalSize(rows=24, columns=80)


@pytest.fixture
async def box(make, on_host):
    return await on_host(await make.container(interactive=True, tty=True))


@pytest.fixture
async def browser(app, parts):
    """Opens WebSockets by the URL that the API has answered, on a real server."""
    async with serving(app) as url, aiohttp.ClientSession() as session:

        def open_url(proxy_url, **options):
            assert proxy_url.startswith("ws://")
            return session.ws_connect(url.replace("http", "ws") + "/" + proxy_url.split("/", 3)[3], **options)

        yield open_url
    await parts.gateway.programs.close()


async def ask_attach(zun) -> str:
    answer = await zun.get("/v1/containers/box/attach")
    assert answer.status == 200, answer.body
    return answer.json()


async def ask_exec(zun, command="cat", **arguments) -> dict:
    query = "".join(f"&{name}={value}" for name, value in arguments.items())
    answer = await zun.post(f"/v1/containers/box/execute?command={command}&run=false{query}")
    assert answer.status == 200, answer.body
    return answer.json()


async def refused(opening) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await opening
    return caught.value.status


async def test_attach_talks_to_the_container(zun, box, browser, parts):
    async with browser(await ask_attach(zun), protocols=("binary", "base64")) as ws:
        assert ws.protocol == "binary"
        await ws.send_bytes("héllo".encode())
        assert await within(ws.receive_bytes()) == "héllo".encode()
        await ws.send_str("text")
        assert await within(ws.receive_bytes()) == b"text"
    assert parts.gateway.asked[-1] == ("attach", box.host_id, box.uuid)


async def test_base64_for_clients_that_want_it(zun, box, browser):
    async with browser(await ask_attach(zun), protocols=("base64",)) as ws:
        assert ws.protocol == "base64"
        await ws.send_str("aGVsbG8=")
        assert await within(ws.receive_str()) == "aGVsbG8="
        await ws.send_str("no base64!")
        assert (await within(ws.receive())).data == 1007


async def test_the_exit_code_closes_the_session(zun, box, browser, parts):
    asked = await ask_exec(zun, "fail 3", interactive="true")
    assert asked["output"] is None
    assert len(asked["exec_id"]) == 64
    async with browser(asked["proxy_url"]) as ws:
        assert await within(ws.receive_bytes()) == b"failed"
        closed = await within(ws.receive())
        assert (closed.data, closed.extra) == (1000, "exit code 3")
    assert parts.gateway.asked[-1][3:] == (("fail", "3"), True, None, asked["exec_id"])


async def test_a_url_is_good_once(zun, box, browser):
    url = await ask_attach(zun)
    async with browser(url):
        assert await refused(browser(url)) == 403


@pytest.mark.parametrize(
    "change",
    [
        lambda url, other: url.replace("token=", "token=x"),
        lambda url, other: url.partition("?")[0],
        lambda url, other: url.replace(url.rpartition("uuid=")[2], other),
        lambda url, other: url.rpartition("uuid=")[0] + "uuid=" + other,
        lambda url, other: url + "&exec_id=" + "0" * 64,
    ],
)
async def test_a_url_that_was_changed_opens_nothing(zun, box, browser, make, change):
    other = await make.container(name="other")
    assert await refused(browser(change(await ask_attach(zun), other["uuid"]))) in {403, 400}


async def test_a_url_expires(zun, box, browser, store):
    url = await ask_attach(zun)
    async with store.write() as tx:
        [session] = await tx.interactive_sessions.select()
        await tx.interactive_sessions.forget(session.expires_at + dt.timedelta(seconds=1))
    assert await refused(browser(url)) == 403


async def test_the_token_is_in_no_answer_and_not_in_the_store(zun, box, store):
    token = (await ask_attach(zun)).partition("token=")[2].partition("&")[0]
    async with store.read() as tx:
        [session] = await tx.interactive_sessions.select()
    assert token not in repr(session)
    assert token not in (await zun.get("/v1/containers/box")).body.decode()


async def test_pages_of_other_sites_are_refused(zun, box, browser):
    assert await refused(browser(await ask_attach(zun), headers={"Origin": "http://evil.example"})) == 403
    url = await ask_attach(zun)
    host = url.split("/")[2]
    async with browser(url, headers={"Origin": f"http://{host}", "Host": host}) as ws:
        await ws.send_str("fine")
        assert await within(ws.receive_bytes()) == b"fine"


async def test_states_and_hosts_that_forbid_it(zun, make, on_host, parts, browser, store):
    created = await make.container(name="box")
    assert (await zun.get("/v1/containers/box/attach")).status == 409
    await on_host(created)
    answer = await zun.get("/v1/containers/box/attach")
    assert (answer.status, answer.error["code"]) == (400, "container.no-interactive-flag")
    asked = await ask_exec(zun)
    parts.gateway.fault = Unavailable("host h1 is away")
    assert await refused(browser(asked["proxy_url"])) == 503
    parts.gateway.fault = None
    asked = await ask_exec(zun)
    async with store.write() as tx:
        await tx.containers.remove({"uuid": created["uuid"]})
    assert await refused(browser(asked["proxy_url"])) == 403


async def test_others_get_no_url(zun, box):
    for token in ("other-member", "nobody"):
        client = zun.as_(token)
        assert (await client.get(f"/v1/containers/{box.uuid}/attach")).status in {401, 404}
        assert (await client.post(f"/v1/containers/{box.uuid}/execute?command=cat&run=false")).status in {401, 404}


async def test_sessions_that_are_never_opened_are_bounded(zun, box):
    for _ in range(MAX_WAITING):
        await ask_attach(zun)
    answer = await zun.get("/v1/containers/box/attach")
    assert answer.status == 409
    assert "5 minutes" in answer.error["detail"]


async def test_sizes_of_terminals(zun, box, browser, parts):
    assert (await zun.post("/v1/containers/box/resize?h=24&w=80")).json() is None
    assert parts.gateway.asked[-1] == ("resize", box.host_id, box.uuid, None, SIZE)
    asked = await ask_exec(zun, "show-size", interactive="true")
    path = f"/v1/containers/box/execute_resize?exec_id={asked['exec_id']}&h=24&w=80"
    assert (await zun.post(path)).status == 200
    async with browser(asked["proxy_url"]) as ws:
        assert await within(ws.receive_bytes()) == b"24 80\n"
        assert (await zun.post(path)).status == 200
        assert parts.gateway.asked[-1] == ("resize", box.host_id, box.uuid, asked["exec_id"], SIZE)


@pytest.mark.parametrize("query", ["h=24", "w=80", "h=0&w=80", "h=24&w=10001", "h=24&w=x"])
async def test_sizes_that_are_none(zun, box, query):
    assert (await zun.post(f"/v1/containers/box/resize?{query}")).status == 400
    assert (await zun.post(f"/v1/containers/box/execute_resize?exec_id={'0' * 64}&{query}")).status == 400
    assert (await zun.post("/v1/containers/box/execute_resize?h=24&w=80")).error["detail"].count("exec_id")


async def test_a_client_that_goes_away_ends_the_command(zun, box, browser, parts):
    asked = await ask_exec(zun, "hang")
    ws = await browser(asked["proxy_url"])
    [process] = parts.gateway.programs.running[box.uuid]
    ws._response.connection.transport.abort()
    await within(process.wait_closed())


async def test_a_plain_request_is_told_to_upgrade(zun, box):
    answer = await zun.get(f"/v1/containers/{box.uuid}/websocket?token=x")
    assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")


async def test_the_next_process_of_the_api_knows_the_session(zun, box, parts):
    url = await ask_attach(zun)
    async with serving(create_app(parts)) as server, aiohttp.ClientSession() as session:
        ws = await session.ws_connect(server + "/" + url.split("/", 3)[3])
        await ws.send_str("hi")
        assert await within(ws.receive_bytes()) == b"hi"
        await ws.close()
    with contextlib.suppress(TimeoutError):
        await parts.gateway.programs.close()


@pytest.mark.parametrize(
    ("data", "whole", "rest"),
    [
        (b"plain", b"plain", b""),
        ("é".encode(), "é".encode(), b""),
        ("aé".encode()[:-1], b"a", "é".encode()[:-1]),
        ("a😀".encode()[:-1], b"a", "😀".encode()[:-1]),
        ("a😀".encode()[:-3], b"a", "😀".encode()[:1]),
        (b"\x80\x80\x80\x80\x80", b"\x80\x80\x80\x80\x80", b""),
        (b"", b"", b""),
    ],
)
def test_characters_are_not_split(data, whole, rest):
    assert split_incomplete(data) == (whole, rest)
