"""What a node of a real Kubernetes says of its size: that of its flavour, and when it runs short of it."""

import json
import re
from dataclasses import replace

import pytest

from jeroboam.clients.kubernetes_quantities import amount
from jeroboam.coes.base import GroupShape
from jeroboam.domain.clusters import WORKER, Health
from jeroboam.providers.base import SupportsDiagnosis
from tests.contract.rigs import eventually, kubernetes_rig, on_node
from tests.contract.test_kubernetes import User, up
from tests.kubernetes_objects import BUSYBOX, deployment, written

pytestmark = [pytest.mark.docker, pytest.mark.kubernetes, pytest.mark.slow]

# m1.small, which nodes of rigs are.
CORES, MEMORY = 1, 2048 << 20
# A disk of a little more than the gibibyte that has to be left, so that it is full soon.
SMALL_DISK = ("sh", "-c", "mkdir -p /var/lib/kubelet && mount -t tmpfs -o size=1200m tmpfs /var/lib/kubelet")
# As much as pods of the node may have together, less what it says is short; no volume may have all of it.
FILL = "for i in $(seq 185); do dd if=/dev/zero of=/eaten$((i % 2))/$i bs=1M count=10 2>/dev/null; done; sleep 3600"
IN_MEMORY = {"emptyDir": {"medium": "Memory"}}


@pytest.fixture
async def rig():
    made = await kubernetes_rig()
    scripts = made.scripts

    def on_small_disks():
        workers = {member.uuid for member in made.members if member.role == WORKER}
        return {
            uuid: replace(script, commands=(SMALL_DISK, *script.commands)) if uuid in workers else script
            for uuid, script in scripts().items()
        }

    made.scripts = on_small_disks  # type: ignore[method-assign]
    yield made
    await made.infra.close()


async def test_a_node_is_as_large_as_its_flavour_and_says_when_it_runs_short(rig):
    user = await up(rig, workers=1)
    worker = rig.members[1]
    shown = {node["metadata"]["name"]: node for node in await items(user, "nodes")}
    for member in rig.members:
        node = shown[member.name]
        assert (amount(node["status"]["capacity"]["cpu"]), memory(node, "capacity")) == (CORES, MEMORY)
        assert 0 < amount(node["status"]["allocatable"]["cpu"]) < CORES
        assert MEMORY * 0.8 < memory(node, "allocatable") < MEMORY * 0.95
        assert node["spec"]["providerID"] == f"openstack:///{member.uuid}"
        assert node["status"]["nodeInfo"]["systemUUID"] == member.uuid

    # Two that do not fit together, and one that fits nowhere.
    resources = {"requests": {"memory": "1200Mi"}}
    await apply(user, deployment("two", "sleep", "3600", grace_seconds=0, resources=resources))
    await apply(user, pod("large", "sleep 3600", requests={"memory": "20Gi"}))
    why = await eventually(lambda: unscheduled(user, "large"), bool)
    assert "Insufficient memory" in why
    shape = GroupShape(name=worker.group, room=3)

    async def wanted():
        return (await rig.coe.observe_demand(rig.plan(), [shape])).extra_nodes

    assert await eventually(wanted, bool) == {worker.group: 1}
    await user("delete", "deployment/two", "pod/large", "--wait=true")

    await apply(user, pod("eater", FILL, volumes={"eaten0": IN_MEMORY, "eaten1": IN_MEMORY}))
    await eventually(lambda: pressure(rig, worker, "MemoryPressure"), bool, seconds=120)
    ended = await eventually(lambda: status(user, "eater"), lambda seen: seen.get("phase") == "Failed", seconds=60)
    assert ended["reason"] == "Evicted"
    assert "memory" in ended["message"]
    await on_node(rig, 1, "dd", "if=/dev/zero", "of=/var/lib/kubelet/filling", "bs=1M", "count=300")
    await eventually(lambda: pressure(rig, worker, "DiskPressure"), bool, seconds=60)
    # The kernel of all nodes has so few processes left.
    running = "cut -d' ' -f4 /proc/loadavg | cut -d/ -f2"
    few = f"echo $(($({running}) + 500)) >/run/few && mount -o bind /run/few /proc/sys/kernel/pid_max"
    await on_node(rig, 1, "sh", "-c", few)
    await eventually(lambda: pressure(rig, worker, "PIDPressure"), bool, seconds=60)

    seen = await rig.coe.observe(rig.plan())
    assert seen.health is Health.UNHEALTHY
    told = {key for key in seen.health_reasons if "Pressure" in key}
    assert told == {f"{worker.name}.{what}Pressure" for what in ("Memory", "Disk", "PID")}


def pod(name: str, script: str, *, requests=None, volumes=None) -> dict:
    mounts = [{"name": each, "mountPath": f"/{each}"} for each in volumes or ()]
    container = {"name": name, **BUSYBOX, "command": ["sh", "-c", script], "volumeMounts": mounts}
    spec = {
        "terminationGracePeriodSeconds": 0,
        "restartPolicy": "Never",
        "containers": [{**container, "resources": {"requests": requests or {}}}],
        "volumes": [{"name": each, **source} for each, source in (volumes or {}).items()],
    }
    return written("v1", "Pod", name, spec)


async def apply(user: User, wanted: dict) -> None:
    await eventually(lambda: user("apply", "-f", "-", stdin=json.dumps(wanted)), bool)


async def items(user: User, kind: str) -> list[dict]:
    return json.loads(await user("get", kind, "-o", "json"))["items"]


async def status(user: User, name: str) -> dict:
    return json.loads(await user("get", "pod", name, "-o", "json"))["status"]


async def unscheduled(user: User, name: str) -> str:
    conditions = (await status(user, name)).get("conditions") or ()
    return next((each.get("message", "") for each in conditions if each["type"] == "PodScheduled"), "")


async def pressure(rig, member, what: str) -> str:
    return (await rig.coe.observe(rig.plan())).health_reasons.get(f"{member.name}.{what}", "")


def memory(node: dict, which: str) -> float:
    return amount(node["status"][which]["memory"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"kubelet_options": "--system-reserved=memory=3Gi"},
            r"its service ended with status 1 and printed last: .*memory",
        ),
        ({"kubeapi_options": "--watch-cache-sizes=foo"}, r"kube-apiserver has ended \d+ times and printed last: .*foo"),
    ],
)
async def test_what_a_program_printed_when_it_ended_is_read(options, told):
    rig = await kubernetes_rig()
    plan = rig.plan
    rig.plan = lambda **more: plan(**{"labels": options, **more})  # type: ignore[method-assign]
    try:
        await rig.boot(rig.nodes(1, 0))
        master = rig.members[0]

        async def ask() -> str:
            provider = rig.provider
            assert isinstance(provider, SupportsDiagnosis)
            return await provider.diagnose(rig.cluster_id, master.uuid, rig.scripts()[master.uuid])

        await eventually(ask, lambda words: re.search(told, words), seconds=90)
    finally:
        await rig.infra.close()
