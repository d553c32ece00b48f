"""Which subnet a new network gets: a pure choice over what is in use.

Neighbours: the provider `local` (networks of clusters) and the runtime `docker` (networks of projects).
"""

import hashlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network

CLUSTERS = IPv4Network("10.200.0.0/13")
"""Where clusters of the provider `local` have their networks."""
PROJECTS = IPv4Network("10.208.0.0/13")
"""Where the containers of projects have theirs."""


def list_candidates(
    key: str, prefix: int, used_networks: Iterable[IPv4Network], pool: IPv4Network
) -> Iterator[IPv4Network]:
    """Subnets of the pool with that prefix length that overlap nothing in use, the key's own first."""
    overlaps = [network for network in used_networks if network.overlaps(pool)]
    count = 1 << (prefix - pool.prefixlen)
    size = 1 << (32 - prefix)
    start = spread(key)
    for step in range(count):
        first = int(pool.network_address) + (start + step) % count * size
        subnet = IPv4Network((first, prefix))
        if not any(subnet.overlaps(network) for network in overlaps):
            yield subnet


def spread(key: str) -> int:
    """A number that is always the same for the key, and another for nearly every other."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
