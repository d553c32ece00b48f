"""Ports as the agent of a host needs them: addresses, and the rules of their security groups. No key is in them.

Neighbours: `networks`, the objects that users make; `protocol`, whose assignments carry these; `networking`, whose
drivers filter packets by them; runtimes, which put containers on the networks.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jeroboam.domain.networks import Direction


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class FilterRule:
    """Allows packets to a port or from it. An empty text, or 0 to 65535, is everything."""

    direction: Direction
    protocol: str = ""
    """tcp, udp, icmp, or a number of a protocol."""
    port_min: int | None = None
    port_max: int | None = None
    """Ports of tcp and udp; type and code of icmp."""
    remote_prefix: str = ""
    remote_group: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostPort:
    """A port of a container on this host."""

    uuid: str
    network_id: str
    cidr: str
    gateway: str
    address: str
    mac_address: str
    security_groups: tuple[str, ...] = ()
    rules: tuple[FilterRule, ...] = ()
    """The rules of all its groups, sorted."""


def group_by_network(ports: Iterable[HostPort]) -> Mapping[str, Sequence[HostPort]]:
    """Return the ports of each network, in the order of their uuids."""
    by_network: dict[str, list[HostPort]] = defaultdict(list)
    for port in sorted(ports, key=lambda port: port.uuid):
        by_network[port.network_id].append(port)
    return by_network


def needs_filter(ports: Sequence[HostPort]) -> bool:
    """Whether packets of these ports, all of one network, have to be filtered.

    They need not if all are in the same groups, which allow everything that leaves and everything among members: no
    packet comes from outside of the network, since the Engine keeps its networks apart.
    """
    first = ports[0]
    if any(port.security_groups != first.security_groups or port.rules != first.rules for port in ports):
        return True
    lets_out = FilterRule(direction=Direction.EGRESS) in first.rules
    lets_in = any(
        rule.direction is Direction.INGRESS
        and not rule.protocol
        and not rule.remote_prefix
        and (not rule.remote_group or rule.remote_group in first.security_groups)
        for rule in first.rules
    )
    return not (lets_out and lets_in)
