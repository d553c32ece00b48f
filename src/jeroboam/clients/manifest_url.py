"""Fetches manifests from where users point to, and from nowhere that only this machine may speak to.

The name is looked up first, every address that it has is judged, and the connection goes to the very addresses that
were judged: a name that means something else a moment later leads nowhere. Nothing is followed further. What counts
as one's own: this machine, whatever network it stands in, whatever no route of the Internet leads to.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from jeroboam.domain.errors import Invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SECONDS = 10.0
_PIECE = 8192
_FOUND = 200
# Addresses of version 6 that stand for one of version 4 behind a translator.
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
_MASK_FIELD, _PREFIX_FIELD = 7, 2


class UrlManifests:
    """The port `ManifestSource` over HTTP."""

    def __init__(
        self,
        *,
        allowed: Sequence[Network] = (),
        seconds: float = SECONDS,
        connected: Callable[[], Iterable[Network]] | None = None,
    ) -> None:
        """`allowed` networks may be asked although they are one's own; loopback and link-local ones never are.

        `connected` are the networks that this machine stands in, looked up at each fetch.
        """
        self._allowed = tuple(allowed)
        self._seconds = seconds
        self._connected = connected or connected_networks

    async def fetch(self, url: str, *, most: int) -> bytes:
        """What is there. Raises `Invalid`, naming `manifest_url`."""
        target = _target(url)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._fetched(target, most)
        except TimeoutError as error:
            raise _bad(target, f"it did not answer within {self._seconds:g} seconds") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _bad(target, f"it cannot be fetched ({_why(error)})") from error

    async def _fetched(self, target: URL, most: int) -> bytes:
        addresses = await _looked_up(target)
        for address in addresses:
            if not self._may_ask(address):
                raise _bad(target, "it leads into a network that manifests are not fetched from")
        connector = aiohttp.TCPConnector(resolver=_Pinned(addresses), use_dns_cache=False)
        # An answer that grows when it is unpacked is not unpacked.
        session = aiohttp.ClientSession(connector=connector, auto_decompress=False, trust_env=False)
        headers = {"Accept-Encoding": "identity", "Accept": "*/*"}
        async with session, session.get(target, headers=headers, allow_redirects=False) as answer:
            if answer.status != _FOUND:
                raise _bad(target, f"it answers {answer.status}, and only 200 is taken: nothing is followed")
            if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise _bad(target, "it answers something packed, unasked")
            found = bytearray()
            async for piece in answer.content.iter_chunked(_PIECE):
                found += piece
                if len(found) > most:
                    raise _bad(target, f"it answers more than {most} octets")
        return bytes(found)

    def _may_ask(self, address: Address) -> bool:
        real = _meant(address)
        if real.is_loopback or real.is_link_local or real.is_multicast or real.is_unspecified:
            return False
        if _within(real, self._allowed):
            return True
        return real.is_global and not real.is_reserved and not _within(real, self._connected())


def connected_networks() -> list[Network]:
    """The networks that this machine stands in, as Linux tells them; none where nobody tells."""
    found: list[Network] = []
    for line in _lines("/proc/net/route")[1:]:
        fields = line.split()
        network, gateway, mask = (_little_endian(fields[place]) for place in (1, 2, _MASK_FIELD))
        if int(gateway) == 0 and int(mask) != 0:
            found.append(ipaddress.IPv4Network(f"{network}/{mask}", strict=False))
    for line in _lines("/proc/net/if_inet6"):
        fields = line.split()
        address, prefix = ipaddress.IPv6Address(bytes.fromhex(fields[0])), int(fields[_PREFIX_FIELD], 16)
        found.append(ipaddress.IPv6Network((address, prefix), strict=False))
    return found


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _little_endian(word: str) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(bytes.fromhex(word)[::-1])


def _target(url: str) -> URL:
    try:
        target = URL(url)
        port = target.port
    except ValueError as error:
        raise Invalid(f"manifest_url is no URL: {error}.", field="manifest_url") from error
    if target.scheme not in {"http", "https"} or not target.host or not port:
        raise Invalid("manifest_url has to begin with http:// or https:// and a host.", field="manifest_url")
    if target.user is not None or target.password is not None:
        raise Invalid("manifest_url must hold no user and no password: it is shown.", field="manifest_url")
    return target


async def _looked_up(target: URL) -> list[Address]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(target.raw_host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _bad(target, "nobody knows where that is") from error
    # A zone belongs to link-local addresses, which are refused without it.
    return [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]


def _meant(address: Address) -> Address:
    """The address that is spoken to in the end, where one stands for another."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(address.packed[-4:])
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _bad(target: URL, why: str) -> Invalid:
    return Invalid(f"manifest_url at {target.host} cannot be used: {why}.", field="manifest_url")


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or type(error).__name__)


class _Pinned(AbstractResolver):
    """Answers every question with the same addresses."""

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
