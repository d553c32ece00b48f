"""What manifests make inside clusters, whatever dies, stays away or is meddled with: nothing lost, nothing twice."""

import asyncio
import datetime as dt
import shutil
from dataclasses import replace

import pytest

from jeroboam.coes.base import DesiredManifest
from jeroboam.coes.fake.manifests import REFUSED, FakeObject
from jeroboam.conductor.bays.manifests import BayManifestReconciler
from jeroboam.conductor.bays.queries import CHECK_SECONDS, BayQueries
from jeroboam.domain.bay_manifests import (
    BayManifest,
    BayManifestKind,
    BayManifestStatus,
    ask_manifest_change,
    ask_manifest_delete,
    current_facts_of,
    is_due,
)
from jeroboam.domain.clusters import Operation
from jeroboam.domain.errors import Invalid, Permanent, Temporary
from jeroboam.kit.bus import MemoryBus
from jeroboam.secrets.keyfile import KeyFileSealer
from jeroboam.store import Store
from tests import builders
from tests.clock import ManualClock
from tests.conductor.bay import SECONDS, BayRig


class ManifestRig(BayRig):
    """The same with the loop of what manifests make."""

    subject = BayManifestReconciler

    def way(self):
        return self.connector.connect_manifests

    def soon(self) -> dt.datetime:
        return self.clock.now() + dt.timedelta(seconds=SECONDS)

    async def wish(self, cluster, **changes) -> str:
        """Ask for an object; its uuid."""
        made = builders.orchestrated(cluster, deadline_at=self.soon(), created_at=self.clock.now(), **changes)
        async with self.store.write() as tx:
            await tx.bay_manifests.insert(made)
            tx.hint("orchestrated", made.uuid)
        return made.uuid

    async def change(self, uuid: str, **changes) -> None:
        """Ask for another manifest."""
        async with self.store.write() as tx:
            it = await tx.bay_manifests.get(uuid)
            spec = replace(it.spec, manifest=builders.manifest(it.kind, it.name, **changes))
            await tx.bay_manifests.update(ask_manifest_change(it, spec, now=self.clock.now(), deadline=self.soon()))
            tx.hint("orchestrated", uuid)

    async def end(self, uuid: str) -> None:
        """Ask for its end."""
        async with self.store.write() as tx:
            it = await tx.bay_manifests.get(uuid)
            await tx.bay_manifests.update(ask_manifest_delete(it, now=self.clock.now(), deadline=self.soon()))
            tx.hint("orchestrated", uuid)

    async def workload(self, uuid: str) -> BayManifest | None:
        async with self.store.read() as tx:
            return await tx.bay_manifests.get(uuid)

    async def gone(self, uuid: str) -> None:
        assert await self.state(uuid, lambda it: it is None) is None

    def objects(self, cluster) -> dict[str, FakeObject]:
        """What really exists there."""
        return self.members[cluster.uuid].objects if cluster.uuid in self.members else {}


@pytest.fixture
async def rig(tmp_path, empty_database):
    clock, bus = ManualClock(), MemoryBus()
    path = shutil.copy(empty_database, tmp_path / "store.db")
    store = Store(f"sqlite+aiosqlite:///{path}", clock=clock, bus=bus)
    rig = ManifestRig(store, bus, clock, KeyFileSealer(tmp_path / "key"))
    rig.start()
    yield rig
    await rig.stop()
    await store.close()


@pytest.fixture
async def bay(rig):
    made = await rig.create()
    return await rig.settled(made.uuid)


@pytest.mark.parametrize("kind", BayManifestKind)
async def test_it_is_made_as_its_manifest_says(rig, bay, kind):
    uuid = await rig.wish(bay, kind=kind)
    made = await rig.is_(uuid, "Running")
    [there] = rig.objects(bay).values()
    assert there.want == DesiredManifest(uuid=uuid, kind=kind, name=made.name, manifest=made.spec.manifest)
    assert current_facts_of(made).labels == {"a": "b"}
    assert made.status_reason is None


async def test_another_manifest_is_applied_once(rig, bay):
    uuid = await rig.wish(bay)
    await rig.is_(uuid, "Running")
    await rig.change(uuid, image="other")
    made = await rig.state(uuid, lambda it: not is_due(it))
    assert (rig.objects(bay)[uuid].apply_count, current_facts_of(made).images) == (2, ("other",))


async def test_a_newer_manifest_overtakes_the_one_that_is_being_applied(rig, bay):
    rig.coe.faults.hold("manifest.have")
    uuid = await rig.wish(bay)
    await rig.event_for("manifest.have", uuid)
    await rig.change(uuid, image="newer")
    rig.coe.faults.mend("manifest.have")
    await rig.is_(uuid, "Running")
    assert rig.objects(bay)[uuid].want.manifest["spec"]["containers"][0]["image"] == "newer"


