"""The HTTP server itself: what clients without a token may hold, and how long; what is malformed; who polls."""

import asyncio
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from jeroboam.bootstrap.http import HttpLimits, allow_origins
from tests.api.server import SECONDS, connection, error_of, rest, serving

pytestmark = pytest.mark.security

SHORT = HttpLimits(
    head_octets=8192, head_seconds=0.3, body_seconds=0.3, answer_seconds=0.3, idle_seconds=1, connections=20
)


@pytest.fixture
async def url(app):
    async with serving(app, SHORT) as address:
        yield address


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"GET / HT", b"\r\n", b"POST"])
async def test_a_head_that_does_not_end_is_given_up(url, start):
    async with connection(url) as (reader, writer):
        writer.write(start)
        answer = await rest(reader)
    assert error_of(answer)["status"] == 408


async def test_a_head_that_trickles_is_given_up_too(url):
    async with connection(url) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n")
        done = asyncio.ensure_future(rest(reader))
        octets = 0
        while not done.done():
            writer.write(b"a")
            octets += 1
            await asyncio.wait({done}, timeout=0.05)
            assert octets < 100
        assert error_of(done.result())["status"] == 408


async def test_who_says_nothing_gets_no_answer(url):
    async with connection(url) as (reader, _):
        assert await rest(reader) == b""


async def test_a_second_head_has_a_time_too(url):
    async with connection(url) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /")
        answer = await rest(reader)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"408 Request Timeout" in answer


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nX-Large: ", b"GET /", b"GET / HTTP/1.1\r\n"])
async def test_a_large_head_is_refused_and_not_kept(url, start):
    line = b"x" * 1000 + (b"" if start.endswith((b"/", b" ")) else b": y\r\n")
    async with connection(url) as (reader, writer):
        writer.write(start)
        done = asyncio.ensure_future(rest(reader))
        sent = 0
        while not done.done() and sent < 100:
            writer.write(line)
            sent += 1
            await asyncio.wait({done}, timeout=0.01)
        answer = await done
    assert sent < 100
    assert error_of(answer)["status"] == 431


@pytest.mark.parametrize("token", ["member", ""])
async def test_a_body_that_does_not_come_is_given_up(url, token):
    """With a token the application waits for it; without one the answer is there already."""
    async with connection(url) as (reader, writer):
        head = f"POST /container/v1/containers HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{".encode())
        answer = await rest(reader)
    assert answer.startswith(b"HTTP/1.1 408" if token else b"HTTP/1.1 401")


async def test_a_body_that_goes_on_after_its_answer_is_cut_off(app):
    async with serving(app, replace(SHORT, body_seconds=SECONDS)) as url, connection(url) as (_, writer):
        head = "POST /container/v1/containers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        sent = 0
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(SECONDS / 2):
                while True:
                    writer.write(chunk)
                    await writer.drain()
                    sent += len(chunk)
        # What the system's own buffers hold comes on top.
        assert sent < 8 * SHORT.untaken_octets


async def test_an_answer_that_nobody_takes_is_given_up():
    over = asyncio.Event()

    async def app(scope, receive, send):
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            block = b"x" * (1 << 20)
            for _ in range(64):
                await send({"type": "http.response.body", "body": block, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            over.set()

    async with serving(app, SHORT) as url, connection(url) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        # Nothing is read until the server has given up; what was on its way then ends before the whole.
        async with asyncio.timeout(SECONDS):
            await over.wait()
        try:
            got = len(await rest(reader))
        except ConnectionError:
            got = 0
        assert got < 64 << 20


@pytest.mark.parametrize("request_", [b"nonsense\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                                      b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"])  # fmt: skip
async def test_what_is_malformed_is_answered_in_json(url, request_):
    async with connection(url) as (reader, writer):
        writer.write(request_)
        error = error_of(await rest(reader))
    assert error["status"] == 400
    assert error["detail"]


async def test_new_connections_push_out_idle_ones(url):
    port = urlsplit(url).port
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
    try:
        async with connection(url) as (reader, writer):
            writer.write(b"GET /healthcheck HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await rest(reader)).startswith(b"HTTP/1.1 200")
    finally:
        for _, writer in idle:
            writer.close()


async def test_clients_that_poll_every_few_seconds_keep_their_connection():
    assert HttpLimits().idle_seconds >= 60


async def test_pages_of_origins_that_are_allowed(app):
    async with serving(allow_origins(app, ["https://horizon.example.org"])) as url, connection(url) as (reader, writer):
        writer.write(
            b"OPTIONS /container/v1/containers HTTP/1.1\r\nHost: x\r\nOrigin: https://horizon.example.org\r\n"
            b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-auth-token\r\n"
            b"Connection: close\r\n\r\n"
        )
        answer = (await rest(reader)).lower()
    assert answer.startswith(b"http/1.1 200")
    assert b"access-control-allow-origin: https://horizon.example.org" in answer
    assert b"x-auth-token" in answer


async def test_pages_of_others_are_not(app):
    async with serving(allow_origins(app, ["https://horizon.example.org"])) as url, connection(url) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example.org\r\nConnection: close\r\n\r\n")
        assert b"access-control-allow-origin" not in (await rest(reader)).lower()
