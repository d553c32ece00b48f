"""Our resources on a Docker Engine, found by label: networks, volumes and containers of clusters.

A cluster has one network, and a volume and a container for each node. A label of the volume has the node's address, so
the address outlives our process and the container. Objects with our tag that we have not created (their kind, labels or
name do not match) are not touched; they are logged and shown in a condition. Neighbours: `provider`, which decides what
should exist.
"""

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import structlog

from jeroboam.clients.addresses import list_routes
from jeroboam.clients.docker import DockerClient, translate_errors
from jeroboam.clients.docker_types import DockerContainer, DockerError, DockerNetwork, DockerVolume, JSONValue
from jeroboam.domain.clusters import NodeObserved, NodeState
from jeroboam.domain.conditions import Condition
from jeroboam.domain.errors import DriverError, Permanent, Temporary
from jeroboam.domain.owner_labels import KIND, ObjectKind, has_kind
from jeroboam.domain.subnets import PROJECTS
from jeroboam.providers.local import subnets
from jeroboam.providers.local.engine import label_filter
from jeroboam.providers.local.networks import NETWORK_GONE, NOT_ATTACHED, judge_state, subnet_around
from jeroboam.providers.local.nodes import (
    ADDRESS,
    CLUSTER,
    INSTALLATION,
    NODE,
    NODE_NAME,
    NodePlacement,
    describe_failure,
    is_cluster_network,
    is_node,
    is_node_volume,
    network_name,
    read_node,
    volume_name,
)

_SUBNET_TRIES = 32
_CUT_OFF = frozenset({NETWORK_GONE, NOT_ATTACHED})
_STRAYS_TOLD = 5

log = structlog.get_logger("jeroboam.providers.local.provider")
# The maximum length of a node's last line in a reason.
_WORDS = 300
_LINES = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterNetwork:
    """A cluster's network."""

    id: str
    name: str
    subnet: ipaddress.IPv4Network


