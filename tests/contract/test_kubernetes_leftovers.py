"""What a worker that is removed leaves in a real Kubernetes: a volume of its disk, and who waits for it."""

import json

import pytest

from jeroboam.domain.clusters import Health
from tests.contract.rigs import eventually, kubernetes_rig
from tests.contract.test_kubernetes import User, up
from tests.kubernetes_objects import BUSYBOX, listed, written

pytestmark = [pytest.mark.docker, pytest.mark.kubernetes, pytest.mark.slow]

CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
WRITER = {
    "terminationGracePeriodSeconds": 0,
    "containers": [
        {
            **BUSYBOX,
            "name": "writer",
            "command": ["sleep", "3600"],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        }
    ],
    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "kept"}}],
}
POD = written("v1", "Pod", "writer", WRITER)
OBJECTS = listed(written("v1", "PersistentVolumeClaim", "kept", CLAIM), POD)


@pytest.fixture
async def rig():
    made = await kubernetes_rig()
    yield made
    await made.infra.close()


async def test_volumes_of_a_removed_worker_are_told_and_go_when_nobody_claims_them(rig):
    user = await up(rig, workers=1)
    await eventually(lambda: user("apply", "-f", "-", stdin=OBJECTS), bool, seconds=60)
    await eventually(lambda: user("wait", "--for=condition=Ready", "pod/writer", "--timeout=1s"), bool, seconds=90)
    assert (await rig.coe.observe(rig.plan())).health is Health.HEALTHY
    [volume] = await items(user, "persistentvolumes")

    gone = rig.members.pop()
    await rig.coe.leave(rig.plan(), [gone.name])
    await rig.provider.remove(rig.cluster_id, [gone.uuid])
    # The one that takes its place has another disk.
    await eventually(lambda: User(rig)("apply", "-f", "-", stdin=json.dumps(POD)), bool)
    seen = await eventually(lambda: rig.coe.observe(rig.plan()), lambda found: found.health is Health.UNHEALTHY)
    told = f"pod default/writer waits for volume {volume['metadata']['name']} of claim default/kept"
    assert told in seen.health_reasons["LostVolumes"]
    assert gone.name in seen.health_reasons["LostVolumes"]
    assert seen.strangers == ()

    user = User(rig)
    await user("delete", "pod/writer", "pvc/kept", "--force", "--timeout=30s")
    seen = await eventually(lambda: rig.coe.observe(rig.plan()), lambda found: found.strangers == (gone.name,))
    await rig.coe.leave(rig.plan(), seen.strangers)
    assert await items(user, "persistentvolumes") == []
    seen = await rig.coe.observe(rig.plan())
    assert (seen.health, seen.strangers) == (Health.HEALTHY, ())


async def items(user: User, kind: str) -> list[dict]:
    return json.loads(await user("get", kind, "-o", "json"))["items"]
