"""The choice of a cluster's subnet and of a node's address, given those in use. Pure.

Neighbours: `inventory` and `provider`, which ask the Engine and store the choice in labels.
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


def list_candidates(
    key: str, nodes: int, used_subnets: Iterable[ipaddress.IPv4Network], pool: ipaddress.IPv4Network = POOL
) -> Iterator[ipaddress.IPv4Network]:
    """Yield free subnets of the pool with room for twice that many nodes; the key decides which one comes first."""
    prefix = max(NARROWEST, min(WIDEST, 32 - (2 * nodes + _NOT_NODES - 1).bit_length()))
    return subnets.list_candidates(key, prefix, used_subnets, pool)


def choose_address(key: str, subnet: ipaddress.IPv4Network, used_addresses: Collection[str]) -> str | None:
    """Return a free address for that node; None when the subnet is full. The same key usually gets the same address."""
    room = subnet.num_addresses - _NOT_NODES
    start = subnets.stable_number_of(key)
    for step in range(room):
        candidate = str(subnet.network_address + 2 + (start + step) % room)
        if candidate not in used_addresses:
            return candidate
    return None


def is_address(text: str) -> bool:
    """Whether the text is an IPv4 address."""
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def gateway_of(subnet: ipaddress.IPv4Network) -> str:
    """Return the address of the bridge."""
    return str(subnet.network_address + 1)
