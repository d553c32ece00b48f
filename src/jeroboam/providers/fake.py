"""A provider in memory with fault injection, as strict as a cloud about what it is asked for.

Neighbours: tests of the conductor, and `jeroboam up` for trials without real nodes. A `FakeCloud` holds what exists; it
outlives any `FakeProvider` that uses it, as an Engine outlives our process. Faults can be injected at stages: the names
of the contract's methods, `image` for looking up an image, and `boot` for each single node.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from jeroboam.domain.clusters import NodeObserved, NodeState
from jeroboam.domain.conditions import Condition
from jeroboam.domain.errors import Conflict, Permanent
from jeroboam.domain.nodes import NodeScript
from jeroboam.kit.clock import Clock
from jeroboam.kit.faults import Faults
from jeroboam.providers.base import (
    CloudUser,
    DesiredInfra,
    DesiredNode,
    Flavor,
    HasProviderIds,
    Image,
    Network,
    NodeAddress,
    ObservedInfra,
    Provider,
    ProviderSettings,
    Subnet,
    SupportsDiagnosis,
    SupportsRebuild,
    SupportsScriptRenewal,
)


@dataclass(slots=True)
class FakeCluster:
    """What exists of one cluster."""

    installation: str
    network_id: str | None = None
    addresses: dict[str, NodeAddress] = field(default_factory=dict)
    infra: DesiredInfra | None = None
    """What was asked for last."""
    desired: dict[str, DesiredNode] = field(default_factory=dict)
    """What each node was created from."""
    nodes: dict[str, NodeObserved] = field(default_factory=dict)
    scripts: dict[str, NodeScript] = field(default_factory=dict)


def _list_images() -> dict[str, Image]:
    """Return images, one of which is not available."""
    return {
        "swarm-node": Image(id="swarm-node", name="swarm-node", os_distro="jeroboam"),
        "kubernetes-node": Image(
            id="kubernetes-node",
            name="kubernetes-node",
            os_distro="jeroboam",
            unavailable_reason="it was never made",
        ),
        "load-balancer": Image(id="load-balancer", name="load-balancer", os_distro=""),
    }


def _list_flavors() -> dict[str, Flavor]:
    sizes = (("m1.tiny", 512), ("m1.small", 2048), ("m1.medium", 4096), ("m1.large", 8192))
    return {name: Flavor(id=name, name=name, vcpus=1, ram=ram, disk=10) for name, ram in sizes}


@dataclass(slots=True)
class FakeOffers:
    """What users of the cloud may name."""

    images: dict[str, Image] = field(default_factory=_list_images)
    flavors: dict[str, Flavor] = field(default_factory=_list_flavors)
    networks: list[Network] = field(default_factory=lambda: [Network(id="public", name="public", external=True)])
    subnets: list[Subnet] = field(default_factory=list)
    keypairs: set[tuple[str, str]] = field(default_factory=set)
    """User ids and names."""
    zones: list[str] = field(default_factory=lambda: ["nova"])
    volume_types: list[str] = field(default_factory=lambda: ["__DEFAULT__"])
    private_to: dict[str, str] = field(default_factory=dict)
    """The project that alone sees an image, a flavour, a network or a subnet, by its id."""


@dataclass(slots=True)
class FakeCloud:
    """What exists, for every provider that uses it; its methods simulate changes from outside the service."""

    clusters: dict[str, FakeCluster] = field(default_factory=dict)
    offers: FakeOffers = field(default_factory=FakeOffers)
    boots: list[str] = field(default_factory=list)
    """Names of nodes in the order in which they were started; a node that was started twice is listed twice."""
    renewals: list[str] = field(default_factory=list)
    """Names of nodes in the order in which they got another script."""
    rebuilds: list[str] = field(default_factory=list)
    """Names of nodes in the order in which they were rebuilt."""

    complaints: dict[str, str] = field(default_factory=dict)
    """The diagnosis of nodes whose programs keep exiting, by name."""

    def kill(self, cluster_id: str, node_uuid: str) -> None:
        """Simulate that the node loses power."""
        nodes = self.clusters[cluster_id].nodes
        nodes[node_uuid] = replace(nodes[node_uuid], state=NodeState.STOPPED, reason="killed")

    def lose(self, cluster_id: str, node_uuid: str) -> None:
        """Simulate that somebody removes the node."""
        del self.clusters[cluster_id].nodes[node_uuid]

    def lose_network(self, cluster_id: str) -> None:
        """Simulate that somebody removes the cluster's network: no node can be reached any more."""
        cluster = self.clusters[cluster_id]
        cluster.network_id = None
        for uuid in cluster.nodes:
            self.kill(cluster_id, uuid)


