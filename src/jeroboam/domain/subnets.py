"""Chooses the subnet of a new network: a pure choice among those that are not in use.

Neighbours: the provider `local` (networks of clusters) and the runtime `docker` (networks of projects).
"""

import hashlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network

CLUSTERS = IPv4Network("10.200.0.0/13")
"""The pool for networks of clusters of the provider `local`."""
PROJECTS = IPv4Network("10.208.0.0/13")
"""The pool for networks of the containers of projects."""


def list_candidates(
    key: str, prefix: int, used_networks: Iterable[IPv4Network], pool: IPv4Network
) -> Iterator[IPv4Network]:
    """Yield subnets of the pool with that prefix length that overlap none in use, the key's own first."""
    overlaps = [network for network in used_networks if network.overlaps(pool)]
    count = 1 << (prefix - pool.prefixlen)
    size = 1 << (32 - prefix)
    start = stable_number_of(key)
    for step in range(count):
        first = int(pool.network_address) + (start + step) % count * size
        subnet = IPv4Network((first, prefix))
        if not any(subnet.overlaps(network) for network in overlaps):
            yield subnet


def stable_number_of(key: str) -> int:
    """Return a number that is always the same for the key, and differs for nearly every other key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
