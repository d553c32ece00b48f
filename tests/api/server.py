"""The application behind a real HTTP server on loopback, for clients that know nothing of ASGI."""

import asyncio
import contextlib
import socket

import uvicorn

from jeroboam.kit.tasks import Tasks


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self):
        yield


@contextlib.asynccontextmanager
async def serving(app):
    """The server's URL, for as long as the context lasts."""
    failures = []
    tasks = Tasks(lambda name, error: failures.append((name, error)))
    listener = socket.create_server(("127.0.0.1", 0))
    server = _Server(uvicorn.Config(app, http="httptools", ws="none", access_log=False, log_config=None))
    task = tasks.start("server", server.serve(sockets=[listener]))
    async with asyncio.timeout(10):
        await server.ready.wait()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        async with asyncio.timeout(10):
            await task
        listener.close()
        assert not failures