class FakeCatalog:
    """The contract `Catalog`: what one user sees of the offers."""

    def __init__(self, offers: FakeOffers, user: CloudUser, faults: Faults) -> None:
        self._offers = offers
        self._user = user
        self._faults = faults

    async def image(self, ref: str) -> Image | None:
        """Return the image; any version of an image equals the image itself."""
        await self._faults.meet("image")
        images = self._offers.images
        image = images.get(ref) or images.get(ref.partition(":")[0])
        if image is not None:
            return image if self._is_visible(image) else None
        matches = [image for image in images.values() if image.name == ref and self._is_visible(image)]
        if len(matches) > 1:
            text = f"Multiple images exist with same name '{ref}', please use the image ID instead."
            raise Conflict(text, field="image_id")
        return matches[0] if matches else None

    async def versions(self, ref: str) -> Sequence[str]:
        image = await self.image(ref)
        return [image.version] if image is not None and image.version and not image.unavailable_reason else []

    async def flavor(self, ref: str) -> Flavor | None:
        flavor = self._offers.flavors.get(ref)
        return flavor if flavor is not None and self._is_visible(flavor) else None

    async def networks(self, ref: str) -> Sequence[Network]:
        networks = filter(self._is_visible, self._offers.networks)
        return [network for network in networks if ref in {network.id, network.name}]

    async def subnets(self, ref: str) -> Sequence[Subnet]:
        subnets = filter(self._is_visible, self._offers.subnets)
        return [subnet for subnet in subnets if ref in {subnet.id, subnet.name}]

    async def has_keypair(self, ref: str) -> bool:
        return (self._user.user_id, ref) in self._offers.keypairs

    async def availability_zones(self) -> Sequence[str]:
        return self._offers.zones

    async def volume_types(self) -> Sequence[str]:
        return self._offers.volume_types

    def _is_visible(self, resource: Image | Flavor | Network | Subnet) -> bool:
        return self._offers.private_to.get(resource.id, self._user.project_id) == self._user.project_id


