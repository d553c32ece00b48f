"""The cluster loop: what was wished is what is there, whatever goes wrong on the way."""

import asyncio

import pytest

from jeroboam.conductor.periodic.reaper import Reaper
from jeroboam.domain.clusters import Health, NodeState, Operation
from jeroboam.domain.errors import Conflict, Permanent, Temporary

STAGES = ["reserve", "ensure", "boot", "join"]


async def test_a_cluster_is_made_and_shown(rig):
    made = await rig.create(masters=1, workers=2)
    cluster = await rig.settled(made.uuid)
    assert (cluster.status, cluster.status_reason) == ("CREATE_COMPLETE", None)
    assert cluster.observed.api_address.startswith("fake://")
    assert cluster.observed.health_status is Health.HEALTHY
    assert cluster.deadline_at is None
    groups = await rig.groups(made.uuid)
    assert [(g.spec.role, len(g.observed), g.status) for g in groups] == [
        ("master", 1, "CREATE_COMPLETE"),
        ("worker", 2, "CREATE_COMPLETE"),
    ]
    assert all(node.ready and node.state is NodeState.RUNNING for group in groups for node in group.observed)
    assert rig.names(made.uuid) == sorted(node.name for group in groups for node in group.desired)


async def test_its_key_is_sealed_and_goes_with_it(rig):
    made = await rig.create()
    await rig.settled(made.uuid)
    async with rig.store.read() as tx:
        (certificate,) = await tx.certificates.select({"cluster_id": made.uuid})
    assert b"PRIVATE KEY" not in certificate.sealed_key
    assert certificate.pem.startswith("-----BEGIN CERTIFICATE-----")
    await rig.ask(made.uuid, Operation.DELETE)
    assert await rig.settled(made.uuid) is None
    async with rig.store.read() as tx:
        assert await tx.certificates.select() == []
    assert rig.names(made.uuid) == []


async def test_resize_up_keeps_names_and_down_takes_the_named_node(rig):
    made = await rig.create(workers=2)
    await rig.settled(made.uuid)
    before = set(rig.names(made.uuid))
    await rig.ask(made.uuid, Operation.UPDATE, workers=4)
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    grown = set(rig.names(made.uuid))
    assert before < grown
    assert len(grown) == 5
    victim = next(name for name in sorted(before) if "worker" in name)
    await rig.ask(made.uuid, Operation.UPDATE, workers=3, remove=(victim,))
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    assert set(rig.names(made.uuid)) == grown - {victim}
    assert victim in rig.members[made.uuid].removed_names
    await rig.ask(made.uuid, Operation.UPDATE, workers=4)
    await rig.settled(made.uuid)
    assert victim not in rig.names(made.uuid), "a name comes once"


@pytest.mark.parametrize(("count", "grown"), [(2, 0), (3, 1)])
async def test_a_named_node_is_replaced_where_the_group_does_not_shrink(rig, count, grown):
    made = await rig.create(workers=2)
    await rig.settled(made.uuid)
    before = set(rig.names(made.uuid))
    victim = (await rig.groups(made.uuid))[1].desired[0]
    await rig.ask(made.uuid, Operation.UPDATE, workers=count, remove=(victim.uuid,))
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    after = set(rig.names(made.uuid))
    assert len(after) == 1 + count
    assert before - after == {victim.name}
    assert len(after - before) == 1 + grown
    await rig.clock.advance(65)
    assert set(rig.names(made.uuid)) == after, "it is replaced once"


async def test_all_named_nodes_go_even_if_the_group_shrinks_by_fewer(rig):
    made = await rig.create(workers=3)
    await rig.settled(made.uuid)
    going = (await rig.groups(made.uuid))[1].desired[:2]
    await rig.ask(made.uuid, Operation.UPDATE, workers=2, remove=tuple(node.uuid for node in going))
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    after = rig.names(made.uuid)
    assert len(after) == 3
    assert not {node.name for node in going} & set(after)


async def test_a_node_that_is_replaced_works_until_the_new_one_does(rig):
    made = await rig.create(workers=2)
    await rig.settled(made.uuid)
    victim = (await rig.groups(made.uuid))[1].desired[0]
    rig.coe.faults.fail("join", Temporary("not yet"))
    await rig.ask(made.uuid, Operation.UPDATE, workers=2, remove=(victim.uuid,))
    await rig.until(made.uuid, lambda c: c.status_reason == "not yet")
    assert len(rig.names(made.uuid)) == 4
    assert rig.members[made.uuid].removed_names == []
    (new,) = [node for node in (await rig.groups(made.uuid))[1].desired if node.name.endswith("worker-2")]
    rig.members[made.uuid].unready.add(new.uuid)
    rig.coe.faults.mend("join")
    await rig.until(made.uuid, lambda c: c.status_reason == f"{new.name}: down")
    assert rig.members[made.uuid].removed_names == []
    rig.members[made.uuid].unready.discard(new.uuid)
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    assert rig.members[made.uuid].removed_names == [victim.name]


