"""The contract of COEs: what runs on a cluster's nodes and makes them one cluster.

A COE never makes servers: it says in a `NodeScript` how one becomes a node, and from then on talks to the
cluster's own API. Every method may be called again from any half-made state. `Temporary` means *not yet*: the
loop asks again soon, until the cluster's deadline.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any, Protocol, runtime_checkable

from jeroboam.domain.bay_containers import ContainerAction
from jeroboam.domain.bay_manifests import BayManifestKind, ManifestState
from jeroboam.domain.clusters import MASTER, Health, TemplateSpec
from jeroboam.domain.conditions import Condition
from jeroboam.domain.containers import RuntimeState
from jeroboam.domain.nodes import NodeScript
from jeroboam.domain.ports import ExecResult
from jeroboam.domain.progress import UNWATCHED, Progress


@dataclass(frozen=True, kw_only=True, slots=True)
class Authority:
    """A certificate authority with its key, in memory only. `repr` shows no key."""

    pem: str
    key: bytes = field(repr=False)
    """PKCS#8 PEM."""
    also: tuple["Authority", ...] = ()
    """Others whose certificates count as much as its own, while one takes the place of another."""

    @property
    def trusted(self) -> str:
        """The certificates of all of them, in PEM."""
        return "".join(authority.pem for authority in (self, *self.also))

    @property
    def newest(self) -> "Authority":
        """The one that takes the place of the other, while one does; else this one."""
        return (*self.also, self)[0]


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
    """What the published API calls the labels of the node's group: settings, not marks."""
    build: int = 0
    """The build of its group that it is of; in a plan to boot from, the one that it is to be of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CoePlan:
    """All that a COE may know of one cluster."""

    cluster_id: str
    cluster_name: str
    template: TemplateSpec
    labels: dict[str, str]
    members: tuple[Member, ...]
    """Every node that should be in the cluster, masters first, with its reserved address."""
    authorities: dict[str, Authority]
    """By kind, `main` always."""
    balancer: str | None = None
    """The address of the load balancer before the masters; None where there is none."""

    @property
    def masters(self) -> tuple[Member, ...]:
        """Those of the members that are."""
        return tuple(member for member in self.members if member.role == MASTER)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberState:
    """What the cluster's own API says of one node."""

    uuid: str
    ready: bool
    reason: str = ""
    since: dt.datetime | None = None
    """Since when it is not ready, where the cluster knows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CoeObserved:
    """What the cluster's own API said."""

    api_address: str
    members: tuple[MemberState, ...]
    """One for each planned member; one that the cluster does not know is not ready and says so."""
    strangers: tuple[str, ...] = ()
    """Names of members that the cluster has and the plan has not."""
    coe_version: str | None = None
    container_version: str | None = None
    health: Health = Health.UNKNOWN
    health_reasons: dict[str, str] = field(default_factory=dict)
    """As the published API shows it: `{"api": "ok", "<node>.Ready": "True"}`."""
    conditions: tuple[Condition, ...] = ()
    due: tuple[str, ...] = ()
    """Uuids of members whose own certificates end within months: they need their script again, and to take it up."""


def describe_unready(plan: CoePlan, states: Sequence[MemberState]) -> list[str]:
    """Each member that is not ready, with the reason."""
    names = {member.uuid: member.name for member in plan.members}
    return [f"{names[state.uuid]}: {state.reason or 'not ready'}" for state in states if not state.ready]


class Coe(Protocol):
    """Makes nodes one cluster. Where a method takes a `Progress`, it tells there what it waits for meanwhile."""

    @property
    def authorities(self) -> Sequence[str]:
        """The kinds of certificate authority that a cluster needs; `main` is the first."""
        ...

    def check(self, template: TemplateSpec) -> None:
        """Raise `Invalid` for labels and fields that this COE cannot honour; the text names the field."""
        ...

    def script(self, plan: CoePlan, member: Member) -> NodeScript:
        """How that node boots. Pure: the same plan gives a script that is as good as the last one."""
        ...

    async def join(self, plan: CoePlan, progress: Progress = UNWATCHED) -> CoeObserved:
        """Bring every planned member into the cluster that is not in it and can be; say what is there now."""
        ...

    async def observe(self, plan: CoePlan) -> CoeObserved:
        """What the cluster says, changing nothing. Raises `Temporary` when its API does not answer."""
        ...

    async def leave(self, plan: CoePlan, names: Sequence[str], progress: Progress = UNWATCHED) -> None:
        """Take these nodes out: drain, wait until their work runs elsewhere or time is up, forget them.

        Names that the cluster does not know, and nodes that do not answer, are no error.
        """
        ...


