"""A COE in memory that can be told to misbehave.

Neighbours: tests of the conductor. What the cluster's own API would know is a `FakeCluster` by cluster id, which
outlives any `FakeCoe` that is given it. Stages that can be made to fail are the names of the contract's methods.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from jeroboam.coes.base import (
    Authority,
    CoeObserved,
    CoePlan,
    GroupShape,
    Member,
    MemberState,
    NodeDemand,
    describe_unready,
)
from jeroboam.coes.fake.containers import FakeContainer, FakeContainers
from jeroboam.coes.fake.manifests import FakeManifests, Objects
from jeroboam.domain.clusters import MASTER, Health, TemplateSpec
from jeroboam.domain.errors import Invalid, Temporary
from jeroboam.domain.nodes import NodeFile, NodeScript
from jeroboam.domain.progress import UNWATCHED, Progress
from jeroboam.kit.clock import Clock
from jeroboam.kit.faults import Faults

VERSION = "1.0-fake"
# Where a node keeps whose certificate it shows, and whose it accepts.
SHOWN = "/etc/fake/shown.pem"
TRUSTED = "/etc/fake/trusted.pem"
OPTION = "fake_setting"
"""The label that nodes are made from."""
MASTER_OPTION = "fake_master_setting"
"""The label that masters alone are made from."""

Scripts = Callable[[str], Mapping[str, NodeScript]]


@dataclass(slots=True)
class FakeMembers:
    """What one cluster's API knows."""

    names: dict[str, str] = field(default_factory=dict)
    """Names of members, by uuid."""
    unready: set[str] = field(default_factory=set)
    """Uuids of members that are down."""
    dead: bool = False
    """Whether the API answers nothing."""
    left: list[str] = field(default_factory=list)
    """Names in the order they were taken out."""
    due: dict[str, NodeScript] = field(default_factory=dict)
    """Members whose certificates end soon, by uuid, with the script that laid them."""
    announced: list[str] = field(default_factory=list)
    """Whom the cluster's own work was told to trust, in order."""
    drained: set[str] = field(default_factory=set)
    """Uuids of members that take no work."""
    drains: list[tuple[str, ...]] = field(default_factory=list)
    """Names that were drained at once, in order."""
    holding: list[str] = field(default_factory=list)
    """What keeps work on nodes that are drained."""
    silence: float = 0.0
    """In how many seconds somebody who asks a dead one for its containers finds out."""
    unanswered: int = 0
    """How often a dead one was asked for its containers."""
    containers: dict[str, FakeContainer] = field(default_factory=dict)
    """Single containers, by uuid."""
    waiting: int = 0
    """How many nodes more there is work for."""
    held: set[str] = field(default_factory=set)
    """Names of groups whose nodes should stay."""
    idle: set[str] = field(default_factory=set)
    """Uuids of members with no work."""
    objects: Objects = field(default_factory=dict)
    """What manifests made."""


