"""What manifests make inside clusters, whatever dies, stays away or is meddled with: nothing lost, nothing twice."""

import asyncio

import pytest

from jeroboam.coes.base import DesiredManifest
from jeroboam.coes.fake.manifests import REFUSED
from jeroboam.conductor.bays.queries import CHECK_SECONDS, BayQueries
from jeroboam.domain.bay_manifests import (
    BayManifestKind,
    BayManifestStatus,
    current_facts_of,
    is_due,
)
from jeroboam.domain.clusters import Operation
from jeroboam.domain.errors import Invalid, Permanent, Temporary
from tests import builders
from tests.conductor.bay import ManifestRig


@pytest.fixture
def rig_class():
    return ManifestRig


@pytest.mark.parametrize("kind", BayManifestKind)
async def test_it_is_made_as_its_manifest_says(rig, bay, kind):
    uuid = await rig.make(bay, kind=kind)
    made = await rig.is_(uuid, "Running")
    [there] = rig.real(bay).values()
    assert there.want == DesiredManifest(uuid=uuid, kind=kind, name=made.name, manifest=made.spec.manifest)
    assert current_facts_of(made).labels == {"a": "b"}
    assert made.status_reason is None


async def test_another_manifest_is_applied_once(rig, bay):
    uuid = await rig.make(bay)
    await rig.is_(uuid, "Running")
    await rig.change(uuid, image="other")
    made = await rig.state(uuid, lambda it: not is_due(it))
    assert (rig.real(bay)[uuid].apply_count, current_facts_of(made).images) == (2, ("other",))


async def test_a_newer_manifest_overtakes_the_one_that_is_being_applied(rig, bay):
    rig.coe.faults.hold("manifest.have")
    uuid = await rig.make(bay)
    await rig.event_for("manifest.have", uuid)
    await rig.change(uuid, image="newer")
    rig.coe.faults.mend("manifest.have")
    await rig.is_(uuid, "Running")
    assert rig.real(bay)[uuid].want.manifest["spec"]["containers"][0]["image"] == "newer"


@pytest.mark.parametrize("stage", ["manifest.have", "manifest.had"])
async def test_a_kill_at_any_moment_doubles_and_loses_nothing(rig, bay, stage):
    rig.coe.faults.hold(stage)
    uuid = await rig.make(bay)
    await rig.event_for(stage, uuid)
    await rig.restart()
    await rig.is_(uuid, "Running")
    assert rig.real(bay)[uuid].apply_count == 1
    assert list(rig.real(bay)) == [uuid]


async def test_one_that_takes_its_time_to_go_is_there_until_then(rig, bay):
    uuid = await rig.make(bay)
    await rig.is_(uuid, "Running")
    rig.real(bay)[uuid].lingers = 3
    await rig.drop(uuid)
    going = await rig.state(uuid, lambda it: "going away" in it.status_reason)
    assert (going.status, going.status_reason) == ("Running", "It is being deleted: it is going away")
    await rig.gone(uuid)
    assert rig.real(bay) == {}


async def test_what_the_bay_refuses_shows_in_its_words_and_another_manifest_tries_again(rig, bay):
    uuid = await rig.make(bay, name=REFUSED)
    failed = await rig.is_(uuid, "Error")
    assert failed.status_reason == 'Pod "refused" is invalid: spec: it cannot be so'
    await rig.change(uuid, image="other")
    assert (await rig.is_(uuid, "Error")).observed.generation == 2
    await rig.drop(uuid)
    await rig.gone(uuid)


async def test_a_change_that_is_refused_says_so_and_what_is_there_stands(rig, bay):
    uuid = await rig.make(bay)
    await rig.is_(uuid, "Running")
    rig.coe.faults.fail("manifest.have", Permanent("it may not change so"), times=1)
    await rig.change(uuid, image="other")
    failed = await rig.state(uuid, lambda it: it.deadline_at is None and it.observed.failure)
    assert (failed.status, failed.status_reason) == ("Running", "it may not change so")
    assert current_facts_of(failed).images == ("busybox",)
    await rig.change(uuid, image="third")
    assert (await rig.is_(uuid, "Running")).status_reason is None


async def test_what_happens_behind_our_back_shows(rig, bay):
    uuid = await rig.make(bay)
    await rig.is_(uuid, "Running")
    there = rig.real(bay)[uuid]
    there.status, there.reason = BayManifestStatus.PENDING, "no room"
    assert (await rig.is_(uuid, "Pending")).status_reason == "no room"
    del rig.real(bay)[uuid]
    assert (await rig.is_(uuid, "Error")).status_reason == "The Pod is gone from its bay."
    assert rig.real(bay) == {}, "what somebody removed is not made again unasked"
    await rig.change(uuid)
    await rig.is_(uuid, "Running")


async def test_one_look_serves_all_objects_of_a_bay(rig, bay):
    uuids = [await rig.make(bay) for _ in range(30)]
    for uuid in uuids:
        await rig.is_(uuid, "Running")
    rig.coe.faults.slow("manifest.look", 1.0)
    looks, look = 0, rig.coe.manifests.inspect

    async def counted(plan):
        nonlocal looks
        looks += 1
        return await look(plan)

    rig.coe.manifests.inspect = counted
    for each in rig.real(bay).values():
        each.status = BayManifestStatus.PENDING
    for uuid in uuids:
        rig.objects.queue.add(uuid)
    for uuid in uuids:
        await rig.is_(uuid, "Pending")
    assert 0 < looks < len(uuids)


async def test_while_an_api_is_away_it_is_pending(rig, bay):
    rig.members[bay.uuid].dead = True
    uuid = await rig.make(bay)
    waiting = await rig.state(uuid, lambda it: "does not answer" in (it.status_reason or ""))
    assert waiting.status == "Pending"
    failed = await rig.is_(uuid, "Error")
    assert failed.status_reason == "Timed out: the cluster's API does not answer"


@pytest.mark.parametrize("stage", ["manifest.have", "manifest.had"])
async def test_a_call_that_never_ends_is_given_up_too(rig, bay, stage):
    rig.coe.faults.hold(stage)
    uuid = await rig.make(bay)
    failed = await rig.state(uuid, lambda it: it.deadline_at is None)
    assert failed.status_reason == "Timed out: its bay did not answer in time"


async def test_a_bay_takes_all_of_them_along(rig, bay):
    uuids = [await rig.make(bay, kind=kind) for kind in BayManifestKind]
    for uuid in uuids:
        await rig.is_(uuid, "Running")
    await rig.ask(bay.uuid, Operation.DELETE)
    assert await rig.settled(bay.uuid) is None
    for uuid in uuids:
        await rig.gone(uuid)


async def test_a_bay_is_asked_what_it_thinks_of_a_manifest(rig, bay):
    ask = BayQueries(connector=rig.connector, clock=rig.clock, execute_seconds=5)
    await ask.check(builders.orchestrated(bay))
    with pytest.raises(Invalid, match=r"The bay refuses the manifest: .* it cannot be so") as caught:
        await ask.check(builders.orchestrated(bay, name=REFUSED))
    assert caught.value.field == "manifest"
    # One that does not answer, or not in time, refuses nothing.
    rig.coe.faults.fail("manifest.check", Temporary("busy"), times=1)
    await ask.check(builders.orchestrated(bay, name=REFUSED))
    rig.coe.faults.slow("manifest.check", CHECK_SECONDS + 1)
    asked = asyncio.ensure_future(ask.check(builders.orchestrated(bay, name=REFUSED)))
    await rig.state("nothing", lambda _: asked.done())
    assert asked.exception() is None
    assert rig.real(bay) == {}
