"""Networks as Zun's API has them (contract: container, section 5): the Engine's side of a network.

Zun makes a network on Docker for one of Neutron, and removes it. Here a host makes what a network needs when the first
container comes, and removes it after the last one. So there is nothing to make; what is asked for is checked.
"""

from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.container.fields import refuse_unknown
from jeroboam.api.container.nets import NO_NETWORKS
from jeroboam.api.container.shapes import NetworkShape
from jeroboam.api.fields import InvalidField, read_fields, text
from jeroboam.api.network_objects import NetworkNotFound
from jeroboam.domain.errors import Conflict, NotImplementedHere
from jeroboam.domain.networks import Network
from jeroboam.store import Transaction

DELETE_SINCE = 27
FIELDS = {"name": text(), "neutron_net_id": text()}


async def create(call: Call) -> Answer:
    """POST /networks: a network of a project, made known to hosts"""
    body = call.fields()
    refuse_unknown(body, FIELDS)
    values = read_fields(body, FIELDS)
    for name in FIELDS:
        if name not in values:
            raise InvalidField(name, None, "it is required.")
    _check_offered(call)
    async with call.parts.store.read() as tx:
        network = await _find(tx, values["neutron_net_id"])
    shape: NetworkShape = {
        "uuid": network.uuid,
        "name": values["name"],
        "project_id": network.project_id,
        "user_id": call.caller.user_id,
        "network_id": network.uuid,
        "neutron_net_id": network.uuid,
    }
    return reply(shape)


async def delete(call: Call) -> Answer:
    """DELETE /networks/{network}: the hosts' side of a network that no container is on"""
    _check_offered(call)
    async with call.parts.store.read() as tx:
        network = await _find(tx, call.path["network"])
        ports = await tx.ports.select({"network_id": network.uuid})
    containers = sorted(port.device_id for port in ports if port.device_id)
    if containers:
        raise Conflict(f"Network {network.uuid} is in use: container {containers[0]} is on it.")
    return NO_CONTENT


def _check_offered(call: Call) -> None:
    if not call.parts.options.has_networks:
        raise NotImplementedHere(NO_NETWORKS)


async def _find(tx: Transaction, ident: str) -> Network:
    """The network with that uuid, of any project: only administrators come here."""
    networks = await tx.networks.select({"uuid": ident})
    if not networks:
        raise NetworkNotFound(f"Network {ident} could not be found.", field="neutron_net_id")
    return networks[0]