class FakeProvider(Provider, HasProviderIds, SupportsRebuild, SupportsDiagnosis, SupportsScriptRenewal):
    """The contract `Provider` on a `FakeCloud`."""

    def __init__(
        self, *, installation: str, clock: Clock, url: str | None = None, cloud: FakeCloud | None = None
    ) -> None:
        del url
        self._installation = installation
        self.cloud = cloud or FakeCloud()
        self.faults = Faults(clock)

    @classmethod
    def from_settings(cls, settings: ProviderSettings) -> Self:
        return cls(installation=settings.installation, clock=settings.clock)

    def catalog(self, user: CloudUser) -> FakeCatalog:
        return FakeCatalog(self.cloud.offers, user, self.faults)

    def build_provider_id(self, node_uuid: str, server_id: str | None) -> str | None:
        del node_uuid
        return None if server_id is None else f"openstack:///{server_id}"

    async def reserve(self, want: DesiredInfra) -> dict[str, NodeAddress]:
        await self.faults.meet("reserve")
        cluster = self._cluster(want.cluster_id)
        if cluster.network_id is None:
            await self._check_networks(want)
        cluster.infra = want
        cluster.network_id = f"net-{want.cluster_id}"
        for node in want.nodes:
            if node.uuid not in cluster.addresses:
                has_floating = node.floating_ip_enabled and want.external_network_id is not None
                used_addresses = {reserved.address for reserved in cluster.addresses.values()}
                cluster.addresses[node.uuid] = _reserve_address(used_addresses, has_floating=has_floating)
        return {node.uuid: cluster.addresses[node.uuid] for node in want.nodes}

    async def ensure(self, want: DesiredInfra, scripts: dict[str, NodeScript]) -> AsyncGenerator[ObservedInfra, None]:
        addresses = await self.reserve(want)
        await self.faults.meet("ensure")
        cluster = self._cluster(want.cluster_id)
        yield self._build_observed(want.cluster_id)
        for node in want.nodes:
            known_node = cluster.nodes.get(node.uuid)
            if known_node is not None and known_node.state is NodeState.RUNNING:
                continue
            if known_node is None:
                await self._make_node(want, node, addresses[node.uuid], scripts)
                yield self._build_observed(want.cluster_id)
            await self.faults.meet("boot")
            started_node = replace(cluster.nodes[node.uuid], state=NodeState.RUNNING, reason="")
            cluster.nodes[node.uuid] = started_node
            self.cloud.boots.append(node.name)
            yield self._build_observed(want.cluster_id)
        yield self._build_observed(want.cluster_id)

    async def observe(self, cluster_id: str) -> ObservedInfra:
        await self.faults.meet("observe")
        return self._build_observed(cluster_id)

    async def remove(self, cluster_id: str, node_uuids: Sequence[str]) -> None:
        await self.faults.meet("remove")
        if (cluster := self._own_cluster(cluster_id)) is not None:
            for uuid in node_uuids:
                cluster.nodes.pop(uuid, None)
                cluster.addresses.pop(uuid, None)
                cluster.desired.pop(uuid, None)
                cluster.scripts.pop(uuid, None)

    async def renew(self, cluster_id: str, node_uuid: str, script: NodeScript) -> None:
        await self.faults.meet("renew")
        cluster = self._own_cluster(cluster_id)
        if cluster is not None and node_uuid in cluster.nodes:
            cluster.scripts[node_uuid] = script
            self.cloud.renewals.append(cluster.nodes[node_uuid].name)
            await self.faults.meet("renewed")

    async def diagnose(self, cluster_id: str, node_uuid: str, script: NodeScript) -> str:
        del script
        await self.faults.meet("diagnose")
        cluster = self._own_cluster(cluster_id)
        return "" if cluster is None else self.cloud.complaints.get(cluster.nodes[node_uuid].name, "")

    async def rebuild(self, want: DesiredInfra, node_uuid: str, script: NodeScript) -> None:
        await self.faults.meet("rebuild")
        addresses = await self.reserve(want)
        cluster = self._cluster(want.cluster_id)
        cluster.nodes.pop(node_uuid, None)
        await self.faults.meet("rebuild between")
        node = next(node for node in want.nodes if node.uuid == node_uuid)
        await self._make_node(want, node, addresses[node_uuid], {node_uuid: script})
        await self.faults.meet("boot")
        cluster.nodes[node_uuid] = replace(cluster.nodes[node_uuid], state=NodeState.RUNNING)
        self.cloud.rebuilds.append(node.name)
        await self.faults.meet("rebuilt")

    async def destroy(self, cluster_id: str) -> None:
        await self.faults.meet("destroy")
        if self._own_cluster(cluster_id) is not None:
            del self.cloud.clusters[cluster_id]

    async def list_owned(self) -> Sequence[str]:
        await self.faults.meet("owned")
        return sorted(uuid for uuid in self.cloud.clusters if self._own_cluster(uuid) is not None)

    async def limits(self) -> Sequence[Condition]:
        await self.faults.meet("limits")
        return (Condition(type="Fake", status=True, message="Nothing here is real."),)

    async def close(self) -> None:
        await self.faults.meet("close")

    async def _check_networks(self, want: DesiredInfra) -> None:
        """Raise `Permanent` for a network or subnet that the owner's project does not see or that does not fit."""
        catalog = self.catalog(want.owner)
        refs = (("external_network_id", want.external_network_id, True), ("fixed_network", want.fixed_network, False))
        for name, ref, external in refs:
            matches = () if ref is None else await catalog.networks(ref)
            if ref is not None and [network.external for network in matches].count(external) != 1:
                raise Permanent(f"{name}: there is not one network {ref}")
        subnets = [] if want.fixed_subnet is None else await catalog.subnets(want.fixed_subnet)
        if want.fixed_network is not None:
            network_ids = {network.id for network in await catalog.networks(want.fixed_network)}
            subnets = [subnet for subnet in subnets if subnet.network_id in network_ids]
        if want.fixed_subnet is not None and len(subnets) != 1:
            raise Permanent(f"fixed_subnet: there is not one subnet {want.fixed_subnet} in its network")

    async def _check_node(self, want: DesiredInfra, node: DesiredNode) -> None:
        """Raise `Permanent` if the node cannot be created; the text names the field."""
        catalog = self.catalog(want.owner)
        if await catalog.flavor(node.flavor) is None:
            raise Permanent(f"node {node.name} cannot be made: flavor_id: there is no flavor {node.flavor}")
        try:
            image = await catalog.image(node.image)
        except Conflict as error:
            raise Permanent(f"image_id: {error.detail}") from error
        if image is None or image.unavailable_reason:
            raise Permanent(f"image_id: no node can boot from image {node.image}")
        if want.keypair is not None and not await catalog.has_keypair(want.keypair):
            raise Permanent(f"keypair: user {want.owner.user_id} has no key pair {want.keypair}")
        zone = node.availability_zone
        if zone is not None and zone not in await catalog.availability_zones():
            raise Permanent(f"availability_zone: there is no zone {zone}")
        for name in ("boot_volume_type", "docker_volume_type", "etcd_volume_type"):
            volume_type = getattr(node, name)
            if volume_type is not None and volume_type not in await catalog.volume_types():
                raise Permanent(f"{name}: there is no volume type {volume_type}")

    async def _make_node(
        self, want: DesiredInfra, node: DesiredNode, reserved: NodeAddress, scripts: dict[str, NodeScript]
    ) -> None:
        await self._check_node(want, node)
        if node.uuid not in scripts:
            raise Permanent(f"node {node.name} has to be made, and there is no script for it")
        cluster = self._cluster(want.cluster_id)
        cluster.desired[node.uuid] = node
        cluster.scripts[node.uuid] = scripts[node.uuid]
        cluster.nodes[node.uuid] = NodeObserved(
            uuid=node.uuid,
            name=node.name,
            state=NodeState.CREATING,
            address=reserved.address,
            floating_address=reserved.floating_address,
            server_id=f"server-{node.uuid}",
            build=node.build,
        )

    def _own_cluster(self, cluster_id: str) -> FakeCluster | None:
        cluster = self.cloud.clusters.get(cluster_id)
        return cluster if cluster is not None and cluster.installation == self._installation else None

    def _cluster(self, cluster_id: str) -> FakeCluster:
        cluster = self.cloud.clusters.setdefault(cluster_id, FakeCluster(self._installation))
        if cluster.installation != self._installation:
            raise Permanent(f"cluster {cluster_id} belongs to another installation")
        return cluster

    def _build_observed(self, cluster_id: str) -> ObservedInfra:
        cluster = self._own_cluster(cluster_id)
        if cluster is None:
            return ObservedInfra()
        troubles = ("the network was removed",) if cluster.network_id is None and cluster.nodes else ()
        return ObservedInfra(network_id=cluster.network_id, nodes=tuple(cluster.nodes.values()), troubles=troubles)


def _reserve_address(used_addresses: set[str], *, has_floating: bool) -> NodeAddress:
    tails = (f"{number >> 8}.{number & 255}" for number in range(2, 1 << 16))
    tail = next(tail for tail in tails if f"198.18.{tail}" not in used_addresses)
    return NodeAddress(address=f"198.18.{tail}", floating_address=f"198.19.{tail}" if has_floating else None)
