"""Heads that cannot be served, and handshakes of WebSockets: none holds a connection or breaks the shutdown."""

import asyncio
import socket
from dataclasses import replace
from urllib.parse import urlsplit

import aiohttp
import pytest

from jeroboam.bootstrap.http import HttpLimits
from tests.api.own_routes import within
from tests.api.server import connection, error_of, rest, serving

pytestmark = pytest.mark.security

SHORT = HttpLimits(head_seconds=0.3, body_seconds=0.3, answer_seconds=0.3, idle_seconds=1)
START = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
HANDSHAKE = f"{START}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"


def request(headers, rest_="", method="GET", path="/healthcheck"):
    return f"{method} {path} HTTP/1.1\r\n{headers}\r\n{rest_}".encode()


@pytest.fixture
async def url(app):
    async with serving(app, SHORT) as address:
        yield address


async def ask(url, octets):
    async with connection(url) as (reader, writer):
        writer.write(octets)
        return await rest(reader)


class WaitingApp:
    """Answers requests and accepts WebSockets when it is let go on."""

    def __init__(self):
        self.started = asyncio.Queue()
        self.go_on = asyncio.Event()
        self.over = asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.started.put_nowait(scope["type"])
        if scope["type"] == "websocket":
            await receive()
            await receive()
            self.over.set()
            return
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"OK"})


@pytest.mark.parametrize(
    ("headers", "body", "name"),
    [
        ("Content-Length: 1\r\n", "x", "Content-Length"),
        ("Content-Length: 1\r\n", "", "Content-Length"),
        ("Content-Length: 00\r\n", "", "Content-Length"),
        ("Transfer-Encoding: chunked\r\n", "1\r\nx\r\n0\r\n\r\n", "Transfer-Encoding"),
        ("Transfer-Encoding: chunked\r\n", "", "Transfer-Encoding"),
    ],
)
async def test_a_handshake_with_a_body_is_refused(url, headers, body, name):
    error = error_of(await ask(url, request(HANDSHAKE + headers, body)))
    assert error["status"] == 400
    assert name in error["detail"]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [("/", f"X-Long: {'x' * 9000}\r\n", 431), ("/", "X-Many: x\r\n" * 200, 431), (f"/{'x' * 9000}", "", 414)],
)
async def test_a_handshake_that_only_the_library_finds_too_large_is_answered(url, path, headers, status):
    assert error_of(await ask(url, request(HANDSHAKE + headers, path=path)))["status"] == status


async def test_handshakes_that_are_refused_leave_room_for_others(app):
    async with serving(app, replace(SHORT, head_seconds=60, body_seconds=60, connections=20)) as url:
        address = urlsplit(url)
        held = []
        try:
            for _ in range(40):
                held.append(await asyncio.open_connection(address.hostname, address.port))
                held[-1][1].write(request(HANDSHAKE + "Content-Length: 1\r\n", "x"))
            assert (await ask(url, request("Host: x\r\nConnection: close\r\n"))).startswith(b"HTTP/1.1 200")
        finally:
            for _, writer in held:
                writer.close()


@pytest.mark.parametrize(
    ("octets", "status", "text"),
    [
        (request(f"{START}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n"), 400, "Sec-WebSocket-Key"),
        (request(f"{START}Sec-WebSocket-Version: 13\r\n"), 400, "Sec-WebSocket-Key"),
        (request(HANDSHAKE.replace("13", "12")), 400, "Sec-WebSocket-Version"),
        (request(HANDSHAKE, method="POST"), 405, "POST"),
    ],
)
async def test_a_malformed_handshake_is_refused_in_json(url, octets, status, text):
    error = error_of(await ask(url, octets))
    assert error["status"] == status
    assert text in error["detail"]


async def test_a_handshake_in_pieces_has_a_time(url):
    async with connection(url) as (reader, writer):
        for line in HANDSHAKE.splitlines(keepends=True):
            writer.write((b"GET / HTTP/1.1\r\n" if line.startswith("Host") else b"") + line.encode())
            await writer.drain()
        assert error_of(await rest(reader))["status"] == 408


@pytest.mark.parametrize("data", [b"\x89\x80mask", b"\x81\x81maskx", b"nonsense", b"\x88\x80mask"])
async def test_data_before_the_answer_to_a_handshake_ends_it(data):
    app = WaitingApp()
    async with serving(app, SHORT) as url, connection(url) as (reader, writer):
        writer.write(request(HANDSHAKE))
        assert await within(app.started.get()) == "websocket"
        writer.write(data)
        assert error_of(await rest(reader))["status"] == 400
        await within(app.over.wait())


async def test_a_handshake_waits_for_the_answer_to_the_request_before():
    app = WaitingApp()
    async with serving(app, SHORT) as url, connection(url) as (reader, writer):
        writer.write(request("Host: x\r\n"))
        assert await within(app.started.get()) == "http"
        writer.write(request(HANDSHAKE))
        assert error_of(await rest(reader))["status"] == 400
        app.go_on.set()


async def test_a_shutdown_answers_handshakes_and_finishes_requests():
    app = WaitingApp()
    address = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    async def serve():
        # At its end no task of the server has failed.
        async with serving(app, replace(SHORT, head_seconds=60, body_seconds=60)) as url:
            address.set_result(url)
            await stop.wait()

    server = asyncio.ensure_future(serve())
    url = await address
    async with connection(url) as (reader, writer), connection(url) as (handshake_reader, handshake_writer):
        with_body = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
        with_body[1].write(request(HANDSHAKE + "Content-Length: 1\r\n", "x"))
        writer.write(request("Host: x\r\nConnection: close\r\n"))
        await within(app.started.get())
        handshake_writer.write(request(HANDSHAKE))
        await within(app.started.get())
        stop.set()
        assert error_of(await rest(handshake_reader))["status"] == 503
        app.go_on.set()
        assert (await rest(reader)).startswith(b"HTTP/1.1 200")
        await within(server)
        with_body[1].close()


async def test_a_closed_connection_does_not_wait_for_its_client():
    """So little is left to send that the server's own buffers never count as full."""
    over = asyncio.Event()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 48000, "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        over.set()

    async with serving(app, SHORT, send_octets=4096) as url:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.connect((urlsplit(url).hostname, urlsplit(url).port))
            client.sendall(request("Host: x\r\nContent-Length: 10\r\n", method="POST"))
            await within(over.wait())


@pytest.mark.parametrize("hosts", ["", "Host: x\r\nHost: y\r\n", "Host: x\r\nhost: x\r\n"])
async def test_a_request_has_one_host(url, hosts):
    error = error_of(await ask(url, request(hosts)))
    assert error["status"] == 400
    assert "Host" in error["detail"]


async def test_http_1_0_needs_no_host(url):
    assert (await ask(url, b"GET /healthcheck HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("codings", ["gzip, chunked", "gzip\r\nTransfer-Encoding: chunked", "identity, chunked"])
async def test_another_transfer_coding_is_refused(url, codings):
    headers = f"Host: x\r\nTransfer-Encoding: {codings}\r\n"
    error = error_of(await ask(url, request(headers, "0\r\n\r\n", method="POST")))
    assert error["status"] == 501
    assert "Transfer-Encoding" in error["detail"]


@pytest.mark.parametrize(("token", "status"), [("member", 405), ("", 401)])
async def test_a_websocket_that_is_not_offered_is_refused(url, token, status):
    path = f"{url}/container/v1/capsules"
    async with aiohttp.ClientSession(headers={"X-Auth-Token": token}) as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await client.ws_connect(path)
        assert caught.value.status == status
