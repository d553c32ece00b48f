"""Networks, ports and security groups in a transaction, for all families that have to do with them.

The network family makes them by themselves; the container family puts containers on them. Neighbours:
`domain.networks`, which chooses addresses; `store.networks`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from typing import TypeVar

from jeroboam.api.call import Call
from jeroboam.domain import subnets
from jeroboam.domain.errors import Conflict, NotFound
from jeroboam.domain.networks import (
    DEFAULT,
    DEVICE_OWNER,
    Direction,
    Network,
    Port,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
    allocate_address,
    default_group_id,
    default_network_id,
    default_subnet_id,
    find_overlap,
)
from jeroboam.kit.ids import is_uuid
from jeroboam.store import Transaction

_PREFIX = 23
ETHERTYPES = ("IPv4", "IPv6")
SUBNETS_GUARD = "subnets"
"""The name under which transactions that choose subnets wait for each other."""


class NetworkNotFound(NotFound):
    code = "network-not-found"


class PortNotFound(NotFound):
    code = "port-not-found"


class SecurityGroupNotFound(NotFound):
    code = "security-group-not-found"


async def lock_default_subnet(tx: Transaction, call: Call, project_id: str) -> Subnet:
    """The subnet of the project's default network, locked until the commit: no other transaction takes an address."""
    rows = await tx.subnets.select({"uuid": default_subnet_id(project_id)})
    if not rows:
        await ensure_defaults(tx, call, project_id)
        rows = await tx.subnets.select({"uuid": default_subnet_id(project_id)})
    return rows[0]


async def ensure_defaults(tx: Transaction, call: Call, project_id: str) -> None:
    """Make the project's default network, subnet and security group, if they are not there yet."""
    for is_last_look in (False, True):
        if await tx.networks.select({"uuid": default_network_id(project_id)}):
            return
        if not is_last_look:
            await tx.serialise("", SUBNETS_GUARD)
    network = Network(
        uuid=default_network_id(project_id),
        name=DEFAULT,
        project_id=project_id,
        description="The network of containers that name none",
        is_default=True,
        created_at=tx.now,
    )
    used_subnets = [IPv4Network(cidr) for cidr in await list_used_subnets(tx)]
    candidates = subnets.list_candidates(project_id, _PREFIX, used_subnets, subnets.PROJECTS)
    cidr = next(candidates, None)
    if cidr is None:
        raise Conflict(f"No subnet of {subnets.PROJECTS} is free for the network of project {project_id}.")
    subnet = Subnet(
        uuid=default_subnet_id(project_id),
        name=DEFAULT,
        project_id=project_id,
        network_id=network.uuid,
        cidr=str(cidr),
        gateway_ip=str(cidr.network_address + 1),
        is_default=True,
        created_at=tx.now,
    )
    await tx.networks.insert(network)
    await tx.subnets.insert(subnet)
    group = SecurityGroup(
        uuid=default_group_id(project_id),
        name=DEFAULT,
        project_id=project_id,
        description="Default security group",
        created_at=tx.now,
    )
    await insert_group(tx, call, group, remote_group_id=group.uuid)


async def insert_group(
    tx: Transaction, call: Call, group: SecurityGroup, *, remote_group_id: str | None = None
) -> list[SecurityGroupRule]:
    """Store the group with rules that let everything out, and everything in from the members of that group."""
    directions = [Direction.EGRESS] if remote_group_id is None else [Direction.EGRESS, Direction.INGRESS]
    rules = [
        SecurityGroupRule(
            uuid=call.parts.ids.uuid(),
            project_id=group.project_id,
            security_group_id=group.uuid,
            direction=direction,
            ethertype=ethertype,
            remote_group_id=remote_group_id if direction is Direction.INGRESS else None,
            created_at=tx.now,
        )
        for direction in directions
        for ethertype in ETHERTYPES
    ]
    await tx.security_groups.insert(group)
    for rule in rules:
        await tx.security_group_rules.insert(rule)
    return rules


async def list_used_subnets(tx: Transaction) -> list[str]:
    """Return the subnets of all networks, and those that hosts use themselves."""
    used_subnets = [subnet.cidr for subnet in await tx.subnets_without_lock.select()]
    for host in await tx.hosts_without_lock.select():
        used_subnets += host.facts.used_subnets
    return used_subnets


