"""Containers on networks: ports for a new container, and changes of its networks and security groups.

Contract: container, sections 2 and 8. All is checked and stored in the transaction of the request; the agent carries it
out next. Neighbour: `network_objects`, which finds and makes networks, ports and groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.container.actions import or_word_none, read_arguments
from jeroboam.api.container.lookup import container_to_change, record_op
from jeroboam.api.container.refusals import NeedsNewerVersion, PortInUse
from jeroboam.api.fields import InvalidField, text
from jeroboam.api.network_objects import (
    SecurityGroupNotFound,
    bind_port,
    ensure_defaults,
    find_group,
    find_network,
    find_port,
    insert_group,
    insert_port,
    lock_default_subnet,
    subnet_of,
)
from jeroboam.domain.containers import Address, Container, ContainerSpec, OpKind
from jeroboam.domain.errors import BadValue, Conflict, Invalid, NotImplementedHere
from jeroboam.domain.networks import Direction, Port, SecurityGroup, SecurityGroupRule, Subnet, default_group_id
from jeroboam.store import Transaction

ATTACH_SINCE, DETACH_SINCE, DETACH_BY_PORT_SINCE, GROUPS_UNTIL = 8, 6, 17, 14
MOST_NETS = 8
NO_NETWORKS = "This service has no networks of its own ([networking] driver)."


async def plug_new(tx: Transaction, call: Call, container: str, spec: ContainerSpec) -> ContainerSpec:
    """The spec of a new container with its ports, which are stored here."""
    if not call.parts.options.has_networks:
        for name, value in (("nets", spec.nets), ("security_groups", spec.security_groups)):
            if value not in ((), ("default",)):
                raise BadValue(name, value, NO_NETWORKS)
        return spec
    project_id = call.caller.project_id
    if not spec.nets:
        subnet = await lock_default_subnet(tx, call, project_id)
        groups = await _resolve_groups(tx, call, container, spec)
        port = await insert_port(tx, call, subnet, address=None, field="nets", groups=groups, container=container)
        return replace(spec, addresses=(_address_of(port),), security_groups=groups)
    if len(spec.nets) > MOST_NETS:
        raise InvalidField("nets", len(spec.nets), f"a container has at most {MOST_NETS} networks.")
    groups = await _resolve_groups(tx, call, container, spec)
    # All transactions lock ports before subnets, so that none waits for another one that waits for it.
    given_ports = {
        place: await _take_port(tx, net, project_id, container) for place, net in enumerate(spec.nets) if "port" in net
    }
    ports = [
        given_ports[place] if place in given_ports else await _plug(tx, call, container, net, groups)
        for place, net in enumerate(spec.nets)
    ]
    _check_apart(ports)
    return replace(spec, addresses=tuple(map(_address_of, ports)), security_groups=groups)


async def _take_port(tx: Transaction, net: Mapping[str, str], project_id: str, container: str) -> Port:
    """The port that a new container is given."""
    if "v4-fixed-ip" in net:
        raise InvalidField("nets/v4-fixed-ip", net["v4-fixed-ip"], "a port has its address already.")
    return await bind_port(tx, await _find_unused(tx, net["port"], project_id, "nets/port"), container)


async def _plug(tx: Transaction, call: Call, container: str, net: Mapping[str, str], groups: Sequence[str]) -> Port:
    """A new port of a new container, on a given network."""
    project_id = call.caller.project_id
    network = await find_network(tx, call, net["network"], project_id, field="nets/network")
    subnet = await subnet_of(tx, network, field="nets/network")
    wanted = net.get("v4-fixed-ip")
    return await insert_port(
        tx, call, subnet, address=wanted, field="nets/v4-fixed-ip", groups=groups, container=container
    )


async def _find_unused(tx: Transaction, ident: str, project_id: str, field: str) -> Port:
    port = await find_port(tx, ident, project_id, field=field)
    if port.device_id:
        raise PortInUse(f"Port {port.uuid} is in use by {port.device_id}.", field=field)
    return port


def _check_apart(ports: Sequence[Port]) -> None:
    networks = [port.network_id for port in ports]
    for network_id in networks:
        if networks.count(network_id) > 1:
            raise InvalidField("nets", network_id, "a container has one port on a network.")


def _address_of(port: Port) -> Address:
    return Address(
        network=port.network_id,
        addr=port.ip_address,
        port=port.uuid,
        subnet_id=port.subnet_id,
        preserve_on_delete=port.preserve_on_delete,
    )


async def _resolve_groups(tx: Transaction, call: Call, container: str, spec: ContainerSpec) -> tuple[str, ...]:
    """The uuids of the groups that the container's ports are in."""
    project_id = call.caller.project_id
    if spec.exposed_ports:
        return (await _expose(tx, call, container, spec.exposed_ports),)
    if not spec.security_groups:
        if spec.nets:
            await ensure_defaults(tx, call, project_id)
        return (default_group_id(project_id),)
    groups = [await _find_group(tx, call, name, project_id, "security_groups") for name in spec.security_groups]
    return tuple(dict.fromkeys(group.uuid for group in groups))


