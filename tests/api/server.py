"""The application behind a real HTTP server on loopback, for clients that know no ASGI; and a client by hand."""

import asyncio
import contextlib
import json
import socket
from urllib.parse import urlsplit

from jeroboam.bootstrap import http
from jeroboam.kit.tasks import Tasks

SECONDS = 10.0


@contextlib.asynccontextmanager
async def serving(app, limits: http.HttpLimits | None = None, *, send_octets: int = 0):
    """The server's URL, for as long as the context lasts. The system buffers so many octets for a client, if any."""
    failures = []
    tasks = Tasks(lambda name, error: failures.append((name, error)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if send_octets:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_octets)
        async with http.serve(app, listener, tasks=tasks, drain_seconds=5, limits=limits):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        await tasks.close()
    assert not failures


@contextlib.asynccontextmanager
async def connection(url):
    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def rest(reader) -> bytes:
    """What comes until the server closes."""
    async with asyncio.timeout(SECONDS):
        return await reader.read()


def error_of(answer: bytes) -> dict:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower()
    assert b"connection: close" in head.lower()
    return json.loads(body)["errors"][0]