class OwnedResources:
    """Our resources on one Engine, as they are."""

    def __init__(self, docker: Callable[[], DockerClient], installation: str) -> None:
        self._docker = docker
        self._installation = installation
        self._strays: dict[tuple[ObjectKind, str | None], tuple[str, ...]] = {}

    async def network(self, cluster_id: str) -> ClusterNetwork | None:
        """Return the cluster's network; None without one."""
        networks = await self._networks(cluster_id)
        return _read_network(networks[0]) if networks else None

    async def _networks(self, cluster_id: str | None) -> list[dict[str, Any]]:
        """Return our networks of that cluster (None: of all), as the Engine lists them."""
        with translate_errors("looking for the cluster's network"):
            networks = await self._docker().networks.list(filters=self._label_filters(cluster_id))
        owned_networks = [network for network in networks if is_cluster_network(network["Labels"], network["Name"])]
        claims = (net["Name"] for net in networks if net not in owned_networks and CLUSTER in net["Labels"])
        self._note_strays(ObjectKind.CLUSTER_NETWORK, cluster_id, claims)
        return owned_networks

    async def make_network(self, cluster_id: str, nodes: int) -> ClusterNetwork:
        """Create a private network with room for twice that many nodes, and return it.

        If nodes have addresses already, it gets the subnet of these addresses.
        """
        addresses = (await self.addresses(cluster_id)).values()
        with translate_errors("making the cluster's network"):
            networks = await self._docker().networks.list()
            used_subnets = [subnet for network in networks for subnet in _subnets_of(network)] + [
                route.network for route in list_routes()
            ]
            candidates = subnets.list_candidates(cluster_id, nodes, used_subnets)
            if addresses and (former_subnet := subnet_around(addresses)) is not None:
                holders = sorted(
                    network["Name"] for network in networks if any(map(former_subnet.overlaps, _subnets_of(network)))
                )
                if holders:
                    raise Temporary(f"{NETWORK_GONE}, and {former_subnet} is taken by {', '.join(holders)}")
                candidates = iter([former_subnet])
            for subnet, _ in zip(candidates, range(_SUBNET_TRIES), strict=False):
                try:
                    await self._docker().networks.create(self._network_config(cluster_id, subnet))
                except DockerError as error:
                    # Somebody else has just taken the subnet, or created this network.
                    if "overlap" in error.message.lower():
                        continue
                    if error.status != HTTPStatus.CONFLICT:
                        raise
                network = await self.network(cluster_id)
                if network is not None:
                    return network
        raise Temporary(f"no free subnet for the cluster's network was found in {subnets.POOL}")

    async def list_taken_networks(self) -> tuple[tuple[ipaddress.IPv4Network, str], ...]:
        """Return the networks that nodes reach outside their cluster, without their owners."""
        networks = await self._docker().networks.list()
        pools = (subnets.POOL, PROJECTS)
        bridges = {
            subnet for network in networks for subnet in _subnets_of(network) if not any(map(subnet.overlaps, pools))
        }
        pool_networks = [
            (subnets.POOL, "where nodes have their addresses"),
            (PROJECTS, "where containers of projects have their addresses"),
        ]
        pool_networks += [(subnet, "a network of the Docker Engine") for subnet in sorted(bridges)]
        known_networks = {*bridges, *pools}
        targets = [route.network for route in list_routes()]
        routes = [target for target in targets if not any(target.subnet_of(network) for network in known_networks)]
        return (*pool_networks, *((route, "a route of this machine") for route in routes))

    async def addresses(self, cluster_id: str) -> dict[str, str]:
        """Return the assigned addresses of that cluster by node uuid."""
        volumes = await self._volumes(cluster_id)
        return {volume["Labels"][NODE]: volume["Labels"][ADDRESS] for volume in volumes}

    async def list_disks(self, cluster_id: str) -> list[NodeObserved]:
        """Return every node with a volume, as gone: without a container it is not created yet, lost or half removed."""
        reason = "the node's container is gone"
        return [
            NodeObserved(uuid=tags[NODE], name=tags[NODE_NAME], state=NodeState.GONE, reason=reason)
            for tags in (volume["Labels"] for volume in await self._volumes(cluster_id))
        ]

    async def _volumes(self, cluster_id: str | None) -> list[dict[str, Any]]:
        """Return our volumes of that cluster's nodes (None: of all), as the Engine lists them."""
        with translate_errors("listing the cluster's volumes"):
            answer = await self._docker().volumes.list(filters=self._label_filters(cluster_id))
        volumes = answer["Volumes"] or ()
        owned_volumes = [volume for volume in volumes if is_node_volume(volume["Labels"], volume["Name"])]
        self._note_strays(
            ObjectKind.NODE_VOLUME, cluster_id, (volume["Name"] for volume in volumes if volume not in owned_volumes)
        )
        return owned_volumes

    async def containers(self, cluster_id: str | None) -> list[DockerContainer]:
        """Return the containers that are nodes of that cluster (None: of all), as the Engine lists them."""
        with translate_errors("listing the cluster's nodes"):
            containers = await self._docker().containers.list(all=True, filters=label_filter(self._tags(cluster_id)))
        names = {container.id: [name.lstrip("/") for name in container["Names"] or ()] for container in containers}
        owned_containers = [container for container in containers if is_node(container["Labels"], names[container.id])]
        claims = (
            container
            for container in containers
            if container not in owned_containers and _claims_node(container["Labels"])
        )
        self._note_strays(
            ObjectKind.NODE, cluster_id, (", ".join(names[claim.id]) or claim.id[:12] for claim in claims)
        )
        return owned_containers

    def _note_strays(self, kind: ObjectKind, cluster_id: str | None, names: Iterable[str]) -> None:
        """Log objects with our labels that we have not created, once, and remember them for `conditions`."""
        now = tuple(sorted(names))
        new = set(now).difference(self._strays.get((kind, cluster_id), ()))
        self._strays[kind, cluster_id] = now
        if new:
            log.warning("marks that were not set here", kind=kind, cluster=cluster_id, names=sorted(new))

    def conditions(self, cluster_id: str) -> tuple[Condition, ...]:
        """Return the condition that says whether all objects with the cluster's labels are ours, as last listed."""
        strays = [name for (_, owner), names in self._strays.items() if owner == cluster_id for name in names]
        if not strays:
            return (Condition(type="Inventory", status=True),)
        listed_strays = ", ".join(strays[:_STRAYS_TOLD]) + (", …" if len(strays) > _STRAYS_TOLD else "")
        text = f"The Docker Engine has objects with this cluster's marks that were not made for it: {listed_strays}."
        return (Condition(type="Inventory", status=False, reason="ForeignObjects", message=text),)

    async def make_volume(self, tags: Mapping[str, str]) -> str:
        """Create the node's volume unless it exists; return the address on its label."""
        with translate_errors("making the node's volume"):
            name = volume_name(tags[NODE])
            volume = await self._docker().volumes.create({"Name": name, "Labels": dict(tags)})
            labels: dict[str, str] = (await volume.show()).get("Labels") or {}
        if labels.get(INSTALLATION) != self._installation or not is_node_volume(labels, name):
            raise Permanent(f"there is a Docker volume {name} that is not ours")
        return labels[ADDRESS]

    async def nodes(self, cluster_id: str) -> tuple[NodeObserved, ...]:
        """Return the cluster's nodes, sorted by name. A node that is not on its network counts as stopped."""
        net, containers = await asyncio.gather(self.network(cluster_id), self.containers(cluster_id))
        network_id = net.id if net is not None else None
        nodes = (
            judge_state(read_node(container), container["NetworkSettings"]["Networks"], network_id)
            for container in containers
        )
        return tuple(sorted(nodes, key=lambda node: node.name))

    async def attach(self, container: DockerContainer, placement: NodePlacement) -> None:
        """Attach the container to the cluster's network with its address; a former attachment is removed."""
        network = await self._docker().networks.get(placement.network)
        with contextlib.suppress(DockerError):
            # The former network may not exist any more.
            await network.disconnect({"Container": container.id, "Force": True})
        endpoint = {"IPAMConfig": {"IPv4Address": placement.address}}
        await network.connect({"Container": container.id, "EndpointConfig": endpoint})

    async def add_last_line(self, node: NodeObserved) -> NodeObserved:
        """Return the node; if it has stopped, its reason includes what it printed last."""
        if node.state is not NodeState.STOPPED or node.server_id is None or node.reason in _CUT_OFF:
            return node
        try:
            with translate_errors(f"reading what node {node.name} printed"):
                container = self._docker().containers.container(node.server_id)
                lines = await container.log(stdout=True, stderr=True, tail=1)
        except DriverError:
            # The state without the last line is enough.
            return node
        last_line = "".join(lines).strip()[-_WORDS:]
        return replace(node, reason=f"{node.reason}; it printed last: {last_line}") if last_line else node

    async def find_ended_program(self, node: NodeObserved, since: int) -> str:
        """Return which program of the running node exited by itself since then (Unix time), and its last error line."""
        with translate_errors(f"reading what node {node.name} printed"):
            container = self._docker().containers.container(node.server_id or "")
            lines = await container.log(stdout=True, stderr=True, since=since, tail=_LINES)
        return describe_failure("".join(lines))[:_WORDS]

    async def make_container(self, name: str, config: dict[str, JSONValue], node_uuid: str) -> str:
        """Create the node's container unless it exists, without starting it; return its id."""
        try:
            return (await self._docker().containers.create(config, name=name)).id
        except DockerError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
        container = await self._docker().containers.get(name)
        labels = container["Config"]["Labels"] or {}
        is_ours = labels.get(INSTALLATION) == self._installation and is_node(labels, [name])
        if not is_ours or labels[NODE] != node_uuid:
            raise Permanent(f"there is a container {name} on the Docker Engine that is not ours")
        return container.id

    async def list_clusters(self) -> list[str]:
        """Return the uuids of all clusters with any resource."""
        with translate_errors("listing what is ours on the Docker Engine"):
            containers, volumes, networks = await asyncio.gather(
                self.containers(None), self._volumes(None), self._networks(None)
            )
        tags = [container["Labels"] for container in containers]
        tags += [listed["Labels"] for listed in [*volumes, *networks]]
        return sorted({labels[CLUSTER] for labels in tags})

    async def end_node(self, node: NodeObserved, seconds: int) -> None:
        """Stop the node's container, kill it after `seconds`, and remove it; its volume is kept."""
        if node.server_id is None:
            return
        container = self._docker().containers.container(node.server_id)
        with translate_errors(f"stopping node {node.name}"):
            try:
                await container.stop(t=seconds)
            except DockerError as error:
                # The container is gone already, or it does not run.
                if error.status not in {HTTPStatus.NOT_FOUND, HTTPStatus.NOT_MODIFIED}:
                    raise
            await _delete(container)

    async def remove_nodes(self, cluster_id: str, node_uuids: Collection[str] | None, slots: asyncio.Semaphore) -> None:
        """Remove the containers, then the volumes, of these nodes (None: all) of the cluster."""

        async def remove(resource: DockerContainer | DockerVolume) -> None:
            async with slots:
                await _delete(resource)

        with translate_errors("removing nodes"):
            containers = await self.containers(cluster_id)
            await asyncio.gather(
                *(remove(container) for container in containers if _is_selected(container["Labels"], node_uuids))
            )
            volumes = [
                volume for volume in await self._volumes(cluster_id) if _is_selected(volume["Labels"], node_uuids)
            ]
            await asyncio.gather(*(remove(DockerVolume(self._docker(), volume["Name"])) for volume in volumes))

    async def remove_network(self, cluster_id: str) -> None:
        """Remove the cluster's network, even when a container of somebody else is attached to it."""
        with translate_errors("removing the cluster's network"):
            for summary in await self._networks(cluster_id):
                network = await self._docker().networks.get(summary["Id"])
                for container in (await network.show())["Containers"] or {}:
                    await network.disconnect({"Container": container, "Force": True})
                await _delete(network)

    def _tags(self, cluster_id: str | None = None) -> dict[str, str]:
        tags = {INSTALLATION: self._installation}
        return tags if cluster_id is None else {**tags, CLUSTER: cluster_id}

    def _label_filters(self, cluster_id: str | None = None) -> dict[str, list[str]]:
        return {"label": [f"{name}={value}" for name, value in self._tags(cluster_id).items()]}

    def _network_config(self, cluster_id: str, subnet: ipaddress.IPv4Network) -> dict[str, Any]:
        return {
            "Name": network_name(cluster_id),
            "CheckDuplicate": True,
            "Driver": "bridge",
            "IPAM": {"Config": [{"Subnet": str(subnet), "Gateway": subnets.gateway_of(subnet)}]},
            "Labels": {KIND: ObjectKind.CLUSTER_NETWORK.value, **self._tags(cluster_id)},
        }


