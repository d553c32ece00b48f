"""The COE for Docker Swarm: the Engines of the nodes form one swarm, reached at the Engine API with its certificates.

Neighbours: `engines` (the requests), `containers`, `drains`, `options`; the conductor, which calls. Engines are
identified by labels that the script sets on each Engine, never by names or addresses.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Self, final

from jeroboam.coes import proxies, sizes
from jeroboam.coes.base import (
    Authority,
    Coe,
    CoeObserved,
    CoePlan,
    CoeSettings,
    HasOpenPorts,
    Member,
    MemberState,
    SupportsRollout,
    SupportsRotation,
    describe_unready,
)
from jeroboam.coes.insecure_registries import check_insecure_registries, list_insecure_registries
from jeroboam.coes.swarm import drains as swarm_drains
from jeroboam.coes.swarm import options as swarm_options
from jeroboam.coes.swarm.containers import SwarmContainers
from jeroboam.coes.swarm.engines import (
    DRAINED_LABEL,
    NAME_LABEL,
    NODE_LABEL,
    POLL_SECONDS,
    SwarmEngines,
    SwarmMembership,
    SwarmNode,
    api_port,
)
from jeroboam.coes.swarm.requirements import SwarmRequirements
from jeroboam.domain.clusters import MASTER, Health, TemplateSpec
from jeroboam.domain.conditions import Condition
from jeroboam.domain.errors import DriverError, Invalid, Temporary
from jeroboam.domain.field_effects import SWARM, TEMPLATES, check_fields
from jeroboam.domain.nodes import PUBLISHED_PORTS, NodeFile, NodeScript, OpenPort, open_tcp
from jeroboam.domain.progress import UNWATCHED, Progress, SharedProgress
from jeroboam.kit.tasks import Tasks
from jeroboam.kit.x509 import SERVER, KeyPair, issue

# The longest wait of one call: for Engines that boot, for nodes that have joined.
_BOOT_SECONDS = _SETTLE_SECONDS = 10.0

# Magnum's names of storage drivers that have another name in the Engine; None: the Engine chooses.
_STORAGE_DRIVERS = {"overlay": "overlay2", "devicemapper": None}
_FOLDER = "/etc/docker"


@final
class SwarmCoe(SwarmContainers, SwarmRequirements, Coe, HasOpenPorts, SupportsRollout, SupportsRotation):
    """The contract `Coe` for Docker Swarm, and `SupportsContainers` through `SwarmContainers`."""

    @classmethod
    def from_settings(cls, settings: CoeSettings) -> Self:
        return cls(clock=settings.clock)

    @property
    def authorities(self) -> Sequence[str]:
        return ("main",)

    def check(self, template: TemplateSpec) -> None:
        check_fields(TEMPLATES, asdict(template), SWARM)
        proxies.check(template)
        check_insecure_registries(template, networks=True)
        swarm_options.check(template.labels)

    def list_open_ports(self, template: TemplateSpec, role: str) -> Sequence[OpenPort]:
        del role  # The service talks to the Engine of each node.
        return (open_tcp(api_port(template)), *PUBLISHED_PORTS)

    @property
    def node_options(self) -> frozenset[str]:
        return swarm_options.KNOWN

    @property
    def master_options(self) -> frozenset[str]:
        return frozenset()

    def check_change(self, old: TemplateSpec, new: TemplateSpec) -> None:
        if _storage_driver(old) != _storage_driver(new):
            text = "docker_storage_driver cannot be changed: what is on the nodes' disks would be lost."
            raise Invalid(text, field="docker_storage_driver")
        if api_port(old) != api_port(new):
            text = f"from {api_port(old)} to {api_port(new)}: clients would lose the cluster."
            raise Invalid(f"apiserver_port cannot be changed {text}", field="apiserver_port")

    def build_script(self, plan: CoePlan, member: Member) -> NodeScript:
        main = plan.authorities["main"]
        certificate = issue(
            ca=KeyPair(pem=main.pem, key=main.key),
            common_name=member.name,
            dns=[member.name, "localhost"],
            ips=[*member.addresses, "127.0.0.1"],
            usages=[SERVER],
            now=self._clock.now(),
        )
        return NodeScript(
            files=(
                sizes.build_script_file(),
                NodeFile(path=f"{_FOLDER}/ca.pem", content=main.trust_bundle.encode()),
                NodeFile(path=f"{_FOLDER}/cert.pem", content=certificate.pem.encode()),
                NodeFile(path=f"{_FOLDER}/key.pem", content=certificate.key, mode=0o600),
                NodeFile(path=f"{_FOLDER}/daemon.json", content=_build_daemon_config(plan.template, member)),
                # The Engines of a cluster talk to each other without a proxy too.
                *proxies.build_environment_files(
                    f"{_FOLDER}/environment", plan.template, (peer.address for peer in plan.members)
                ),
            ),
            commands=(sizes.build_command(member.uuid), ("dockerd",)),
        )

    async def join(self, plan: CoePlan, progress: Progress = UNWATCHED) -> CoeObserved:
        async with self._connect(plan) as engines:
            manager = await self._find_manager(engines, plan, patience=_BOOT_SECONDS)
            if manager is None:
                manager = await self._create_swarm(engines, plan)
            troubles = await self._join_members(engines, manager, plan, progress)
            nodes = await self._wait_for_members(engines, manager, plan, troubles, progress)
            await self._label_nodes(engines, manager, plan, nodes)
            nodes = await self._remove_former_nodes(engines, manager, nodes)
            return _build_observed(plan, nodes, await engines.version(manager), troubles)

    async def observe(self, plan: CoePlan) -> CoeObserved:
        async with self._connect(plan) as engines:
            manager = await self._find_manager(engines, plan, patience=0)
            if manager is None:
                raise Temporary("no master of the cluster is in a swarm")
            nodes, version = await asyncio.gather(engines.nodes(manager), engines.version(manager))
            return _build_observed(plan, nodes, version, {})

    async def leave(self, plan: CoePlan, names: Sequence[str], progress: Progress = UNWATCHED) -> None:
        async with self._connect(plan) as engines:
            manager = await self._find_manager(engines, plan, patience=0)
            if manager is None:
                return
            targets = [node for node in await engines.nodes(manager) if node.name in names]
            parts = SharedProgress(progress, len(targets)).parts
            work = (
                swarm_drains.remove_node(engines, manager, node, self._clock, part)
                for node, part in zip(targets, parts, strict=True)
            )
            await asyncio.gather(*work)

    async def drain(self, plan: CoePlan, uuids: Sequence[str], progress: Progress = UNWATCHED) -> None:
        async with self._connect(plan) as engines:
            manager = await self._find_manager(engines, plan, patience=0)
            if manager is None:
                return
            targets = [node for node in await engines.nodes(manager) if node.uuid in uuids]
            parts = SharedProgress(progress, len(targets)).parts
            work = (
                swarm_drains.drain_node(engines, manager, node, self._clock, part)
                for node, part in zip(targets, parts, strict=True)
            )
            await asyncio.gather(*work)

    @property
    def rotatable_authorities(self) -> Sequence[str]:
        return self.authorities

    async def announce_authorities(self, plan: CoePlan) -> None:
        """Do nothing: only the Engines of a swarm use its authority."""

    async def list_stale_members(self, plan: CoePlan, authorities: Mapping[str, Authority]) -> Sequence[str]:
        async with self._connect(plan) as engines:
            for member in plan.members:
                await engines.get_membership(member.address, patience=_BOOT_SECONDS)
        main = authorities["main"]
        single_authority = replace(main, peers=())
        stale_uuids: set[str] = set()
        for signer in (main, *main.peers):
            async with SwarmEngines(
                authority=single_authority, signer=signer, port=api_port(plan.template), clock=self._clock
            ) as engines:
                answers = await asyncio.gather(*(engines.can_authenticate(member.address) for member in plan.members))
            stale_uuids |= {member.uuid for member, good in zip(plan.members, answers, strict=True) if not good}
        return [member.uuid for member in plan.members if member.uuid in stale_uuids]

    async def _find_manager(self, engines: SwarmEngines, plan: CoePlan, *, patience: float) -> str | None:
        """Return the address of a master that manages a swarm; None when all masters answered and none is in a swarm.

        Raises `Temporary` while some do not answer and the others are in no swarm. A second swarm would lose all work
        of the first one, whose managers may only be unreachable.
        """
        masters = [member.address for member in plan.members if member.role == MASTER]
        silent: list[str] = []
        # The failure of a master is read from its task.
        tasks = Tasks(lambda _name, _error: None)
        try:
            pending = {tasks.start(master, engines.get_membership(master, patience=patience)) for master in masters}
            while pending:
                ended_tasks, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in ended_tasks:
                    if (error := task.exception()) is not None:
                        silent.append(_reason_of(error))
                    elif task.result().manages:
                        return task.get_name()
        finally:
            await tasks.close()
        if silent:
            raise Temporary(f"no manager of the swarm answers: {'; '.join(sorted(silent))}")
        return None

    async def _create_swarm(self, engines: SwarmEngines, plan: CoePlan) -> str:
        first = next(member.address for member in plan.members if member.role == MASTER)
        if (await engines.get_membership(first, patience=0)).state != "inactive":
            await engines.leave_swarm(first)
        await engines.init(first)
        return first

    async def _join_members(
        self, engines: SwarmEngines, manager: str, plan: CoePlan, progress: Progress
    ) -> dict[str, str]:
        """Join every planned member that is not a ready node yet; return the failures by node uuid."""
        nodes, tokens = await asyncio.gather(engines.nodes(manager), engines.get_join_tokens(manager))
        ids = {node.id for node in nodes}
        ready_uuids = {node.uuid for node in nodes if node.ready}

        async def join_node(member: Member, part: Progress) -> None:
            part.wait_for([f"the Docker Engine of node {member.name} has not answered yet"])
            membership = await engines.get_membership(member.address, patience=_BOOT_SECONDS)
            part.wait_for([f"node {member.name} has not joined the swarm yet"])
            if _is_joining(membership, ids):
                return
            if membership.state != "inactive":
                await engines.leave_swarm(member.address)
            token = tokens[0] if member.role == MASTER else tokens[1]
            await engines.join(member.address, managers=[manager], token=token)

        missing = [member for member in plan.members if member.uuid not in ready_uuids and member.address != manager]
        parts = SharedProgress(progress, len(missing)).parts
        work = (join_node(member, part) for member, part in zip(missing, parts, strict=True))
        results = await asyncio.gather(*work, return_exceptions=True)
        troubles = {}
        for member, result in zip(missing, results, strict=True):
            if isinstance(result, DriverError):
                troubles[member.uuid] = _reason_of(result)
            elif result is not None:
                raise result
        return troubles

    async def _wait_for_members(
        self, engines: SwarmEngines, manager: str, plan: CoePlan, troubles: dict[str, str], progress: Progress
    ) -> list[SwarmNode]:
        """Wait until every member that could join is ready or time is up; return the nodes of the swarm."""
        expected_uuids = {member.uuid for member in plan.members} - troubles.keys()
        deadline = self._clock.monotonic() + _SETTLE_SECONDS
        while True:
            nodes = await engines.nodes(manager)
            progress.wait_for(describe_unready(plan, _list_member_states(plan, nodes, troubles)))
            if expected_uuids <= {node.uuid for node in nodes if node.ready} or self._clock.monotonic() >= deadline:
                return nodes
            await self._clock.sleep(POLL_SECONDS)

    async def _label_nodes(
        self, engines: SwarmEngines, manager: str, plan: CoePlan, nodes: Sequence[SwarmNode]
    ) -> None:
        """Set the labels of node groups on nodes, for placement constraints, and activate drained nodes that are ready.

        Labels and availability that users have set are kept.
        """
        members = {member.uuid: member for member in plan.members}
        former = {node.uuid: node.spec for node in sorted(nodes, key=lambda node: node.version) if not node.ready}
        changes = []
        for node in nodes:
            member = members.get(node.uuid or "")
            if member is not None:
                has = node.spec.get("Labels") or {}
                # A new membership of a node has no settings yet: it gets those of the former one.
                is_new = node.ready and swarm_options.GROUP_LABEL not in has
                before = former.get(node.uuid) if is_new else None
                spec = node.spec if before is None else before
                labels = swarm_options.merge_labels(spec.get("Labels") or {}, member.labels, member.group)
                change: dict[str, object] = {"Labels": labels}
                if before is not None:
                    change["Availability"] = before.get("Availability", "active")
                if node.ready and DRAINED_LABEL in labels:
                    change["Availability"] = labels.pop(DRAINED_LABEL)
                if labels != has:
                    changes.append(engines.update(manager, node, change))
        await asyncio.gather(*changes)

    async def _remove_former_nodes(
        self, engines: SwarmEngines, manager: str, nodes: Sequence[SwarmNode]
    ) -> list[SwarmNode]:
        """Remove former entries of nodes that have joined again: the same node of ours, another id in the swarm."""
        entries: dict[str, list[SwarmNode]] = defaultdict(list)
        for node in nodes:
            if node.uuid is not None:
                entries[node.uuid].append(node)
        former = [
            node
            for group in entries.values()
            if any(entry.ready for entry in group)
            for node in group
            if not node.ready
        ]
        for node in former:
            await swarm_drains.demote_manager(engines, manager, node, self._clock)
            await engines.remove_node(manager, node)
        return [node for node in nodes if node not in former]


def _is_joining(membership: SwarmMembership, ids: set[str]) -> bool:
    """Whether the Engine is a member of this swarm already and only needs time."""
    return membership.state in {"active", "pending"} and membership.node_id in ids


def _reason_of(error: BaseException) -> str:
    return error.reason if isinstance(error, DriverError) else str(error) or type(error).__name__


def _storage_driver(template: TemplateSpec) -> str | None:
    driver = template.docker_storage_driver
    return None if driver is None else _STORAGE_DRIVERS.get(driver, driver)


def _split_list(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _build_daemon_config(template: TemplateSpec, member: Member) -> bytes:
    config: dict[str, object] = {
        "hosts": ["unix:///run/docker.sock", f"tcp://0.0.0.0:{api_port(template)}"],
        "tlsverify": True,
        "tlscacert": f"{_FOLDER}/ca.pem",
        "tlscert": f"{_FOLDER}/cert.pem",
        "tlskey": f"{_FOLDER}/key.pem",
        "labels": [f"{NODE_LABEL}={member.uuid}", f"{NAME_LABEL}={member.name}"],
    }
    if (driver := _storage_driver(template)) is not None:
        config["storage-driver"] = driver
    config |= swarm_options.build_engine_config(member.options)
    if servers := _split_list(template.dns_nameserver):
        config["dns"] = servers
    if registries := list_insecure_registries(template):
        config["insecure-registries"] = registries
    return json.dumps(config, indent=1).encode()


def _build_observed(plan: CoePlan, nodes: Sequence[SwarmNode], version: str, troubles: dict[str, str]) -> CoeObserved:
    """Return the observed state from the manager's node list. Of several entries of a node the ready one counts."""
    members = _list_member_states(plan, nodes, troubles)
    planned_uuids = {member.uuid for member in plan.members}
    reasons = {"api": "ok"}
    reasons |= {f"{member.name}.Ready": str(state.ready) for member, state in zip(plan.members, members, strict=True)}
    healthy = all(state.ready for state in members)
    first = next(member.address for member in plan.members if member.role == MASTER)
    return CoeObserved(
        api_address=f"tcp://{first}:{api_port(plan.template)}",
        members=members,
        strangers=tuple(sorted(node.name or node.id for node in nodes if node.uuid not in planned_uuids)),
        coe_version=version,
        container_version=version,
        health=Health.HEALTHY if healthy else Health.UNHEALTHY,
        health_reasons=reasons,
        conditions=_build_conditions(plan),
    )


