"""Nodes are made anew in batches, masters first, the next batch when all are well; whatever dies, it ends as asked."""

from dataclasses import replace

import pytest

from jeroboam.coes.fake.coe import OPTION
from jeroboam.domain import states
from jeroboam.domain.clusters import Operation
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.domain.upgrades import build_previous_spec, set_group_spec, set_template
from tests import builders


async def upgrade(rig, uuid, *, batch=1, rollback=False, minutes=60, **changes) -> str:
    """Ask for a new template with these changes; its uuid."""
    async with rig.store.write() as tx:
        cluster = await tx.clusters.get(uuid)
        template = builders.template(spec=replace(cluster.spec.template, **changes))
        await tx.templates.insert(template)
        groups = (await tx.nodegroups.groups_of(uuid))[uuid]
        after = set_template(cluster, template)
        asked = states.ask_cluster(after, Operation.UPDATE, now=rig.clock.now(), minutes=minutes)
        former = build_previous_spec(cluster, groups) if rollback else None
        await tx.clusters.update(replace(asked, spec=replace(asked.spec, max_batch_size=batch, former=former)))
        for group in groups:
            spec = replace(group.spec, image_id=template.spec.image_id, labels=after.spec.labels)
            changed = set_group_spec(group, spec, force_rebuild=True)
            await tx.nodegroups.update(states.ask_group(changed, Operation.UPDATE, now=rig.clock.now()))
        tx.hint("cluster", uuid)
    return template.uuid


async def again(rig, uuid) -> None:
    """Ask for the same once more, as a user does who tries again."""
    async with rig.store.write() as tx:
        cluster = await tx.clusters.get(uuid)
        await tx.clusters.update(states.ask_cluster(cluster, Operation.UPDATE, now=rig.clock.now(), minutes=60))
        tx.hint("cluster", uuid)


@pytest.fixture
async def made(rig):
    cluster = await rig.create(masters=3, workers=4)
    await rig.settled(cluster.uuid)
    return cluster.uuid


def builds(rig, uuid) -> dict[str, int]:
    return {node.name: node.build for node in rig.cloud.clusters[uuid].nodes.values()}


def addresses(rig, uuid) -> dict[str, str]:
    return {node.name: node.address for node in rig.cloud.clusters[uuid].nodes.values()}


async def all_new(rig, uuid, *, status="UPDATE_COMPLETE", build=1) -> None:
    cluster = await rig.settled(uuid)
    assert (cluster.status, cluster.status_reason) == (status, None)
    assert set(builds(rig, uuid).values()) == {build}
    assert len(rig.names(uuid)) == 7
    assert not rig.members[uuid].drained_uuids
    for group in await rig.groups(uuid):
        assert group.status == status
        assert {node.build for node in group.observed} == {build}


async def test_masters_go_first_and_alone_then_workers_in_batches(rig, made):
    before = addresses(rig, made)
    template = await upgrade(rig, made, batch=3, insecure_registry="r:5000")
    await all_new(rig, made)
    batches = rig.members[made].drains
    assert [len(batch) for batch in batches] == [1, 1, 1, 3, 1]
    assert all("master" in batch[0] for batch in batches[:3])
    assert sorted(rig.cloud.rebuilds) == sorted(before), "each node once"
    assert addresses(rig, made) == before
    cluster = await rig.get(made)
    assert (cluster.template_id, cluster.spec.template.insecure_registry) == (template, "r:5000")


async def test_the_status_says_how_far_it_is(rig, made):
    await upgrade(rig, made)
    said = await rig.until(made, lambda c: "nodes still to rebuild" in (c.status_reason or ""))
    assert said.status == "UPDATE_IN_PROGRESS"
    await all_new(rig, made)