def _claims_node(tags: Mapping[str, str]) -> bool:
    """Whether the labels claim to be those of a node: containers of users have our installation's tag too.

    Those are of another kind, and labels about clusters that their images set do not matter.
    """
    return has_kind(tags, ObjectKind.NODE) and (CLUSTER in tags or NODE in tags)


def _is_selected(tags: Mapping[str, str], node_uuids: Collection[str] | None) -> bool:
    return node_uuids is None or tags.get(NODE) in node_uuids


def _subnets_of(network: Mapping[str, Any]) -> list[ipaddress.IPv4Network]:
    configs = network["IPAM"]["Config"] or ()
    networks = [ipaddress.ip_network(config["Subnet"], strict=False) for config in configs if config.get("Subnet")]
    return [subnet for subnet in networks if isinstance(subnet, ipaddress.IPv4Network)]


def _read_network(network: Mapping[str, Any]) -> ClusterNetwork:
    return ClusterNetwork(id=network["Id"], name=network["Name"], subnet=_subnets_of(network)[0])


async def _delete(
    resource: DockerContainer | DockerVolume | DockerNetwork,
) -> None:
    try:
        if isinstance(resource, DockerNetwork):
            await resource.delete()
        else:
            await resource.delete(force=True)
    except DockerError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return
        if error.status == HTTPStatus.CONFLICT:
            # It is used by something that is being removed, or its removal is in progress.
            raise Temporary(f"removing what belongs to the cluster: {error.message}") from error
        raise