@pytest.mark.parametrize("stage", ["manifest.have", "manifest.had"])
async def test_a_kill_at_any_moment_doubles_and_loses_nothing(rig, bay, stage):
    rig.coe.faults.hold(stage)
    uuid = await rig.wish(bay)
    await rig.event_for(stage, uuid)
    await rig.restart()
    await rig.is_(uuid, "Running")
    assert rig.objects(bay)[uuid].apply_count == 1
    assert list(rig.objects(bay)) == [uuid]


@pytest.mark.parametrize("stage", ["manifest.remove", "manifest.removed"])
async def test_a_kill_amid_a_delete(rig, bay, stage):
    uuid = await rig.wish(bay)
    await rig.is_(uuid, "Running")
    rig.coe.faults.hold(stage)
    await rig.end(uuid)
    await rig.event_for(stage, uuid)
    await rig.restart()
    await rig.gone(uuid)
    assert rig.objects(bay) == {}


async def test_one_that_takes_its_time_to_go_is_there_until_then(rig, bay):
    uuid = await rig.wish(bay)
    await rig.is_(uuid, "Running")
    rig.objects(bay)[uuid].lingers = 3
    await rig.end(uuid)
    going = await rig.state(uuid, lambda it: "going away" in it.status_reason)
    assert (going.status, going.status_reason) == ("Running", "It is being deleted: it is going away")
    await rig.gone(uuid)
    assert rig.objects(bay) == {}


async def test_a_delete_overtakes_what_waits(rig, bay):
    rig.coe.faults.hold("manifest.have")
    uuid = await rig.wish(bay)
    await rig.event_for("manifest.have", uuid)
    await rig.end(uuid)
    await rig.gone(uuid)
    assert rig.objects(bay) == {}


async def test_what_the_bay_refuses_shows_in_its_words_and_another_manifest_tries_again(rig, bay):
    uuid = await rig.wish(bay, name=REFUSED)
    failed = await rig.is_(uuid, "Error")
    assert failed.status_reason == 'Pod "refused" is invalid: spec: it cannot be so'
    await rig.change(uuid, image="other")
    assert (await rig.is_(uuid, "Error")).observed.generation == 2
    await rig.end(uuid)
    await rig.gone(uuid)


async def test_a_change_that_is_refused_says_so_and_what_is_there_stands(rig, bay):
    uuid = await rig.wish(bay)
    await rig.is_(uuid, "Running")
    rig.coe.faults.fail("manifest.have", Permanent("it may not change so"), times=1)
    await rig.change(uuid, image="other")
    failed = await rig.state(uuid, lambda it: it.deadline_at is None and it.observed.failure)
    assert (failed.status, failed.status_reason) == ("Running", "it may not change so")
    assert current_facts_of(failed).images == ("busybox",)
    await rig.change(uuid, image="third")
    assert (await rig.is_(uuid, "Running")).status_reason is None


async def test_what_happens_behind_our_back_shows(rig, bay):
    uuid = await rig.wish(bay)
    await rig.is_(uuid, "Running")
    there = rig.objects(bay)[uuid]
    there.status, there.reason = BayManifestStatus.PENDING, "no room"
    assert (await rig.is_(uuid, "Pending")).status_reason == "no room"
    del rig.objects(bay)[uuid]
    assert (await rig.is_(uuid, "Error")).status_reason == "The Pod is gone from its bay."
    assert rig.objects(bay) == {}, "what somebody removed is not made again unasked"
    await rig.change(uuid)
    await rig.is_(uuid, "Running")


async def test_a_bay_that_is_away_shows_and_comes_back(rig, bay):
    uuid = await rig.wish(bay)
    await rig.is_(uuid, "Running")
    rig.members[bay.uuid].dead = True
    assert "does not answer" in (await rig.is_(uuid, "Unknown")).status_reason
    rig.members[bay.uuid].dead = False
    assert (await rig.is_(uuid, "Running")).status_reason is None


async def test_one_look_serves_all_objects_of_a_bay(rig, bay):
    uuids = [await rig.wish(bay) for _ in range(30)]
    for uuid in uuids:
        await rig.is_(uuid, "Running")
    rig.coe.faults.slow("manifest.look", 1.0)
    looks, look = 0, rig.coe.manifests.inspect

    async def counted(plan):
        nonlocal looks
        looks += 1
        return await look(plan)

    rig.coe.manifests.inspect = counted
    for each in rig.objects(bay).values():
        each.status = BayManifestStatus.PENDING
    for uuid in uuids:
        rig.workloads.queue.add(uuid)
    for uuid in uuids:
        await rig.is_(uuid, "Pending")
    assert 0 < looks < len(uuids)


