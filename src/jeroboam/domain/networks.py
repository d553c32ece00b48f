"""Networks of projects, with the field names of the published Networking API 2.0, and the choice of addresses.

A network has one subnet of version 4 at most, and a port one address on it: that is what a bridge of a Docker Engine
can carry. Each project has a network and a security group called `default`, whose uuids follow from the project's.
Neighbours: `host_ports`, what of all this an agent needs; `store.networks`, which keeps it.
"""

import datetime as dt
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network

from jeroboam.domain.errors import BadValue, Conflict

DEFAULT = "default"
"""The name of each project's own network, and of its own security group."""
DEVICE_OWNER = "compute:kuryr"
"""The owner of ports that containers have (contract: container, section 8)."""
_NAMESPACE = uuid.UUID("5f3a3c0e-6d0b-4f0e-9a57-0a6a6e5c2b11")
_SHORTEST_PREFIX, _LONGEST_PREFIX = 8, 29
# RFC 1918, and the shared addresses of RFC 6598.
_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))


class Direction(StrEnum):
    """Which packets a rule is about: those to the port, or those from it."""

    INGRESS = "ingress"
    EGRESS = "egress"


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """A network of one project."""

    uuid: str
    name: str
    project_id: str
    description: str = ""
    is_default: bool = False
    created_at: dt.datetime
    updated_at: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Subnet:
    """The addresses of a network."""

    uuid: str
    name: str
    project_id: str
    network_id: str
    description: str = ""
    cidr: str
    gateway_ip: str
    is_default: bool = False
    """Whether it is the subnet of its project's default network."""
    created_at: dt.datetime
    updated_at: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Port:
    """A place on a network, with an address. A container that is on the network has one."""

    uuid: str
    name: str
    project_id: str
    network_id: str
    description: str = ""
    subnet_id: str
    ip_address: str
    security_groups: tuple[str, ...] = ()
    device_id: str = ""
    """The uuid of the container; empty while no container has the port."""
    device_owner: str = ""
    preserve_on_delete: bool = True
    """Whether the port stays when its container goes: a user made it."""
    created_at: dt.datetime
    updated_at: dt.datetime | None = None

    @property
    def mac_address(self) -> str:
        """The hardware address, which follows from the address, so that no two on a network are the same."""
        return build_mac_address(self.ip_address)


@dataclass(frozen=True, kw_only=True, slots=True)
class SecurityGroup:
    """Rules for the packets of the ports that are in the group. What no rule allows is dropped."""

    uuid: str
    name: str
    project_id: str
    description: str = ""
    container_id: str | None = None
    """The container whose `exposed_ports` the group is of; it goes with the container."""
    created_at: dt.datetime
    updated_at: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SecurityGroupRule:
    """Allows the packets that fit all that it says."""

    uuid: str
    project_id: str
    security_group_id: str
    description: str = ""
    direction: Direction
    ethertype: str = "IPv4"
    protocol: str | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None
    created_at: dt.datetime
    updated_at: dt.datetime | None = None


def default_network_id(project_id: str) -> str:
    """Return the uuid of the project's default network."""
    return str(uuid.uuid5(_NAMESPACE, f"network {project_id}"))


def default_subnet_id(project_id: str) -> str:
    """Return the uuid of the subnet of the project's default network."""
    return str(uuid.uuid5(_NAMESPACE, f"subnet {project_id}"))


def default_group_id(project_id: str) -> str:
    """Return the uuid of the project's default security group."""
    return str(uuid.uuid5(_NAMESPACE, f"security group {project_id}"))


def build_mac_address(ip_address: str) -> str:
    """Return the hardware address that a Docker Engine derives from that address too."""
    return ":".join(f"{octet:02x}" for octet in (0x02, 0x42, *IPv4Address(ip_address).packed))


def parse_subnet(field: str, text: str) -> IPv4Network:
    """Return the subnet. Raises `BadValue` for one that no network here can have."""
    try:
        subnet = IPv4Network(text, strict=True)
    except ValueError as error:
        raise BadValue(field, text, f"it has to be a subnet of version 4, such as 10.77.0.0/24: {error}.") from error
    if not _SHORTEST_PREFIX <= subnet.prefixlen <= _LONGEST_PREFIX:
        raise BadValue(field, text, f"its prefix has to be /{_SHORTEST_PREFIX} to /{_LONGEST_PREFIX}.")
    if not any(subnet.subnet_of(pool) for pool in _PRIVATE):
        raise BadValue(field, text, "it has to be a private subnet, such as one of 10.0.0.0/8.")
    return subnet


def parse_host_address(field: str, text: str, subnet: IPv4Network) -> IPv4Address:
    """Return the address. Raises `BadValue` if it is none of a host in the subnet."""
    try:
        address = IPv4Address(text)
    except ValueError as error:
        raise BadValue(field, text, "it has to be an address of version 4, such as 10.77.0.9.") from error
    if address not in subnet or address in {subnet.network_address, subnet.broadcast_address}:
        raise BadValue(field, text, f"it has to be an address of a host in {subnet}.")
    return address


def allocate_address(subnet: Subnet, used_addresses: Collection[str], wanted: str | None, *, field: str) -> str:
    """Return the wanted address, or the lowest free one of the subnet.

    Raises `BadValue` for an address that the subnet does not have, `Conflict` if the address is in use or none is free.
    """
    network = IPv4Network(subnet.cidr)
    if wanted is not None:
        address = str(parse_host_address(field, wanted, network))
        if address == subnet.gateway_ip:
            raise Conflict(f"Address {address} is the gateway of subnet {subnet.uuid}.", field=field)
        if address in used_addresses:
            raise AddressInUse(f"Address {address} of subnet {subnet.uuid} is in use.", field=field)
        return address
    for number in range(int(network.network_address) + 1, int(network.broadcast_address)):
        address = str(IPv4Address(number))
        if address != subnet.gateway_ip and address not in used_addresses:
            return address
    raise NoFreeAddress(f"No address of subnet {subnet.uuid} ({subnet.cidr}) is free.", field=field)


class AddressInUse(Conflict):
    """Another port has the address."""

    code = "IpAddressInUse"


class NoFreeAddress(Conflict):
    """The subnet is full."""

    code = "IpAddressGenerationFailure"


def find_overlap(subnet: IPv4Network, used_subnets: Iterable[str]) -> str | None:
    """Return the first of the used subnets that shares addresses with the subnet; None if none does."""
    return next((used for used in used_subnets if IPv4Network(used).overlaps(subnet)), None)
