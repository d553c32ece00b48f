"""A disruption budget on a real Kubernetes: a drain waits for it and says so; time that is up is an event."""

import asyncio

import pytest

from tests.contract.rigs import eventually, kubernetes_rig
from tests.contract.test_kubernetes import up
from tests.kubernetes_objects import BUSYBOX, listed, written

pytestmark = [pytest.mark.docker, pytest.mark.kubernetes, pytest.mark.slow]

POD = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "only", **BUSYBOX, "command": ["sleep", "3600"]}]}
BUDGET = {"minAvailable": 1, "selector": {"matchLabels": {"app": "only"}}}
ONLY = written("v1", "Pod", "only", POD)
ONLY["metadata"]["labels"] = {"app": "only"}
OBJECTS = listed(ONLY, written("policy/v1", "PodDisruptionBudget", "only", BUDGET))


@pytest.fixture
async def rig():
    made = await kubernetes_rig()
    yield made
    await made.infra.close()


class Watched:
    """What a drain tells."""

    def __init__(self) -> None:
        self.things: tuple[str, ...] = ()
        self.notes: list[str] = []

    def wait_for(self, things) -> None:
        self.things = tuple(things)

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


@pytest.mark.parametrize("patient", [True, pytest.param(False, marks=pytest.mark.long)])
async def test_a_drain_waits_for_a_disruption_budget(rig, patient):
    user = await up(rig, workers=1)
    await eventually(lambda: user("apply", "-f", "-", stdin=OBJECTS), bool, seconds=60)
    await eventually(lambda: user("wait", "--for=condition=Ready", "pod/only", "--timeout=1s"), bool, seconds=90)
    [master, worker] = rig.members
    watched = Watched()

    leaving = asyncio.ensure_future(rig.coe.leave(rig.plan(), [worker.name], watched))

    async def kept():
        return [thing for thing in watched.things if "disruption budget" in thing]

    [thing] = await eventually(kept, bool, seconds=30)
    assert thing.startswith("pod default/only is kept by a disruption budget: ")
    assert "only" in thing.partition(":")[2]
    if patient:
        await user("delete", "pdb/only")
        await asyncio.wait_for(leaving, 30)
        assert watched.notes == []
    else:
        await asyncio.wait_for(leaving, 90)
        [note] = watched.notes
        assert note.startswith(f"Node {worker.name} is taken down after 60 seconds with pods on it: ")
        assert "pod default/only is kept by a disruption budget: " in note
    assert (await user("get", "nodes", "-o", "name")).split() == [f"node/{master.name}"]
