"""The networks of one container (contract: container, section 2, network_list)."""

from collections.abc import Sequence

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.container.lookup import container_of
from jeroboam.api.container.shapes import (
    NetworkAddress,
    NetworkAddressList,
    NetworkList,
    NetworkOfOneAddress,
    NetworkOfPort,
)
from jeroboam.domain.containers import Address

SINCE = 13
BY_PORT_SINCE = 18


async def index(call: Call) -> Answer:
    """GET /containers/{}/network_list: the networks that the container is on"""
    async with call.parts.store.read() as tx:
        container = await container_of(tx, call, "container:get_one_all_projects")
    addresses = container.spec.addresses or container.observed.addresses
    body: NetworkList | NetworkAddressList
    if call.version >= BY_PORT_SINCE:
        body = {"networks": _list_ports(addresses)}
    else:
        body = {"networks": _list_addresses(addresses)}
    return reply(body)


def _list_addresses(addresses: Sequence[Address]) -> list[NetworkOfOneAddress]:
    return [{"net_id": address.network, "port_id": address.port, **_show(address)} for address in addresses]


def _list_ports(addresses: Sequence[Address]) -> list[NetworkOfPort]:
    ports: dict[tuple[str, str], NetworkOfPort] = {}
    for address in addresses:
        empty: NetworkOfPort = {"net_id": address.network, "port_id": address.port, "fixed_ips": []}
        ports.setdefault((address.network, address.port), empty)["fixed_ips"].append(_show(address))
    return list(ports.values())


def _show(address: Address) -> NetworkAddress:
    return {"subnet_id": address.subnet_id, "version": address.version, "ip_address": address.addr}
