"""The application with routes that a test brings, behind a real HTTP server, and clients of it."""

import asyncio
import contextlib
from urllib.parse import urlsplit

import aiohttp

from jeroboam.api.app import create_app
from jeroboam.api.call import Route
from jeroboam.api.container.family import ContainerFamily
from tests.api.server import serving

SECONDS = 10.0


class Family(ContainerFamily):
    """The container family, with only these routes."""

    def __init__(self, *routes: Route) -> None:
        super().__init__()
        self._only = routes

    @property
    def routes(self):
        return self._only


def route(handler, method="GET", **options):
    return Route(method=method, path="/things", handler=handler, rule=None, **options)


@contextlib.asynccontextmanager
async def serving_route(parts, *routes, limits=None):
    async with (
        serving(create_app(parts, [Family(*routes)]), limits) as url,
        aiohttp.ClientSession(headers={"X-Auth-Token": "member"}, timeout=aiohttp.ClientTimeout(SECONDS)) as client,
    ):
        client.path = f"{url}/container/v1/things"
        yield client


@contextlib.asynccontextmanager
async def raw_request(client, head):
    """A connection by hand, whose reader does as the test likes."""
    address = urlsplit(client.path)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(f"{head} {address.path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: member\r\n".encode())
        yield reader, writer
    finally:
        writer.close()


async def within(awaitable):
    async with asyncio.timeout(SECONDS):
        return await awaitable
