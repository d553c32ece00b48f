"""Servers that a user may have in hand answer without end: a client gives up soon, and holds little of it."""

import asyncio
import gzip
import ssl

import aiodocker
import aiohttp
import pytest

from jeroboam.clients.bounds import MOST_INFORMATIONAL, BoundedResponse
from jeroboam.clients.docker import FRAME, connect, read_log, translate_errors
from jeroboam.clients.docker_containers import run_command
from jeroboam.clients.http import HttpClient, NoAnswer
from jeroboam.clients.kubernetes import KubernetesApi
from jeroboam.domain.errors import Temporary

SECONDS = 20.0
LIMIT = 1 << 20
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Rogue:
    """A server that sends the same piece over and over, until its client is gone."""

    def __init__(self) -> None:
        self.head = b""
        self.piece = b""
        self.sent = 0
        self.pages: dict[str, bytes] = {}
        """What is answered properly, by the end of the path."""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (page := await self._read_request(reader)) is not None:
                writer.write(page)
            writer.write(self.head)
            while self.piece:
                writer.write(self.piece)
                await writer.drain()
                self.sent += len(self.piece)
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _read_request(self, reader: asyncio.StreamReader) -> bytes | None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if "content-length: " in head:
            await reader.readexactly(int(head.split("content-length: ")[1].split()[0]))
        return next((page for end, page in self.pages.items() if head.split()[1].endswith(end)), None)


def page(body: bytes) -> bytes:
    return OK + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.fixture
async def rogue(monkeypatch):
    monkeypatch.setattr(BoundedResponse, "max_octets", LIMIT)
    server = Rogue()
    running = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}"
    yield server
    running.close()


async def ask_engine(url: str) -> None:
    engine = connect(url, tls=ssl.create_default_context())
    try:
        with translate_errors("asking"):
            await engine.version()
    finally:
        await engine.close()


async def ask_kubernetes(url: str) -> None:
    async with KubernetesApi(url, ssl.create_default_context()) as api:
        await api.get("/version", "asking")


async def ask_http(url: str) -> None:
    async with HttpClient(total_seconds=None) as http:
        await http.request("GET", url)


ASKS = [ask_engine, ask_kubernetes, ask_http]
GIVEN_UP = (Temporary, NoAnswer, aiodocker.DockerError)


@pytest.mark.parametrize("ask", ASKS)
async def test_informational_answers_without_end(rogue, ask):
    rogue.piece = CONTINUE * 1000
    async with asyncio.timeout(SECONDS):
        with pytest.raises(GIVEN_UP):
            await ask(rogue.url)
    assert rogue.sent < 16 << 20


@pytest.mark.parametrize("ask", [ask_engine, ask_http])
@pytest.mark.parametrize("packed", [False, True])
async def test_a_body_without_end(rogue, ask, packed):
    block = gzip.compress(b"x" * (64 << 10)) if packed else b"x" * (64 << 10)
    rogue.head = OK + (b"Content-Encoding: gzip\r\n" if packed else b"") + b"\r\n"
    rogue.piece = block
    async with asyncio.timeout(SECONDS):
        with pytest.raises(GIVEN_UP):
            await ask(rogue.url)
    assert rogue.sent < 64 << 20


async def test_one_informational_answer_is_read_over(rogue):
    rogue.head = CONTINUE * MOST_INFORMATIONAL + OK + b"Content-Length: 2\r\n\r\n{}"
    session = aiohttp.ClientSession(response_class=BoundedResponse)
    async with asyncio.timeout(SECONDS), session, session.get(rogue.url) as answer:
        assert await answer.json() == {}
        assert await answer.text() == "{}", "it can be read again"


async def read_logs(engine: aiodocker.Docker) -> None:
    await read_log(engine, "c", {"stdout": "1"}, tty=False, limit=LIMIT)


async def run_exec(engine: aiodocker.Docker) -> None:
    await run_command(engine.containers.container("c"), ["true"])


@pytest.mark.parametrize(
    ("work", "head"),
    [
        (read_logs, OK + b"\r\n"),
        (run_exec, b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"),
    ],
)
async def test_a_frame_without_end(rogue, work, head):
    rogue.pages = {"/version": page(b'{"ApiVersion": "1.41"}'), "/containers/c/exec": page(b'{"Id": "e"}')}
    rogue.head = head + FRAME.pack(1, 2**32 - 1)
    rogue.piece = b"x" * (64 << 10)
    engine = connect(rogue.url, tls=ssl.create_default_context())
    async with asyncio.timeout(SECONDS):
        with pytest.raises(Temporary), translate_errors("asking"):
            await work(engine)
    await engine.close()
    assert rogue.sent < 16 << 20
