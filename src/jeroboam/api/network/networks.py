"""Networks and subnets of projects. Each project has a network `default`, which is made at first need and stays."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.fields import FieldCheck, text
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
from jeroboam.api.network_objects import NetworkNotFound, check_free, ensure_defaults
from jeroboam.domain.errors import Conflict, NotFound
from jeroboam.domain.networks import Network, Subnet, default_network_id, parse_host_address, parse_subnet
from jeroboam.store import Transaction

_UP = only(True, "networks and ports are always up here")
CHANGE: Mapping[str, FieldCheck] = {"name": NAME, "description": DESCRIPTION, "admin_state_up": _UP}
CREATE: Mapping[str, FieldCheck] = {
    **CHANGE,
    **PROJECT,
    "shared": only(False, "a network is of one project here"),
    "router:external": only(False, "networks lead out by themselves here"),
    "port_security_enabled": only(True, "security groups count for all ports here"),
}
FILTERS = filters_of()
SUBNET_CHANGE: Mapping[str, FieldCheck] = {
    "name": NAME,
    "description": DESCRIPTION,
    "enable_dhcp": only(True, "every container is given its address"),
    "dns_nameservers": only([], "containers ask the resolver of the Engine"),
    "host_routes": only([], "there are no routers here"),
}
SUBNET_CREATE: Mapping[str, FieldCheck] = {
    **SUBNET_CHANGE,
    **PROJECT,
    "network_id": text(),
    "ip_version": only(4, "networks here have addresses of version 4 alone"),
    "cidr": text(),
    "gateway_ip": text(),
}
SUBNET_FILTERS = filters_of("network_id", "cidr", "gateway_ip")


class SubnetNotFound(NotFound):
    code = "subnet-not-found"


class NetworkInUse(Conflict):
    code = "network-in-use"


class SubnetInUse(Conflict):
    code = "subnet-in-use"


def _show(network: Network, subnets: list[str]) -> dict[str, Any]:
    return {
        **show_base(network),
        "admin_state_up": True,
        "status": "ACTIVE",
        "shared": False,
        "router:external": False,
        "port_security_enabled": True,
        "subnets": subnets,
        "availability_zone_hints": [],
        "availability_zones": ["nova"],
        "mtu": 1500,
        "tags": [],
    }


def _show_subnet(subnet: Subnet) -> dict[str, Any]:
    cidr = IPv4Network(subnet.cidr)
    first, last = cidr.network_address + 1, cidr.broadcast_address - 1
    return {
        **show_base(subnet),
        "network_id": subnet.network_id,
        "ip_version": 4,
        "cidr": subnet.cidr,
        "gateway_ip": subnet.gateway_ip,
        "allocation_pools": [{"start": str(first), "end": str(last)}],
        "enable_dhcp": True,
        "dns_nameservers": [],
        "host_routes": [],
        "subnetpool_id": None,
        "ipv6_address_mode": None,
        "ipv6_ra_mode": None,
        "service_types": [],
        "tags": [],
    }


async def ensure_default(call: Call) -> None:
    """Make the default network and group of the caller's project, if they are not there yet."""
    project_id = call.caller.project_id
    async with call.parts.store.read() as tx:
        if await tx.networks.get(default_network_id(project_id)) is not None:
            return
    async with call.parts.store.write() as tx:
        await ensure_defaults(tx, call, project_id)


async def index(call: Call) -> Answer:
    """GET /networks: the networks"""
    await ensure_default(call)
    selector, page = read_selector(call), read_page(call)
    if selector is None:
        return reply_list(call, "networks", [])
    async with call.parts.store.read() as tx:
        networks = await tx.networks.select(selector, page=page)
        subnets = (
            await tx.subnets_without_lock.select({"network_id": [network.uuid for network in networks]})
            if networks
            else []
        )
    by_network = {subnet.network_id: [subnet.uuid] for subnet in subnets}
    return reply_list(call, "networks", [_show(network, by_network.get(network.uuid, [])) for network in networks])


async def find(tx: Transaction, call: Call, uuid: str) -> Network:
    """The network with that uuid that the caller may name."""
    networks = await tx.networks.select(select_own(call, uuid))
    if not networks:
        raise NetworkNotFound(f"Network {uuid} could not be found.")
    call.subject.set_object(networks[0].uuid, networks[0].name)
    return networks[0]


async def _reply_one(tx: Transaction, network: Network, status: int = 200) -> Answer:
    subnets = await tx.subnets_without_lock.select({"network_id": network.uuid})
    return reply({"network": _show(network, [subnet.uuid for subnet in subnets])}, status)


async def create(call: Call) -> Answer:
    """POST /networks: a new network"""
    values = read_object(call, "network", CREATE)
    project_id = project_of(call, values)
    async with call.parts.store.write() as tx:
        await serialise(tx, project_id)
        check_quota(call, "network", await tx.networks.count({"project_id": project_id, "is_default": False}))
        network = Network(
            uuid=call.parts.ids.uuid(),
            name=values.get("name", ""),
            project_id=project_id,
            description=values.get("description", ""),
            created_at=tx.now,
        )
        await tx.networks.insert(network)
        answer = await _reply_one(tx, network, 201)
    call.subject.set_object(network.uuid, network.name)
    return answer


