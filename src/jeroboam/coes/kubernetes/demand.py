"""How many nodes more a Kubernetes cluster has work for, and which have none: what its pods say. Pure.

It does what the scheduler would do with nodes that are not there yet, as far as that can be told beforehand: requests,
node selectors, required node affinity and taints count, and volumes that lie on a node; spreading, affinity between
pods and ports of the host do not. A node that is not there is taken to be as one of its group, or else as any other.
Neighbours: the COE, which asks the API; `quantities`, which reads its numbers; `disks`, which reads its volumes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jeroboam.clients.kubernetes_quantities import amounts, less, plus, within
from jeroboam.coes.base import CoePlan, GroupShape, NodeDemand
from jeroboam.coes.kubernetes import disks
from jeroboam.coes.kubernetes.node_annotations import GROUP_LABEL
from jeroboam.coes.kubernetes.node_ops import ClusterLoad, stays
from jeroboam.domain.clusters import MASTER

# What the cluster itself puts onto nodes that are not well.
_PASSING = "node.kubernetes.io/"
_KEEPS_AWAY = frozenset({"NoSchedule", "NoExecute"})


@dataclass(frozen=True, kw_only=True, slots=True)
class _NodeShape:
    """A node as the next one of a group would be."""

    shape: GroupShape
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, str]]
    room: Mapping[str, float]


@dataclass(slots=True)
class _PlannedNode:
    """A node that would be made, and what is left of it."""

    kind: _NodeShape
    left: Mapping[str, float] = field(default_factory=dict)


def demand(plan: CoePlan, groups: Sequence[GroupShape], load: ClusterLoad) -> NodeDemand:
    """What nodes, pods and volumes of the API come to."""
    on_disks = [
        (disks.claim_of(volume), names) for volume in load.volumes if (names := disks.nodes_of(volume)) is not None
    ]
    tied = {claim for claim, _ in on_disks}
    holders: set[str] = set().union(*(names for _, names in on_disks))
    waiting = [pod for pod in load.pods if _waits(pod)]
    # What a node's own disk holds goes with the node: it is no node without work.
    busy = holders | {pod["spec"].get("nodeName") for pod in load.pods if not stays(pod)}
    idle = [member for member in plan.members if member.role != MASTER and member.name not in busy]
    kinds = [kind for shape in groups if (kind := _kind(shape, load.nodes, load.pods)) is not None]
    new: list[_PlannedNode] = []
    # The largest first: what is small fits beside it.
    for pod in sorted(waiting, key=_size, reverse=True):
        if not disks.claims_of(pod) & tied:
            _place(pod, kinds, new)
    # Where a node of the group has nothing to do already another one would help nobody.
    ready = {node["metadata"]["name"] for node in load.nodes if _takes_work(node)}
    sated = {member.group for member in idle if member.name in ready}
    more = {shape.name: sum(each.kind.shape.name == shape.name for each in new) for shape in groups}
    return NodeDemand(
        waiting=tuple(sorted(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in waiting)),
        more={name: count for name, count in more.items() if count and name not in sated},
        held=frozenset(name for name, count in more.items() if count),
        idle=frozenset(member.uuid for member in idle),
    )


def _takes_work(node: Mapping[str, Any]) -> bool:
    conditions = node["status"].get("conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and not node["spec"].get("unschedulable")


def _waits(pod: Mapping[str, Any]) -> bool:
    """Whether the scheduler has found no node for it. What belongs to a node that is there waits for that one."""
    if pod["spec"].get("nodeName") or pod["metadata"].get("deletionTimestamp") or stays(pod):
        return False
    said: Mapping[str, Any] = next(
        (each for each in pod["status"].get("conditions") or () if each["type"] == "PodScheduled"), {}
    )
    return said.get("status") == "False" and said.get("reason") == "Unschedulable"


def _size(pod: Mapping[str, Any]) -> tuple[float, float]:
    wanted = _requests(pod)
    return wanted.get("cpu", 0.0), wanted.get("memory", 0.0)


def _kind(shape: GroupShape, nodes: Sequence[dict[str, Any]], pods: Iterable[dict[str, Any]]) -> _NodeShape | None:
    """What the next node of that group would be; None where no node can tell."""
    workers = [node for node in nodes if "node-role.kubernetes.io/control-plane" not in _labels(node)]
    own = [node for node in workers if _labels(node).get(GROUP_LABEL) == shape.name]
    example = next(iter(own or workers or nodes), None)
    if example is None:
        return None
    taken = [pod for pod in pods if pod["spec"].get("nodeName") == example["metadata"]["name"] and stays(pod)]
    room = amounts(example["status"]["allocatable"])
    for pod in taken:
        room = less(room, _requests(pod))
    if own:
        labels = {key: value for key, value in _labels(example).items() if key != disks.HOST}
        taints = [each for each in example["spec"].get("taints") or () if not each["key"].startswith(_PASSING)]
    else:
        labels, taints = {**shape.labels, GROUP_LABEL: shape.name}, list(shape.taints)
    return _NodeShape(shape=shape, labels=labels, taints=taints, room=room)


def _place(pod: Mapping[str, Any], kinds: Sequence[_NodeShape], new: list[_PlannedNode]) -> None:
    """Find room for the pod on a node that is to be made anyway, or have one more made, if one can be."""
    wanted = _requests(pod)
    for each in new:
        if _may_run(pod, each.kind) and within(wanted, each.left):
            each.left = less(each.left, wanted)
            return
    for kind in kinds:
        made = sum(each.kind is kind for each in new)
        if made < kind.shape.room and _may_run(pod, kind) and within(wanted, kind.room):
            new.append(_PlannedNode(kind, less(kind.room, wanted)))
            return


def _may_run(pod: Mapping[str, Any], kind: _NodeShape) -> bool:
    spec = pod["spec"]
    selector: Mapping[str, str] = spec.get("nodeSelector") or {}
    if any(kind.labels.get(key) != value for key, value in selector.items()):
        return False
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if required is not None and not any(_meets(term, kind.labels) for term in required["nodeSelectorTerms"]):
        return False
    tolerations: Sequence[Mapping[str, Any]] = spec.get("tolerations") or ()
    keep_away = [taint for taint in kind.taints if taint.get("effect") in _KEEPS_AWAY]
    return all(any(_tolerates(each, taint) for each in tolerations) for taint in keep_away)


def _meets(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """One that asks for fields of a node asks for one that is there already."""
    return not term.get("matchFields") and all(_holds(each, labels) for each in term.get("matchExpressions") or ())


def _holds(wanted: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    has, values = labels.get(wanted["key"]), wanted.get("values") or []
    match wanted["operator"]:
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


def _requests(pod: Mapping[str, Any]) -> dict[str, float]:
    """What the pod asks of a node: its containers together, or the largest of those that run before them."""

    def asked(container: Mapping[str, Any]) -> dict[str, float]:
        return amounts((container.get("resources") or {}).get("requests") or {})

    total: dict[str, float] = {"pods": 1.0}
    for container in pod["spec"].get("containers") or ():
        total = plus(total, asked(container))
    for container in pod["spec"].get("initContainers") or ():
        total |= {key: max(value, total.get(key, 0.0)) for key, value in asked(container).items()}
    return plus(total, amounts(pod["spec"].get("overhead") or {}))


def _labels(node: Mapping[str, Any]) -> Mapping[str, str]:
    return node["metadata"].get("labels") or {}
