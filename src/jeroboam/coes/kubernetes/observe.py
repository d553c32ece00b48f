"""The observed state of a cluster, computed from the API's answers. Pure.

Neighbours: `node_ops`, which asks the API; the COE, which returns the state.
"""

import datetime as dt
from collections.abc import Mapping, Sequence

from jeroboam.coes.base import CoeObserved, CoePlan, Member, MemberState
from jeroboam.coes.kubernetes import network, options
from jeroboam.coes.kubernetes.components import api_url
from jeroboam.coes.kubernetes.leftovers import GoneNodeObjects
from jeroboam.coes.kubernetes.machine_id import MachineId, build_id
from jeroboam.coes.kubernetes.node_ops import KubernetesNode
from jeroboam.domain.clusters import Health
from jeroboam.domain.conditions import Condition


def build_observed(
    plan: CoePlan,
    nodes: Sequence[KubernetesNode],
    silent: Mapping[str, str],
    gone_objects: GoneNodeObjects,
    *,
    version: str,
    now: dt.datetime,
) -> CoeObserved:
    """Return the observed state of the cluster."""
    members = list_member_states(plan, nodes, silent)
    planned_names = {member.name for member in plan.members}
    reasons = {"api": "ok"}
    reasons |= {f"{member.name}.Ready": str(state.ready) for member, state in zip(plan.members, members, strict=True)}
    shortages = {
        f"{node.name}.{shortage}": message
        for node in nodes
        if node.name in planned_names
        for shortage, message in node.shortages.items()
    }
    if gone_objects.waiting_pods:
        shortages["LostVolumes"] = gone_objects.reason()
    healthy = all(state.ready for state in members) and not shortages
    members_by_name = {member.name: member for member in plan.members}
    due = (
        members_by_name[node.name].uuid
        for node in nodes
        if node.name in members_by_name
        and MachineId.parse(node.machine).is_due(MachineId.of(plan, members_by_name[node.name], now))
    )
    return CoeObserved(
        due=tuple(due),
        api_address=api_url(plan),
        members=members,
        # Removed nodes with volumes left are listed too: they are removed in the same way.
        strangers=tuple(sorted({node.name for node in nodes if node.name not in planned_names} | gone_objects.nodes)),
        coe_version=version,
        container_version=next((node.runtime.rpartition("/")[2] for node in nodes if node.name in planned_names), None),
        health=Health.HEALTHY if healthy else Health.UNHEALTHY,
        health_reasons=reasons | shortages,
        conditions=(
            options.build_labels_condition(plan.labels, plan.template.driver),
            # kube-proxy works with nftables and needs no IPVS.
            Condition(type="VirtualIPs", status=True),
            *network.build_conditions(plan, nodes),
        ),
    )


def list_member_states(
    plan: CoePlan, nodes: Sequence[KubernetesNode], silent: Mapping[str, str]
) -> tuple[MemberState, ...]:
    """Return one state for each member. `silent` has the masters that do not answer: the reason by uuid."""
    nodes_by_name = {node.name: node for node in nodes}
    return tuple(
        _state(plan, member, nodes_by_name.get(member.name), silent.get(member.uuid)) for member in plan.members
    )


def has_current_build(node: KubernetesNode, member: Member) -> bool:
    """Whether the node's kubelet has the member's build."""
    return MachineId.parse(node.machine).build == build_id(member)


def _state(plan: CoePlan, member: Member, node: KubernetesNode | None, silent: str | None) -> MemberState:
    if node is None:
        return MemberState(uuid=member.uuid, ready=False, reason="the cluster does not know this node")
    if not has_current_build(node, member):
        return MemberState(uuid=member.uuid, ready=False, reason="its kubelet has not come up yet on the new machine")
    if silent is not None:
        return MemberState(uuid=member.uuid, ready=False, reason=f"its API server is not ready: {silent}")
    reason = network.find_node_problem(plan, node)
    since = node.since if reason and not node.ready else None
    return MemberState(uuid=member.uuid, ready=not reason, reason=reason, since=since)
