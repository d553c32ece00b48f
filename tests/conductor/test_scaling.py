"""Groups grow for work that finds no room and shrink where there is none, as a resize by a user would have them."""

from dataclasses import replace

import pytest

from jeroboam.conductor.clusters.scaling import bounds_of
from jeroboam.domain import states
from jeroboam.domain.clusters import ClusterSpec, Operation, TemplateSpec
from jeroboam.domain.errors import Temporary
from jeroboam.domain.limits import Limit
from jeroboam.providers.base import HostCapacity
from tests import builders
from tests.clock import LONGEST
from tests.conductor.test_admission import Particular, Placed
from tests.conductor.test_healing import named, passes

SCALING = ClusterSpec(
    template=TemplateSpec(coe="fake", image_id="swarm-node", flavor_id="m1.small", driver="fake"),
    labels={"auto_scaling_enabled": "true", "max_node_count": "4"},
)


async def made(rig, *, workers=2, **labels):
    spec = replace(SCALING, labels=SCALING.labels | labels)
    cluster = await rig.create(workers=workers, spec=spec)
    await rig.settled(cluster.uuid)
    return cluster.uuid


async def size(rig, uuid, name="default-worker") -> int:
    return next(group.spec.node_count for group in await rig.groups(uuid) if group.name == name)


async def settles(rig, uuid, count: int):
    """Once the workers are wished to be so many, and are."""
    await turns(rig, lambda: size(rig, uuid), count)
    return await rig.settled(uuid)


async def turns(rig, look, wanted) -> None:
    """Once a look shows what is wanted."""
    end = rig.clock.monotonic() + LONGEST
    while (found := await look()) != wanted:
        assert rig.clock.monotonic() < end, found
        await passes(rig, 5)


async def resizes(rig, uuid) -> list:
    async with rig.store.read() as tx:
        found = await tx.events.select({"cluster_id": uuid})
    return [event for event in found if event.event_type == "cluster.resize"]


async def test_a_group_grows_for_work_that_finds_no_room(rig):
    uuid = await made(rig)
    rig.members[uuid].unschedulable = 1
    await passes(rig, 60, lambda: len(rig.names(uuid)) == 4)
    rig.members[uuid].unschedulable = 0
    cluster = await settles(rig, uuid, 3)
    assert (cluster.status, cluster.observed.health_status) == ("UPDATE_COMPLETE", "HEALTHY")
    assert len(rig.names(uuid)) == 4
    [event] = await resizes(rig, uuid)
    assert (event.nodegroup, event.user_id, event.status) == ("default-worker", None, "UPDATE_IN_PROGRESS")
    assert event.message == "default-worker resized from 2 to 3 nodes: default/w0 could not be scheduled."


async def test_it_never_grows_beyond_its_most_and_says_so(rig):
    uuid = await made(rig)
    rig.members[uuid].unschedulable = 9
    await settles(rig, uuid, 4)
    await passes(rig, 100)
    cluster = await rig.get(uuid)
    assert await size(rig, uuid) == 4
    assert (
        "9 pods could not be scheduled, and no node group can grow" in cluster.observed.health_status_reason["Scaling"]
    )
    rig.members[uuid].unschedulable = 0
    await passes(rig, 60)
    assert "Scaling" not in (await rig.get(uuid)).observed.health_status_reason


async def test_it_does_not_grow_where_the_machine_has_no_room_and_says_so(rig):
    rig.coes, rig.providers = Particular, Placed
    await rig.restart()
    rig.provider.around = HostCapacity(memory=99)
    uuid = await made(rig)
    rig.members[uuid].unschedulable = 1
    await passes(rig, 100)
    cluster = await rig.get(uuid)
    assert (cluster.status, await size(rig, uuid)) == ("CREATE_COMPLETE", 2)
    text = "1 node of fake would use 100 MiB of memory before running anything; the machine has 99 MiB left."
    assert cluster.observed.health_status_reason["Scaling"] == text
    rig.provider.around = HostCapacity(memory=100)
    await turns(rig, lambda: size(rig, uuid), 3)


async def test_a_node_without_work_for_long_goes_and_no_other(rig):
    uuid = await made(rig, workers=3)
    [idle] = named(rig, uuid, "worker-0")
    rig.members[uuid].idle.add(idle)
    await passes(rig, 500)
    assert await size(rig, uuid) == 3
    cluster = await settles(rig, uuid, 2)
    assert cluster.status == "UPDATE_COMPLETE"
    left = {node.uuid for node in rig.cloud.clusters[uuid].nodes.values()}
    assert idle not in left
    [event] = await resizes(rig, uuid)
    assert event.message == "default-worker resized from 3 to 2 nodes: 1 node had no work for 10 minutes."


async def test_no_node_goes_while_what_waits_could_run_in_its_group(rig):
    uuid = await made(rig)
    rig.members[uuid].idle |= set(named(rig, uuid, "worker-0"))
    rig.members[uuid].protected_groups.add("default-worker")
    await passes(rig, 700)
    assert await size(rig, uuid) == 2
    rig.members[uuid].protected_groups.clear()
    await settles(rig, uuid, 1)


async def test_one_that_has_work_now_and_then_stays(rig):
    uuid = await made(rig)
    [idle] = named(rig, uuid, "worker-0")
    for _ in range(3):
        rig.members[uuid].idle.add(idle)
        await passes(rig, 400)
        rig.members[uuid].idle.discard(idle)
        await passes(rig, 60)
    assert await size(rig, uuid) == 2


