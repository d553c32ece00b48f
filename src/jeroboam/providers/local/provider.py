"""The provider for one machine: nodes are containers on its Docker Engine.

Neighbours: `inventory` (existing resources, by label), `catalog` (images and flavours), `engine` (capabilities of the
Engine), `subnets`, `networks` and `nodes` (pure functions). No state is kept between calls.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Self, final

from jeroboam.clients.docker import DockerClient, connect, translate_errors
from jeroboam.clients.docker_containers import run_command
from jeroboam.clients.docker_types import DockerContainer
from jeroboam.domain.clusters import LOAD_BALANCER, MASTER, NodeObserved, NodeState
from jeroboam.domain.conditions import Condition
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.domain.nodes import NodeScript
from jeroboam.domain.owner_labels import ObjectKind
from jeroboam.kit.clock import Clock
from jeroboam.kit.tasks import Tasks
from jeroboam.providers.base import (
    CloudUser,
    DesiredInfra,
    DesiredNode,
    HasHostCapacity,
    HasProviderIds,
    HostCapacity,
    NodeAddress,
    ObservedInfra,
    Provider,
    ProviderSettings,
    SupportsDiagnosis,
    SupportsRebuild,
    SupportsScriptRenewal,
)
from jeroboam.providers.local import subnets
from jeroboam.providers.local.catalog import LocalCatalog
from jeroboam.providers.local.engine import LocalEngine, read_free_disk, read_free_memory
from jeroboam.providers.local.inventory import ClusterNetwork, OwnedResources
from jeroboam.providers.local.networks import NETWORK_GONE, is_detached
from jeroboam.providers.local.nodes import (
    INSTALLATION,
    NodePlacement,
    build_archive,
    build_container_config,
    build_labels,
    container_name,
    volume_name,
)

# More parallel starts would only wait inside the Engine.
_AT_ONCE = 8
# The time limit of queries that API requests wait for; an Engine answers in milliseconds.
_QUESTION_SECONDS = 10.0
_FIRST = frozenset({MASTER, LOAD_BALANCER})
# How long a node's service may take to stop before it is killed.
_STOP_SECONDS = 20
# A program that exited longer ago is not the reason why its node does not come up.
_LATELY_SECONDS = 60
_DIAGNOSIS_SECONDS = 10
_LETTERS = 400


@final
class LocalProvider(
    Provider, HasHostCapacity, HasProviderIds, SupportsRebuild, SupportsDiagnosis, SupportsScriptRenewal
):
    """The contract `Provider` on a Docker Engine."""

    def __init__(self, *, installation: str, clock: Clock, url: str | None = None) -> None:
        """`installation` is the tag of our resources on the Engine; `url` is the address of the Engine."""
        self._clock = clock
        self._installation = installation
        self._url = url
        self._client: DockerClient | None = None
        self._question_client: DockerClient | None = None
        self._catalog = LocalCatalog(self._questions_docker)
        self._engine = LocalEngine(self._docker, {INSTALLATION: installation})
        self._inventory = OwnedResources(self._docker, installation)
        self._slots = asyncio.Semaphore(_AT_ONCE)

    @classmethod
    def from_settings(cls, settings: ProviderSettings) -> Self:
        return cls(installation=settings.installation, clock=settings.clock, url=settings.docker_url)

    def catalog(self, user: CloudUser) -> LocalCatalog:
        del user
        return self._catalog

    def build_provider_id(self, node_uuid: str, server_id: str | None) -> str | None:
        """Return the id that OpenStack's programs expect. The node's uuid is the system uuid of the node too."""
        del server_id
        return f"openstack:///{node_uuid}"

    async def reserve(self, want: DesiredInfra) -> dict[str, NodeAddress]:
        net = await self._network(want)
        addresses = await self._addresses(want, net)
        return {uuid: NodeAddress(address=address) for uuid, address in addresses.items()}

    async def ensure(self, want: DesiredInfra, scripts: dict[str, NodeScript]) -> AsyncGenerator[ObservedInfra, None]:
        net = await self._network(want)
        addresses = await self._addresses(want, net)
        nodes = {node.uuid: node for node in await self._inventory.nodes(want.cluster_id)}
        infra = ObservedInfra(
            network_id=net.id, nodes=tuple(nodes.values()), conditions=self._conditions(want.cluster_id)
        )
        yield infra
        failures: list[BaseException] = []
        tasks = Tasks(lambda _, error: failures.append(error))
        try:
            for wave in _start_waves(want, nodes):
                pending = {
                    tasks.start(
                        node.name, self._make_node(node, self._place_node(want, net, node, addresses), nodes, scripts)
                    )
                    for node in wave
                }
                while pending:
                    ended_tasks, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    nodes |= {
                        node.uuid: node for node in (task.result() for task in ended_tasks if not task.exception())
                    }
                    yield replace(infra, nodes=tuple(nodes.values()))
        finally:
            await tasks.close()
        _raise_worst(failures)
        yield await self._check_complete(want)

    async def observe(self, cluster_id: str) -> ObservedInfra:
        net, nodes, disks = await asyncio.gather(
            self._inventory.network(cluster_id),
            self._inventory.nodes(cluster_id),
            self._inventory.list_disks(cluster_id),
        )
        described_nodes = await asyncio.gather(*(self._inventory.add_last_line(node) for node in nodes))
        uuids = {node.uuid for node in nodes}
        orphan_disks = [disk for disk in disks if disk.uuid not in uuids]
        conditions = self._conditions(cluster_id)
        troubles = (NETWORK_GONE,) if net is None and nodes else ()
        return ObservedInfra(
            network_id=net.id if net else None,
            nodes=(*described_nodes, *orphan_disks),
            conditions=conditions,
            troubles=troubles,
        )

    async def remove(self, cluster_id: str, node_uuids: Sequence[str]) -> None:
        await self._inventory.remove_nodes(cluster_id, set(node_uuids), self._slots)

    async def renew(self, cluster_id: str, node_uuid: str, script: NodeScript) -> None:
        for node in await self._inventory.nodes(cluster_id):
            if node.uuid == node_uuid and node.server_id is not None:
                with translate_errors(f"restarting node {node.name}"):
                    container = self._docker().containers.container(node.server_id)
                    await container.put_archive("/", build_archive(script))
                    if not script.reload or (await run_command(container, script.reload)).exit_code != 0:
                        await container.restart(t=_STOP_SECONDS)

    async def diagnose(self, cluster_id: str, node_uuid: str, script: NodeScript) -> str:
        for node in await self._inventory.nodes(cluster_id):
            if node.uuid != node_uuid or node.state is not NodeState.RUNNING or node.server_id is None:
                continue
            since = int(self._clock.now().timestamp()) - _LATELY_SECONDS
            if (words := await self._inventory.find_ended_program(node, since)) or not script.diagnosis:
                return words
            container = self._docker().containers.container(node.server_id)
            with translate_errors(f"reading the diagnosis of node {node.name}"):
                async with asyncio.timeout(_DIAGNOSIS_SECONDS):
                    result = await run_command(container, script.diagnosis)
            return " ".join(result.output.split())[:_LETTERS] if result.exit_code == 0 else ""
        return ""

    async def rebuild(self, want: DesiredInfra, node_uuid: str, script: NodeScript) -> None:
        net = await self._network(want)
        addresses = await self._addresses(want, net)
        node = next(node for node in want.nodes if node.uuid == node_uuid)
        for former in await self._inventory.nodes(want.cluster_id):
            if former.uuid == node_uuid and (former.build != node.build or former.state is not NodeState.CREATING):
                await self._inventory.end_node(former, _STOP_SECONDS)
        await self._make_node(node, self._place_node(want, net, node, addresses), {}, {node_uuid: script})

    async def destroy(self, cluster_id: str) -> None:
        await self._inventory.remove_nodes(cluster_id, None, self._slots)
        await self._inventory.remove_network(cluster_id)

    async def list_owned(self) -> Sequence[str]:
        await self._engine.remove_probes()
        return await self._inventory.list_clusters()

    async def limits(self) -> Sequence[Condition]:
        image = await self._catalog.find_any_image()
        if image is None:
            text = "There is no node image on this Engine: `jeroboam node-image build swarm` makes one."
            return (Condition(type="NodeImages", status=False, reason="NoNodeImage", message=text),)
        capabilities = await self._engine.get_capabilities(image)
        return (Condition(type="NodeImages", status=True), *capabilities.conditions())

    async def observe_capacity(self) -> HostCapacity:
        with translate_errors("asking the Docker Engine about its machine"):
            info = await self._questions_docker().system.info()
            networks = await OwnedResources(self._questions_docker, self._installation).list_taken_networks()
        return HostCapacity(networks=networks, memory=read_free_memory(info), disk=read_free_disk(info))

    async def close(self) -> None:
        clients = [client for client in (self._client, self._question_client) if client is not None]
        self._client = self._question_client = None
        for client in clients:
            await client.close()

    def _docker(self) -> DockerClient:
        if self._client is None:
            self._client = connect(self._url)
        return self._client

    def _questions_docker(self) -> DockerClient:
        """A client of its own for queries of API requests, so that they never wait behind work on clusters."""
        if self._question_client is None:
            self._question_client = connect(self._url, answer_seconds=_QUESTION_SECONDS)
        return self._question_client

    def _conditions(self, cluster_id: str) -> tuple[Condition, ...]:
        limits = self._engine.capabilities.conditions() if self._engine.capabilities else ()
        return (*limits, *self._inventory.conditions(cluster_id))

    async def _network(self, want: DesiredInfra) -> ClusterNetwork:
        if want.fixed_network is not None:
            raise Permanent(f"local clusters have a network of their own: {want.fixed_network} cannot be used")
        net = await self._inventory.network(want.cluster_id)
        return net or await self._inventory.make_network(want.cluster_id, len(want.nodes))

    async def _addresses(self, want: DesiredInfra, net: ClusterNetwork) -> dict[str, str]:
        """Return the address of every desired node: the one on its volume's label, or a new one on a new volume."""
        known_addresses = await self._inventory.addresses(want.cluster_id)
        new = [node for node in want.nodes if node.uuid not in known_addresses]
        addresses = dict(known_addresses)
        for node in new:
            free_address = subnets.choose_address(node.uuid, net.subnet, set(addresses.values()))
            if free_address is None:
                raise Permanent(f"the cluster's network {net.subnet} has no address left for another node")
            addresses[node.uuid] = free_address

        async def keep(node: DesiredNode) -> str:
            async with self._slots:
                tags = build_labels(
                    self._installation, want.cluster_id, node, addresses[node.uuid], ObjectKind.NODE_VOLUME
                )
                return await self._inventory.make_volume(tags)

        kept_addresses = await asyncio.gather(*(keep(node) for node in new))
        addresses |= {node.uuid: address for node, address in zip(new, kept_addresses, strict=True)}
        return {node.uuid: addresses[node.uuid] for node in want.nodes}

    def _place_node(
        self, want: DesiredInfra, net: ClusterNetwork, node: DesiredNode, addresses: dict[str, str]
    ) -> NodePlacement:
        address = addresses[node.uuid]
        tags = build_labels(self._installation, want.cluster_id, node, address, ObjectKind.NODE)
        return NodePlacement(
            network=net.name, network_id=net.id, address=address, volume=volume_name(node.uuid), labels=tags
        )

    async def _make_node(
        self,
        want: DesiredNode,
        placement: NodePlacement,
        nodes: dict[str, NodeObserved],
        scripts: dict[str, NodeScript],
    ) -> NodeObserved:
        """Start one node, from any state that it may be in."""
        async with self._slots:
            with translate_errors(f"starting node {want.name}"):
                node = nodes.get(want.uuid)
                server_id = node.server_id if node else None
                if server_id is None or node is None or node.state is NodeState.CREATING:
                    script = scripts.get(want.uuid)
                    if script is None:
                        raise Permanent(f"node {want.name} has to be made, and there is no script for it")
                    server_id = server_id or await self._create(want, placement)
                    await self._docker().containers.container(server_id).put_archive("/", build_archive(script))
                await self._start_container(self._docker().containers.container(server_id), placement)
        return NodeObserved(
            uuid=want.uuid, name=want.name, state=NodeState.RUNNING, address=placement.address, server_id=server_id
        )

    async def _start_container(self, container: DockerContainer, placement: NodePlacement) -> None:
        """Start the container, attached to its network."""
        details = await container.show()
        if details["State"]["Paused"]:
            await container.unpause()
        if not is_detached(
            details["NetworkSettings"]["Networks"], placement.network, placement.network_id, placement.address
        ):
            await container.start()
            return
        await self._inventory.attach(container, placement)
        # Programs in the container have read its address when they started: so they have to restart.
        await (container.restart(t=_STOP_SECONDS) if details["State"]["Running"] else container.start())

    async def _create(self, want: DesiredNode, placement: NodePlacement) -> str:
        image = await self._catalog.docker_image(want.image)
        flavor = await self._catalog.flavor(want.flavor)
        if flavor is None:
            raise Permanent(f"node {want.name} cannot be made: there is no flavor {want.flavor}")
        capabilities = await self._engine.get_capabilities(image.id)
        config = build_container_config(want, placement, image, flavor, capabilities)
        return await self._inventory.make_container(container_name(want.name, want.uuid), config, want.uuid)

    async def _check_complete(self, want: DesiredInfra) -> ObservedInfra:
        """Return the observed state. Raises `Temporary` when a desired node does not run, with what it printed last."""
        infra = await self.observe(want.cluster_id)
        nodes = {node.uuid: node for node in infra.nodes}
        for desired_node in want.nodes:
            node = nodes.get(desired_node.uuid)
            if node is None or node.state is NodeState.GONE:
                raise Temporary(f"node {desired_node.name} was removed as it was started")
            if node.state is not NodeState.RUNNING:
                raise Temporary(f"node {desired_node.name} does not stay up: {node.reason}")
        return infra


def _start_waves(want: DesiredInfra, nodes: Mapping[str, NodeObserved]) -> Iterator[Sequence[DesiredNode]]:
    """Yield the nodes that do not run: first masters and load balancer, which others wait for, then the others."""
    stopped_nodes = [
        node for node in want.nodes if node.uuid not in nodes or nodes[node.uuid].state is not NodeState.RUNNING
    ]
    yield [node for node in stopped_nodes if node.role in _FIRST]
    yield [node for node in stopped_nodes if node.role not in _FIRST]


def _raise_worst(failures: Sequence[BaseException]) -> None:
    """Raise an error that no retry can mend if there is one, else the first error, if any."""
    for failure in sorted(failures, key=lambda error: isinstance(error, Temporary)):
        raise failure
