"""A provider in memory with fault injection.

Neighbours: tests of the conductor, and `jeroboam up` for trials without real nodes. A `FakeCloud` holds what exists; it
outlives any `FakeProvider` that uses it, as an Engine outlives our process. Faults can be injected at stages: the names
of the contract's methods, and `boot` for each single node.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from jeroboam.domain.clusters import NodeObserved, NodeState
from jeroboam.domain.conditions import Condition
from jeroboam.domain.errors import Permanent
from jeroboam.domain.nodes import NodeScript
from jeroboam.kit.clock import Clock
from jeroboam.kit.faults import Faults
from jeroboam.providers.base import (
    DesiredInfra,
    DesiredNode,
    Flavor,
    Image,
    Network,
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
    addresses: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, NodeObserved] = field(default_factory=dict)
    scripts: dict[str, NodeScript] = field(default_factory=dict)


@dataclass(slots=True)
class FakeCloud:
    """What exists, for every provider that uses it; its methods simulate changes from outside the service."""

    clusters: dict[str, FakeCluster] = field(default_factory=dict)
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
    """A small catalogue; one of its images is not available."""

    def __init__(self) -> None:
        self.images = {
            "swarm-node": Image(id="swarm-node", name="swarm-node", os_distro="jeroboam"),
            "kubernetes-node": Image(
                id="kubernetes-node",
                name="kubernetes-node",
                os_distro="jeroboam",
                unavailable_reason="it was never made",
            ),
            "load-balancer": Image(id="load-balancer", name="load-balancer", os_distro=""),
        }
        self.flavors = {
            name: Flavor(id=name, name=name, vcpus=1, ram=ram, disk=10)
            for name, ram in (("m1.tiny", 512), ("m1.small", 2048), ("m1.medium", 4096), ("m1.large", 8192))
        }
        self.nets = {"public": Network(id="public", name="public", external=True)}
        self.subnet_names: set[str] = set()
        self.keypairs: set[str] = set()

    async def image(self, ref: str) -> Image | None:
        return self.find_image(ref)

    def find_image(self, ref: str) -> Image | None:
        """Return the image; any version of an image equals the image itself."""
        return self.images.get(ref) or self.images.get(ref.partition(":")[0])

    async def versions(self, ref: str) -> Sequence[str]:
        image = self.find_image(ref)
        return [image.version] if image is not None and image.version and not image.unavailable_reason else []

    async def flavor(self, ref: str) -> Flavor | None:
        return self.flavors.get(ref)

    async def networks(self, ref: str) -> Sequence[Network]:
        return [self.nets[ref]] if ref in self.nets else []

    async def subnets(self, ref: str) -> Sequence[Subnet]:
        return [Subnet(id=ref, name=ref)] if ref in self.subnet_names else []

    async def has_keypair(self, ref: str, user_id: str) -> bool:
        del user_id
        return ref in self.keypairs


class FakeProvider(Provider, SupportsRebuild, SupportsDiagnosis, SupportsScriptRenewal):
    """The contract `Provider` on a `FakeCloud`."""

    def __init__(
        self, *, installation: str, clock: Clock, url: str | None = None, cloud: FakeCloud | None = None
    ) -> None:
        del url
        self._installation = installation
        self.cloud = cloud or FakeCloud()
        self.faults = Faults(clock)
        self._catalog = FakeCatalog()

    @classmethod
    def from_settings(cls, settings: ProviderSettings) -> Self:
        return cls(installation=settings.installation, clock=settings.clock)

    @property
    def catalog(self) -> FakeCatalog:
        return self._catalog

    async def reserve(self, want: DesiredInfra) -> dict[str, str]:
        await self.faults.meet("reserve")
        cluster = self._cluster(want.cluster_id)
        cluster.network_id = f"net-{want.cluster_id}"
        for node in want.nodes:
            cluster.addresses.setdefault(node.uuid, _free_address(set(cluster.addresses.values())))
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
                await self._make_node(cluster, node, addresses[node.uuid], scripts)
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
        await self._make_node(cluster, node, addresses[node_uuid], {node_uuid: script})
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

    async def _make_node(
        self, cluster: FakeCluster, node: DesiredNode, address: str, scripts: dict[str, NodeScript]
    ) -> None:
        if node.flavor not in self._catalog.flavors:
            raise Permanent(f"node {node.name} cannot be made: there is no flavor {node.flavor}")
        image = self._catalog.find_image(node.image)
        if image is None or image.unavailable_reason:
            raise Permanent(f"no node can boot from image {node.image}")
        if node.uuid not in scripts:
            raise Permanent(f"node {node.name} has to be made, and there is no script for it")
        cluster.scripts[node.uuid] = scripts[node.uuid]
        cluster.nodes[node.uuid] = NodeObserved(
            uuid=node.uuid,
            name=node.name,
            state=NodeState.CREATING,
            address=address,
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


def _free_address(used_addresses: set[str]) -> str:
    candidates = (f"198.18.{number >> 8}.{number & 255}" for number in range(2, 1 << 16))
    return next(address for address in candidates if address not in used_addresses)
