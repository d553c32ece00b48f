"""The contract of COEs: what runs on a cluster's nodes and makes them one cluster.

A COE creates no servers. It returns a `NodeScript` that makes a server a node, and then uses the cluster's own API.
Every method may be called again after it was interrupted. `Temporary` means *not yet*: the loop calls again soon,
until the cluster's deadline. Neighbours: `kubernetes`, `swarm` and `fake` implement it, the conductor calls it.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any, Protocol, Self, runtime_checkable

from jeroboam.domain.bay_containers import ContainerAction
from jeroboam.domain.bay_manifests import BayManifestKind, ManifestState
from jeroboam.domain.clusters import MASTER, Health, TemplateSpec
from jeroboam.domain.conditions import Condition
from jeroboam.domain.containers import RuntimeState
from jeroboam.domain.nodes import NodeScript, OpenPort
from jeroboam.domain.ports import ExecResult
from jeroboam.domain.progress import UNWATCHED, Progress
from jeroboam.kit.clock import Clock


@dataclass(frozen=True, kw_only=True, slots=True)
class Authority:
    """A certificate authority with its key, in memory only. `repr` shows no key."""

    pem: str
    key: bytes = field(repr=False)
    """PKCS#8 PEM."""
    peers: tuple["Authority", ...] = ()
    """During a rotation: other authorities whose certificates are trusted too."""

    @property
    def trust_bundle(self) -> str:
        """The certificates of this authority and of the others, in PEM."""
        return "".join(authority.pem for authority in (self, *self.peers))

    @property
    def newest(self) -> "Authority":
        """During a rotation: the authority that replaces the old one. Otherwise this one."""
        return (*self.peers, self)[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A node as a COE sees it."""

    uuid: str
    name: str
    role: str
    """`master` or `worker`."""
    group: str
    address: str
    labels: dict[str, str] = field(default_factory=dict)
    taints: tuple[dict[str, str], ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    """The labels of the node's group in the published API: settings of the COE, not labels of the node."""
    build: int = 0
    """The build of the node group that the node has; in a plan to boot from, the build that it will have."""
    floating_address: str | None = None
    """The node's address outside the cluster's network; None without one."""
    provider_id: str | None = None
    """The id by which programs of the cluster find the node's server; None if it is not known yet."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses at which the node answers, for its certificates."""
        return (self.address,) if self.floating_address is None else (self.address, self.floating_address)


@dataclass(frozen=True, kw_only=True, slots=True)
class CoePlan:
    """Everything that a COE knows about one cluster."""

    cluster_id: str
    cluster_name: str
    template: TemplateSpec
    labels: dict[str, str]
    members: tuple[Member, ...]
    """Every node that should be in the cluster, masters first, with its reserved address."""
    authorities: dict[str, Authority]
    """By kind, `main` always."""
    balancer: str | None = None
    """The address of the load balancer in front of the masters; None without one."""
    balancer_floating_address: str | None = None
    """Its address outside the cluster's network; None without one."""

    @property
    def balancer_addresses(self) -> tuple[str, ...]:
        """All addresses at which the load balancer answers, for certificates."""
        return tuple(filter(None, (self.balancer, self.balancer_floating_address)))

    @property
    def masters(self) -> tuple[Member, ...]:
        """The members with the role `master`."""
        return tuple(member for member in self.members if member.role == MASTER)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberState:
    """The state of one node, as the cluster's own API shows it."""

    uuid: str
    ready: bool
    reason: str = ""
    since: dt.datetime | None = None
    """Since when the node is not ready; None when the cluster does not know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CoeObserved:
    """The state of the cluster, as its own API shows it."""

    api_address: str
    members: tuple[MemberState, ...]
    """One for each planned member. A member that the cluster does not know is not ready, with that reason."""
    strangers: tuple[str, ...] = ()
    """Names of nodes that are in the cluster and not in the plan."""
    coe_version: str | None = None
    container_version: str | None = None
    health: Health = Health.UNKNOWN
    health_reasons: dict[str, str] = field(default_factory=dict)
    """As the published API shows it: `{"api": "ok", "<node>.Ready": "True"}`."""
    conditions: tuple[Condition, ...] = ()
    due: tuple[str, ...] = ()
    """Uuids of members whose own certificates expire within months: they need a new script and have to load it."""


def describe_unready(plan: CoePlan, states: Sequence[MemberState]) -> list[str]:
    """Return a text for each member that is not ready, with the reason."""
    names = {member.uuid: member.name for member in plan.members}
    return [f"{names[state.uuid]}: {state.reason or 'not ready'}" for state in states if not state.ready]


@dataclass(frozen=True, kw_only=True, slots=True)
class CoeSettings:
    """What a COE is made from."""

    clock: Clock


class Coe(Protocol):
    """Makes nodes one cluster. A method that takes a `Progress` reports there what it waits for."""

    @classmethod
    def from_settings(cls, settings: CoeSettings) -> Self:
        """A COE with these settings. Nothing is sent yet."""
        ...

    @property
    def authorities(self) -> Sequence[str]:
        """The kinds of certificate authority that a cluster needs; `main` is the first."""
        ...

    def check(self, template: TemplateSpec) -> None:
        """Raise `Invalid` for labels and fields that this COE does not support; the text names the field."""
        ...

    def build_script(self, plan: CoePlan, member: Member) -> NodeScript:
        """Return the script that the node boots with. Pure: the same plan gives an equivalent script."""
        ...

    async def join(self, plan: CoePlan, progress: Progress = UNWATCHED) -> CoeObserved:
        """Join every planned member that is not in the cluster yet and can be; return the new state."""
        ...

    async def observe(self, plan: CoePlan) -> CoeObserved:
        """Return the state of the cluster without changing it. Raises `Temporary` when its API does not answer."""
        ...

    async def leave(self, plan: CoePlan, names: Sequence[str], progress: Progress = UNWATCHED) -> None:
        """Remove these nodes: drain them, wait until their work runs elsewhere or time is up, delete them.

        Unknown names and nodes that do not answer are no error.
        """
        ...


@runtime_checkable
class SupportsImageVersions(Protocol):
    """Optional: a label of the cluster selects the version of the node image."""

    @property
    def version_label(self) -> str:
        """The label that has the version."""
        ...

    def image(self, ref: str, labels: dict[str, str]) -> str:
        """Return the image to boot from, given the template's image and the labels of the cluster or node group."""
        ...


@runtime_checkable
class HasRequirements(Protocol):
    """Optional: the COE's nodes need memory and disk of their own, and its clusters have networks inside."""

    @property
    def disk(self) -> float:
        """The disk space that a node uses before it runs any work, in GiB."""
        ...

    def memory(self, role: str) -> int:
        """The memory that a node of that role uses before it runs any work, in MiB."""
        ...

    def networks(self, labels: Mapping[str, str]) -> Mapping[str, IPv4Network]:
        """The networks inside a cluster with these labels, by the label that sets each."""
        ...


@runtime_checkable
class HasOpenPorts(Protocol):
    """Optional: the COE knows which ports of its nodes have to be reached from outside the cluster."""

    def list_open_ports(self, template: TemplateSpec, role: str) -> Sequence[OpenPort]:
        """Return the ports of a node of that role; `load-balancer` is one of the roles."""
        ...


@runtime_checkable
class SupportsRollout(Protocol):
    """Optional: nodes of the COE can be rebuilt while the cluster runs."""

    @property
    def node_options(self) -> frozenset[str]:
        """The options that are part of a node: only a change of these rebuilds nodes."""
        ...

    @property
    def master_options(self) -> frozenset[str]:
        """The node options that are part of masters only."""
        ...

    def check_change(self, old: TemplateSpec, new: TemplateSpec) -> None:
        """Raise `Invalid` for a change that nodes cannot make with the disks they have; the text names the field."""
        ...

    async def drain(self, plan: CoePlan, uuids: Sequence[str], progress: Progress = UNWATCHED) -> None:
        """Move the work of these members away, until none is left or time is up, and accept no new work.

        The drain ends when `join` finds the member ready. A member that does not answer, or is the only one, is no
        error.
        """
        ...


@runtime_checkable
class SupportsLoadBalancer(Protocol):
    """Optional: the COE supports several masters behind a load balancer, which is a server of its own."""

    @property
    def balancer_image(self) -> str:
        """The image that the load balancer boots from."""
        ...

    def build_balancer_script(self, plan: CoePlan) -> NodeScript:
        """Return the script of the load balancer. Pure; it is valid as long as the masters are the same."""
        ...


@runtime_checkable
class SupportsEarlyJoin(Protocol):
    """Optional: nodes that are up can join while other nodes are still being created."""

    async def admit_joining_nodes(self, plan: CoePlan) -> None:
        """Give new members what they wait for, until the task is cancelled.

        Raises `DriverError` when the cluster cannot be reached; `join` runs afterwards and reports what is wrong.
        """
        ...


@runtime_checkable
class SupportsRotation(Protocol):
    """Optional: the certificate authorities of a cluster can be replaced."""

    @property
    def rotatable_authorities(self) -> Sequence[str]:
        """The kinds of authorities that can be replaced; `main` is one of them."""
        ...

    async def list_stale_members(self, plan: CoePlan, authorities: Mapping[str, Authority]) -> Sequence[str]:
        """Return uuids of members that do not use these authorities yet, in the order in which they need a new script.

        Such a member shows a certificate of another authority, or refuses those of a trusted one. The nodes themselves
        are asked, over the plan's own authorities. Raises `Temporary` while one of them does not answer.
        """
        ...

    async def announce_authorities(self, plan: CoePlan) -> None:
        """Make the work in the cluster use the plan's authorities, which every member has already."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class DesiredContainer:
    """A container that should exist inside a cluster."""

    uuid: str
    """Set by us as a label. Only containers with the label are ever changed or removed."""
    name: str
    image: str
    command: tuple[str, ...] = ()
    """Empty: the image's own command."""
    memory: int | None = None
    """The limit, in bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BayContainerState:
    """A container inside a cluster, as the cluster's own API shows it."""

    state: RuntimeState
    started_at: dt.datetime | None = None
    """The time of the last start; two starts never have the same time."""


@runtime_checkable
class SupportsContainers(Protocol):
    """Optional: the COE runs single containers, which can be paused, have commands run in them and keep logs.

    A container may be on one of several nodes. Every method raises `Temporary` while one of these nodes does not answer
    and the others do not have the container: nobody knows then whether it exists.
    """

    async def create(self, plan: CoePlan, want: DesiredContainer) -> BayContainerState:
        """Create the container, and pull its image if it is missing. An existing container is not changed."""
        ...

    async def inspect(self, plan: CoePlan, uuid: str) -> BayContainerState | None:
        """Return the container's state; None when the cluster has no such container."""
        ...

    async def act(self, plan: CoePlan, uuid: str, act: ContainerAction) -> BayContainerState:
        """Start, stop, reboot, pause or unpause it. No error when it has that state already; one when it is gone."""
        ...

    async def remove(self, plan: CoePlan, uuid: str) -> None:
        """Remove the container in any state. A container that is gone is no error."""
        ...

    async def list_owned(self, plan: CoePlan) -> Sequence[str]:
        """Return the uuids of all containers that we have created there."""
        ...

    async def logs(self, plan: CoePlan, uuid: str) -> str | None:
        """Return its output, both streams in the order in which they came; None when there is no such container."""
        ...

    async def execute(self, plan: CoePlan, uuid: str, command: Sequence[str], *, limit: float) -> ExecResult | None:
        """Run a command in it and wait for its end; None when there is no such container.

        Raises `Permanent` for a command that takes more than `limit` seconds; it may still run there.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class DesiredManifest:
    """A Kubernetes object that should exist inside a cluster as its manifest says."""

    uuid: str
    """Set by us as a label. Only objects with the label are ever changed or removed."""
    kind: BayManifestKind
    name: str
    manifest: Mapping[str, Any]


class ManifestClient(Protocol):
    """The objects inside clusters that are created from manifests."""

    async def check(self, plan: CoePlan, want: DesiredManifest) -> None:
        """Raise `Permanent` with the cluster's message when it would refuse the manifest; nothing is changed."""
        ...

    async def apply(self, plan: CoePlan, want: DesiredManifest) -> ManifestState:
        """Create or update the object from its manifest. Fields that others set and the manifest omits are kept."""
        ...

    async def inspect(self, plan: CoePlan) -> Mapping[str, ManifestState]:
        """Return the state of all objects that we have created, by uuid."""
        ...

    async def list_owned(self, plan: CoePlan) -> Sequence[str]:
        """Return the uuids of all objects that we have created."""
        ...

    async def remove(self, plan: CoePlan, uuid: str) -> None:
        """Remove the object and all that it owns; one that is gone is no error. Raises `Temporary` until it is gone."""
        ...


@runtime_checkable
class SupportsManifests(Protocol):
    """Optional: the COE accepts Kubernetes manifests."""

    @property
    def manifests(self) -> ManifestClient: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupShape:
    """A group of workers that may grow: how the cluster would see one more node of it."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    taints: tuple[dict[str, str], ...] = ()
    room: int = 0
    """How many more nodes it may have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeDemand:
    """The work that a cluster has no room for, and the nodes without work."""

    unschedulable: tuple[str, ...] = ()
    """Names of the work that finds no room."""
    extra_nodes: dict[str, int] = field(default_factory=dict)
    """By group, how many more nodes would give it room, as far as the group may grow."""
    protected_groups: frozenset[str] = frozenset()
    """Names of the groups that could run it: none of their nodes should be removed now."""
    idle: frozenset[str] = frozenset()
    """Uuids of the workers that run nothing but system pods."""


@runtime_checkable
class SupportsScaling(Protocol):
    """Optional: the COE knows how much work waits in its cluster."""

    async def observe_demand(self, plan: CoePlan, groups: Sequence[GroupShape]) -> NodeDemand:
        """Return the cluster's present demand. Raises `Temporary` when its API does not answer."""
        ...
