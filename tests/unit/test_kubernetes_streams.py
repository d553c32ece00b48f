"""What runs in pods is spoken to over numbered channels: an API server on loopback that behaves, and misbehaves."""

import ssl

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from jeroboam.clients.kubernetes import AccessDenied, KubernetesApi
from jeroboam.clients.kubernetes_streams import CommandResult, ask_port, run
from jeroboam.domain.errors import Permanent, Temporary

PLAIN = ssl.create_default_context()
SUCCESS = b'\x03{"status": "Success"}'
ENDED = b'\x03{"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}}'
REFUSED = b'\x03{"status": "Failure", "message": "no such program"}'


class Server:
    """Sends these messages to whoever connects, and keeps what it was sent."""

    def __init__(self) -> None:
        self.says: list[bytes] = []
        self.heard: list[bytes] = []
        self.protocols = ("v5.channel.k8s.io", "v4.channel.k8s.io")
        self.query: list[tuple[str, str]] = []
        self.waits_for = 0
        self.stays = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/pods/secret/exec"):
            return web.json_response({"message": "no"}, status=403)
        socket = web.WebSocketResponse(protocols=self.protocols)
        await socket.prepare(request)
        self.query = list(request.query.items())
        while len(self.heard) < self.waits_for:
            self.heard.append((await socket.receive()).data)
        for message in self.says:
            await socket.send_bytes(message)
        if self.stays:
            await socket.receive()
        await socket.close()
        return socket


@pytest.fixture
async def server():
    return Server()


@pytest.fixture
async def api(server):
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    async with TestServer(app) as running, KubernetesApi(str(running.make_url("/"))[:-1], PLAIN) as made:
        yield made


async def test_a_command_gets_its_input_and_its_end(api, server):
    server.waits_for, server.says = 2, [b"\x01out", b"\x02err", b"\x01put", ENDED]
    seen = await run(api, "p", ["sh", "-c", "a b"], namespace="n", stdin="given", seconds=5)
    assert seen == CommandResult(code=7, stdout="output", stderr="err")
    assert server.heard == [b"\x00given", b"\xff\x00"]
    assert server.query[:3] == [("command", "sh"), ("command", "-c"), ("command", "a b")]
    assert ("stdin", "true") in server.query


async def test_an_older_server_is_not_told_that_the_input_ends(api, server):
    server.protocols, server.waits_for, server.says = ("v4.channel.k8s.io",), 1, [SUCCESS]
    assert (await run(api, "p", ["cat"], namespace="n", stdin="given", seconds=5)).code == 0
    assert server.heard == [b"\x00given"]


async def test_what_cannot_be_run_is_told(api, server):
    server.says = [REFUSED]
    with pytest.raises(Permanent, match="running nope in pod p: no such program"):
        await run(api, "p", ["nope"], namespace="n", seconds=5)
    server.says = [b"\x01half"]
    with pytest.raises(Temporary, match="the connection was lost"):
        await run(api, "p", ["cut"], namespace="n", seconds=5)
    server.stays = True
    with pytest.raises(Temporary, match=r"not over after 0\.1 s"):
        await run(api, "p", ["slow"], namespace="n", seconds=0.1)
    with pytest.raises(AccessDenied) as denied:
        await run(api, "secret", ["ls"], namespace="n", seconds=5)
    assert denied.value.status == 403


async def test_a_port_is_asked_through_the_server(api, server):
    server.protocols, server.waits_for = ("v4.channel.k8s.io",), 1
    server.says = [b"\x00\x90\x1f", b"\x01\x90\x1f", b"\x00an", b"\x00swer"]
    assert await ask_port(api, "p", 8080, b"ask", namespace="n", seconds=5) == b"answer"
    assert server.heard == [b"\x00ask"]
    assert server.query == [("ports", "8080")]
    server.heard, server.says = [], [b"\x00\x90\x1f", b"\x01\x90\x1f", b"\x01refused"]
    with pytest.raises(Temporary, match="asking port 8080 of pod p: refused"):
        await ask_port(api, "p", 8080, b"ask", namespace="n", seconds=5)
