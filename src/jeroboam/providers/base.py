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
from jeroboam.domain.nodes import NodeScript, OpenPort
from jeroboam.kit.clock import Clock


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudUser:
    """A user in a project, as whom a provider looks up and creates what others may not see. It holds no token."""

    project_id: str
    user_id: str


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
    network_id: str


class Catalog(Protocol):
    """What templates and clusters may name, as one user sees it. A `ref` is an id or a name."""

    async def image(self, ref: str) -> Image | None:
        """Return the image. Raises `Conflict` (jeroboam.domain.errors) if several images have that name."""
        ...

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

    async def has_keypair(self, ref: str) -> bool:
        """Whether the user has a key pair of that name. Those of other users in the project do not count."""
        ...

    async def availability_zones(self) -> Sequence[str]:
        """Return the names of the zones that servers can be in."""
        ...

    async def volume_types(self) -> Sequence[str]:
        """Return the names and ids of the volume types that the project may use."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class DesiredNode:
    """One node that should exist. Volumes have their sizes in GiB; a type of None is the default of the cloud."""

    uuid: str
    name: str
    group: str
    role: str
    image: str
    flavor: str
    availability_zone: str | None = None
    """None: the cloud chooses."""
    boot_volume_size: int | None = None
    """The node boots from a volume of that size; None: from the disk of its flavour."""
    boot_volume_type: str | None = None
    docker_volume_size: int | None = None
    """The volume for the engine's data; None: no volume of its own, and no limit."""
    docker_volume_type: str | None = None
    etcd_volume_size: int | None = None
    """The volume for etcd's data, of masters only; None: no volume of its own."""
    etcd_volume_type: str | None = None
    floating_ip_enabled: bool = False
    """Whether the node has an address outside the cluster's network, from the external network."""
    open_ports: tuple[OpenPort, ...] = ()
    """What its security group admits from outside. Between the nodes of a cluster everything is admitted."""
    build: int = 0
    """The build of the node group; stored with the node and returned by `observe`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DesiredLoadBalancer:
    """The load balancer in front of the masters.

    The node with the role `load-balancer` is its server. A provider may create a load balancer of the cloud in its
    place, which listens on the open ports of that node, and shows it as that node. The settings are for the cloud's
    own load balancers; a provider without these ignores them.
    """

    uuid: str
    """Its address has this uuid in what `reserve` and `observe` return. A single server has the same."""
    allowed_cidrs: tuple[str, ...] = ()
    """Who may connect; empty: everybody."""
    octavia_provider: str | None = None
    octavia_lb_algorithm: str | None = None
    octavia_lb_healthcheck: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class DesiredInfra:
    """The desired infrastructure of one cluster. What it names was visible to its owner when the wish was stored."""

    cluster_id: str
    cluster_name: str
    owner: CloudUser
    """Who created the cluster. The user may be gone; the project is what its resources belong to."""
    nodes: tuple[DesiredNode, ...] = ()
    server_type: str = "vm"
    """`vm` or `bm`."""
    keypair: str | None = None
    """A key pair of the owner. It counts when a node is created; nodes that exist do not need it."""
    external_network_id: str | None = None
    """The id or name of the network of floating addresses, and the way out of a new private network."""
    fixed_network: str | None = None
    """The network that the user named; None: a new private network, or the network of `fixed_subnet`."""
    fixed_subnet: str | None = None
    """The subnet that the user named; None: a new one in a new network, or any of the named network."""
    fixed_subnet_cidr: str | None = None
    """The addresses of a new subnet; None: the provider chooses."""
    dns_nameservers: tuple[str, ...] = ()
    """The name servers of a new subnet; empty: those of the cloud."""
    load_balancer: DesiredLoadBalancer | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeAddress:
    """The addresses of a node that may not be created yet."""

    address: str
    """In the cluster's network."""
    floating_address: str | None = None
    """Outside of it; None without one."""


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

    def catalog(self, user: CloudUser) -> Catalog:
        """Return what templates and clusters may name, as that user sees it in that project. Nothing is sent yet."""
        ...

    async def reserve(self, want: DesiredInfra) -> dict[str, NodeAddress]:
        """Create the network and reserve the addresses of each desired node; return them by node uuid.

        A node keeps its addresses in every call, as long as the cluster exists.
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
class HasProviderIds(Protocol):
    """Optional: programs of a cluster find the server of a node by an id, as the cluster autoscaler does."""

    def build_provider_id(self, node_uuid: str, server_id: str | None) -> str | None:
        """Return the node's id (`spec.providerID` of Kubernetes); None if it is not known yet.

        It stays the same as long as the server does. `server_id` is the provider's own id of the node; None before the
        node exists.
        """
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
