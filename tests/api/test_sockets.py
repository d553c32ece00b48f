"""WebSockets over a real socket, under the one table of routes."""

import asyncio

import aiohttp
import pytest

from jeroboam.api.app import create_app
from jeroboam.api.call import SOCKET, Answer, Route, SocketClosed
from jeroboam.bootstrap.http import HttpLimits
from jeroboam.domain.errors import Conflict
from jeroboam.domain.streams import CloseReason
from jeroboam.runtimes.fake_streams import FakeProcess
from tests.api.own_routes import Family, route, serving_route, within
from tests.clock import settle

PIECE = b"x" * (16 << 10)
MOST_ON_THE_WAY = 16 << 20


def serving_socket(parts, serve, limits=None, **options):
    async def handler(call):
        """Attach to all things"""
        return Answer(socket=serve, subprotocol=next(iter(call.subprotocols), None))

    return serving_route(parts, route(handler, method=SOCKET, **options), limits=limits)


async def echo(socket):
    while (message := await socket.receive()) is not None:
        await socket.send(message)


async def test_messages_go_both_ways_as_text_and_as_bytes(parts):
    async with serving_socket(parts, echo) as client, client.ws_connect(client.path, protocols=("binary", "x")) as ws:
        assert ws.protocol == "binary"
        await ws.send_str("text")
        assert await within(ws.receive_str()) == "text"
        await ws.send_bytes(b"\x00bytes")
        assert await within(ws.receive_bytes()) == b"\x00bytes"


async def test_the_handler_closes_with_a_code(parts):
    async def serve(socket):
        await socket.close(4001, "the command ended " + "é" * 100)
        await socket.close(4002)
        assert await socket.receive() is None
        with pytest.raises(SocketClosed):
            await socket.send("late")

    async with serving_socket(parts, serve) as client, client.ws_connect(client.path) as ws:
        message = await within(ws.receive())
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 4001)
        assert message.extra.startswith("the command ended é")


async def test_a_handler_that_returns_closes(parts):
    async def serve(socket):
        await socket.send("only this")

    async with serving_socket(parts, serve) as client, client.ws_connect(client.path) as ws:
        assert await within(ws.receive_str()) == "only this"
        assert (await within(ws.receive())).data == 1000


async def test_a_handler_that_fails_closes_and_says_nothing_of_why(parts):
    async def serve(socket):
        raise RuntimeError("a secret")

    async with serving_socket(parts, serve) as client, client.ws_connect(client.path) as ws:
        message = await within(ws.receive())
        assert message.data == 1011
        assert "req-" in message.extra
        assert "secret" not in message.extra


@pytest.mark.parametrize("token", ["", "nobody"])
async def test_a_client_without_a_token_gets_no_socket(parts, token):
    async with serving_socket(parts, echo) as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await client.ws_connect(client.path, headers={"X-Auth-Token": token})
    assert caught.value.status == 401


async def test_a_refusal_has_its_own_status(parts):
    async def handler(call):
        raise Conflict("it is not running")

    async with serving_route(parts, route(handler, method=SOCKET)) as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await client.ws_connect(client.path)
        assert caught.value.status == 409
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await client.ws_connect(client.path + "/nowhere")
        assert caught.value.status == 404


async def test_a_version_that_does_not_have_it_is_refused(parts):
    async with serving_socket(parts, echo, since=5) as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await client.ws_connect(client.path, headers={"OpenStack-API-Version": "container 1.4"})
    assert caught.value.status == 406


async def test_a_plain_request_is_no_websocket_and_the_other_way_round(parts):
    async def handler(call):
        return Answer(body=b"plain")

    async with (
        serving_route(parts, route(handler), Route(method=SOCKET, path="/ws", handler=handler, rule=None)) as client,
        client.get(client.path.replace("things", "ws")) as answer,
    ):
        assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await client.ws_connect(client.path)
        assert caught.value.status == 405


async def test_a_client_that_goes_away_ends_it(parts):
    over = asyncio.Event()

    async def serve(socket):
        assert await socket.receive() is None
        over.set()

    async with serving_socket(parts, serve) as client:
        ws = await client.ws_connect(client.path)
        ws._response.connection.transport.abort()
        await within(over.wait())


async def test_a_client_that_does_not_read_stops_the_sender(parts):
    sent = 0

    async def serve(socket):
        nonlocal sent
        while True:
            await socket.send(PIECE)
            sent += len(PIECE)

    async with serving_socket(parts, serve) as client:
        ws = await client.ws_connect(client.path, autoping=False)
        ws._response.connection.transport.pause_reading()
        before = -1
        while sent != before:
            before = sent
            for _ in range(4):
                await settle()
        assert 0 < sent < MOST_ON_THE_WAY
        ws._response.connection.transport.abort()


async def test_a_handler_that_does_not_read_stops_the_client(parts):
    go_on = asyncio.Event()
    received = 0

    async def serve(socket):
        nonlocal received
        await go_on.wait()
        while (message := await socket.receive()) is not None:
            received += len(message)

    async with serving_socket(parts, serve) as client, client.ws_connect(client.path) as ws:

        async def send():
            for _ in range(2 * MOST_ON_THE_WAY // len(PIECE)):
                await ws.send_bytes(PIECE)

        sending = asyncio.ensure_future(send())
        await asyncio.wait({sending}, timeout=0.3)
        assert not sending.done()
        go_on.set()
        await within(sending)
        await ws.close()
        assert received == 2 * MOST_ON_THE_WAY


async def test_a_message_beyond_the_limit_closes(parts):
    async with (
        serving_socket(parts, echo, limits=HttpLimits(message_octets=1000)) as client,
        client.ws_connect(client.path) as ws,
    ):
        await ws.send_bytes(b"x" * 1001)
        assert (await within(ws.receive())).data == 1009


async def test_an_idle_websocket_outlives_the_limits_of_requests(parts):
    limits = HttpLimits(head_seconds=0.1, body_seconds=0.1, answer_seconds=0.1, idle_seconds=1)
    async with serving_socket(parts, echo, limits=limits) as client, client.ws_connect(client.path) as ws:
        with pytest.raises(TimeoutError):
            await ws.receive(timeout=0.5)
        await ws.send_str("still here")
        assert await within(ws.receive_str()) == "still here"


async def test_a_terminal_through_a_websocket(parts):
    """A stream and a WebSocket joined, as attach will do it."""
    process = FakeProcess()

    async def serve(socket):
        async def carry_output():
            while (chunk := await process.receive()) is not None:
                await socket.send(chunk.data)

        output = asyncio.ensure_future(carry_output())
        while (message := await socket.receive()) is not None:
            await process.send(message)
        output.cancel()
        await process.close()

    async with serving_socket(parts, serve) as client, client.ws_connect(client.path) as ws:
        await ws.send_bytes(b"ls\n")
        assert (await within(process.input.read())).data == b"ls\n"
        await process.print(b"file\n")
        assert await within(ws.receive_bytes()) == b"file\n"
    assert (await within(process.wait_closed())).reason is CloseReason.CANCELLED


async def test_a_server_that_cannot_send_a_refusal_closes(parts):
    """As some servers do, which do not have that extension of ASGI."""
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    scope = {"type": "websocket", "scheme": "wss", "path": "/container/v1/things", "headers": [], "query_string": b""}
    await create_app(parts, [Family()])(scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1000}]
