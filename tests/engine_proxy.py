"""Ways to make the Engine sick for one client alone: a socket of our own in front of the Engine's.

It can be away, slow, silent, or refuse what it is asked. A request is known by its first line, for example
`POST /v1.41/containers/create`; clients send one at a time on a connection.
"""

import asyncio
import contextlib
import json
import pathlib
import re
from dataclasses import dataclass

ENGINE = "/var/run/docker.sock"
_REQUEST = re.compile(rb"(GET|HEAD|POST|PUT|DELETE) (\S+) HTTP/1\.1\r\n")


@dataclass(frozen=True)
class _Sickness:
    """What becomes of requests whose first line matches."""

    pattern: re.Pattern[str]
    seconds: float = 0.0
    """Pass them on so much later; infinity is never."""
    status: int = 0
    """Answer them with this, in the Engine's place."""
    message: str = ""


class Proxy:
    """Passes bytes on both ways. `cut` ends every connection and takes no new one until `open`."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()
        self._sickness: list[_Sickness] = []
        self.met = asyncio.Event()
        """Set when a request has met what was ordered."""

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self._path)

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        self._path.unlink(missing_ok=True)
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    def slow(self, pattern: str, seconds: float) -> None:
        """Pass such requests on so much later; infinity is never."""
        self._order(_Sickness(re.compile(pattern), seconds=seconds))

    def refuse(self, pattern: str, status: int, message: str) -> None:
        """Answer such requests with that, in the Engine's place."""
        self._order(_Sickness(re.compile(pattern), status=status, message=message))

    def _order(self, sickness: _Sickness) -> None:
        self.met.clear()
        self._sickness.append(sickness)

    def mend(self) -> None:
        self._sickness.clear()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._pass(reader, writer))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            engine_reader, engine_writer = await asyncio.open_unix_connection(ENGINE)
            try:
                await asyncio.gather(self._ask(reader, engine_writer, writer), _copy(engine_reader, writer))
            finally:
                engine_writer.transport.abort()
        finally:
            writer.transport.abort()

    async def _ask(
        self, reader: asyncio.StreamReader, engine: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                for sickness in self._of(data):
                    self.met.set()
                    if sickness.status:
                        body = json.dumps({"message": sickness.message}).encode()
                        head = (
                            f"HTTP/1.1 {sickness.status} No\r\nContent-Type: application/json\r\nConnection: close\r\n"
                        )
                        client.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                        await client.drain()
                        client.close()
                        engine.close()
                        return
                    await asyncio.sleep(min(sickness.seconds, 3600))
                engine.write(data)
                await engine.drain()
        engine.close()

    def _of(self, data: bytes) -> list[_Sickness]:
        asked = _REQUEST.match(data)
        line = b" ".join(asked.groups()).decode() if asked else ""
        return [sickness for sickness in self._sickness if asked and sickness.pattern.search(line)]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def proxied(path: pathlib.Path):
    """The proxy and the URL to reach the Engine through it."""
    proxy = Proxy(path)
    await proxy.open()
    try:
        yield proxy, f"unix://{path}"
    finally:
        await proxy.cut()
