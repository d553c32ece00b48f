"""Rules for the addresses that the service speaks to for users, who name the host.

Neighbours: `manifest_url` and `docker_images`, for the registries of images. The rules refuse this machine, its
networks, and addresses that no route of the Internet leads to. An operator may allow networks.
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
# Deprecated, though Python calls them global: site-local addresses, and relays of 6to4 (RFC 3879, 7526).
_DEPRECATED: tuple[Network, ...] = (ipaddress.IPv6Network("fec0::/10"), ipaddress.IPv4Network("192.88.99.0/24"))
_MASK_FIELD, _PREFIX_FIELD = 7, 2
_ROUTES, _ADDRESSES = Path("/proc/net/route"), Path("/proc/net/if_inet6")

LOOK_UP_SECONDS = 5.0
# A thread that waits for a name server cannot be interrupted, and must not hold up the threads of the event loop.
_LOOK_UPS = ThreadPoolExecutor(max_workers=8, thread_name_prefix="look-up")


@dataclass(frozen=True, kw_only=True, slots=True)
class HostRoute:
    """A route of this machine, version 4."""

    network: ipaddress.IPv4Network
    has_gateway: bool
    """Whether the route leads through another machine. If not, this machine is in that network."""


def list_routes(table: Path = _ROUTES) -> list[HostRoute]:
    """Return the routes of this machine without default routes; none if there is no such table."""
    routes = []
    for line in _lines(table)[1:]:
        fields = line.split()
        network, gateway, mask = (_little_endian(fields[place]) for place in (1, 2, _MASK_FIELD))
        if int(mask) != 0:
            network_of_route = ipaddress.IPv4Network((int(network), int(mask).bit_count()), strict=False)
            routes.append(HostRoute(network=network_of_route, has_gateway=int(gateway) != 0))
    return routes


def list_connected_networks() -> list[Network]:
    """Return the networks that this machine is in, as Linux lists them; none if it lists none."""
    networks: list[Network] = [route.network for route in list_routes() if not route.has_gateway]
    for line in _lines(_ADDRESSES):
        fields = line.split()
        address, prefix = ipaddress.IPv6Address(bytes.fromhex(fields[0])), int(fields[_PREFIX_FIELD], 16)
        networks.append(ipaddress.IPv6Network((address, prefix), strict=False))
    return networks


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressRules:
    """The rules, with what an operator allows. The networks of this machine are looked up each time."""

    allowed_networks: Sequence[Network] = ()
    may_allow_own: bool = False
    """Whether `allowed_networks` may hold loopback and link-local addresses."""
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
    """Return every address of the host.

    Raises `OSError` or `UnicodeError` if the host is unknown, `TimeoutError` (an `OSError`) if no name server answers
    in time.
    """
    with contextlib.suppress(ValueError):
        return [ipaddress.ip_address(host)]
    ask = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    async with asyncio.timeout(seconds):
        answers = await asyncio.get_running_loop().run_in_executor(_LOOK_UPS, ask)
    # A zone belongs to link-local addresses, which are refused without a zone.
    return [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []


def _little_endian(word: str) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(bytes.fromhex(word)[::-1])


def _resolve_embedded_address(address: Address) -> Address:
    """Return the address that packets reach in the end: some addresses contain another one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(address.packed[-4:])
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)