async def test_a_bay_that_is_away_is_not_asked_about_each_of_its_objects(rig, bay):
    uuids = [await rig.wish(bay) for _ in range(40)]
    for uuid in uuids:
        await rig.is_(uuid, "Running")
    rig.members[bay.uuid].dead, rig.members[bay.uuid].silence = True, 5.0
    for uuid in uuids:
        assert "does not answer" in (await rig.is_(uuid, "Unknown")).status_reason
    assert rig.members[bay.uuid].unanswered_count < len(uuids)


async def test_an_api_that_is_away_is_waited_for_and_in_the_end_given_up(rig, bay):
    rig.members[bay.uuid].dead = True
    uuid = await rig.wish(bay)
    waiting = await rig.state(uuid, lambda it: "does not answer" in (it.status_reason or ""))
    assert waiting.status == "Pending"
    failed = await rig.is_(uuid, "Error")
    assert failed.status_reason == "Timed out: the cluster's API does not answer"


@pytest.mark.parametrize("stage", ["manifest.have", "manifest.had"])
async def test_a_call_that_never_ends_is_given_up_too(rig, bay, stage):
    rig.coe.faults.hold(stage)
    uuid = await rig.wish(bay)
    failed = await rig.state(uuid, lambda it: it.deadline_at is None)
    assert failed.status_reason == "Timed out: its bay did not answer in time"


async def test_a_bay_that_is_not_up_yet_is_waited_for(rig):
    rig.provider.faults.hold("ensure")
    cluster = await rig.create()
    uuid = await rig.wish(cluster)
    waiting = await rig.state(uuid, lambda it: "is not up" in (it.status_reason or ""))
    assert cluster.name in waiting.status_reason
    rig.provider.faults.mend("ensure")
    await rig.is_(uuid, "Running")


async def test_a_bay_takes_all_of_them_along(rig, bay):
    uuids = [await rig.wish(bay, kind=kind) for kind in BayManifestKind]
    for uuid in uuids:
        await rig.is_(uuid, "Running")
    await rig.ask(bay.uuid, Operation.DELETE)
    assert await rig.settled(bay.uuid) is None
    for uuid in uuids:
        await rig.gone(uuid)


@pytest.mark.parametrize("stage", ["manifest.have", "manifest.had"])
async def test_a_bay_that_goes_meanwhile_waits_for_none(rig, bay, stage):
    rig.coe.faults.hold(stage)
    uuid = await rig.wish(bay)
    await rig.event_for(stage, uuid)
    await rig.ask(bay.uuid, Operation.DELETE)
    assert await rig.settled(bay.uuid) is None
    rig.coe.faults.mend(stage)
    await rig.gone(uuid)


async def test_one_that_was_never_begun_needs_no_bay_to_go(rig):
    rig.provider.faults.hold("ensure")
    cluster = await rig.create()
    uuid = await rig.wish(cluster)
    await rig.state(uuid, lambda it: "is not up" in (it.status_reason or ""))
    await rig.end(uuid)
    await rig.gone(uuid)


async def test_a_delete_that_takes_too_long_says_so_and_goes_on(rig, bay):
    uuid = await rig.wish(bay)
    await rig.is_(uuid, "Running")
    rig.members[bay.uuid].dead = True
    await rig.end(uuid)
    failed = await rig.is_(uuid, "Error")
    assert failed.status_reason == "Timed out: the cluster's API does not answer"
    rig.members[bay.uuid].dead = False
    await rig.gone(uuid)
    assert rig.objects(bay) == {}


async def test_strays_go_after_two_looks_and_nothing_else_does(rig, bay):
    uuid = await rig.wish(bay)
    await rig.is_(uuid, "Running")
    manifest = builders.manifest(name="stray")
    want = DesiredManifest(uuid="stray", kind=BayManifestKind.POD, name="stray", manifest=manifest)
    rig.objects(bay)["stray"] = FakeObject(want)
    assert await rig.strays.look(bay.uuid) == []
    assert await rig.strays.look(bay.uuid) == ["stray"]
    assert await rig.strays.look(bay.uuid) == []
    assert list(rig.objects(bay)) == [uuid]


async def test_a_lease_that_was_lost_writes_nothing(rig, bay):
    rig.coe.faults.hold("manifest.had")
    uuid = await rig.wish(bay)
    await rig.event_for("manifest.had", uuid)
    async with rig.store.write() as tx:
        await tx.leases("orchestrated").release_all()
        assert await tx.leases("orchestrated").claim(uuid, "b", 30) is not None
    rig.coe.faults.mend("manifest.had")
    await asyncio.sleep(0.05)
    assert (await rig.workload(uuid)).observed.generation == 0
    async with rig.store.write() as tx:
        await tx.leases("orchestrated").release_all()
    await rig.is_(uuid, "Running")


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
    assert rig.objects(bay) == {}
