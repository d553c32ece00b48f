"""The contract of providers: where the nodes of clusters come from.

A provider makes servers and a network for a cluster, and knows nothing of what runs on them: the COE hands it one
`NodeScript` a node. Every method may be called again from any half-made state and does what is still to do.
Everything a provider makes carries the cluster's uuid as a tag, and only what carries a tag is ever removed.
All methods raise `Temporary` or `Permanent` (jeroboam.domain.errors) with a reason fit for a user's eyes.
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
    """The COEs that can boot from it; empty means that nobody said."""
    version: str = ""
    """Of what its nodes run, where the image says so: `v1.36.3` of Kubernetes."""
    lacking: str = ""
    """Why no node can boot from it yet, and the command that helps; empty when one can."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flavor:
    """A size of nodes: cores, memory in MiB, root disk in GiB (0: no limit of its own)."""

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
        """The versions of the image of that name that nodes can boot from now; none for one without versions."""
        ...

    async def flavor(self, ref: str) -> Flavor | None: ...

    async def networks(self, ref: str) -> Sequence[Network]:
        """All networks of that id or name: more than one means that the name is ambiguous."""
        ...

    async def subnets(self, ref: str) -> Sequence[Subnet]:
        """All subnets of that id or name."""
        ...

    async def has_keypair(self, ref: str, user_id: str) -> bool: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class DesiredNode:
    """One node to make."""

    uuid: str
    name: str
    group: str
    role: str
    image: str
    flavor: str
    docker_volume_size: int | None = None
    """GiB for the engine's data; None is no limit of its own."""
    build: int = 0
    """The build of the group that it is to be of; kept with what is made, and shown by `observe`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DesiredInfra:
    """All the infrastructure of one cluster, as it should be."""

    cluster_id: str
    cluster_name: str
    nodes: tuple[DesiredNode, ...] = ()
    network: str | None = None
    """A network that the user asked for (`fixed_network`); None makes a private one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ObservedInfra:
    """What a provider saw of a cluster."""

    network_id: str | None = None
    nodes: tuple[NodeObserved, ...] = ()
    conditions: tuple[Condition, ...] = field(default=())
    troubles: tuple[str, ...] = ()
    """What somebody has taken away from it outside this service, in clauses; `ensure` mends that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderSettings:
    """What a provider is made from."""

    installation: str
    """The tag that tells what this service made from what others made."""
    clock: Clock
    docker_url: str | None = None
    """The Docker Engine (None: the environment's, else the local socket)."""


class Provider(Protocol):
    """Makes, shows and removes the infrastructure of clusters."""

    @classmethod
    def from_settings(cls, settings: ProviderSettings) -> Self:
        """A provider with these settings. Nothing is sent yet."""
        ...

    @property
    def catalog(self) -> Catalog:
        """What may be named in templates and clusters."""
        ...

    async def reserve(self, want: DesiredInfra) -> dict[str, str]:
        """Make the network and give each wanted node its address: `{node uuid: address}`.

        The same node has the same address in every call, for as long as the cluster lives.
        """
        ...

    def ensure(self, want: DesiredInfra, scripts: dict[str, NodeScript]) -> AsyncGenerator[ObservedInfra, None]:
        """Make what is wanted and is not there, in parallel; yield what exists each time that more of it does.

        `scripts` is by node uuid and needs to hold only nodes that may have to be made. A node that exists but
        stands still is started. Nodes that are not wanted are left alone. The last thing yielded has every wanted
        node, with its address, running.
        """
        ...

    async def observe(self, cluster_id: str) -> ObservedInfra:
        """What really exists of the cluster, asked of the real thing by tag.

        A node of which only something is left, such as its disk, may be shown as gone: `remove` clears it away.
        """
        ...

    async def remove(self, cluster_id: str, node_uuids: Sequence[str]) -> None:
        """Remove these nodes and all that was made for them. Nodes that are gone already are no error."""
        ...

    async def destroy(self, cluster_id: str) -> None:
        """Remove everything with the cluster's tag: nodes, volumes, the network, in that order."""
        ...

    async def owned(self) -> Sequence[str]:
        """Uuids of all clusters of which anything exists, by tag. For the reaper."""
        ...

    async def limits(self) -> Sequence[Condition]:
        """What this machine or cloud cannot give to clusters, as conditions; asked once in a while."""
        ...

    async def close(self) -> None:
        """Give back connections. Nothing that was made is touched."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class HostCapacity:
    """Where nodes are made: what is left there, and which addresses somebody has."""

    networks: tuple[tuple[IPv4Network, str], ...] = ()
    """Each with what it is, fit for any user's eyes."""
    memory: int | None = None
    """MiB left; None where nobody knows."""
    disk: float | None = None
    """GiB left."""


@runtime_checkable
class HasHostCapacity(Protocol):
    """What a provider can say besides whose nodes share one machine."""

    async def surroundings(self) -> HostCapacity:
        """As it is now."""
        ...


@runtime_checkable
class SupportsRebuild(Protocol):
    """What a provider can do besides that makes a node anew in its place."""

    async def rebuild(self, want: DesiredInfra, node_uuid: str, script: NodeScript) -> None:
        """End what stands for that node of the want, and start a server of the wanted image, flavour and build.

        Its disk and its address stay. A node that is gone is made. Broken off at any point it can be called again:
        in between `observe` shows the node as it was, as gone, or as it is to be.
        """
        ...


@runtime_checkable
class SupportsDiagnosis(Protocol):
    """What a provider can do besides that reaches into a node, whatever the cluster on it does."""

    async def diagnose(self, cluster_id: str, node_uuid: str, script: NodeScript) -> str:
        """Which program of that node keeps ending and what it printed last, fit for a user's eyes; often nothing.

        `script` says how the node boots. It takes some seconds at most. Raises `DriverError` for a node that cannot be
        reached.
        """
        ...


@runtime_checkable
class SupportsScriptRenewal(Protocol):
    """What a provider can do besides that gives a node another script while it lives."""

    async def renew(self, cluster_id: str, node_uuid: str, script: NodeScript) -> None:
        """Lay the script's files into the node and have it take them up: by `reload`, or else by a restart.

        Its disk and its address stay.

        A node that is gone is no error. Broken off at any point it can be called again.
        """
        ...
