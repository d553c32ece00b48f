"""The demand of a Kubernetes cluster: how many more nodes its pods need, and which nodes have no work. Pure.

It does what the scheduler would do with nodes that do not exist yet, as far as that can be predicted. It considers
requests, node selectors, required node affinity, taints and volumes that are bound to a node. It ignores topology
spreading, affinity between pods and host ports. A new node is assumed to be like the others of its group, or else like
any other node. Neighbours: the COE, which asks the API; `clients.kubernetes_quantities`, which parses quantities;
`disks`, which reads volumes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jeroboam.clients.kubernetes_quantities import amounts, fits, plus, subtract
from jeroboam.coes.base import CoePlan, GroupShape, NodeDemand
from jeroboam.coes.kubernetes import disks
from jeroboam.coes.kubernetes.node_annotations import GROUP_LABEL
from jeroboam.coes.kubernetes.node_ops import ClusterLoad, stays_on_drain
from jeroboam.domain.clusters import MASTER

# The prefix of taints that the cluster itself sets on nodes that are not healthy.
_PASSING = "node.kubernetes.io/"
_KEEPS_AWAY = frozenset({"NoSchedule", "NoExecute"})


@dataclass(frozen=True, kw_only=True, slots=True)
class _NodeShape:
    """The next node of a group, as it would be."""

    group: GroupShape
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, str]]
    room: Mapping[str, float]


@dataclass(slots=True)
class _PlannedNode:
    """A node that would be created, and its remaining capacity."""

    shape: _NodeShape
    remaining: Mapping[str, float] = field(default_factory=dict)


def compute_demand(plan: CoePlan, groups: Sequence[GroupShape], load: ClusterLoad) -> NodeDemand:
    """Compute the demand from the nodes, pods and volumes of the API."""
    disk_claims = [
        (disks.claim_of(volume), names) for volume in load.volumes if (names := disks.nodes_of(volume)) is not None
    ]
    local_claims = {claim for claim, _ in disk_claims}
    busy_by_disk: set[str] = set().union(*(names for _, names in disk_claims))
    pending_pods = [pod for pod in load.pods if _is_unschedulable(pod)]
    # Volumes on a node's own disk would be lost with the node: such a node is not idle.
    busy = busy_by_disk | {pod["spec"].get("nodeName") for pod in load.pods if not stays_on_drain(pod)}
    idle = [member for member in plan.members if member.role != MASTER and member.name not in busy]
    node_shapes = [
        node_shape for shape in groups if (node_shape := _shape_of(shape, load.nodes, load.pods)) is not None
    ]
    new_nodes: list[_PlannedNode] = []
    # The largest pods first: small ones fit beside them.
    for pod in sorted(pending_pods, key=_pod_size, reverse=True):
        if not disks.claims_of(pod) & local_claims:
            _place_pod(pod, node_shapes, new_nodes)
    # A group that has an idle node already needs no other one.
    ready = {node["metadata"]["name"] for node in load.nodes if _is_schedulable(node)}
    idle_groups = {member.group for member in idle if member.name in ready}
    extra_nodes = {shape.name: sum(node.shape.group.name == shape.name for node in new_nodes) for shape in groups}
    return NodeDemand(
        unschedulable=tuple(
            sorted(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in pending_pods)
        ),
        extra_nodes={name: count for name, count in extra_nodes.items() if count and name not in idle_groups},
        protected_groups=frozenset(name for name, count in extra_nodes.items() if count),
        idle=frozenset(member.uuid for member in idle),
    )


def _is_schedulable(node: Mapping[str, Any]) -> bool:
    conditions = node["status"].get("conditions") or ()
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return ready and not node["spec"].get("unschedulable")


def _is_unschedulable(pod: Mapping[str, Any]) -> bool:
    """Whether the scheduler has found no node for the pod. A pod that belongs to an existing node does not count."""
    if pod["spec"].get("nodeName") or pod["metadata"].get("deletionTimestamp") or stays_on_drain(pod):
        return False
    condition: Mapping[str, Any] = next(
        (condition for condition in pod["status"].get("conditions") or () if condition["type"] == "PodScheduled"), {}
    )
    return condition.get("status") == "False" and condition.get("reason") == "Unschedulable"


def _pod_size(pod: Mapping[str, Any]) -> tuple[float, float]:
    size = _requests_of(pod)
    return size.get("cpu", 0.0), size.get("memory", 0.0)


def _shape_of(shape: GroupShape, nodes: Sequence[dict[str, Any]], pods: Iterable[dict[str, Any]]) -> _NodeShape | None:
    """Return the shape of the group's next node; None when there is no node to compare with."""
    workers = [node for node in nodes if "node-role.kubernetes.io/control-plane" not in _labels_of(node)]
    group_nodes = [node for node in workers if _labels_of(node).get(GROUP_LABEL) == shape.name]
    example = next(iter(group_nodes or workers or nodes), None)
    if example is None:
        return None
    fixed_pods = [
        pod for pod in pods if pod["spec"].get("nodeName") == example["metadata"]["name"] and stays_on_drain(pod)
    ]
    room = amounts(example["status"]["allocatable"])
    for pod in fixed_pods:
        room = subtract(room, _requests_of(pod))
    if group_nodes:
        labels = {key: value for key, value in _labels_of(example).items() if key != disks.HOST}
        taints = [taint for taint in example["spec"].get("taints") or () if not taint["key"].startswith(_PASSING)]
    else:
        labels, taints = {**shape.labels, GROUP_LABEL: shape.name}, list(shape.taints)
    return _NodeShape(group=shape, labels=labels, taints=taints, room=room)


