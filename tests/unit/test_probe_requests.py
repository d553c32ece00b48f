"""The requests of probes, to servers on this machine."""

import asyncio

import pytest

from jeroboam.clients.probes import check_http, check_tcp
from jeroboam.domain.capsules import HttpGet

HOST = "127.0.0.1"


@pytest.fixture
async def server():
    """Answers with what a test puts there; keeps what it was sent."""
    answers, requests = [b"HTTP/1.1 200 OK\r\n\r\n"], []

    async def serve(reader, writer):
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answers[0])
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as listener:
        yield listener.sockets[0].getsockname()[1], answers, requests


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", None),
        (b"HTTP/1.0 301 Moved\r\nLocation: http://10.0.0.1/\r\n\r\n", None),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "status 404"),
        (b"HTTP/1.1 503\r\n\r\n", "status 503"),
        (b"SSH-2.0-x\r\n", "not HTTP"),
        (b"HTTP/1.1\r\n", "not HTTP"),
        (b"x" * 5000, "no answer"),
        (b"", "not HTTP"),
    ],
)
async def test_a_status_decides(server, answer, reason):
    port, answers, _ = server
    answers[0] = answer
    seen = await check_http(HOST, HttpGet(port=port))
    assert (seen is None) if reason is None else (reason in seen)


async def test_the_request_is_as_asked(server):
    port, _, requests = server
    await check_http(HOST, HttpGet(port=port, path="/live?x=1", headers={"host": "web.example", "X-A": "b"}))
    lines = requests[0].decode().split("\r\n")
    assert lines[0] == "GET /live?x=1 HTTP/1.1"
    assert "host: web.example" in lines
    assert "X-A: b" in lines
    assert not any(line.startswith("Host:") for line in lines)


async def test_a_port_that_takes_connections(server):
    port, _, _ = server
    assert await check_tcp(HOST, port) is None


async def test_nobody_listens(server):
    async with await asyncio.start_server(lambda *_: None, HOST, 0) as listener:
        port = listener.sockets[0].getsockname()[1]
    assert f"port {port}" in await check_tcp(HOST, port)
    assert f"port {port}" in await check_http(HOST, HttpGet(port=port))
