"""Fetches manifests from the URLs of users, but never from addresses that only this machine may reach.

The name is looked up first, every address of the host is checked, and the connection uses exactly the checked
addresses. So a name whose addresses change in the meantime leads nowhere. Redirects are not followed. The rules are
those of `addresses`. Neighbours: `addresses`; the port `ManifestSource` of the domain.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from jeroboam.clients.addresses import Address, AddressRules, look_up
from jeroboam.clients.bounds import BoundedResponse
from jeroboam.domain.errors import Invalid

SECONDS = 10.0
_PIECE = 8192
_FOUND = 200


class UrlManifests:
    """The port `ManifestSource` over HTTP."""

    def __init__(self, rules: AddressRules | None = None, *, seconds: float = SECONDS) -> None:
        """Loopback and link-local addresses are refused unless the rules have `may_allow_own`."""
        self._rules = rules or AddressRules()
        self._seconds = seconds

    async def fetch(self, url: str, *, max_octets: int) -> bytes:
        """Return the content of the URL. Raises `Invalid`, naming `manifest_url`."""
        target = _target(url)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._fetch(target, max_octets)
        except TimeoutError as error:
            raise _refuse(target, f"it did not answer within {self._seconds:g} seconds") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _refuse(target, f"it cannot be fetched ({_describe_error(error)})") from error

    async def _fetch(self, target: URL, max_bytes: int) -> bytes:
        addresses = await _look_up(target)
        for address in addresses:
            if not self._rules.permits(address):
                raise _refuse(target, "it leads into a network that manifests are not fetched from")
        connector = aiohttp.TCPConnector(resolver=_Pinned(addresses), use_dns_cache=False)
        # A compressed answer is not unpacked, since unpacking could enlarge it.
        session = aiohttp.ClientSession(
            connector=connector, auto_decompress=False, trust_env=False, response_class=BoundedResponse
        )
        headers = {"Accept-Encoding": "identity", "Accept": "*/*"}
        async with session, session.get(target, headers=headers, allow_redirects=False) as answer:
            if answer.status != _FOUND:
                raise _refuse(
                    target, f"it answers {answer.status}, but only 200 is accepted: redirects are not followed"
                )
            if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise _refuse(target, "its answer is compressed, which is not supported")
            content = bytearray()
            async for piece in answer.content.iter_chunked(_PIECE):
                content += piece
                if len(content) > max_bytes:
                    raise _refuse(target, f"its answer has more than {max_bytes} octets")
        return bytes(content)


def _target(url: str) -> URL:
    try:
        target = URL(url)
        # The properties decode on access; a host name beyond ASCII may be invalid.
        host, port = target.host, target.port
    except ValueError as error:
        raise Invalid(f"manifest_url is not a valid URL: {error}.", field="manifest_url") from error
    if target.scheme not in {"http", "https"} or not host or not port:
        raise Invalid("manifest_url has to begin with http:// or https:// and a host.", field="manifest_url")
    if target.user is not None or target.password is not None:
        raise Invalid("manifest_url must not contain a user or a password, because it is shown.", field="manifest_url")
    return target


async def _look_up(target: URL) -> list[Address]:
    try:
        return await look_up(target.raw_host or "", target.port or 0)
    except (OSError, UnicodeError) as error:
        raise _refuse(target, "the host name cannot be resolved") from error


def _refuse(target: URL, reason: str) -> Invalid:
    return Invalid(f"manifest_url at {target.host} cannot be used: {reason}.", field="manifest_url")


def _describe_error(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or type(error).__name__)


class _Pinned(AbstractResolver):
    """A resolver that always returns the same addresses."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        del family
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,  # noqa: PLR2004  (IP's own number)
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        return