async def test_a_replacement_survives_a_restart(rig):
    made = await rig.create(workers=2)
    await rig.settled(made.uuid)
    victim = (await rig.groups(made.uuid))[1].desired[0]
    rig.provider.faults.hold("boot")
    await rig.ask(made.uuid, Operation.UPDATE, workers=2, remove=(victim.uuid,))
    await asyncio.wait_for(rig.provider.faults.event_for("boot").wait(), 5)
    await rig.restart()
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    names = rig.names(made.uuid)
    assert len(names) == 3
    assert victim.name not in names


async def test_shrinking_to_nothing_and_growing_again(rig):
    made = await rig.create(workers=1)
    await rig.settled(made.uuid)
    await rig.ask(made.uuid, Operation.UPDATE, workers=0)
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    assert len(rig.names(made.uuid)) == 1
    await rig.ask(made.uuid, Operation.UPDATE, workers=1)
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    assert len(rig.names(made.uuid)) == 2


@pytest.mark.parametrize("stage", STAGES)
async def test_a_passing_fault_is_told_within_seconds_and_waited_out(rig, stage):
    rig.provider.faults.fail(stage, Temporary("the cloud is tired"))
    rig.coe.faults.fail(stage, Temporary("the cloud is tired"))
    made = await rig.create()
    started = rig.clock.monotonic()
    seen = await rig.until(made.uuid, lambda c: c.status_reason == "the cloud is tired")
    assert seen.status == "CREATE_IN_PROGRESS"
    assert rig.clock.monotonic() - started < 3
    rig.provider.faults.mend(stage)
    rig.coe.faults.mend(stage)
    assert (await rig.settled(made.uuid)).status == "CREATE_COMPLETE"
    assert len(rig.names(made.uuid)) == 3


@pytest.mark.parametrize(("stage", "words"), [("reserve", "network"), ("boot", "making nodes "), ("join", "joining")])
async def test_what_hangs_is_told_within_seconds_and_named_at_the_deadline(rig, stage, words):
    for driver in (rig.provider, rig.coe):
        driver.faults.hold(stage)
    made = await rig.create(minutes=1)
    started = rig.clock.monotonic()
    seen = await rig.until(made.uuid, lambda c: words in (c.status_reason or ""))
    assert rig.clock.monotonic() - started < 8
    assert seen.status == "CREATE_IN_PROGRESS"
    failed = await rig.settled(made.uuid)
    assert failed.status == "CREATE_FAILED"
    assert failed.status_reason.startswith("Timed out: ")
    assert words in failed.status_reason


@pytest.mark.parametrize("stage", STAGES)
async def test_a_lasting_fault_fails_at_once_with_its_reason_and_a_new_wish_mends_it(rig, stage):
    rig.provider.faults.fail(stage, Permanent("the quota is used up"))
    rig.coe.faults.fail(stage, Permanent("the quota is used up"))
    made = await rig.create()
    failed = await rig.settled(made.uuid)
    assert (failed.status, failed.status_reason) == ("CREATE_FAILED", "the quota is used up")
    assert all(group.status == "CREATE_FAILED" for group in await rig.groups(made.uuid))
    rig.provider.faults.mend(stage)
    rig.coe.faults.mend(stage)
    await rig.ask(made.uuid, Operation.UPDATE, workers=1)
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    assert len(rig.names(made.uuid)) == 2


async def test_a_failed_cluster_can_be_deleted(rig):
    rig.provider.faults.fail("boot", Permanent("no"))
    made = await rig.create()
    await rig.settled(made.uuid)
    await rig.ask(made.uuid, Operation.DELETE)
    assert await rig.settled(made.uuid) is None
    assert made.uuid not in rig.cloud.clusters


@pytest.mark.parametrize("fault", ["fails", "hangs"])
async def test_nothing_is_in_progress_for_ever(rig, fault):
    if fault == "fails":
        rig.provider.faults.fail("boot", Temporary("no room yet"))
    else:
        rig.provider.faults.hold("boot")
    made = await rig.create(minutes=2)
    failed = await rig.settled(made.uuid)
    assert failed.status == "CREATE_FAILED"
    assert failed.status_reason.startswith("Timed out: ")
    assert rig.clock.monotonic() >= 115


