"""The COE for Kubernetes: kubeadm makes nodes one cluster, which is reached at its API with its certificates.

Neighbours: `node_script` (what a node boots with), `node_ops` (requests to the API), `observe` (the meaning of the
answers), `manifests` (objects of users), `balancer`, `options` (labels), `addons`, `network`, `registries`, `proxies`
(settings of users). No state is kept between calls: the cluster is asked each time.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from ipaddress import IPv4Network
from typing import Self, final

from jeroboam.clients.kubernetes import KubernetesApi
from jeroboam.coes.base import (
    Authority,
    Coe,
    CoeObserved,
    CoePlan,
    CoeSettings,
    GroupShape,
    HasRequirements,
    Member,
    NodeDemand,
    SupportsEarlyJoin,
    SupportsImageVersions,
    SupportsLoadBalancer,
    SupportsManifests,
    SupportsRollout,
    SupportsRotation,
    SupportsScaling,
    describe_unready,
)
from jeroboam.coes.kubernetes import addons, balancer, drains, leftovers, network, options, registries
from jeroboam.coes.kubernetes import node_script as boot
from jeroboam.coes.kubernetes.api_access import admin_tls, speaking_to
from jeroboam.coes.kubernetes.components import API_PORT, api_of
from jeroboam.coes.kubernetes.demand import demand
from jeroboam.coes.kubernetes.machine_id import MachineId
from jeroboam.coes.kubernetes.manifests import KubernetesManifests
from jeroboam.coes.kubernetes.node_ops import POLL_SECONDS, KubernetesNode, NodeOps
from jeroboam.coes.kubernetes.observe import observed, stands, states
from jeroboam.coes.proxies import check as check_proxies
from jeroboam.domain.clusters import TemplateSpec
from jeroboam.domain.errors import DriverError, Invalid
from jeroboam.domain.field_effects import KUBERNETES, TEMPLATES, check_fields
from jeroboam.domain.nodes import NodeScript
from jeroboam.domain.progress import UNWATCHED, Progress, SharedProgress
from jeroboam.kit.clock import Clock

# The longest wait of one call: for an API that boots, for nodes that join, for pods that are evicted.
_BOOT_SECONDS = 20.0
_SETTLE_SECONDS = 15.0
_DRAIN_SECONDS = 60.0
# Until another controller manager leads and has read the state of the cluster.
_LEAD_SECONDS = 30.0
_POLL_SECONDS_A_NODE = 0.01


@final
class KubernetesCoe(
    Coe,
    SupportsImageVersions,
    HasRequirements,
    SupportsRollout,
    SupportsLoadBalancer,
    SupportsEarlyJoin,
    SupportsRotation,
    SupportsManifests,
    SupportsScaling,
):
    """The contract `Coe` for Kubernetes."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._manifests = KubernetesManifests(clock=clock)

    @classmethod
    def from_settings(cls, settings: CoeSettings) -> Self:
        return cls(clock=settings.clock)

    @property
    def manifests(self) -> KubernetesManifests:
        return self._manifests

    @property
    def authorities(self) -> Sequence[str]:
        return boot.AUTHORITIES

    def check(self, template: TemplateSpec) -> None:
        check_fields(TEMPLATES, asdict(template), KUBERNETES)
        options.check(template.labels)
        registries.check(template)
        check_proxies(template)
        addons.check(template)

    @property
    def version_label(self) -> str:
        return options.VERSION

    def image(self, ref: str, labels: dict[str, str]) -> str:
        version = labels.get(options.VERSION)
        return ref if version is None or ":" in ref else f"{ref}:{version}"

    @property
    def disk(self) -> float:
        return options.NODE_DISK

    def memory(self, role: str) -> int:
        return options.NODE_MEMORY[role]

    def networks(self, labels: Mapping[str, str]) -> Mapping[str, IPv4Network]:
        nets = options.networks(labels)
        return {options.PODS: nets.pods, options.SERVICES: nets.services}

    @property
    def node_options(self) -> frozenset[str]:
        return options.NODE_OPTIONS

    @property
    def master_options(self) -> frozenset[str]:
        return options.MASTER_OPTIONS

    def check_change(self, old: TemplateSpec, new: TemplateSpec) -> None:
        for name in options.FIXED:
            if old.labels.get(name) != new.labels.get(name):
                text = f"labels/{name} cannot be changed: pods and services have their addresses already."
                raise Invalid(text, field=f"labels/{name}")
        if (old.apiserver_port or API_PORT) != (new.apiserver_port or API_PORT):
            raise Invalid("apiserver_port cannot be changed: clients would not find it.", field="apiserver_port")
        network.check_change(old, new)
        addons.check_change(old, new)
        _check_versions(old.labels.get(options.VERSION), new.labels.get(options.VERSION))

    def script(self, plan: CoePlan, member: Member) -> NodeScript:
        return boot.script(plan, member, self._clock)

    @property
    def balancer_image(self) -> str:
        return balancer.IMAGE

    def balancer(self, plan: CoePlan) -> NodeScript:
        return balancer.script(plan)

    async def join(self, plan: CoePlan, progress: Progress = UNWATCHED) -> CoeObserved:
        async with self._nodes(plan) as ops:
            await self._opened(ops, plan)
            node_wait = self._settled(ops, plan, progress)
            version, (nodes, silent) = await asyncio.gather(self._ready(ops, plan), node_wait)
            members = {member.name: member for member in plan.members}
            pairs = [(node, members[node.name]) for node in nodes if node.name in members]
            current_pairs = [(node, member) for node, member in pairs if stands(node, member)]
            # CoreDNS's pods are spread over the nodes that exist when they are created.
            dns_setup = ops.names(options.networks(plan.labels).dns)
            await asyncio.gather(dns_setup, *(ops.describe(node, member) for node, member in current_pairs))
            gone_objects = await leftovers.find(ops.api, _names(plan, nodes))
            return observed(plan, nodes, silent, gone_objects, version=version, now=self._clock.now())

    async def welcome(self, plan: CoePlan) -> None:
        nets = options.networks(plan.labels)
        async with self._nodes(plan) as ops:
            await self._opened(ops, plan)
            while True:
                nodes = await ops.all()
                await ops.number(network.ranges(nets, nodes))
                await self._pause(nodes)

    async def observe(self, plan: CoePlan) -> CoeObserved:
        async with self._nodes(plan) as ops:
            await ops.answers(patience=0)
            nodes, silent = await asyncio.gather(ops.all(), self._silent(plan))
            gone_objects = await leftovers.find(ops.api, _names(plan, nodes))
            return observed(plan, nodes, silent, gone_objects, version=await ops.version(), now=self._clock.now())

    async def leave(self, plan: CoePlan, names: Sequence[str], progress: Progress = UNWATCHED) -> None:
        async with self._nodes(plan) as ops:
            targets = [node for node in await ops.all() if node.name in names]
            await self._empty(ops, targets, progress)
            await asyncio.gather(*(ops.forget(node.name) for node in targets))
            await leftovers.clear(ops.api, names, _names(plan, await ops.all()))

    async def drain(self, plan: CoePlan, uuids: Sequence[str], progress: Progress = UNWATCHED) -> None:
        names = {member.name for member in plan.members if member.uuid in uuids}
        async with self._nodes(plan) as ops:
            # A node that has just started is ready before services can be reached through it.
            await ops.serve(patience=_SETTLE_SECONDS)
            targets = [node for node in await ops.all() if node.name in names]
            if any(await asyncio.gather(*(ops.movable(node) for node in targets))):
                await ops.follow(patience=_LEAD_SECONDS)
            await self._empty(ops, targets, progress)

    @property
    def rotating(self) -> Sequence[str]:
        return boot.AUTHORITIES

    async def stale(self, plan: CoePlan, authorities: Mapping[str, Authority]) -> Sequence[str]:
        async with self._nodes(plan) as ops:
            await ops.answers(patience=_BOOT_SECONDS)
            machine_ids = {node.name: MachineId.said(node.machine) for node in await ops.all()}
        expected_plan = replace(plan, authorities=dict(authorities))

        def is_fresh(member: Member) -> bool:
            expected_id, current_id = (
                MachineId.of(expected_plan, member, self._clock.now()),
                machine_ids.get(member.name),
            )
            return (
                current_id is not None and current_id.trust == expected_id.trust and not current_id.is_due(expected_id)
            )

        return [member.uuid for member in plan.members if not is_fresh(member)]

    async def announce(self, plan: CoePlan) -> None:
        """Restart our own pods, since a client in a pod reads its trust bundle once. Users restart their own pods.

        Before that, all secrets are encrypted with the new key, so that the new key alone can read them.
        """
        newest = plan.authorities["main"].newest
        async with self._nodes(plan) as ops:
            await ops.seal()
            await ops.restart_own(hashlib.sha256(newest.pem.encode()).hexdigest()[:16])

    async def demand(self, plan: CoePlan, groups: Sequence[GroupShape]) -> NodeDemand:
        async with self._nodes(plan) as ops:
            return demand(plan, groups, await ops.load())

    async def _empty(self, ops: NodeOps, targets: Sequence[KubernetesNode], progress: Progress) -> None:
        shared_progress = SharedProgress(progress, len(targets))

        async def drain(node: KubernetesNode, part: Progress) -> None:
            await ops.cordon(node)
            if node.ready:
                await drains.empty(ops, node, seconds=_DRAIN_SECONDS, clock=self._clock, progress=part)

        await asyncio.gather(*(drain(node, part) for node, part in zip(targets, shared_progress.parts, strict=True)))

    async def _opened(self, ops: NodeOps, plan: CoePlan) -> None:
        """Wait until the API answers, and grant access to the cluster's own programs."""
        await ops.serves(patience=_BOOT_SECONDS)
        await ops.access(flannel=network.driver(plan.template) == network.FLANNEL)

    async def _pause(self, nodes: Sequence[KubernetesNode]) -> None:
        # Listing many nodes is expensive for an API that is busy at this moment.
        await self._clock.sleep(POLL_SECONDS + len(nodes) * _POLL_SECONDS_A_NODE)

    async def _ready(self, ops: NodeOps, plan: CoePlan) -> str:
        """Wait until the API is ready, apply the add-ons and wait for the controllers; return the version."""
        await ops.answers(patience=_BOOT_SECONDS)
        await addons.have(ops, plan, self._clock)
        await ops.works(patience=_SETTLE_SECONDS)
        return await ops.version()

    async def _settled(
        self, ops: NodeOps, plan: CoePlan, progress: Progress
    ) -> tuple[list[KubernetesNode], dict[str, str]]:
        """Wait until every planned node is ready or time is up; return the nodes and the silent masters."""
        deadline = self._clock.monotonic() + _SETTLE_SECONDS
        nets = options.networks(plan.labels)
        while True:
            nodes, silent = await asyncio.gather(ops.all(), self._silent(plan))
            await ops.number(network.ranges(nets, nodes))
            member_states = states(plan, nodes, silent)
            progress.wait_for(describe_unready(plan, member_states))
            if all(state.ready for state in member_states) or self._clock.monotonic() >= deadline:
                return nodes, silent
            await self._pause(nodes)

    async def _silent(self, plan: CoePlan) -> dict[str, str]:
        """Return the masters whose own API server does not answer, with the reason by uuid; empty for a single master.

        Behind the load balancer a silent master does not show.
        """
        if len(plan.masters) == 1:
            return {}
        tls = admin_tls(plan, self._clock)

        async def ask(member: Member) -> str:
            async with KubernetesApi(api_of(plan, member), tls) as api:
                try:
                    await api.ready()
                except DriverError as error:
                    return error.reason
                return ""

        answers = await asyncio.gather(*(ask(member) for member in plan.masters))
        return {member.uuid: reason for member, reason in zip(plan.masters, answers, strict=True) if reason}

    @asynccontextmanager
    async def _nodes(self, plan: CoePlan) -> AsyncIterator[NodeOps]:
        async with speaking_to(plan, self._clock) as api:
            yield NodeOps(api, self._clock)


def _names(plan: CoePlan, nodes: Sequence[KubernetesNode]) -> set[str]:
    """Return the names of nodes that are in the cluster or in the plan."""
    return {node.name for node in nodes} | {member.name for member in plan.members}


def _check_versions(old: str | None, new: str | None) -> None:
    """Raise `Invalid` for an upgrade that Kubernetes does not support: to a lower version, or past a minor version."""
    if old is None or new is None or old == new:
        return
    before, after = options.numbers(old), options.numbers(new)
    if after < before:
        raise Invalid(f"Kubernetes cannot go back from {old} to {new}.", field=f"labels/{options.VERSION}")
    if after[0] != before[0] or after[1] > before[1] + 1:
        text = f"Kubernetes goes from one minor version to the next: {old} cannot become {new} at once."
        raise Invalid(text, field=f"labels/{options.VERSION}")
