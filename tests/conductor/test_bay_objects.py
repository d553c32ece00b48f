"""Objects inside clusters, of both kinds, whatever dies, stays away or is meddled with: nothing lost, nothing twice."""

import pytest

from jeroboam.domain.clusters import Operation
from tests.conductor.bay import ContainerRig, ManifestRig


@pytest.fixture(params=[ContainerRig, ManifestRig])
def rig_class(request):
    return request.param


@pytest.mark.parametrize("stage", ["make", "made"])
async def test_a_kill_amid_a_create_doubles_and_loses_nothing(rig, bay, stage):
    rig.coe.faults.hold(rig.stages[stage])
    uuid = await rig.make(bay)
    await rig.event_for(rig.stages[stage], uuid)
    await rig.restart()
    await rig.is_(uuid, rig.ready)
    assert list(rig.real(bay)) == [uuid]


@pytest.mark.parametrize("stage", ["remove", "removed"])
async def test_a_kill_amid_a_delete(rig, bay, stage):
    uuid = await rig.make(bay)
    await rig.is_(uuid, rig.ready)
    rig.coe.faults.hold(rig.stages[stage])
    await rig.drop(uuid)
    await rig.event_for(rig.stages[stage], uuid)
    await rig.restart()
    await rig.gone(uuid)
    assert rig.real(bay) == {}


async def test_a_delete_overtakes_what_waits(rig, bay):
    rig.coe.faults.hold(rig.stages["make"])
    uuid = await rig.make(bay)
    await rig.event_for(rig.stages["make"], uuid)
    await rig.drop(uuid)
    await rig.gone(uuid)
    assert rig.real(bay) == {}


async def test_an_api_that_is_away_is_waited_for(rig, bay):
    rig.members[bay.uuid].dead = True
    uuid = await rig.make(bay)
    await rig.state(uuid, lambda bay_object: "does not answer" in (bay_object.status_reason or ""))
    rig.members[bay.uuid].dead = False
    await rig.is_(uuid, rig.ready)


async def test_what_takes_too_long_is_given_up(rig, bay):
    rig.members[bay.uuid].dead = True
    uuid = await rig.make(bay)
    failed = await rig.is_(uuid, "Error")
    assert failed.status_reason == "Timed out: the cluster's API does not answer"


async def test_a_call_that_never_ends_is_given_up_too(rig, bay):
    rig.coe.faults.hold(rig.stages["make"])
    uuid = await rig.make(bay)
    failed = await rig.state(uuid, lambda bay_object: bay_object.deadline_at is None)
    assert failed.status_reason == "Timed out: its bay did not answer in time"


async def test_a_bay_that_is_not_up_yet_is_waited_for(rig):
    rig.provider.faults.hold("ensure")
    cluster = await rig.create()
    uuid = await rig.make(cluster)
    waiting = await rig.state(uuid, lambda bay_object: "is not up" in (bay_object.status_reason or ""))
    assert cluster.name in waiting.status_reason
    rig.provider.faults.mend("ensure")
    await rig.is_(uuid, rig.ready)
    assert list(rig.real(cluster)) == [uuid]


async def test_a_bay_that_is_away_shows_and_comes_back(rig, bay):
    uuid = await rig.make(bay)
    await rig.is_(uuid, rig.ready)
    rig.members[bay.uuid].dead = True
    assert "does not answer" in (await rig.is_(uuid, "Unknown")).status_reason
    rig.members[bay.uuid].dead = False
    assert (await rig.is_(uuid, rig.ready)).status_reason is None


async def test_a_bay_that_is_away_is_not_asked_about_each_of_its_objects(rig, bay):
    """Each question to it takes its time, in which objects of other bays would wait."""
    uuids = [await rig.make(bay) for _ in range(40)]
    for uuid in uuids:
        await rig.is_(uuid, rig.ready)
    rig.members[bay.uuid].dead, rig.members[bay.uuid].silence = True, 5.0
    for uuid in uuids:
        assert "does not answer" in (await rig.is_(uuid, "Unknown")).status_reason
    assert rig.members[bay.uuid].unanswered_count < len(uuids)
    rig.members[bay.uuid].dead = False
    for uuid in uuids:
        await rig.is_(uuid, rig.ready)


@pytest.mark.parametrize("stage", ["make", "made"])
async def test_a_bay_that_goes_meanwhile_waits_for_no_object(rig, bay, stage):
    rig.coe.faults.hold(rig.stages[stage])
    uuid = await rig.make(bay)
    await rig.event_for(rig.stages[stage], uuid)
    await rig.ask(bay.uuid, Operation.DELETE)
    assert await rig.settled(bay.uuid) is None
    rig.coe.faults.mend(rig.stages[stage])
    await rig.gone(uuid)


async def test_one_that_was_never_begun_needs_no_bay_to_go(rig):
    rig.provider.faults.hold("ensure")
    cluster = await rig.create()
    uuid = await rig.make(cluster)
    await rig.state(uuid, lambda bay_object: "is not up" in (bay_object.status_reason or ""))
    await rig.drop(uuid)
    await rig.gone(uuid)


async def test_a_delete_that_takes_too_long_says_so_and_goes_on(rig, bay):
    uuid = await rig.make(bay)
    await rig.is_(uuid, rig.ready)
    rig.members[bay.uuid].dead = True
    await rig.drop(uuid)
    failed = await rig.is_(uuid, "Error")
    assert failed.status_reason == "Timed out: the cluster's API does not answer"
    rig.members[bay.uuid].dead = False
    await rig.gone(uuid)
    assert rig.real(bay) == {}


async def test_strays_go_after_two_looks_and_nothing_else_does(rig, bay):
    uuid = await rig.make(bay)
    await rig.is_(uuid, rig.ready)
    rig.add_stray(bay, "stray")
    assert await rig.strays.look(bay.uuid) == []
    assert await rig.strays.look(bay.uuid) == ["stray"]
    assert await rig.strays.look(bay.uuid) == []
    assert list(rig.real(bay)) == [uuid]


async def test_a_lease_that_was_lost_writes_nothing(rig, bay):
    rig.coe.faults.hold(rig.stages["made"])
    uuid = await rig.make(bay)
    await rig.event_for(rig.stages["made"], uuid)
    observed = (await rig.read(uuid)).observed
    topic = rig.reconciler.topic
    async with rig.store.write() as tx:
        await tx.leases(topic).release_all()
        assert await tx.leases(topic).claim(uuid, "b", 30) is not None
    rig.coe.faults.mend(rig.stages["made"])
    await rig.state(uuid, lambda _: not rig.objects.queue.is_working_on(uuid))
    assert (await rig.read(uuid)).observed == observed
    async with rig.store.write() as tx:
        await tx.leases(topic).release_all()
    await rig.is_(uuid, rig.ready)