async def test_a_delete_overtakes_a_creation_that_hangs(rig):
    rig.provider.faults.hold("boot")
    made = await rig.create()
    await asyncio.wait_for(rig.provider.faults.event_for("boot").wait(), 5)
    await rig.ask(made.uuid, Operation.DELETE)
    assert await rig.settled(made.uuid) is None
    assert made.uuid not in rig.cloud.clusters
    assert rig.clock.monotonic() < 60


async def test_a_delete_that_fails_says_so_and_goes_on_by_itself(rig):
    made = await rig.create()
    await rig.settled(made.uuid)
    rig.provider.faults.fail("destroy", Permanent("a port is in use"))
    await rig.ask(made.uuid, Operation.DELETE)
    failed = await rig.settled(made.uuid)
    assert (failed.status, failed.status_reason) == ("DELETE_FAILED", "a port is in use")
    rig.provider.faults.mend("destroy")
    assert await rig.until(made.uuid, lambda c: c is None) is None


async def test_a_delete_needs_no_driver_that_still_knows_the_template(rig):
    made = await rig.create()
    await rig.settled(made.uuid)
    async with rig.store.write() as tx:
        cluster = await tx.clusters.get(made.uuid)
        broken = cluster.spec.template.__class__(coe="gone", image_id="gone", driver="gone")
        from dataclasses import replace

        await tx.clusters.update(replace(cluster, spec=replace(cluster.spec, template=broken)))
    await rig.ask(made.uuid, Operation.DELETE)
    assert await rig.settled(made.uuid) is None
    assert made.uuid not in rig.cloud.clusters


@pytest.mark.parametrize("stage", STAGES)
async def test_a_restart_at_any_stage_ends_as_asked_and_doubles_nothing(rig, stage):
    rig.provider.faults.hold(stage)
    rig.coe.faults.hold(stage)
    made = await rig.create(workers=3)
    reached = [
        asyncio.ensure_future(faults.event_for(stage).wait()) for faults in (rig.provider.faults, rig.coe.faults)
    ]
    await asyncio.wait_for(asyncio.wait(reached, return_when=asyncio.FIRST_COMPLETED), 5)
    await rig.restart()
    assert (await rig.settled(made.uuid)).status == "CREATE_COMPLETE"
    assert len(rig.names(made.uuid)) == 4
    assert len(rig.cloud.boots) == len(set(rig.cloud.boots)) == 4
    for waiting in reached:
        waiting.cancel()


async def test_shrinking_a_cluster_that_never_came_up_is_no_trap(rig):
    rig.coe.faults.fail("join", Permanent("no quorum"))
    made = await rig.create(workers=3)
    assert (await rig.settled(made.uuid)).status == "CREATE_FAILED"
    rig.coe.faults.mend("join")
    rig.coe.faults.fail("leave", Temporary("nobody answers"), times=1)
    await rig.ask(made.uuid, Operation.UPDATE, workers=1)
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    assert len(rig.names(made.uuid)) == 2


async def test_a_node_that_goes_leaves_the_cluster_before_it_is_removed(rig):
    made = await rig.create(workers=2)
    await rig.settled(made.uuid)
    rig.coe.faults.hold("leave")
    await rig.ask(made.uuid, Operation.UPDATE, workers=1)
    await asyncio.wait_for(rig.coe.faults.event_for("leave").wait(), 5)
    assert len(rig.names(made.uuid)) == 3
    rig.coe.faults.mend("leave")
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    assert len(rig.names(made.uuid)) == 2


async def test_two_conductors_do_not_work_on_one_cluster(rig):
    rig.provider.faults.hold("boot")
    made = await rig.create()
    await asyncio.wait_for(rig.provider.faults.event_for("boot").wait(), 5)
    async with rig.store.write() as tx:
        assert await tx.leases("cluster").claim(made.uuid, "another", 30) is None
    await rig.clock.advance(25)
    async with rig.store.write() as tx:
        assert await tx.leases("cluster").claim(made.uuid, "another", 30) is None, "the lease is renewed meanwhile"


async def test_work_under_a_lost_lease_is_discarded(rig):
    rig.provider.faults.hold("boot")
    made = await rig.create()
    await asyncio.wait_for(rig.provider.faults.event_for("boot").wait(), 5)
    async with rig.store.write() as tx:
        await tx.leases("cluster").release_all()
        assert await tx.leases("cluster").claim(made.uuid, "another", 3600) is not None
    rig.provider.faults.mend("boot")
    await rig.clock.advance(20)
    assert (await rig.get(made.uuid)).status == "CREATE_IN_PROGRESS"


