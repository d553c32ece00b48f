"""Ports of networks. Those that users make stay when a container goes that had them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.fields import FieldCheck, InvalidField, strings, text
from jeroboam.api.network import networks
from jeroboam.api.network.objects import (
    DESCRIPTION,
    NAME,
    PROJECT,
    check_quota,
    filters_of,
    only,
    project_of,
    read_object,
    read_page,
    read_selector,
    reply_list,
    select_own,
    serialise,
    show_base,
)
from jeroboam.api.network_objects import PortNotFound, find_group, hint_members, insert_port, subnet_of
from jeroboam.domain.errors import Conflict
from jeroboam.domain.networks import Network, Port, Subnet, allocate_address, default_group_id
from jeroboam.store import Transaction

_FIXED_IP_KEYS = frozenset({"ip_address", "subnet_id"})


def _read_fixed_ips(name: str, value: Any) -> dict[str, str]:
    """The one address that is asked for, or its subnet."""
    if not isinstance(value, list) or not all(isinstance(member, dict) for member in value):
        raise InvalidField(name, value, "it has to be a list of objects with ip_address or subnet_id.")
    if len(value) != 1:
        raise InvalidField(name, len(value), "a port has one address here.")
    [member] = value
    if not member or not member.keys() <= _FIXED_IP_KEYS or not all(isinstance(word, str) for word in member.values()):
        raise InvalidField(name, member, "it has to be an object with ip_address or subnet_id.")
    return dict(member)


_FIXED_IP_SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {key: {"type": "string"} for key in sorted(_FIXED_IP_KEYS)},
        "additionalProperties": False,
    },
}
CHANGE: Mapping[str, FieldCheck] = {
    "name": NAME,
    "description": DESCRIPTION,
    "admin_state_up": only(True, "networks and ports are always up here"),
    "fixed_ips": FieldCheck(_read_fixed_ips, _FIXED_IP_SCHEMA),
    "security_groups": strings(),
    "port_security_enabled": only(True, "security groups count for all ports here"),
}
CREATE: Mapping[str, FieldCheck] = {
    **CHANGE,
    **PROJECT,
    "network_id": text(),
    "binding:vnic_type": only("normal", "ports are ends of bridges here"),
    "device_id": only("", "containers take ports by `nets`, and by network_attach"),
    "device_owner": only("", "containers take ports by `nets`, and by network_attach"),
}
FILTERS = filters_of("network_id", "subnet_id", "ip_address", "device_id", "device_owner")


class PortInUse(Conflict):
    code = "port-in-use"


def _show(port: Port) -> dict[str, Any]:
    return {
        **show_base(port),
        "network_id": port.network_id,
        "mac_address": port.mac_address,
        "fixed_ips": [{"subnet_id": port.subnet_id, "ip_address": port.ip_address}],
        "security_groups": port.security_groups,
        "device_id": port.device_id,
        "device_owner": port.device_owner,
        "admin_state_up": True,
        "status": "ACTIVE" if port.device_id else "DOWN",
        "port_security_enabled": True,
        "allowed_address_pairs": [],
        "extra_dhcp_opts": [],
        "binding:vnic_type": "normal",
        "tags": [],
    }


async def index(call: Call) -> Answer:
    """GET /ports: the ports, also those of containers"""
    selector, page = read_selector(call), read_page(call)
    if selector is None:
        return reply_list(call, "ports", [])
    async with call.parts.store.read() as tx:
        ports = await tx.ports.select(selector, page=page)
    return reply_list(call, "ports", [_show(port) for port in ports])


async def _find(tx: Transaction, call: Call) -> Port:
    uuid = call.path["port"]
    ports = await tx.ports.select(select_own(call, uuid))
    if not ports:
        raise PortNotFound(f"Port {uuid} could not be found.")
    call.subject.set_object(ports[0].uuid, ports[0].name)
    return ports[0]


async def create(call: Call) -> Answer:
    """POST /ports: a new port, with an address that is its own"""
    values = read_object(call, "port", CREATE, "network_id")
    project_of(call, values)
    async with call.parts.store.write() as tx:
        network = await networks.find(tx, call, values["network_id"])
        await serialise(tx, network.project_id)
        count = await tx.ports.count({"project_id": network.project_id, "preserve_on_delete": True})
        check_quota(call, "port", count)
        subnet = await _find_subnet(tx, network, values.get("fixed_ips", {}))
        groups = await _resolve_groups(tx, call, network.project_id, values.get("security_groups"))
        port = await insert_port(
            tx,
            call,
            subnet,
            address=values.get("fixed_ips", {}).get("ip_address"),
            field="fixed_ips",
            groups=groups,
            name=values.get("name", ""),
            description=values.get("description", ""),
        )
    call.subject.set_object(port.uuid, port.name)
    return reply({"port": _show(port)}, 201)


async def _find_subnet(tx: Transaction, network: Network, fixed_ip: Mapping[str, str]) -> Subnet:
    subnet = await subnet_of(tx, network, field="network_id")
    if fixed_ip.get("subnet_id", subnet.uuid) != subnet.uuid:
        raise InvalidField("fixed_ips", fixed_ip["subnet_id"], f"network {network.uuid} has no such subnet.")
    return subnet


async def _resolve_groups(tx: Transaction, call: Call, project_id: str, names: Sequence[str] | None) -> tuple[str, ...]:
    """The uuids of these groups; of the default group if none are given."""
    if names is None:
        return ((await find_group(tx, call, default_group_id(project_id), project_id, field="security_groups")).uuid,)
    groups = [await find_group(tx, call, name, project_id, field="security_groups") for name in names]
    return tuple(dict.fromkeys(group.uuid for group in groups))


async def show(call: Call) -> Answer:
    """GET /ports/{port}: a port"""
    async with call.parts.store.read() as tx:
        return reply({"port": _show(await _find(tx, call))})


async def update(call: Call) -> Answer:
    """PUT /ports/{port}: another name, description, address or other groups"""
    values = read_object(call, "port", CHANGE)
    async with call.parts.store.write() as tx:
        port = await _find(tx, call)
        changes: dict[str, Any] = {name: values[name] for name in ("name", "description") if name in values}
        if "fixed_ips" in values:
            changes["ip_address"] = await _choose_address(tx, port, values["fixed_ips"])
        if "security_groups" in values:
            changes["security_groups"] = await _resolve_groups(tx, call, port.project_id, values["security_groups"])
        changed_port = replace(port, **changes, updated_at=tx.now)
        await tx.ports.update(changed_port)
        if changed_port.device_id and changed_port.security_groups != port.security_groups:
            await hint_members(tx, changed_port.security_groups or port.security_groups)
    return reply({"port": _show(changed_port)})


async def _choose_address(tx: Transaction, port: Port, fixed_ip: Mapping[str, str]) -> str:
    """The port's new address. A port that a container has keeps its own."""
    wanted = fixed_ip.get("ip_address")
    if wanted in {None, port.ip_address}:
        return port.ip_address
    if port.device_id:
        text = f"Port {port.uuid} keeps its address while container {port.device_id} has it: detach it first."
        raise PortInUse(text, field="fixed_ips")
    [subnet] = await tx.subnets.select({"uuid": port.subnet_id})
    used_addresses = await tx.ports.list_addresses(subnet.uuid)
    return allocate_address(subnet, used_addresses, wanted, field="fixed_ips")


async def delete(call: Call) -> Answer:
    """DELETE /ports/{port}: the port's end"""
    async with call.parts.store.write() as tx:
        port = await _find(tx, call)
        if port.device_id:
            raise PortInUse(f"Port {port.uuid} is in use: container {port.device_id} has it. Detach it first.")
        await tx.ports.remove({"uuid": port.uuid})
    return NO_CONTENT