class FakeCoe(FakeContainers):
    """The contract `Coe` without nodes."""

    def __init__(
        self, *, clock: Clock, clusters: dict[str, FakeMembers] | None = None, scripts: Scripts | None = None
    ) -> None:
        """`scripts` shows what the nodes of a cluster were booted with, where somebody knows."""
        self.faults = Faults(clock)
        super().__init__(clock=clock, faults=self.faults, containers_of=self._containers)
        self.manifests = FakeManifests(faults=self.faults, objects_of=self._objects)
        self._scripts = scripts
        self.progress: Progress = UNWATCHED
        """Where the last drain tells how it goes on."""
        self.clusters = {} if clusters is None else clusters

    @property
    def authorities(self) -> Sequence[str]:
        return ("main",)

    def check(self, template: TemplateSpec) -> None:
        if template.network_driver == "unsupported":
            raise Invalid("network_driver unsupported is not supported by the fake.", field="network_driver")

    @property
    def balancer_image(self) -> str:
        return "load-balancer"

    def balancer(self, plan: CoePlan) -> NodeScript:
        names = " ".join(member.address for member in plan.masters)
        return NodeScript(files=(NodeFile(path="/etc/fake/masters", content=names.encode()),))

    def script(self, plan: CoePlan, member: Member) -> NodeScript:
        main = plan.authorities["main"]
        files: tuple[NodeFile, ...] = (
            NodeFile(path="/etc/fake/cluster", content=plan.cluster_id.encode()),
            NodeFile(path=SHOWN, content=main.pem.encode()),
            NodeFile(path=TRUSTED, content=main.trusted.encode()),
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
        progress.wait_for(members.holding)
        await self.faults.meet("drain")
        for blocker in members.holding:
            progress.note(f"Taken down with {blocker}.")
        members.drained |= set(uuids)
        members.drains.append(tuple(member.name for member in plan.members if member.uuid in uuids))

    @property
    def rotating(self) -> Sequence[str]:
        return self.authorities

    async def announce(self, plan: CoePlan) -> None:
        await self.faults.meet("announce")
        self.clusters[plan.cluster_id].announced.append(plan.authorities["main"].trusted)

    async def stale(self, plan: CoePlan, authorities: Mapping[str, Authority]) -> Sequence[str]:
        await self.faults.meet("stale")
        plan = replace(plan, authorities=dict(authorities))
        scripts = {} if self._scripts is None else self._scripts(plan.cluster_id)
        desired_files = {member.uuid: self.script(plan, member).files for member in plan.members}
        return [uuid for uuid, files in desired_files.items() if uuid in scripts and scripts[uuid].files != files]

    async def join(self, plan: CoePlan, progress: Progress = UNWATCHED) -> CoeObserved:
        members = self._members(plan)
        progress.wait_for(describe_unready(plan, [_state(member, members) for member in plan.members]))
        await self.faults.meet("join")
        self._answer(members)
        members.names |= {member.uuid: member.name for member in plan.members}
        members.drained &= members.unready
        return self._observed(plan, members)

    def _observed(self, plan: CoePlan, members: FakeMembers) -> CoeObserved:
        scripts = {} if self._scripts is None else self._scripts(plan.cluster_id)
        due = tuple(uuid for uuid, script in members.due.items() if scripts.get(uuid) is script)
        return replace(_observed(plan, members), due=due)

    async def observe(self, plan: CoePlan) -> CoeObserved:
        await self.faults.meet("observe")
        members = self._members(plan)
        self._answer(members)
        if not members.names:
            raise Temporary("the cluster's API does not answer: nobody has joined")
        return self._observed(plan, members)

    async def leave(self, plan: CoePlan, names: Sequence[str], progress: Progress = UNWATCHED) -> None:
        members = self._members(plan)
        self.progress = progress
        progress.wait_for(members.holding)
        await self.faults.meet("leave")
        for blocker in members.holding:
            progress.note(f"Taken down with {blocker}.")
        self._answer(members)
        for uuid, name in list(members.names.items()):
            if name in names:
                del members.names[uuid]
                members.unready.discard(uuid)
                members.left.append(name)

    async def demand(self, plan: CoePlan, groups: Sequence[GroupShape]) -> NodeDemand:
        await self.faults.meet("demand")
        members, extra_nodes = self._members(plan), {}
        self._answer(members)
        remaining = members.waiting
        for group in groups:
            extra_nodes[group.name] = min(remaining, group.room)
            remaining -= extra_nodes[group.name]
        workers = {member.uuid for member in plan.members if member.role != MASTER}
        return NodeDemand(
            waiting=tuple(f"default/w{number}" for number in range(members.waiting)),
            more={name: count for name, count in extra_nodes.items() if count},
            held=frozenset(members.held),
            idle=frozenset(members.idle & workers),
        )

    def _members(self, plan: CoePlan) -> FakeMembers:
        return self.clusters.setdefault(plan.cluster_id, FakeMembers())

    async def _containers(self, plan: CoePlan) -> dict[str, FakeContainer]:
        return (await self._asked(plan)).containers

    async def _objects(self, plan: CoePlan) -> Objects:
        return (await self._asked(plan)).objects

    async def _asked(self, plan: CoePlan) -> FakeMembers:
        members = self._members(plan)
        if members.dead:
            members.unanswered += 1
            await self._clock.sleep(members.silence)
        self._answer(members)
        return members

    @staticmethod
    def _answer(members: FakeMembers) -> None:
        if members.dead:
            raise Temporary("the cluster's API does not answer")


def _observed(plan: CoePlan, cluster: FakeMembers) -> CoeObserved:
    members = tuple(_state(member, cluster) for member in plan.members)
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


def _state(member: Member, cluster: FakeMembers) -> MemberState:
    if member.uuid not in cluster.names:
        return MemberState(uuid=member.uuid, ready=False, reason="the cluster does not know this node")
    if member.uuid in cluster.unready:
        return MemberState(uuid=member.uuid, ready=False, reason="down")
    return MemberState(uuid=member.uuid, ready=True)