def _place_pod(pod: Mapping[str, Any], node_shapes: Sequence[_NodeShape], new_nodes: list[_PlannedNode]) -> None:
    """Place the pod on a new node that is planned already, or plan one more if the group may grow."""
    requests = _requests_of(pod)
    for node in new_nodes:
        if _may_run(pod, node.shape) and fits(requests, node.remaining):
            node.remaining = subtract(node.remaining, requests)
            return
    for node_shape in node_shapes:
        new_count = sum(node.shape is node_shape for node in new_nodes)
        if new_count < node_shape.group.room and _may_run(pod, node_shape) and fits(requests, node_shape.room):
            new_nodes.append(_PlannedNode(node_shape, subtract(node_shape.room, requests)))
            return


def _may_run(pod: Mapping[str, Any], node_shape: _NodeShape) -> bool:
    spec = pod["spec"]
    selector: Mapping[str, str] = spec.get("nodeSelector") or {}
    if any(node_shape.labels.get(key) != value for key, value in selector.items()):
        return False
    node_selector = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if node_selector is not None and not any(
        _matches_term(term, node_shape.labels) for term in node_selector["nodeSelectorTerms"]
    ):
        return False
    tolerations: Sequence[Mapping[str, Any]] = spec.get("tolerations") or ()
    blocking_taints = [taint for taint in node_shape.taints if taint.get("effect") in _KEEPS_AWAY]
    return all(any(_tolerates(toleration, taint) for toleration in tolerations) for taint in blocking_taints)


def _matches_term(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether the labels match the term. A term with `matchFields` means an existing node and never matches."""
    return not term.get("matchFields") and all(
        _matches_expression(expression, labels) for expression in term.get("matchExpressions") or ()
    )


def _matches_expression(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    has, values = labels.get(expression["key"]), expression.get("values") or []
    match expression["operator"]:
        case "In":
            return has in values
        case "NotIn":
            return has not in values
        case "Exists":
            return has is not None
        case "DoesNotExist":
            return has is None
    return False


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, str]) -> bool:
    if toleration.get("effect") not in {None, "", taint.get("effect")}:
        return False
    if toleration.get("key") not in {None, "", taint["key"]}:
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")


def _requests_of(pod: Mapping[str, Any]) -> dict[str, float]:
    """Return the pod's requests: the sum of its containers, or the largest of its init containers."""

    def requests_of(container: Mapping[str, Any]) -> dict[str, float]:
        return amounts((container.get("resources") or {}).get("requests") or {})

    total: dict[str, float] = {"pods": 1.0}
    for container in pod["spec"].get("containers") or ():
        total = plus(total, requests_of(container))
    for container in pod["spec"].get("initContainers") or ():
        total |= {key: max(value, total.get(key, 0.0)) for key, value in requests_of(container).items()}
    return plus(total, amounts(pod["spec"].get("overhead") or {}))


def _labels_of(node: Mapping[str, Any]) -> Mapping[str, str]:
    return node["metadata"].get("labels") or {}