STAGES = ["drain", "rebuild", "rebuild between", "boot", "rebuilt", "join", "observe"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("after", [0, 1, 4], ids=["first-master", "second-master", "workers"])
async def test_a_kill_at_any_moment_changes_nothing(rig, made, stage, after):
    before = addresses(rig, made)
    await upgrade(rig, made, batch=2)
    await rig.until(made, lambda _: len(rig.cloud.rebuilds) >= after)
    faulty = rig.coe if stage in {"drain", "join"} else rig.provider
    faulty.faults.hold(stage)
    faulty.faults.event_for(stage).clear()
    await rig.until(made, lambda c: faulty.faults.event_for(stage).is_set() or not states.is_in_progress(c))
    await rig.restart()
    await all_new(rig, made)
    assert addresses(rig, made) == before
    assert len(rig.cloud.rebuilds) <= len(before) + 2, "no more than what was under way is done twice"


async def test_a_node_that_does_not_come_back_stops_the_roll_out(rig, made):
    rig.provider.faults.slow("rebuild between", 1)
    await upgrade(rig, made, minutes=1)
    await rig.until(made, lambda _: len(rig.cloud.rebuilds) >= 4)
    [_, workers] = await rig.groups(made)
    lame = next(node for node in workers.desired if node.name in rig.cloud.rebuilds)
    rig.members[made].unready.add(lame.uuid)
    failed = await rig.settled(made)
    assert failed.status == "UPDATE_FAILED"
    assert lame.name in failed.status_reason
    assert failed.status_reason.startswith("Timed out")
    assert len(rig.cloud.rebuilds) <= 5, "the others work on as they were"
    rig.members[made].unready.clear()
    rig.provider.faults.mend("rebuild between")
    await again(rig, made)
    await all_new(rig, made)
    assert len(rig.cloud.rebuilds) == 7, "what was done already is not done again"


async def test_a_fault_of_the_provider_is_told_and_asking_again_goes_on(rig, made):
    rig.provider.faults.fail("rebuild between", Permanent("the disk is full"), times=1)
    await upgrade(rig, made)
    failed = await rig.settled(made)
    assert failed.status == "UPDATE_FAILED"
    assert failed.status_reason.endswith("the disk is full")
    assert failed.status_reason.startswith("rebuilding ")
    await again(rig, made)
    await all_new(rig, made)


async def test_a_passing_fault_is_waited_out(rig, made):
    rig.provider.faults.fail("rebuild", Temporary("the engine is busy"), times=2)
    rig.coe.faults.fail("drain", Temporary("busy"), times=1)
    await upgrade(rig, made)
    await all_new(rig, made)


async def test_it_goes_back_where_that_was_asked_for_and_only_what_changed(rig, made):
    before = await rig.get(made)
    await upgrade(rig, made, rollback=True, labels={OPTION: "new"})
    rig.provider.faults.slow("rebuild", 1)
    await rig.until(made, lambda _: len(rig.cloud.rebuilds) >= 2)
    rig.provider.faults.fail("boot", Permanent("no room"), times=1)
    await all_new(rig, made, status="ROLLBACK_COMPLETE", build=0)
    assert len(set(rig.cloud.rebuilds)) <= 3
    cluster = await rig.get(made)
    assert (cluster.template_id, cluster.spec.labels) == (before.template_id, before.spec.labels)
    await upgrade(rig, made, batch=4)
    await all_new(rig, made, build=2)


async def test_a_template_that_is_gone_does_not_hinder_the_way_back(rig, made):
    before = await rig.get(made)
    new = await upgrade(rig, made, rollback=True)
    async with rig.store.write() as tx:
        await tx.templates.remove({"uuid": before.template_id})
    rig.provider.faults.fail("boot", Permanent("no room"), times=1)
    await all_new(rig, made, status="ROLLBACK_COMPLETE", build=0)
    assert (await rig.get(made)).template_id == new


async def test_a_build_that_does_not_run_is_replaced_by_the_next_wish(rig, made):
    rig.provider.faults.slow("rebuild", 1)
    await upgrade(rig, made)
    await rig.until(made, lambda _: len(rig.cloud.rebuilds) >= 1)
    rig.provider.faults.hold("rebuild")
    [masters, _] = await rig.groups(made)
    broken = next(node for node in masters.desired if node.name in rig.cloud.rebuilds)
    rig.cloud.kill(made, broken.uuid)
    rig.provider.faults.fail("boot", Permanent("the new image does not boot"))
    rig.provider.faults.mend("rebuild")
    failed = await rig.settled(made)
    assert "does not boot" in failed.status_reason
    rig.provider.faults.mend("boot")
    rig.provider.faults.fail("ensure", Temporary("a node that stands still does not start"))
    await upgrade(rig, made)
    await rig.until(made, lambda _: builds(rig, made).get(broken.name) == 2)
    rig.provider.faults.mend("ensure")
    await all_new(rig, made, build=2)


async def test_a_member_that_is_lame_and_old_is_made_anew_without_waiting_for_it(rig, made):
    [_, workers] = await rig.groups(made)
    lame = workers.desired[0]
    rig.members[made].unready.add(lame.uuid)
    await upgrade(rig, made)
    await rig.until(made, lambda _: lame.name in rig.cloud.rebuilds)
    assert rig.cloud.rebuilds == [lame.name]
    rig.members[made].unready.clear()
    await all_new(rig, made)


async def test_members_that_are_away_for_a_moment_are_drained_in_batches_all_the_same(rig, made):
    rig.provider.faults.slow("rebuild", 1)
    await upgrade(rig, made)
    await rig.until(made, lambda _: len(rig.cloud.rebuilds) >= 3)
    [_, workers] = await rig.groups(made)
    rig.members[made].unready |= {node.uuid for node in workers.desired}
    await rig.until(made, lambda c: ": down" in (c.status_reason or ""))
    rig.members[made].unready.clear()
    await all_new(rig, made)
    assert [len(batch) for batch in rig.members[made].drains] == [1] * 7


async def test_members_that_stay_lame_are_made_anew_batch_by_batch(rig, made):
    rig.provider.faults.hold("rebuild")
    [_, workers] = await rig.groups(made)
    rig.members[made].unready |= {node.uuid for node in workers.desired}
    await upgrade(rig, made, batch=2)
    rig.provider.faults.mend("rebuild")
    rig.provider.faults.slow("rebuild", 1)
    await rig.until(made, lambda _: rig.cloud.rebuilds)
    assert len(rig.cloud.rebuilds) <= 2
    rig.members[made].unready.clear()
    await all_new(rig, made)


async def test_a_cluster_that_does_not_answer_is_mended_from_its_first_master(rig):
    cluster = await rig.create(masters=1, workers=1)
    uuid = cluster.uuid
    await rig.settled(uuid)
    rig.members[uuid].dead = True
    rig.provider.faults.slow("rebuild", 1)
    await upgrade(rig, uuid)
    await rig.until(uuid, lambda _: len(rig.cloud.rebuilds) >= 1)
    assert "master" in rig.cloud.rebuilds[0]
    rig.members[uuid].dead = False
    assert (await rig.settled(uuid)).status == "UPDATE_COMPLETE"
    assert set(builds(rig, uuid).values()) == {1}


async def test_sizes_change_while_it_rolls(rig, made):
    rig.provider.faults.slow("rebuild", 1)
    await upgrade(rig, made)
    await rig.until(made, lambda _: len(rig.cloud.rebuilds) >= 2)
    await rig.ask(made, Operation.UPDATE, workers=6)
    cluster = await rig.settled(made)
    assert cluster.status == "UPDATE_COMPLETE"
    assert len(rig.names(made)) == 9
    assert set(builds(rig, made).values()) == {1}
    assert len(rig.cloud.rebuilds) == 7, "new nodes are of the new build from the start"


async def test_a_lost_node_comes_back_as_the_new_build(rig, made):
    rig.provider.faults.slow("rebuild", 1)
    await upgrade(rig, made)
    await rig.until(made, lambda _: len(rig.cloud.rebuilds) >= 3)
    [_, workers] = await rig.groups(made)
    rig.cloud.lose(made, workers.desired[-1].uuid)
    await all_new(rig, made)
    assert workers.desired[-1].name not in rig.cloud.rebuilds


async def test_a_delete_overtakes_it(rig, made):
    rig.provider.faults.slow("rebuild", 1)
    await upgrade(rig, made)
    await rig.until(made, lambda _: len(rig.cloud.rebuilds) >= 1)
    await rig.ask(made, Operation.DELETE)
    assert await rig.settled(made) is None
    assert rig.names(made) == []


async def test_drivers_that_cannot_say_so(rig, made):
    class Plain:
        """A provider with the contract's methods and no more."""

        def __init__(self, whole) -> None:
            for name in (
                "catalog",
                "reserve",
                "ensure",
                "observe",
                "remove",
                "destroy",
                "list_owned",
                "limits",
                "close",
            ):
                setattr(self, name, getattr(whole, name))

    rig.loop._reconciler._subject._drivers.providers["fake"] = Plain(rig.provider)
    await upgrade(rig, made)
    failed = await rig.settled(made)
    assert failed.status == "UPDATE_FAILED"
    assert "cannot rebuild nodes in place" in failed.status_reason