async def _find_group(tx: Transaction, call: Call, ident: str, project_id: str, field: str) -> SecurityGroup:
    """The group; one that is missing is a 400 in this family."""
    try:
        return await find_group(tx, call, ident, project_id, field=field)
    except SecurityGroupNotFound as error:
        raise InvalidField(field, ident, "there is no such security group.") from error


async def _expose(tx: Transaction, call: Call, container: str, exposed_ports: Mapping[str, object]) -> str:
    """Make a group that lets everybody in to these ports, and goes with the container."""
    group = SecurityGroup(
        uuid=call.parts.ids.uuid(),
        name=f"zun-{container}",
        project_id=call.caller.project_id,
        description=f"Exposed ports of container {container}",
        container_id=container,
        created_at=tx.now,
    )
    await insert_group(tx, call, group)
    for exposed_port in exposed_ports:
        number, _, protocol = exposed_port.partition("/")
        rule = SecurityGroupRule(
            uuid=call.parts.ids.uuid(),
            project_id=group.project_id,
            security_group_id=group.uuid,
            direction=Direction.INGRESS,
            protocol=protocol or "tcp",
            port_range_min=int(number),
            port_range_max=int(number),
            remote_ip_prefix="0.0.0.0/0",
            created_at=tx.now,
        )
        await tx.security_group_rules.insert(rule)
    return group.uuid


_WORD = or_word_none(text())
ATTACH = {"network": _WORD, "port": _WORD, "fixed_ip": _WORD}
DETACH = {"network": _WORD, "port": _WORD}
GROUP = {"name": text()}