@pytest.mark.parametrize(("labels", "left"), [({}, 1), ({"min_node_count": "2"}, 2), ({"min_node_count": "0"}, 0)])
async def test_it_never_shrinks_below_its_least(rig, labels, left):
    uuid = await made(rig, workers=3, **labels)
    rig.members[uuid].idle |= set(named(rig, uuid, "worker-0", "worker-1", "worker-2"))
    await settles(rig, uuid, left)
    await passes(rig, 700)
    assert await size(rig, uuid) == left


async def test_since_when_a_node_is_idle_outlives_the_process(rig):
    uuid = await made(rig)
    rig.members[uuid].idle |= set(named(rig, uuid, "worker-0"))
    begun = rig.clock.monotonic()
    await passes(rig, 400)
    await rig.restart()
    await settles(rig, uuid, 1)
    assert rig.clock.monotonic() - begun < 750


@pytest.mark.parametrize("labels", [{"auto_scaling_enabled": "false"}, {"max_node_count": "many"}])
async def test_nobody_scales_unasked_or_without_a_most(rig, labels):
    uuid = await made(rig, **labels)
    rig.members[uuid].unschedulable = 5
    rig.members[uuid].idle |= set(named(rig, uuid, "worker-0"))
    await passes(rig, 800)
    assert await size(rig, uuid) == 2
    assert await resizes(rig, uuid) == []


async def test_a_group_of_a_users_has_bounds_of_its_own(rig):
    uuid = await made(rig)
    cluster = await rig.get(uuid)
    worker = builders.groups(cluster)[1]
    spec = replace(worker.spec, node_count=0, is_default=False, max_node_count=2)
    group = replace(worker, uuid=builders.new_uuid(), name="big", spec=spec)
    async with rig.store.write() as tx:
        await tx.nodegroups.insert(group)
        await tx.clusters.update(states.ask_cluster(cluster, Operation.UPDATE, now=rig.clock.now(), minutes=60))
        tx.hint("cluster", uuid)
    await rig.settled(uuid)
    rig.members[uuid].unschedulable = 4

    async def sizes() -> tuple[int, int]:
        return await size(rig, uuid), await size(rig, uuid, "big")

    await turns(rig, sizes, (4, 2))
    await rig.settled(uuid)


async def test_another_who_resizes_is_right(rig):
    """A wish that is written while the work is being asked for wins, and the work is judged anew afterwards."""
    uuid = await made(rig)
    rig.coe.faults.hold("demand")
    rig.coe.faults.met.clear()
    rig.members[uuid].unschedulable = 1
    await passes(rig, 100, rig.coe.faults.event_for("demand").is_set)
    await rig.ask(uuid, Operation.UPDATE, workers=1)
    rig.members[uuid].unschedulable = 0
    rig.coe.faults.mend("demand")
    await rig.settled(uuid)
    await passes(rig, 60)
    assert await size(rig, uuid) == 1
    assert await resizes(rig, uuid) == []


async def test_a_limit_holds_for_the_service_too(rig):
    rig.limits = (Limit(name="small", max_nodes_per_cluster=3),)
    await rig.restart()
    uuid = await made(rig)
    rig.members[uuid].unschedulable = 1
    await passes(rig, 100)
    assert await size(rig, uuid) == 2
    assert "Limit small:" in (await rig.get(uuid)).observed.health_status_reason["Scaling"]


async def test_a_cluster_that_does_not_say_is_left_alone(rig):
    uuid = await made(rig)
    rig.members[uuid].unschedulable = 1
    rig.coe.faults.fail("demand", Temporary("busy"))
    await passes(rig, 100)
    assert await size(rig, uuid) == 2
    assert (await rig.get(uuid)).observed.health_status_reason == {"api": "busy"}
    rig.coe.faults.mend("demand")
    await settles(rig, uuid, 3)


@pytest.mark.parametrize("stage", ["demand", "boot"])
async def test_a_kill_on_the_way(rig, stage):
    uuid = await made(rig)
    rig.members[uuid].unschedulable = 1
    for faults in (rig.coe.faults, rig.provider.faults):
        faults.met.clear()
        faults.hold(stage)
    reached = [faults.event_for(stage) for faults in (rig.coe.faults, rig.provider.faults)]
    await passes(rig, 100, lambda: any(each.is_set() for each in reached))
    if stage == "boot":
        rig.members[uuid].unschedulable = 0
    await rig.restart()
    await passes(rig, 60, lambda: len(rig.names(uuid)) == 4)
    rig.members[uuid].unschedulable = 0
    await settles(rig, uuid, 3)
    assert len(rig.names(uuid)) == 4


@pytest.mark.parametrize(
    ("labels", "spec", "bounds"),
    [
        ({}, {}, None),
        ({"max_node_count": "5"}, {}, (1, 5)),
        ({"max_node_count": "5", "min_node_count": "2"}, {}, (2, 5)),
        ({"max_node_count": "5"}, {"max_node_count": 3, "min_node_count": 2}, (2, 3)),
        ({"max_node_count": "5"}, {"role": "master"}, None),
    ],
)
def test_bounds(labels, spec, bounds):
    cluster = builders.cluster(builders.template())
    cluster = replace(cluster, spec=replace(cluster.spec, labels=labels))
    group = builders.groups(cluster)[1]
    assert bounds_of(cluster, replace(group, spec=replace(group.spec, **spec))) == bounds
    assert bounds_of(cluster, replace(group, deleting=True, spec=replace(group.spec, max_node_count=9))) is None
