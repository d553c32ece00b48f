"""Which subnet a cluster gets, and which address a node: pure functions over what exists.

Neighbours: `local`, which asks the Engine and writes the choice into labels.
"""

import ipaddress
from collections.abc import Collection, Iterable, Iterator

from jeroboam.domain import subnets

POOL = subnets.CLUSTERS

WIDEST = 24
# A Linux bridge takes 1024 ports.
NARROWEST = 22
# The network's, the gateway's and the broadcast address.
_NOT_NODES = 3


def candidates(
    key: str, nodes: int, used_subnets: Iterable[ipaddress.IPv4Network], pool: ipaddress.IPv4Network = POOL
) -> Iterator[ipaddress.IPv4Network]:
    """Subnets of the pool with room for twice that many nodes that overlap nothing used, the key's own first."""
    prefix = max(NARROWEST, min(WIDEST, 32 - (2 * nodes + _NOT_NODES - 1).bit_length()))
    return subnets.list_candidates(key, prefix, used_subnets, pool)


def address(key: str, subnet: ipaddress.IPv4Network, used_addresses: Collection[str]) -> str | None:
    """An address for that node which nobody uses; None when the subnet is full. The same key tends to the same."""
    room = subnet.num_addresses - _NOT_NODES
    start = subnets.spread(key)
    for step in range(room):
        candidate = str(subnet.network_address + 2 + (start + step) % room)
        if candidate not in used_addresses:
            return candidate
    return None


def is_address(text: str) -> bool:
    """Whether that is an address of version 4."""
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def gateway(subnet: ipaddress.IPv4Network) -> str:
    """The bridge's own address."""
    return str(subnet.network_address + 1)