def _list_member_states(
    plan: CoePlan, nodes: Sequence[SwarmNode], troubles: Mapping[str, str]
) -> tuple[MemberState, ...]:
    nodes_by_uuid: dict[str | None, SwarmNode] = {}
    for node in sorted(nodes, key=lambda node: node.ready):
        nodes_by_uuid[node.uuid] = node
    return tuple(_member_state(member, nodes_by_uuid.get(member.uuid), troubles) for member in plan.members)


def _build_conditions(plan: CoePlan) -> tuple[Condition, ...]:
    """Return the conditions for labels and taints that Swarm does not support."""
    conditions = [swarm_options.build_labels_condition(plan.labels, plan.template.driver)]
    if any(member.taints for member in plan.members):
        text = "Swarm has no taints: use placement constraints on node labels."
        conditions.append(Condition(type="TaintsHonoured", status=False, reason="NoTaintsInSwarm", message=text))
    return tuple(conditions)


def _member_state(member: Member, node: SwarmNode | None, troubles: Mapping[str, str]) -> MemberState:
    if node is not None and node.ready:
        return MemberState(uuid=member.uuid, ready=True)
    if member.uuid in troubles:
        return MemberState(uuid=member.uuid, ready=False, reason=troubles[member.uuid])
    if node is None:
        return MemberState(uuid=member.uuid, ready=False, reason="the swarm does not know this node")
    if not node.reachable:
        return MemberState(uuid=member.uuid, ready=False, reason="the other managers of the swarm do not reach it")
    reason = f"the swarm says that the node is {node.state}"
    return MemberState(uuid=member.uuid, ready=False, reason=f"{reason}: {node.message}" if node.message else reason)