@runtime_checkable
class SupportsImageVersions(Protocol):
    """What a COE can do besides whose labels say which version of a node image its nodes boot from."""

    @property
    def version_label(self) -> str:
        """The label that says the version."""
        ...

    def image(self, ref: str, labels: dict[str, str]) -> str:
        """The image to boot from, by what the template names and by the labels of the cluster or the group."""
        ...


@runtime_checkable
class HasRequirements(Protocol):
    """What a COE can say besides whose nodes take more than a flavour may give, and have networks inside."""

    @property
    def disk(self) -> float:
        """What a node writes before it runs anything, in GiB."""
        ...

    def memory(self, role: str) -> int:
        """What a node of that role takes before it runs anything, in MiB."""
        ...

    def networks(self, labels: Mapping[str, str]) -> Mapping[str, IPv4Network]:
        """The networks inside a cluster with these labels, by the label that names each."""
        ...


@runtime_checkable
class SupportsRollout(Protocol):
    """What a COE can do besides whose nodes may be made anew under the work that runs on them."""

    @property
    def node_options(self) -> frozenset[str]:
        """The options that nodes are made from: a change of another one makes no node anew."""
        ...

    @property
    def master_options(self) -> frozenset[str]:
        """Those of them that only masters are made from."""
        ...

    def check_change(self, old: TemplateSpec, new: TemplateSpec) -> None:
        """Raise `Invalid` for a change that nodes cannot go through on their disks; the text names the field."""
        ...

    async def drain(self, plan: CoePlan, uuids: Sequence[str], progress: Progress = UNWATCHED) -> None:
        """Have the work of these members move away, until none is left or time is up, and no new work come.

        It lasts until `join` finds the member ready. Members that do not answer, or are alone, are no error.
        """
        ...


@runtime_checkable
class SupportsLoadBalancer(Protocol):
    """What a COE can do besides whose masters may stand behind a load balancer, which is a server of its own."""

    @property
    def balancer_image(self) -> str:
        """What it boots from."""
        ...

    def balancer(self, plan: CoePlan) -> NodeScript:
        """How it boots. Pure; it holds for as long as the masters are the same."""
        ...


@runtime_checkable
class SupportsEarlyJoin(Protocol):
    """What a COE can do besides for nodes that are up while others are still being made."""

    async def welcome(self, plan: CoePlan) -> None:
        """Give members what they wait for as they come, until it is cancelled.

        Raises `DriverError` when the cluster cannot be spoken to; `join` comes afterwards and says what is wrong.
        """
        ...


@runtime_checkable
class SupportsRotation(Protocol):
    """What a COE can do besides whose clusters may get another authority."""

    @property
    def rotating(self) -> Sequence[str]:
        """The kinds of authorities that are replaced; `main` is one."""
        ...

    async def stale(self, plan: CoePlan, authorities: Mapping[str, Authority]) -> Sequence[str]:
        """Uuids of members that do not show certificates of these authorities, or refuse those of one beside them.

        They need a script with those authorities, and to take it up, in this order. Asked of the nodes themselves,
        which the plan's own authorities can speak to. Raises `Temporary` while one of them does not answer.
        """
        ...

    async def announce(self, plan: CoePlan) -> None:
        """Have what runs in the cluster learn of the plan's authorities, which every member has taken up."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class DesiredContainer:
    """A container that should exist inside a cluster."""

    uuid: str
    """Ours; what is made carries it, and only what carries it is ever changed or removed."""
    name: str
    image: str
    command: tuple[str, ...] = ()
    """Empty: the image's own."""
    memory: int | None = None
    """A limit, in octets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BayContainerState:
    """A container inside a cluster, as the cluster's own API shows it."""

    state: RuntimeState
    started_at: dt.datetime | None = None
    """When it was last started; each start has another."""


