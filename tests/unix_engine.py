"""A server on a Unix socket that answers as some Docker Engine would, or as none."""

import asyncio
import contextlib
import json
import pathlib
from collections.abc import AsyncIterator

VERSION = {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}
INFO = {
    "Name": "machine",
    "DockerRootDir": "/var/lib/docker",
    "Driver": "overlay2",
    "CgroupVersion": "2",
    "CgroupDriver": "systemd",
    "SystemTime": "2026-11-29T12:00:00.123456789Z",
}


@contextlib.asynccontextmanager
async def serve_engine(
    socket_path: pathlib.Path, version: object = VERSION, info: object = INFO, *, images: object = (), status: int = 200
) -> AsyncIterator[str]:
    """Serve `/version`, `/info`, a list of images and a registry that answers; the URL.

    A string is sent as it is, anything else as JSON.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split()[1].decode()
                known = {"/info": info, "/images/json": images, "/distribution/": {}}
                content = next((answer for part, answer in known.items() if part in path), version)
                body = (content if isinstance(content, str) else json.dumps(content)).encode()
                kind = "text/plain" if isinstance(content, str) else "application/json"
                lines = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(lines.encode() + body)
                await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, socket_path)
    try:
        yield f"unix://{socket_path}"
    finally:
        server.close()


@contextlib.asynccontextmanager
async def serve_silence(path: pathlib.Path) -> AsyncIterator[str]:
    """Take connections and answer nothing; the URL."""
    writers: list[asyncio.StreamWriter] = []

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_unix_server(hold, path)
    try:
        yield f"unix://{path}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
