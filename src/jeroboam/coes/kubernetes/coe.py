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
    HasOpenPorts,
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
from jeroboam.coes.kubernetes.api_access import build_admin_tls, connect_api
from jeroboam.coes.kubernetes.components import API_PORT, master_api_url
from jeroboam.coes.kubernetes.demand import compute_demand
from jeroboam.coes.kubernetes.machine_id import MachineId
from jeroboam.coes.kubernetes.manifests import KubernetesManifests
from jeroboam.coes.kubernetes.node_ops import POLL_SECONDS, KubernetesNode, NodeOps
from jeroboam.coes.kubernetes.observe import build_observed, has_current_build, list_member_states
from jeroboam.coes.proxies import check as check_proxies
from jeroboam.domain.clusters import LOAD_BALANCER, WORKER, TemplateSpec
from jeroboam.domain.errors import DriverError, Invalid
from jeroboam.domain.field_effects import KUBERNETES, TEMPLATES, check_fields
from jeroboam.domain.nodes import PUBLISHED_PORTS, NodeScript, OpenPort, open_tcp
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
    HasOpenPorts,
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

    def list_open_ports(self, template: TemplateSpec, role: str) -> Sequence[OpenPort]:
        api = () if role == WORKER else (open_tcp(template.apiserver_port or API_PORT),)
        return api if role == LOAD_BALANCER else (*api, *PUBLISHED_PORTS)

    def networks(self, labels: Mapping[str, str]) -> Mapping[str, IPv4Network]:
        nets = options.read_networks(labels)
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

    def build_script(self, plan: CoePlan, member: Member) -> NodeScript:
        return boot.build_script(plan, member, self._clock)

    @property
    def balancer_image(self) -> str:
        return balancer.IMAGE

    def build_balancer_script(self, plan: CoePlan) -> NodeScript:
        return balancer.build_script(plan)

    async def join(self, plan: CoePlan, progress: Progress = UNWATCHED) -> CoeObserved:
        async with self._connect(plan) as ops:
            await self._open_api(ops, plan)
            node_wait = self._wait_for_members(ops, plan, progress)
            version, (nodes, silent) = await asyncio.gather(self._prepare_cluster(ops, plan), node_wait)
            members = {member.name: member for member in plan.members}
            pairs = [(node, members[node.name]) for node in nodes if node.name in members]
            current_pairs = [(node, member) for node, member in pairs if has_current_build(node, member)]
            # CoreDNS's pods are spread over the nodes that exist when they are created.
            dns_setup = ops.apply_dns(options.read_networks(plan.labels).dns)
            await asyncio.gather(dns_setup, *(ops.configure_node(node, member) for node, member in current_pairs))
            gone_objects = await leftovers.find_gone_objects(ops.api, _node_names(plan, nodes))
            return build_observed(plan, nodes, silent, gone_objects, version=version, now=self._clock.now())

    async def admit_joining_nodes(self, plan: CoePlan) -> None:
        nets = options.read_networks(plan.labels)
        async with self._connect(plan) as ops:
            await self._open_api(ops, plan)
            while True:
                nodes = await ops.list_nodes()
                await ops.assign_pod_ranges(network.choose_pod_ranges(nets, nodes))
                await self._pause(nodes)

    async def observe(self, plan: CoePlan) -> CoeObserved:
        async with self._connect(plan) as ops:
            await ops.wait_until_ready(patience=0)
            nodes, silent = await asyncio.gather(ops.list_nodes(), self._list_silent_masters(plan))
            gone_objects = await leftovers.find_gone_objects(ops.api, _node_names(plan, nodes))
            return build_observed(
                plan, nodes, silent, gone_objects, version=await ops.get_version(), now=self._clock.now()
            )

    async def leave(self, plan: CoePlan, names: Sequence[str], progress: Progress = UNWATCHED) -> None:
        async with self._connect(plan) as ops:
            targets = [node for node in await ops.list_nodes() if node.name in names]
            await self._drain_nodes(ops, targets, progress)
            await asyncio.gather(*(ops.remove_node(node.name) for node in targets))
            await leftovers.remove_gone_objects(ops.api, names, _node_names(plan, await ops.list_nodes()))

    async def drain(self, plan: CoePlan, uuids: Sequence[str], progress: Progress = UNWATCHED) -> None:
        names = {member.name for member in plan.members if member.uuid in uuids}
        async with self._connect(plan) as ops:
            # A node that has just started is ready before services can be reached through it.
            await ops.wait_for_services(patience=_SETTLE_SECONDS)
            targets = [node for node in await ops.list_nodes() if node.name in names]
            if any(await asyncio.gather(*(ops.list_movable_pods(node) for node in targets))):
                await ops.wait_for_endpoints(patience=_LEAD_SECONDS)
            await self._drain_nodes(ops, targets, progress)

    @property
    def rotatable_authorities(self) -> Sequence[str]:
        return boot.AUTHORITIES

    async def list_stale_members(self, plan: CoePlan, authorities: Mapping[str, Authority]) -> Sequence[str]:
        async with self._connect(plan) as ops:
            await ops.wait_until_ready(patience=_BOOT_SECONDS)
            machine_ids = {node.name: MachineId.parse(node.machine) for node in await ops.list_nodes()}
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

    async def announce_authorities(self, plan: CoePlan) -> None:
        """Restart our own pods, since a client in a pod reads its trust bundle once. Users restart their own pods.

        Before that, all secrets are encrypted with the new key, so that the new key alone can read them.
        """
        newest = plan.authorities["main"].newest
        async with self._connect(plan) as ops:
            await ops.reseal_secrets()
            await ops.restart_own_pods(hashlib.sha256(newest.pem.encode()).hexdigest()[:16])

    async def observe_demand(self, plan: CoePlan, groups: Sequence[GroupShape]) -> NodeDemand:
        async with self._connect(plan) as ops:
            return compute_demand(plan, groups, await ops.read_load())

    async def _drain_nodes(self, ops: NodeOps, targets: Sequence[KubernetesNode], progress: Progress) -> None:
        shared_progress = SharedProgress(progress, len(targets))

        async def drain(node: KubernetesNode, part: Progress) -> None:
            await ops.cordon(node)
            if node.ready:
                await drains.drain_node(ops, node, seconds=_DRAIN_SECONDS, clock=self._clock, progress=part)

        await asyncio.gather(*(drain(node, part) for node, part in zip(targets, shared_progress.parts, strict=True)))

    async def _open_api(self, ops: NodeOps, plan: CoePlan) -> None:
        """Wait until the API answers, and grant access to the cluster's own programs."""
        await ops.wait_until_reachable(patience=_BOOT_SECONDS)
        await ops.apply_access(flannel=network.network_driver(plan.template) == network.FLANNEL)

    async def _pause(self, nodes: Sequence[KubernetesNode]) -> None:
        # Listing many nodes is expensive for an API that is busy at this moment.
        await self._clock.sleep(POLL_SECONDS + len(nodes) * _POLL_SECONDS_A_NODE)

    async def _prepare_cluster(self, ops: NodeOps, plan: CoePlan) -> str:
        """Wait until the API is ready, apply the add-ons and wait for the controllers; return the version."""
        await ops.wait_until_ready(patience=_BOOT_SECONDS)
        await addons.apply_addons(ops, plan, self._clock)
        await ops.wait_for_controllers(patience=_SETTLE_SECONDS)
        return await ops.get_version()

    async def _wait_for_members(
        self, ops: NodeOps, plan: CoePlan, progress: Progress
    ) -> tuple[list[KubernetesNode], dict[str, str]]:
        """Wait until every planned node is ready or time is up; return the nodes and the silent masters."""
        deadline = self._clock.monotonic() + _SETTLE_SECONDS
        nets = options.read_networks(plan.labels)
        while True:
            nodes, silent = await asyncio.gather(ops.list_nodes(), self._list_silent_masters(plan))
            await ops.assign_pod_ranges(network.choose_pod_ranges(nets, nodes))
            member_states = list_member_states(plan, nodes, silent)
            progress.wait_for(describe_unready(plan, member_states))
            if all(state.ready for state in member_states) or self._clock.monotonic() >= deadline:
                return nodes, silent
            await self._pause(nodes)

    async def _list_silent_masters(self, plan: CoePlan) -> dict[str, str]:
        """Return the masters whose own API server does not answer, with the reason by uuid; empty for a single master.

        Behind the load balancer a silent master does not show.
        """
        if len(plan.masters) == 1:
            return {}
        tls = build_admin_tls(plan, self._clock)

        async def ask(member: Member) -> str:
            async with KubernetesApi(master_api_url(plan, member), tls) as api:
                try:
                    await api.ready()
                except DriverError as error:
                    return error.reason
                return ""

        answers = await asyncio.gather(*(ask(member) for member in plan.masters))
        return {member.uuid: reason for member, reason in zip(plan.masters, answers, strict=True) if reason}

    @asynccontextmanager
    async def _connect(self, plan: CoePlan) -> AsyncIterator[NodeOps]:
        async with connect_api(plan, self._clock) as api:
            yield NodeOps(api, self._clock)


def _node_names(plan: CoePlan, nodes: Sequence[KubernetesNode]) -> set[str]:
    """Return the names of nodes that are in the cluster or in the plan."""
    return {node.name for node in nodes} | {member.name for member in plan.members}


def _check_versions(old: str | None, new: str | None) -> None:
    """Raise `Invalid` for an upgrade that Kubernetes does not support: to a lower version, or past a minor version."""
    if old is None or new is None or old == new:
        return
    before, after = options.parse_version(old), options.parse_version(new)
    if after < before:
        raise Invalid(f"Kubernetes cannot go back from {old} to {new}.", field=f"labels/{options.VERSION}")
    if after[0] != before[0] or after[1] > before[1] + 1:
        text = f"Kubernetes goes from one minor version to the next: {old} cannot become {new} at once."
        raise Invalid(text, field=f"labels/{options.VERSION}")