@runtime_checkable
class SupportsContainers(Protocol):
    """What a COE can do besides that holds single containers, which can be paused, entered and read.

    The cluster answers from where such a container may be; while a part of that is silent and the container is not
    in the rest, nobody knows whether it exists, and every method raises `Temporary`.
    """

    async def make(self, plan: CoePlan, want: DesiredContainer) -> BayContainerState:
        """Have the container, with its image brought in if it is not there; one that exists is left as it is."""
        ...

    async def look(self, plan: CoePlan, uuid: str) -> BayContainerState | None:
        """What it is now; None when the cluster has no such container."""
        ...

    async def act(self, plan: CoePlan, uuid: str, act: ContainerAction) -> BayContainerState:
        """Start, stop, reboot, pause or unpause it. One that is so already is no error; one that is gone is one."""
        ...

    async def remove(self, plan: CoePlan, uuid: str) -> None:
        """Have no such container, whatever it does. One that is gone is no error."""
        ...

    async def owned(self, plan: CoePlan) -> Sequence[str]:
        """Uuids of all the containers that were made here."""
        ...

    async def logs(self, plan: CoePlan, uuid: str) -> str | None:
        """What it printed, both streams as they came in; None when there is no such container."""
        ...

    async def execute(self, plan: CoePlan, uuid: str, command: Sequence[str], *, limit: float) -> ExecResult | None:
        """Run a command in it to its end; None when there is no such container.

        Raises `Permanent` for one that takes more than so many seconds; it may go on there.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class DesiredManifest:
    """An object of Kubernetes that should exist inside a cluster as its manifest says."""

    uuid: str
    """Ours; what is made carries it, and only what carries it is ever changed or removed."""
    kind: BayManifestKind
    name: str
    manifest: Mapping[str, Any]


class ManifestClient(Protocol):
    """The objects inside clusters that manifests make."""

    async def check(self, plan: CoePlan, want: DesiredManifest) -> None:
        """Raise `Permanent`, in the cluster's words, for what `have` would be refused; nothing is changed."""
        ...

    async def have(self, plan: CoePlan, want: DesiredManifest) -> ManifestState:
        """Have the object, as the manifest says now. Fields that others set and it does not name stay as they are."""
        ...

    async def look(self, plan: CoePlan) -> Mapping[str, ManifestState]:
        """All the objects that were made here, by uuid."""
        ...

    async def owned(self, plan: CoePlan) -> Sequence[str]:
        """Their uuids."""
        ...

    async def remove(self, plan: CoePlan, uuid: str) -> None:
        """Have no such object and nothing that it made; one that is gone is no error. Raises `Temporary` until so."""
        ...


@runtime_checkable
class SupportsManifests(Protocol):
    """What a COE can do besides that speaks Kubernetes."""

    @property
    def manifests(self) -> ManifestClient: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupShape:
    """A group of workers that may grow: what the cluster would take one more node of it for."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    taints: tuple[dict[str, str], ...] = ()
    room: int = 0
    """How many nodes more it may have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeDemand:
    """What work a cluster has no room for, and which nodes have none."""

    waiting: tuple[str, ...] = ()
    """What finds no room, by name."""
    more: dict[str, int] = field(default_factory=dict)
    """How many nodes more of which group would give it some, within the room of the groups."""
    held: frozenset[str] = frozenset()
    """Names of the groups that it could run in: none of their nodes should go now."""
    idle: frozenset[str] = frozenset()
    """Uuids of the workers with no work but their own."""


@runtime_checkable
class SupportsScaling(Protocol):
    """What a COE can do besides that knows how much work its cluster has."""

    async def demand(self, plan: CoePlan, groups: Sequence[GroupShape]) -> NodeDemand:
        """What the cluster says now. Raises `Temporary` when its API does not answer."""
        ...
