"""A COE in memory with fault injection.

Neighbours: tests of the conductor. What a cluster's own API would know is a `FakeMembers` by cluster id, which outlives
any `FakeCoe` that uses it. Faults can be injected at stages, which have the names of the contract's methods.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from jeroboam.coes.base import (
    Authority,
    Coe,
    CoeObserved,
    CoePlan,
    CoeSettings,
    GroupShape,
    HasOpenPorts,
    Member,
    MemberState,
    NodeDemand,
    SupportsLoadBalancer,
    SupportsManifests,
    SupportsRollout,
    SupportsRotation,
    SupportsScaling,
    describe_unready,
)
from jeroboam.coes.fake.containers import FakeContainer, FakeContainers
from jeroboam.coes.fake.manifests import FakeManifests, Objects
from jeroboam.domain.clusters import MASTER, WORKER, Health, TemplateSpec
from jeroboam.domain.errors import Invalid, Temporary
from jeroboam.domain.nodes import NodeFile, NodeScript, OpenPort, open_tcp
from jeroboam.domain.progress import UNWATCHED, Progress
from jeroboam.kit.clock import Clock
from jeroboam.kit.faults import Faults

VERSION = "1.0-fake"
API_PORT = 7000
# The files with the authority whose certificate a node shows, and with the ones that it trusts.
SHOWN = "/etc/fake/shown.pem"
TRUSTED = "/etc/fake/trusted.pem"
OPTION = "fake_setting"
"""The label that is a node option."""
MASTER_OPTION = "fake_master_setting"
"""The label that is a master option."""

Scripts = Callable[[str], Mapping[str, NodeScript]]


@dataclass(slots=True)
class FakeMembers:
    """What the API of one cluster knows."""

    names: dict[str, str] = field(default_factory=dict)
    """Names of members, by uuid."""
    plan: CoePlan | None = None
    """The plan with which members joined last."""
    unready: set[str] = field(default_factory=set)
    """Uuids of members that are down."""
    dead: bool = False
    """Whether the API does not answer."""
    removed_names: list[str] = field(default_factory=list)
    """Names of removed members, in order."""
    due: dict[str, NodeScript] = field(default_factory=dict)
    """Members whose certificates expire soon, by uuid, with the script that brought them."""
    announced_bundles: list[str] = field(default_factory=list)
    """The trust bundles that were announced to the work in the cluster, in order."""
    drained_uuids: set[str] = field(default_factory=set)
    """Uuids of members that accept no work."""
    drains: list[tuple[str, ...]] = field(default_factory=list)
    """Names that were drained together, in order."""
    drain_blockers: list[str] = field(default_factory=list)
    """What keeps work on nodes that are being drained."""
    silence: float = 0.0
    """The seconds until a request for containers to a dead API fails."""
    unanswered_count: int = 0
    """The number of requests for containers to a dead API."""
    containers: dict[str, FakeContainer] = field(default_factory=dict)
    """Single containers, by uuid."""
    unschedulable: int = 0
    """The number of pods that find no room, each of which needs a node."""
    protected_groups: set[str] = field(default_factory=set)
    """Names of groups whose nodes should not be removed."""
    idle: set[str] = field(default_factory=set)
    """Uuids of members without work."""
    objects: Objects = field(default_factory=dict)
    """Objects that were created from manifests."""


class FakeCoe(
    FakeContainers,
    Coe,
    HasOpenPorts,
    SupportsRollout,
    SupportsLoadBalancer,
    SupportsRotation,
    SupportsManifests,
    SupportsScaling,
):
    """The contract `Coe` without nodes."""

    def __init__(
        self, *, clock: Clock, clusters: dict[str, FakeMembers] | None = None, scripts: Scripts | None = None
    ) -> None:
        """`scripts` returns the scripts that a cluster's nodes were booted with; None when nobody knows them."""
        self.faults = Faults(clock)
        super().__init__(clock=clock, faults=self.faults, containers_of=self._containers)
        self._manifests = FakeManifests(faults=self.faults, objects_of=self._objects)
        self._scripts = scripts
        self.version = VERSION
        """What clusters run."""
        self.progress: Progress = UNWATCHED
        """The progress that the last drain reports to."""
        self.clusters = {} if clusters is None else clusters

    @classmethod
    def from_settings(cls, settings: CoeSettings) -> Self:
        return cls(clock=settings.clock)

    @property
    def manifests(self) -> FakeManifests:
        return self._manifests

    @property
    def authorities(self) -> Sequence[str]:
        return ("main",)

    def check(self, template: TemplateSpec) -> None:
        if template.network_driver == "unsupported":
            raise Invalid("network_driver unsupported is not supported by the fake.", field="network_driver")

    def list_open_ports(self, template: TemplateSpec, role: str) -> Sequence[OpenPort]:
        return () if role == WORKER else (open_tcp(template.apiserver_port or API_PORT),)

    @property
    def balancer_image(self) -> str:
        return "load-balancer"

    def build_balancer_script(self, plan: CoePlan) -> NodeScript:
        names = " ".join(member.address for member in plan.masters)
        return NodeScript(files=(NodeFile(path="/etc/fake/masters", content=names.encode()),))

    def build_script(self, plan: CoePlan, member: Member) -> NodeScript:
        main = plan.authorities["main"]
        files: tuple[NodeFile, ...] = (
            NodeFile(path="/etc/fake/cluster", content=plan.cluster_id.encode()),
            NodeFile(path=SHOWN, content=main.pem.encode()),
            NodeFile(path=TRUSTED, content=main.trust_bundle.encode()),
        )
        if (setting := member.options.get(OPTION)) is not None:
            files = (*files, NodeFile(path="/etc/fake/setting", content=setting.encode()))
        return NodeScript(files=files, commands=(("hold", member.name),))

    @property
    def node_options(self) -> frozenset[str]:
        return frozenset({OPTION, MASTER_OPTION})

    @property
    def master_options(self) -> frozenset[str]:
        return frozenset({MASTER_OPTION})

    def check_change(self, old: TemplateSpec, new: TemplateSpec) -> None:
        if old.docker_storage_driver != new.docker_storage_driver:
            raise Invalid("docker_storage_driver cannot be changed.", field="docker_storage_driver")

    async def drain(self, plan: CoePlan, uuids: Sequence[str], progress: Progress = UNWATCHED) -> None:
        members = self._members(plan)
        self.progress = progress
        progress.wait_for(members.drain_blockers)
        await self.faults.meet("drain")
        for blocker in members.drain_blockers:
            progress.note(f"Taken down with {blocker}.")
        members.drained_uuids |= set(uuids)
        members.drains.append(tuple(member.name for member in plan.members if member.uuid in uuids))

    @property
    def rotatable_authorities(self) -> Sequence[str]:
        return self.authorities

    async def announce_authorities(self, plan: CoePlan) -> None:
        await self.faults.meet("announce")
        self.clusters[plan.cluster_id].announced_bundles.append(plan.authorities["main"].trust_bundle)

    async def list_stale_members(self, plan: CoePlan, authorities: Mapping[str, Authority]) -> Sequence[str]:
        await self.faults.meet("stale")
        plan = replace(plan, authorities=dict(authorities))
        scripts = {} if self._scripts is None else self._scripts(plan.cluster_id)
        desired_files = {member.uuid: self.build_script(plan, member).files for member in plan.members}
        return [uuid for uuid, files in desired_files.items() if uuid in scripts and scripts[uuid].files != files]

    async def join(self, plan: CoePlan, progress: Progress = UNWATCHED) -> CoeObserved:
        members = self._members(plan)
        progress.wait_for(describe_unready(plan, [_state_of(member, members) for member in plan.members]))
        await self.faults.meet("join")
        self._check_alive(members)
        members.names |= {member.uuid: member.name for member in plan.members}
        members.plan = plan
        members.drained_uuids &= members.unready
        return self._build_observed(plan, members)

    def _build_observed(self, plan: CoePlan, members: FakeMembers) -> CoeObserved:
        scripts = {} if self._scripts is None else self._scripts(plan.cluster_id)
        due = tuple(uuid for uuid, script in members.due.items() if scripts.get(uuid) is script)
        return replace(_summarize(plan, members), due=due, coe_version=self.version)

    async def observe(self, plan: CoePlan) -> CoeObserved:
        await self.faults.meet("observe")
        members = self._members(plan)
        self._check_alive(members)
        if not members.names:
            raise Temporary("the cluster's API does not answer: nobody has joined")
        return self._build_observed(plan, members)

    async def leave(self, plan: CoePlan, names: Sequence[str], progress: Progress = UNWATCHED) -> None:
        members = self._members(plan)
        self.progress = progress
        progress.wait_for(members.drain_blockers)
        await self.faults.meet("leave")
        for blocker in members.drain_blockers:
            progress.note(f"Taken down with {blocker}.")
        self._check_alive(members)
        for uuid, name in list(members.names.items()):
            if name in names:
                del members.names[uuid]
                members.unready.discard(uuid)
                members.removed_names.append(name)

    async def observe_demand(self, plan: CoePlan, groups: Sequence[GroupShape]) -> NodeDemand:
        await self.faults.meet("demand")
        members, extra_nodes = self._members(plan), {}
        self._check_alive(members)
        remaining = members.unschedulable
        for group in groups:
            extra_nodes[group.name] = min(remaining, group.room)
            remaining -= extra_nodes[group.name]
        workers = {member.uuid for member in plan.members if member.role != MASTER}
        return NodeDemand(
            unschedulable=tuple(f"default/w{number}" for number in range(members.unschedulable)),
            extra_nodes={name: count for name, count in extra_nodes.items() if count},
            protected_groups=frozenset(members.protected_groups),
            idle=frozenset(members.idle & workers),
        )

    def _members(self, plan: CoePlan) -> FakeMembers:
        return self.clusters.setdefault(plan.cluster_id, FakeMembers())

    async def _containers(self, plan: CoePlan) -> dict[str, FakeContainer]:
        return (await self._reach_members(plan)).containers

    async def _objects(self, plan: CoePlan) -> Objects:
        return (await self._reach_members(plan)).objects

    async def _reach_members(self, plan: CoePlan) -> FakeMembers:
        members = self._members(plan)
        if members.dead:
            members.unanswered_count += 1
            await self._clock.sleep(members.silence)
        self._check_alive(members)
        return members

    @staticmethod
    def _check_alive(members: FakeMembers) -> None:
        if members.dead:
            raise Temporary("the cluster's API does not answer")


def _summarize(plan: CoePlan, cluster: FakeMembers) -> CoeObserved:
    members = tuple(_state_of(member, cluster) for member in plan.members)
    reasons = {f"{member.name}.Ready": str(state.ready) for member, state in zip(plan.members, members, strict=True)}
    planned_uuids = {member.uuid for member in plan.members}
    healthy = all(state.ready for state in members)
    first = next(member.address for member in plan.members if member.role == MASTER)
    return CoeObserved(
        api_address=f"fake://{first}",
        members=members,
        strangers=tuple(sorted(name for uuid, name in cluster.names.items() if uuid not in planned_uuids)),
        coe_version=VERSION,
        container_version=VERSION,
        health=Health.HEALTHY if healthy else Health.UNHEALTHY,
        health_reasons={"api": "ok", **reasons},
    )


def _state_of(member: Member, cluster: FakeMembers) -> MemberState:
    if member.uuid not in cluster.names:
        return MemberState(uuid=member.uuid, ready=False, reason="the cluster does not know this node")
    if member.uuid in cluster.unready:
        return MemberState(uuid=member.uuid, ready=False, reason="down")
    return MemberState(uuid=member.uuid, ready=True)