async def check_free(tx: Transaction, subnet: IPv4Network, *, field: str) -> None:
    """Raise `Conflict` if the subnet overlaps another one; until the commit no other transaction adds one."""
    await tx.serialise("", SUBNETS_GUARD)
    if overlap := find_overlap(subnet, await list_used_subnets(tx)):
        raise Conflict(f"Subnet {subnet} overlaps {overlap}, which is in use on this machine.", field=field)


async def find_network(tx: Transaction, call: Call, ident: str, project_id: str, *, field: str) -> Network:
    """The project's network with that uuid or name. Another project's is the same as none."""
    if ident in {DEFAULT, default_network_id(project_id)}:
        await ensure_defaults(tx, call, project_id)
    matches = await tx.networks.find(ident, {"project_id": project_id})
    if not matches:
        raise NetworkNotFound(f"Network {ident} could not be found.", field=field)
    return _only(matches, "networks", ident, field)


async def find_port(tx: Transaction, ident: str, project_id: str, *, field: str) -> Port:
    """The project's port with that uuid or name."""
    matches = await tx.ports.find(ident, {"project_id": project_id})
    if not matches:
        raise PortNotFound(f"Port {ident} could not be found.", field=field)
    return _only(matches, "ports", ident, field)


async def find_group(tx: Transaction, call: Call, ident: str, project_id: str, *, field: str) -> SecurityGroup:
    """The project's security group with that uuid or name."""
    if ident in {DEFAULT, default_group_id(project_id)}:
        await ensure_defaults(tx, call, project_id)
    matches = await tx.security_groups.find(ident, {"project_id": project_id})
    if not matches:
        raise SecurityGroupNotFound(f"Security group {ident} could not be found.", field=field)
    return _only(matches, "security groups", ident, field)


_Object = TypeVar("_Object")


def _only(matches: Sequence[_Object], plural: str, ident: str, field: str) -> _Object:
    if len(matches) > 1:
        word = "uuid" if is_uuid(ident) else "name"
        raise Conflict(f"Multiple {plural} exist with {word} {ident}: use the uuid.", field=field)
    return matches[0]


async def subnet_of(tx: Transaction, network: Network, *, field: str) -> Subnet:
    """The network's subnet, locked until the commit. Raises `Conflict` for a network without one."""
    rows = await tx.subnets.select({"network_id": network.uuid})
    if not rows:
        text = f"Network {network.uuid} has no subnet, so nothing can have an address on it: create a subnet first."
        raise Conflict(text, field=field)
    return rows[0]


async def insert_port(
    tx: Transaction,
    call: Call,
    subnet: Subnet,
    *,
    address: str | None,
    field: str,
    groups: Iterable[str],
    container: str | None = None,
    name: str = "",
    description: str = "",
) -> Port:
    """Store a new port with that address, or with the next free one. With a container it goes with the container."""
    used_addresses = await tx.ports.list_addresses(subnet.uuid)
    port = Port(
        uuid=call.parts.ids.uuid(),
        name=name,
        project_id=subnet.project_id,
        network_id=subnet.network_id,
        description=description,
        subnet_id=subnet.uuid,
        ip_address=allocate_address(subnet, used_addresses, address, field=field),
        security_groups=tuple(dict.fromkeys(groups)),
        device_id=container or "",
        device_owner=DEVICE_OWNER if container else "",
        preserve_on_delete=container is None,
        created_at=tx.now,
    )
    await tx.ports.insert(port)
    return port


async def bind_port(tx: Transaction, port: Port, container: str) -> Port:
    """Give an existing port to the container."""
    bound_port = replace(port, device_id=container, device_owner=DEVICE_OWNER, updated_at=tx.now)
    await tx.ports.update(bound_port)
    return bound_port


async def hint_members(tx: Transaction, groups: Sequence[str]) -> None:
    """Have the hosts of all containers in these groups look at the rules again."""
    for host_id, container in await tx.ports.list_placed_in_groups(groups):
        tx.hint("dispatch", f"{host_id}/{container}")