def _read_target(call: Call, values: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The network or the port that the arguments name: exactly one of both."""
    if not call.parts.options.has_networks:
        raise NotImplementedHere(NO_NETWORKS)
    network, port = values.get("network"), values.get("port")
    if (network is None) == (port is None):
        raise InvalidField("network", network, "exactly one of network and port has to be named.")
    return network, port


async def attach(call: Call) -> Answer:
    """POST /containers/{}/network_attach: a network more"""
    values = read_arguments(call, ATTACH)
    network_ident, port_ident = _read_target(call, values)
    fixed_ip = values.get("fixed_ip")
    if port_ident is not None and fixed_ip is not None:
        raise InvalidField("fixed_ip", fixed_ip, "a port has its address already.")
    async with call.parts.store.write() as tx:
        container = await _container_with_ports(tx, call, "network_attach")
        if port_ident is not None:
            port = await _find_unused(tx, port_ident, container.project_id, "port")
            _check_not_on(container, port.network_id)
            port = await bind_port(tx, port, container.uuid)
        else:
            subnet = await _find_subnet(tx, call, container, network_ident or "")
            groups = container.spec.security_groups or (default_group_id(container.project_id),)
            port = await insert_port(
                tx, call, subnet, address=fixed_ip, field="fixed_ip", groups=groups, container=container.uuid
            )
        addresses = (*container.spec.addresses, _address_of(port))
        if len(addresses) > MOST_NETS:
            raise Conflict(f"Container {container.uuid} has {MOST_NETS} networks already.", field="network")
        changed_container = replace(container, spec=replace(container.spec, addresses=addresses))
        await record_op(tx, call, changed_container, OpKind.NETWORK_ATTACH, port=port.uuid)
    return reply(None)


async def _find_subnet(tx: Transaction, call: Call, container: Container, ident: str) -> Subnet:
    network = await find_network(tx, call, ident, container.project_id, field="network")
    _check_not_on(container, network.uuid)
    return await subnet_of(tx, network, field="network")


def _check_not_on(container: Container, network_id: str) -> None:
    if any(address.network == network_id for address in container.spec.addresses):
        raise Invalid(f"Container {container.uuid} has already attached to the network {network_id}.", field="network")


async def _container_with_ports(tx: Transaction, call: Call, action: str) -> Container:
    container = await container_to_change(tx, call, action)
    if _is_older(container):
        text = f"Container {container.uuid} is older than the networks of this service: create it again."
        raise Conflict(text)
    return container


def _is_older(container: Container) -> bool:
    """Whether the container was created without ports; one that was detached from its last network was not."""
    return not container.spec.addresses and container.spec.security_groups in {(), ("default",)}


async def detach(call: Call) -> Answer:
    """POST /containers/{}/network_detach: a network less"""
    values = read_arguments(call, DETACH)
    if "port" in values and values["port"] is not None and call.version < DETACH_BY_PORT_SINCE:
        raise NeedsNewerVersion("port", call.version, DETACH_BY_PORT_SINCE)
    network_ident, port_ident = _read_target(call, values)
    async with call.parts.store.write() as tx:
        container = await _container_with_ports(tx, call, "network_detach")
        project_id = container.project_id
        if port_ident is not None:
            port = await find_port(tx, port_ident, project_id, field="port")
            remaining = tuple(address for address in container.spec.addresses if address.port != port.uuid)
        else:
            network = await find_network(tx, call, network_ident or "", project_id, field="network")
            remaining = tuple(address for address in container.spec.addresses if address.network != network.uuid)
        lost = [address for address in container.spec.addresses if address not in remaining]
        if not lost:
            field = "port" if port_ident is not None else "network"
            what = port_ident or network_ident
            raise Invalid(f"Container {container.uuid} is not attached to the {field} {what}.", field=field)
        await _unplug(tx, lost[0])
        changed_container = replace(container, spec=replace(container.spec, addresses=remaining))
        await record_op(tx, call, changed_container, OpKind.NETWORK_DETACH, port=lost[0].port)
    return reply(None, 202)


async def _unplug(tx: Transaction, address: Address) -> None:
    """Unbind a port that a user made; remove one that was made for the container."""
    port = await tx.ports.get(address.port)
    if port is not None and port.preserve_on_delete:
        await tx.ports.update(replace(port, device_id="", device_owner="", updated_at=tx.now))
    elif port is not None:
        await tx.ports.remove({"uuid": port.uuid})


async def add_group(call: Call) -> Answer:
    """POST /containers/{}/add_security_group: a security group more"""
    return await _change_groups(call, OpKind.ADD_SECURITY_GROUP)


async def remove_group(call: Call) -> Answer:
    """POST /containers/{}/remove_security_group: a security group less"""
    return await _change_groups(call, OpKind.REMOVE_SECURITY_GROUP)


async def _change_groups(call: Call, kind: OpKind) -> Answer:
    values = read_arguments(call, GROUP)
    if "name" not in values:
        raise InvalidField("name", None, "it is required.")
    if not call.parts.options.has_networks:
        raise NotImplementedHere(NO_NETWORKS)
    is_more = kind is OpKind.ADD_SECURITY_GROUP
    async with call.parts.store.write() as tx:
        container = await _container_with_ports(tx, call, kind.value)
        group = await _find_group(tx, call, values["name"], container.project_id, "name")
        groups = container.spec.security_groups
        if (group.uuid in groups) == is_more:
            word = "already" if is_more else "not"
            raise Invalid(f"Security group {group.uuid} is {word} present in container {container.uuid}.", field="name")
        for port in await tx.ports.select({"device_id": container.uuid}):
            await tx.ports.update(replace(port, security_groups=_change(port.security_groups, group.uuid, is_more)))
        spec = replace(container.spec, security_groups=_change(groups, group.uuid, is_more))
        await record_op(tx, call, replace(container, spec=spec), kind, group=group.uuid)
    return reply(None, 202)


def _change(groups: tuple[str, ...], group: str, is_more: bool) -> tuple[str, ...]:
    remaining = tuple(member for member in groups if member != group)
    return (*remaining, group) if is_more else remaining
