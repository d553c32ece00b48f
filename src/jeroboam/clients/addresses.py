"""Which addresses the service may be sent to by a user, who names a host that the service then speaks to.

Neighbours: `manifest_url` and the registries of images. What counts as one's own is refused: this machine, whatever
network it stands in, whatever no route of the Internet leads to. An operator may allow networks.
"""

import asyncio
import contextlib
import functools
import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Addresses of version 6 that stand for one of version 4 behind a translator.
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
# No longer anybody's, and global to Python all the same: site-local addresses, and relays of 6to4 (RFC 3879, 7526).
_DEPRECATED: tuple[Network, ...] = (ipaddress.IPv6Network("fec0::/10"), ipaddress.IPv4Network("192.88.99.0/24"))
_MASK_FIELD, _PREFIX_FIELD = 7, 2
_ROUTES, _ADDRESSES = Path("/proc/net/route"), Path("/proc/net/if_inet6")

LOOK_UP_SECONDS = 5.0
# A thread that waits for a name server cannot be ended: those of the event loop are for what must not wait behind it.
_LOOK_UPS = ThreadPoolExecutor(max_workers=8, thread_name_prefix="look-up")


@dataclass(frozen=True, kw_only=True, slots=True)
class HostRoute:
    """A route of this machine, version 4."""

    network: ipaddress.IPv4Network
    has_gateway: bool
    """Whether it leads through another machine; else this one stands in that network."""


def list_routes(table: Path = _ROUTES) -> list[HostRoute]:
    """The routes of this machine, default routes left out; none where there is no such table."""
    routes = []
    for line in _lines(table)[1:]:
        fields = line.split()
        network, gateway, mask = (_little_endian(fields[place]) for place in (1, 2, _MASK_FIELD))
        if int(mask) != 0:
            network_of_route = ipaddress.IPv4Network((int(network), int(mask).bit_count()), strict=False)
            routes.append(HostRoute(network=network_of_route, has_gateway=int(gateway) != 0))
    return routes


def list_connected_networks() -> list[Network]:
    """The networks that this machine stands in, as Linux tells them; none where nobody tells."""
    networks: list[Network] = [route.network for route in list_routes() if not route.has_gateway]
    for line in _lines(_ADDRESSES):
        fields = line.split()
        address, prefix = ipaddress.IPv6Address(bytes.fromhex(fields[0])), int(fields[_PREFIX_FIELD], 16)
        networks.append(ipaddress.IPv6Network((address, prefix), strict=False))
    return networks


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressRules:
    """The rules, with what an operator allows. `connected` are the networks of this machine, looked up each time."""

    allowed_networks: Sequence[Network] = ()
    may_allow_own: bool = False
    """Whether `allowed` counts for loopback and link-local addresses too."""
    list_connected: Callable[[], Iterable[Network]] = list_connected_networks

    def permits(self, address: Address) -> bool:
        """Whether the service may speak to that address for a user."""
        target = _resolve_embedded_address(address)
        is_own = target.is_loopback or target.is_link_local or target.is_multicast or target.is_unspecified
        if is_own and not self.may_allow_own:
            return False
        if _within(target, self.allowed_networks):
            return True
        elsewhere = target.is_global and not target.is_reserved and not is_own
        return elsewhere and not _within(target, _DEPRECATED) and not _within(target, self.list_connected())


async def look_up(host: str, port: int, *, seconds: float = LOOK_UP_SECONDS) -> list[Address]:
    """Every address that the host has.

    Raises `OSError` or `UnicodeError` where nobody knows it, `TimeoutError` (an `OSError`) where no name server has
    said so in time.
    """
    with contextlib.suppress(ValueError):
        return [ipaddress.ip_address(host)]
    ask = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    async with asyncio.timeout(seconds):
        answers = await asyncio.get_running_loop().run_in_executor(_LOOK_UPS, ask)
    # A zone belongs to link-local addresses, which are refused without it.
    return [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []


def _little_endian(word: str) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(bytes.fromhex(word)[::-1])


def _resolve_embedded_address(address: Address) -> Address:
    """The address that is spoken to in the end, where one stands for another."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(address.packed[-4:])
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)
