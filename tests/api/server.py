"""The application behind a real HTTP server on loopback, for clients that know nothing of ASGI."""

import contextlib
import socket

from jeroboam.bootstrap import http
from jeroboam.kit.tasks import Tasks


@contextlib.asynccontextmanager
async def serving(app, limits: http.HttpLimits | None = None):
    """The server's URL, for as long as the context lasts."""
    failures = []
    tasks = Tasks(lambda name, error: failures.append((name, error)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with http.serve(app, listener, tasks=tasks, drain_seconds=5, limits=limits):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        await tasks.close()
    assert not failures
