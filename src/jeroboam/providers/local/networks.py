"""Repair of nodes that were detached from their cluster's network outside the service. Pure.

A node that is not on the network cannot be reached, though its container runs. It counts as stopped, and is attached
again with its own address before it is started. A missing network is created again around its nodes' addresses.
Neighbours: `provider` and `inventory`, which use the Engine.
"""

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from jeroboam.domain.clusters import NodeObserved, NodeState
from jeroboam.providers.local import subnets

NETWORK_GONE = "the cluster's network on the Docker Engine was removed outside this service"
NOT_ATTACHED = "the node's container was taken off the cluster's network"


def judge_state(node: NodeObserved, networks: Mapping[str, Any] | None, network_id: str | None) -> NodeObserved:
    """Return the node, as stopped when it is not on the network. `networks` are those of its container."""
    if node.state is not NodeState.RUNNING:
        return node
    if network_id is None:
        return replace(node, state=NodeState.STOPPED, reason=NETWORK_GONE)
    for endpoint in (networks or {}).values():
        if endpoint.get("NetworkID") == network_id and endpoint.get("IPAddress") == node.address:
            return node
    return replace(node, state=NodeState.STOPPED, reason=NOT_ATTACHED)


def is_detached(networks: Mapping[str, Any] | None, name: str, network_id: str, address: str) -> bool:
    """Whether a container that was created on the network of that name has to be attached to it again.

    A container that was never started is on no network yet, and will be on the right one.
    """
    endpoint = (networks or {}).get(name)
    if endpoint is None:
        return True
    attached_id, attached_address = endpoint.get("NetworkID"), endpoint.get("IPAddress")
    return (bool(attached_id) and attached_id != network_id) or (bool(attached_address) and attached_address != address)


def subnet_around(addresses: Collection[str]) -> ipaddress.IPv4Network | None:
    """Return the smallest subnet of a cluster network with nodes at these addresses; None when there is none."""
    node_addresses = [ipaddress.IPv4Address(address) for address in addresses]
    for prefix in range(subnets.WIDEST, subnets.NARROWEST - 1, -1):
        subnet = ipaddress.ip_network(f"{node_addresses[0]}/{prefix}", strict=False)
        assert isinstance(subnet, ipaddress.IPv4Network)
        reserved_addresses = {subnet.network_address, subnet.network_address + 1, subnet.broadcast_address}
        if all(address in subnet for address in node_addresses) and reserved_addresses.isdisjoint(node_addresses):
            return subnet
    return None