async def test_a_node_that_was_killed_comes_back_by_itself(rig):
    made = await rig.create()
    await rig.settled(made.uuid)
    node = (await rig.groups(made.uuid))[1].desired[0]
    rig.cloud.kill(made.uuid, node.uuid)
    boots = len(rig.cloud.boots)
    await rig.clock.advance(31)
    await rig.until(made.uuid, lambda _: len(rig.cloud.boots) > boots)
    assert rig.cloud.boots[boots:] == [node.name]
    assert (await rig.get(made.uuid)).status == "CREATE_COMPLETE"


async def test_a_node_that_was_removed_is_made_again(rig):
    made = await rig.create()
    await rig.settled(made.uuid)
    node = (await rig.groups(made.uuid))[1].desired[0]
    rig.cloud.lose(made.uuid, node.uuid)
    boots = len(rig.cloud.boots)
    await rig.clock.advance(31)
    await rig.until(made.uuid, lambda _: len(rig.cloud.boots) > boots)
    assert node.name in rig.names(made.uuid)


async def test_an_api_that_does_not_answer_shows_in_health_and_not_in_status(rig):
    made = await rig.create()
    await rig.settled(made.uuid)
    rig.members[made.uuid].dead = True
    await rig.clock.advance(31)
    sick = await rig.until(made.uuid, lambda c: c.observed.health_status is Health.UNHEALTHY)
    assert sick.status == "CREATE_COMPLETE"
    rig.members[made.uuid].dead = False
    await rig.clock.advance(31)
    await rig.until(made.uuid, lambda c: c.observed.health_status is Health.HEALTHY)


async def test_a_wish_during_an_update_is_carried_out_too(rig):
    made = await rig.create(workers=1)
    await rig.settled(made.uuid)
    rig.provider.faults.slow("boot", 5)
    await rig.ask(made.uuid, Operation.UPDATE, workers=3)
    await rig.ask(made.uuid, Operation.UPDATE, workers=2)
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    assert len(rig.names(made.uuid)) == 3


async def test_a_change_during_creation_is_refused(rig):
    rig.provider.faults.hold("boot")
    made = await rig.create()
    with pytest.raises(Conflict, match="CREATE_IN_PROGRESS"):
        await rig.ask(made.uuid, Operation.UPDATE, workers=3)


async def test_the_reaper_takes_what_no_row_knows_on_the_second_look(rig):
    made = await rig.create()
    await rig.settled(made.uuid)
    reaper = Reaper(store=rig.store, providers={"fake": rig.provider}, clock=rig.clock, every_seconds=60)
    assert await reaper.look("fake") == []
    assert await reaper.look("fake") == []
    async with rig.store.write() as tx:
        await tx.certificates.remove({"cluster_id": made.uuid})
        await tx.nodegroups.remove({"cluster_id": made.uuid})
        await tx.clusters.remove({"uuid": made.uuid})
    assert await reaper.look("fake") == []
    assert await reaper.look("fake") == [made.uuid]
    assert made.uuid not in rig.cloud.clusters


async def test_what_a_program_of_a_node_printed_when_it_ended_is_quoted_with_the_nodes_name(rig):
    made = await rig.create(masters=1, workers=1, minutes=5)
    rig.coe.faults.fail("join", Temporary("the API does not answer"), times=1000)
    await rig.until(made.uuid, lambda c: rig.names(made.uuid))
    master = next(name for name in rig.names(made.uuid) if "master" in name)
    words = "kube-apiserver has ended 7 times and printed last: emulation version 1.20 is not there"
    rig.cloud.complaints[master] = words
    seen = await rig.until(made.uuid, lambda c: words in (c.status_reason or ""))
    assert seen.status_reason == f"the API does not answer; on node {master} {words}"
    ended = await rig.settled(made.uuid)
    assert ended.status == "CREATE_FAILED"
    assert f"on node {master} {words}" in ended.status_reason


async def test_a_node_that_cannot_be_asked_leaves_the_reason_that_is_known(rig):
    made = await rig.create(masters=1, workers=0)
    rig.coe.faults.fail("join", Temporary("the API does not answer"), times=3)
    rig.provider.faults.fail("diagnose", Temporary("the Engine does not answer"), times=3)
    seen = await rig.until(made.uuid, lambda c: c.status_reason == "the API does not answer")
    assert seen.status == "CREATE_IN_PROGRESS"
    assert (await rig.settled(made.uuid)).status == "CREATE_COMPLETE"
