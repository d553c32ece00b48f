"""The contract of providers: where the nodes of clusters come from.

A provider creates servers and a network for a cluster, and does not know what runs on them: the COE gives it one
`NodeScript` for each node. Every method may be called again after it was interrupted, and does the rest of the work.
Everything that a provider creates has the cluster's uuid as a tag, and only resources with a tag are ever removed.
All methods raise `Temporary` or `Permanent` (jeroboam.domain.errors) with a reason that users may read.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Protocol, Self, runtime_checkable

from jeroboam.domain.clusters import NodeObserved
from jeroboam.domain.conditions import Condition
from jeroboam.domain.nodes import NodeScript
from jeroboam.kit.clock import Clock


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """A node image that the provider offers."""

    id: str
    name: str
    os_distro: str
    """The image's `os_distro` property; empty when it is not set."""
    coes: tuple[str, ...] = ()
    """The COEs that can boot from it; empty: unknown."""
    version: str = ""
    """The version of the software on its nodes, such as `v1.36.3` of Kubernetes; empty: unknown."""
    unavailable_reason: str = ""
    """Why no node can boot from it yet, and the command that helps; empty when nodes can."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flavor:
    """A size of nodes: cores, memory in MiB, root disk in GiB (0: no limit)."""

    id: str
    name: str
    vcpus: float
    ram: int
    disk: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """A network that templates may name."""

    id: str
    name: str
    external: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Subnet:
    """A subnet that templates may name."""

    id: str
    name: str


class Catalog(Protocol):
    """What templates and clusters may name. A `ref` is an id or a name."""

    async def image(self, ref: str) -> Image | None: ...

    async def versions(self, ref: str) -> Sequence[str]:
        """Return the versions of the image that nodes can boot from now; empty for an image without versions."""
        ...

    async def flavor(self, ref: str) -> Flavor | None: ...

    async def networks(self, ref: str) -> Sequence[Network]:
        """Return all networks with that id or name; more than one means that the name is ambiguous."""
        ...

    async def subnets(self, ref: str) -> Sequence[Subnet]:
        """Return all subnets with that id or name."""
        ...

    async def has_keypair(self, ref: str, user_id: str) -> bool: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class DesiredNode:
    """One node that should exist."""

    uuid: str
    name: str
    group: str
    role: str
    image: str
    flavor: str
    docker_volume_size: int | None = None
    """GiB for the engine's data; None: no limit."""
    build: int = 0
    """The build of the node group; stored with the node and returned by `observe`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DesiredInfra:
    """The desired infrastructure of one cluster."""

    cluster_id: str
    cluster_name: str
    nodes: tuple[DesiredNode, ...] = ()
    network: str | None = None
    """The network that the user named (`fixed_network`); None: a new private network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ObservedInfra:
    """The observed infrastructure of one cluster."""

    network_id: str | None = None
    nodes: tuple[NodeObserved, ...] = ()
    conditions: tuple[Condition, ...] = field(default=())
    troubles: tuple[str, ...] = ()
    """What somebody has removed outside this service, as clauses of a sentence; `ensure` repairs it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderSettings:
    """What a provider is made from."""

    installation: str
    """The tag that tells what this service made from what others made."""
    clock: Clock
    docker_url: str | None = None
    """The Docker Engine (None: the environment's, else the local socket)."""


class Provider(Protocol):
    """Creates, observes and removes the infrastructure of clusters."""

    @classmethod
    def from_settings(cls, settings: ProviderSettings) -> Self:
        """A provider with these settings. Nothing is sent yet."""
        ...

    @property
    def catalog(self) -> Catalog:
        """The images, flavours and networks that templates and clusters may name."""
        ...

    async def reserve(self, want: DesiredInfra) -> dict[str, str]:
        """Create the network and reserve an address for each desired node; return addresses by node uuid.

        A node keeps its address in every call, as long as the cluster exists.
        """
        ...

    def ensure(self, want: DesiredInfra, scripts: dict[str, NodeScript]) -> AsyncGenerator[ObservedInfra, None]:
        """Create missing resources in parallel; yield the observed state after each step.

        `scripts` is by node uuid and needs to contain only nodes that may have to be created. A stopped node is
        started. Nodes that are not desired are not touched. The last state that is yielded has every desired node
        running, with its address.
        """
        ...

    async def observe(self, cluster_id: str) -> ObservedInfra:
        """Return what really exists of the cluster, found by tag.

        A node with only some resources left, such as its disk, may be shown as gone: `remove` removes them.
        """
        ...

    async def remove(self, cluster_id: str, node_uuids: Sequence[str]) -> None:
        """Remove these nodes and all their resources. Nodes that are gone already are no error."""
        ...

    async def destroy(self, cluster_id: str) -> None:
        """Remove everything with the cluster's tag: nodes, volumes, the network, in that order."""
        ...

    async def list_owned(self) -> Sequence[str]:
        """Return the uuids of all clusters with any resource, found by tag. For the reaper."""
        ...

    async def limits(self) -> Sequence[Condition]:
        """Return the limitations of this machine or cloud as conditions. Called from time to time."""
        ...

    async def close(self) -> None:
        """Close connections. The resources of clusters are not touched."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class HostCapacity:
    """The machine that nodes run on: its free memory and disk, and the networks that are in use."""

    networks: tuple[tuple[IPv4Network, str], ...] = ()
    """Each with a description that any user may read."""
    memory: int | None = None
    """Free memory in MiB; None: unknown."""
    disk: float | None = None
    """Free disk in GiB; None: unknown."""


@runtime_checkable
class HasHostCapacity(Protocol):
    """Optional: the provider's nodes share one machine, whose capacity is known."""

    async def observe_capacity(self) -> HostCapacity:
        """Return the present capacity of the machine."""
        ...


@runtime_checkable
class SupportsRebuild(Protocol):
    """Optional: the provider can rebuild a node in place."""

    async def rebuild(self, want: DesiredInfra, node_uuid: str, script: NodeScript) -> None:
        """Replace the node's server by one of the desired image, flavour and build.

        Its disk and its address are kept. A node that is gone is created. After an interruption it can be called again;
        meanwhile `observe` shows the old node, a node that is gone, or the new one.
        """
        ...


@runtime_checkable
class SupportsDiagnosis(Protocol):
    """Optional: the provider can look into a node, whatever the state of its cluster."""

    async def diagnose(self, cluster_id: str, node_uuid: str, script: NodeScript) -> str:
        """Return which program of the node keeps exiting and what it printed last; often empty. Users may read it.

        `script` is the node's script. It takes some seconds at most. Raises `DriverError` for a node that cannot be
        reached.
        """
        ...


@runtime_checkable
class SupportsScriptRenewal(Protocol):
    """Optional: the provider can give a running node another script."""

    async def renew(self, cluster_id: str, node_uuid: str, script: NodeScript) -> None:
        """Write the script's files into the node and make it load them: with `reload`, or else with a restart.

        Its disk and its address are kept. A node that is gone is no error. After an interruption it can be called
        again.
        """
        ...
