"""How many nodes more there is work for, by what a Kubernetes API says of nodes and pods."""

import pytest

from jeroboam.clients.kubernetes_quantities import amount, fits
from jeroboam.coes.base import CoePlan, GroupShape, Member
from jeroboam.coes.kubernetes.demand import compute_demand
from jeroboam.coes.kubernetes.node_ops import ClusterLoad
from jeroboam.domain.clusters import TemplateSpec

PLAN = CoePlan(
    cluster_id="c",
    cluster_name="c",
    template=TemplateSpec(coe="kubernetes", image_id="i"),
    labels={},
    members=tuple(
        Member(uuid=f"u-{name}", name=name, role=role, group=f"default-{role}", address="10.0.0.1")
        for name, role in (("m0", "master"), ("w0", "worker"), ("w1", "worker"))
    ),
    authorities={},
)
SHAPE = GroupShape(name="default-worker", room=5)


def node(name="w0", *, group="default-worker", cpu="2", memory="4Gi", labels=None, taints=(), pods="110"):
    return {
        "metadata": {"name": name, "labels": {"jeroboam.io/group": group} | (labels or {})},
        "spec": {"taints": list(taints)},
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": pods}},
    }  # fmt: skip


def pod(name="p", *, cpu="100m", memory="64Mi", on=None, owner=None, why="Unschedulable", phase=None, **spec):
    meta = {"name": name, "namespace": "default"} | ({"ownerReferences": [{"kind": owner}]} if owner else {})
    conditions = [] if on else [{"type": "PodScheduled", "status": "False", "reason": why}]
    return {
        "metadata": meta,
        "spec": {"containers": [{"resources": {"requests": {"cpu": cpu, "memory": memory}}}]}
        | ({"nodeName": on} if on else {})
        | spec,
        "status": {"phase": phase or ("Running" if on else "Pending"), "conditions": conditions},
    }


def more(pods, *shapes, nodes=None) -> dict[str, int]:
    return compute_demand(
        PLAN, shapes or (SHAPE,), ClusterLoad(nodes=nodes if nodes is not None else [node()], pods=pods)
    ).extra_nodes


@pytest.mark.parametrize(
    ("pods", "count"),
    [
        ([], 0),
        ([pod()], 1),
        ([pod(cpu="1"), pod(cpu="1")], 1),
        ([pod(cpu="1500m"), pod(cpu="1500m")], 2),
        ([pod(cpu="1500m"), pod(cpu="500m"), pod(cpu="1500m"), pod(cpu="500m")], 2),
        ([pod(cpu="2")] * 9, 5),
        ([pod(cpu="3")], 0),
        ([pod(memory="5Gi")], 0),
        ([pod(memory="4Gi")], 1),
        ([pod(on="w0", cpu="2")], 0),
        ([pod(why="SchedulingGated")], 0),
        ([pod(owner="DaemonSet")], 0),
        ([pod(owner="ReplicaSet")], 1),
        ([pod(cpu="3", owner="ReplicaSet"), pod()], 1),
        ([pod(nodeSelector={"disk": "fast"})], 0),
        ([pod(nodeSelector={"jeroboam.io/group": "default-worker"})], 1),
        ([pod(initContainers=[{"resources": {"requests": {"cpu": "3"}}}])], 0),
        ([pod(overhead={"cpu": "2"})], 0),
    ],
)
def test_how_many(pods, count):
    assert more(pods) == ({"default-worker": count} if count else {})


def test_what_every_node_has_takes_room_on_the_next_one_too():
    agent = pod(on="w0", owner="DaemonSet", cpu="1")
    assert more([agent, pod(cpu="1500m")]) == {}
    assert more([agent, pod(cpu="1")]) == {"default-worker": 1}
    # Work that may go elsewhere takes none.
    assert more([pod(on="w0", cpu="2"), pod(cpu="1500m")]) == {"default-worker": 1}


def test_no_more_pods_than_a_node_takes():
    assert more([pod(cpu="1m")] * 3, nodes=[node(pods="2")]) == {"default-worker": 2}


@pytest.mark.parametrize(
    ("tolerations", "fits"),
    [
        ([], False),
        ([{"key": "own", "value": "x", "effect": "NoSchedule"}], True),
        ([{"key": "own", "operator": "Exists"}], True),
        ([{"operator": "Exists"}], True),
        ([{"key": "own", "value": "y"}], False),
        ([{"key": "own", "operator": "Exists", "effect": "NoExecute"}], False),
    ],
)
def test_taints(tolerations, fits):
    taint = {"key": "own", "value": "x", "effect": "NoSchedule"}
    soft = {"key": "soft", "effect": "PreferNoSchedule"}
    passing = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    found = more([pod(tolerations=tolerations)], nodes=[node(taints=[taint, soft, passing])])
    assert bool(found) is fits