async def show(call: Call) -> Answer:
    """GET /networks/{network}: a network"""
    async with call.parts.store.read() as tx:
        return await _reply_one(tx, await find(tx, call, call.path["network"]))


async def update(call: Call) -> Answer:
    """PUT /networks/{network}: another name or description"""
    values = read_object(call, "network", CHANGE)
    async with call.parts.store.write() as tx:
        network = await find(tx, call, call.path["network"])
        if network.is_default and values.get("name", network.name) != network.name:
            raise NetworkInUse("The default network keeps its name.", field="name")
        changes = {name: values[name] for name in ("name", "description") if name in values}
        changed_network = replace(network, **changes, updated_at=tx.now)
        await tx.networks.update(changed_network)
        return await _reply_one(tx, changed_network)


async def delete(call: Call) -> Answer:
    """DELETE /networks/{network}: the network's end, and that of its subnet"""
    async with call.parts.store.write() as tx:
        network = await find(tx, call, call.path["network"])
        if network.is_default:
            raise NetworkInUse(f"Network {network.uuid} is the default network of its project, which stays.")
        await serialise(tx, network.project_id)
        await _check_unused(tx, network.uuid, NetworkInUse, f"network {network.uuid}")
        await tx.subnets.remove({"network_id": network.uuid})
        await tx.networks.remove({"uuid": network.uuid})
    return NO_CONTENT


async def _check_unused(tx: Transaction, network_id: str, error: type[Conflict], what: str) -> None:
    """Raise if there are ports on the network. Its subnet stays locked, so that none comes until the commit."""
    await tx.subnets.select({"network_id": network_id})
    ports = await tx.ports.uuids({"network_id": network_id})
    if ports:
        others = f" and {len(ports) - 1} more" if len(ports) > 1 else ""
        text = f"Unable to complete operation on {what}: there is port {ports[0]}{others} on it."
        raise error(text)


async def index_subnets(call: Call) -> Answer:
    """GET /subnets: the subnets"""
    await ensure_default(call)
    selector, page = read_selector(call), read_page(call)
    if selector is None:
        return reply_list(call, "subnets", [])
    async with call.parts.store.read() as tx:
        subnets = await tx.subnets.select(selector, page=page)
    return reply_list(call, "subnets", [_show_subnet(subnet) for subnet in subnets])


async def _find_subnet(tx: Transaction, call: Call) -> Subnet:
    uuid = call.path["subnet"]
    subnets = await tx.subnets.select(select_own(call, uuid))
    if not subnets:
        raise SubnetNotFound(f"Subnet {uuid} could not be found.")
    call.subject.set_object(subnets[0].uuid, subnets[0].name)
    return subnets[0]


async def create_subnet(call: Call) -> Answer:
    """POST /subnets: the addresses of a network"""
    values = read_object(call, "subnet", SUBNET_CREATE, "network_id", "cidr")
    cidr = parse_subnet("cidr", values["cidr"])
    gateway = str(cidr.network_address + 1)
    if "gateway_ip" in values:
        gateway = str(parse_host_address("gateway_ip", values["gateway_ip"], cidr))
    async with call.parts.store.write() as tx:
        network = await find(tx, call, values["network_id"])
        if await tx.subnets_without_lock.select({"network_id": network.uuid}):
            text = f"Network {network.uuid} has a subnet already, and a network has one here."
            raise Conflict(text, field="network_id")
        await check_free(tx, cidr, field="cidr")
        subnet = Subnet(
            uuid=call.parts.ids.uuid(),
            name=values.get("name", ""),
            project_id=network.project_id,
            network_id=network.uuid,
            description=values.get("description", ""),
            cidr=str(cidr),
            gateway_ip=gateway,
            created_at=tx.now,
        )
        await tx.subnets.insert(subnet)
    call.subject.set_object(subnet.uuid, subnet.name)
    return reply({"subnet": _show_subnet(subnet)}, 201)


async def show_subnet(call: Call) -> Answer:
    """GET /subnets/{subnet}: a subnet"""
    async with call.parts.store.read() as tx:
        return reply({"subnet": _show_subnet(await _find_subnet(tx, call))})


async def update_subnet(call: Call) -> Answer:
    """PUT /subnets/{subnet}: another name or description"""
    values = read_object(call, "subnet", SUBNET_CHANGE)
    async with call.parts.store.write() as tx:
        subnet = await _find_subnet(tx, call)
        changes = {name: values[name] for name in ("name", "description") if name in values}
        changed_subnet = replace(subnet, **changes, updated_at=tx.now)
        await tx.subnets.update(changed_subnet)
    return reply({"subnet": _show_subnet(changed_subnet)})


async def delete_subnet(call: Call) -> Answer:
    """DELETE /subnets/{subnet}: the subnet's end"""
    async with call.parts.store.write() as tx:
        subnet = await _find_subnet(tx, call)
        if subnet.is_default:
            raise SubnetInUse(f"Subnet {subnet.uuid} is of the default network of its project, which stays.")
        await _check_unused(tx, subnet.network_id, SubnetInUse, f"subnet {subnet.uuid}")
        await tx.subnets.remove({"uuid": subnet.uuid})
    return NO_CONTENT
