"""What a network of ours looks like on a Docker Engine: name, labels, subnet, options. Pure.

There are two kinds: the network of a project, whose subnet is any that is free, and the networks that projects make,
whose subnet is given. Neighbour: `networks`, which creates and removes them.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import Any

from jeroboam.clients.addresses import HostRoute
from jeroboam.clients.docker_types import DockerContainer
from jeroboam.domain import subnets
from jeroboam.domain.bridges import name_bridge_of, name_network
from jeroboam.domain.host_ports import HostPort
from jeroboam.domain.owner_labels import KIND, ObjectKind, has_kind
from jeroboam.runtimes.docker.spec import OWNER, PROJECT

NETWORK = "jeroboam.network"


@dataclass(frozen=True, kw_only=True, slots=True)
class BridgePlan:
    """A network as it has to be."""

    name: str
    labels: Mapping[str, str]
    subnet: IPv4Network | None = None
    """None: any that is free."""
    gateway: str | None = None


def plan_project_network(installation: str, project: str) -> BridgePlan:
    """Return the plan of the network of a project that has no network objects."""
    labels = {KIND: ObjectKind.PROJECT_NETWORK.value, OWNER: installation, PROJECT: project}
    return BridgePlan(name=network_name(installation, project), labels=labels)


def plan_network(installation: str, project: str, port: HostPort) -> BridgePlan:
    """Return the plan of the network that the port is on."""
    labels = {
        KIND: ObjectKind.NETWORK.value,
        OWNER: installation,
        PROJECT: project,
        NETWORK: port.network_id,
    }
    return BridgePlan(
        name=name_network(installation, port.network_id),
        labels=labels,
        subnet=IPv4Network(port.cidr),
        gateway=port.gateway,
    )


def network_name(installation: str, project: str) -> str:
    """Return the name of the project's network on the Engine, valid for any name of a project."""
    return f"jeroboam-project-{hashlib.sha256(f'{installation} {project}'.encode()).hexdigest()[:16]}"


def is_ours(installation: str, network: Mapping[str, Any]) -> bool:
    """Whether we have made the network: labels alone prove nothing, so the name has to fit."""
    labels = network["Labels"] or {}
    if labels.get(OWNER) != installation:
        return False
    if KIND in labels and labels[KIND] == ObjectKind.NETWORK:
        return bool(network["Name"] == name_network(installation, labels.get(NETWORK, "")))
    has_our_name = network["Name"] == network_name(installation, labels.get(PROJECT, ""))
    return has_our_name and has_kind(labels, ObjectKind.PROJECT_NETWORK)


def has_our_name(network: str) -> bool:
    """Whether a container's end on the network with that name is ours to change."""
    return network.startswith(("jeroboam-network-", "jeroboam-project-"))


def is_of_ports(network: Mapping[str, Any]) -> bool:
    """Whether a network of ours is one that a project has made, and not the one of a project without networks."""
    return bool((network["Labels"] or {}).get(KIND) == ObjectKind.NETWORK)


def is_project_network(network_mode: str) -> bool:
    """Whether a container with that mode is on the network of a project that has no network objects."""
    return network_mode.startswith("jeroboam-project-")


def list_networks_of(container: DockerContainer) -> frozenset[str]:
    """Return the names of the networks that the container, as lists show it, is on; also while it does not run."""
    names = frozenset((container["NetworkSettings"] or {}).get("Networks") or ())
    return names or frozenset({container["HostConfig"]["NetworkMode"]})


def build_config(plan: BridgePlan, subnet: IPv4Network, *, is_shielded: bool) -> dict[str, Any]:
    """Return the body that creates the network: an open one if the machine is protected, else a closed one."""
    options = {"com.docker.network.bridge.name": name_bridge_of(plan.name)}
    if not is_shielded:
        # A bridge without an address routes nothing.
        options["com.docker.network.bridge.inhibit_ipv4"] = "true"
    return {
        "Name": plan.name,
        "CheckDuplicate": True,
        "Driver": "bridge",
        "Internal": not is_shielded,
        "IPAM": {"Config": [{"Subnet": str(subnet), "Gateway": plan.gateway or str(subnet.network_address + 1)}]},
        "Options": options,
        "Labels": dict(plan.labels),
    }


def build_endpoint(port: HostPort, name: str) -> dict[str, Any]:
    """Return the settings of a container's end on the port's network. Others find it there by its name."""
    return {
        "IPAMConfig": {"IPv4Address": port.address},
        "Aliases": [name],
        "MacAddress": port.mac_address,
    }


def list_used_subnets(networks: Iterable[Mapping[str, Any]], routes: Iterable[HostRoute]) -> list[IPv4Network]:
    """Return the subnets that a new network may not overlap: the Engine's networks and the routes of this machine.

    A route through a gateway to the whole pool, such as `10.0.0.0/8` to a company's network, is ignored like a default
    route: otherwise no subnet would be free.
    """
    used_subnets = [subnet for network in networks for subnet in list_subnets_of(network)]
    return used_subnets + [
        route.network for route in routes if not (route.has_gateway and subnets.PROJECTS.subnet_of(route.network))
    ]


def list_subnets_of(network: Mapping[str, Any]) -> list[IPv4Network]:
    """Return the subnets of version 4 of a network, as the Engine shows it."""
    configs = (network["IPAM"] or {}).get("Config") or ()
    subnets_of_network = [ip_network(config["Subnet"], strict=False) for config in configs if config.get("Subnet")]
    return [subnet for subnet in subnets_of_network if isinstance(subnet, IPv4Network)]