@pytest.mark.parametrize(
    ("operator", "values", "fits"),
    [
        ("In", ["a", "b"], True), ("In", ["b"], False), ("NotIn", ["b"], True), ("NotIn", ["a"], False),
        ("Exists", None, True), ("DoesNotExist", None, False), ("Gt", ["1"], False),
    ],
)  # fmt: skip
def test_affinity(operator, values, fits):
    term = {"matchExpressions": [{"key": "zone", "operator": operator, "values": values}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    assert bool(more([pod(affinity=affinity)], nodes=[node(labels={"zone": "a"})])) is fits
    field = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["w0"]}]}
    affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"] = [field]
    assert more([pod(affinity=affinity)]) == {}


def test_groups_that_have_no_node_yet():
    empty = GroupShape(name="big", labels={"disk": "fast"}, taints=({"key": "own", "effect": "NoSchedule"},), room=2)
    wants = {"nodeSelector": {"disk": "fast"}, "tolerations": [{"key": "own", "operator": "Exists"}]}
    assert more([pod(**wants)], SHAPE, empty) == {"big": 1}
    assert more([pod(), pod(**wants)], SHAPE, empty) == {"default-worker": 1, "big": 1}
    assert more([pod(nodeSelector={"disk": "fast"})], SHAPE, empty) == {}
    assert more([pod()], empty, nodes=[]) == {}


def test_what_one_group_has_no_room_for_goes_to_the_next():
    small, large = GroupShape(name="small", room=1), GroupShape(name="large", room=5)
    nodes = [node(group="small", cpu="1"), node("w1", group="large", cpu="4")]
    assert more([pod(cpu="1"), pod(cpu="1"), pod(cpu="3")], small, large, nodes=nodes) == {"small": 1, "large": 1}
    assert more([pod(cpu="1"), pod(cpu="800m")], small, large, nodes=nodes) == {"small": 1, "large": 1}


def test_who_has_no_work():
    pods = [pod(on="w0"), pod(on="m0"), pod(on="w1", owner="DaemonSet"), pod(on="w1", phase="Succeeded")]
    found = compute_demand(PLAN, (), ClusterLoad(nodes=[node()], pods=pods))
    assert found.idle == {"u-w1"}
    assert compute_demand(PLAN, (), ClusterLoad(nodes=[node()])).idle == {"u-w0", "u-w1"}, "a master never is"


def volume(on: str, claim: str, key="kubernetes.io/hostname") -> dict:
    term = {"matchExpressions": [{"key": key, "operator": "In", "values": [on]}]}
    affinity = {"required": {"nodeSelectorTerms": [term]}}
    return {"spec": {"claimRef": {"namespace": "default", "name": claim}, "nodeAffinity": affinity}}


def test_what_a_nodes_disk_holds_keeps_the_node_and_its_pods():
    """A pod whose volume lies on a full node is not helped by another node, and that node does not go."""
    volumes = [volume("w1", "data"), {"spec": {"claimRef": {"namespace": "default", "name": "far"}}}]
    tied, free = (
        pod(name, volumes=[{"persistentVolumeClaim": {"claimName": name}}, {"emptyDir": {}}])
        for name in ("data", "far")
    )
    found = compute_demand(PLAN, (SHAPE,), ClusterLoad(nodes=[node()], pods=[tied], volumes=volumes))
    assert (found.extra_nodes, found.protected_groups, found.idle, found.unschedulable) == (
        {},
        frozenset(),
        {"u-w0"},
        ("default/data",),
    )
    assert compute_demand(PLAN, (SHAPE,), ClusterLoad(nodes=[node()], pods=[free], volumes=volumes)).extra_nodes == {
        "default-worker": 1
    }


@pytest.mark.parametrize(
    ("ready", "cordoned", "expected"),
    [("True", False, {}), ("False", False, {"default-worker": 1}), ("True", True, {"default-worker": 1})],
)
def test_a_node_without_work_that_helps_nobody_is_followed_by_no_other(ready, cordoned, expected):
    idle = node("w1")
    idle["status"]["conditions"] = [{"type": "Ready", "status": ready}]
    idle["spec"]["unschedulable"] = cordoned
    found = compute_demand(PLAN, (SHAPE,), ClusterLoad(nodes=[node(), idle], pods=[pod(on="w0"), pod()]))
    assert found.extra_nodes == expected
    assert found.protected_groups == {"default-worker"}, "nor does it go, since the next pass would want it back"


def test_what_waits_is_named():
    assert compute_demand(PLAN, (), ClusterLoad(nodes=[node()], pods=[pod("b"), pod("a")])).unschedulable == (
        "default/a",
        "default/b",
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1), ("100m", 0.1), ("0.5", 0.5), (".5", 0.5), ("1.", 1), ("64Mi", 64 << 20), ("1Gi", 1 << 30),
        ("2k", 2000), ("1e3", 1000), ("1E", 1e18), ("5Ei", 5 << 60), ("100n", 1e-7), ("", 0), ("x", 0), (3, 3),
        ("-1", -1),
    ],
)  # fmt: skip
def test_amounts(text, number):
    assert amount(text) == pytest.approx(number)


def test_what_is_not_wanted_needs_no_room():
    assert fits({"cpu": 0.0, "gpu": 0.0}, {"cpu": 0.0})
    assert not fits({"gpu": 1.0}, {"cpu": 1.0})
