"""A way to take the Engine away from one client alone: a socket of our own in front of the Engine's."""

import asyncio
import contextlib
import pathlib

ENGINE = "/var/run/docker.sock"


class Proxy:
    """Passes bytes on both ways. `cut` ends every connection and takes no new one until `open`."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._pass, self._path)

    async def cut(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        self._path.unlink(missing_ok=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection(ENGINE)
        self._writers |= {writer, engine_writer}
        await asyncio.gather(_copy(reader, engine_writer), _copy(engine_reader, writer))
        self._writers -= {writer, engine_writer}


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
