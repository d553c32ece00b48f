"""HTTP requests to servers that the operator trusts: Keystone, the sites of programs.

Neighbours: `keystone`, `jeroboam.identity`, `nodeimages.releases`. `manifest_url` fetches URLs that users gave.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

from jeroboam.clients.bounds import BoundedResponse

_ERRORS = (TimeoutError, aiohttp.ClientError, OSError)


class NoAnswer(Exception):
    """The server did not answer, or not in time. The text says how."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpAnswer:
    """An answer that was read to its end."""

    status: int
    reason: str
    headers: Mapping[str, str]
    """The names of headers are compared without case."""
    content: bytes

    def json(self) -> Any:
        """Return the content as JSON; None if it is empty. Raises `ValueError` for anything else."""
        return json.loads(self.content) if self.content else None


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpDownload:
    """An answer whose content is read in pieces."""

    status: int
    reason: str
    content: AsyncIterator[bytes]
    """Raises `NoAnswer` if the rest does not come."""


class HttpClient:
    """Requests with a time limit; an asynchronous context that closes its connections."""

    def __init__(
        self,
        *,
        total_seconds: float | None,
        connect_seconds: float | None = None,
        read_seconds: float | None = None,
        with_proxies: bool = False,
    ) -> None:
        """Set limits: `total_seconds` for a request, `read_seconds` for each piece. `with_proxies`: the environment's.

        No connection is opened before the first request.
        """
        self._timeout = aiohttp.ClientTimeout(total=total_seconds, sock_connect=connect_seconds, sock_read=read_seconds)
        self._with_proxies = with_proxies
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. A later request opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: Any = None
    ) -> HttpAnswer:
        """Send a request, with `body` as JSON if there is one. Raises `NoAnswer`."""
        try:
            async with self._open().request(method, url, headers=headers, json=body) as response:
                return HttpAnswer(
                    status=response.status,
                    reason=response.reason or "",
                    headers=response.headers,
                    content=await response.read(),
                )
        except _ERRORS as error:
            raise NoAnswer(str(error) or type(error).__name__) from error

    @asynccontextmanager
    async def download(self, url: str, *, block: int) -> AsyncIterator[HttpDownload]:
        """Open the URL and give its content in pieces of at most `block` octets. Raises `NoAnswer`."""
        try:
            response = await self._open().get(url)
        except _ERRORS as error:
            raise NoAnswer(str(error) or type(error).__name__) from error
        # Errors that the caller raises in the meantime pass unchanged.
        async with response:
            pieces = _translate_errors(response.content.iter_chunked(block))
            yield HttpDownload(status=response.status, reason=response.reason or "", content=pieces)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout, trust_env=self._with_proxies, response_class=BoundedResponse
            )
        return self._session


async def _translate_errors(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for piece in pieces:
            yield piece
    except _ERRORS as error:
        raise NoAnswer(str(error) or type(error).__name__) from error
