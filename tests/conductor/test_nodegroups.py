"""Node groups: made, resized, emptied and dropped by the cluster's loop, several at once, over restarts."""

import asyncio
from dataclasses import replace

import pytest

from jeroboam.conductor.clusters.nodegroups import plan_nodes
from jeroboam.domain import states
from jeroboam.domain.clusters import NodeGroup, NodeGroupSpec, Operation
from jeroboam.domain.errors import Conflict, Permanent
from tests import builders


def group(of, name, count=1, **changes) -> NodeGroup:
    spec = NodeGroupSpec(role="worker", node_count=count, **changes)
    return NodeGroup(
        uuid=builders.new_uuid(), name=name, cluster_id=of.uuid, project_id="p1", spec=spec, created_at=builders.NOW
    )


async def wish(rig, uuid, change) -> None:
    """A change of groups and the wish to the cluster in one transaction, as the API writes them."""
    async with rig.store.write() as tx:
        cluster = await tx.clusters.get(uuid)
        await tx.clusters.update(states.ask_cluster(cluster, Operation.UPDATE, now=rig.clock.now(), minutes=60))
        await change(tx)
        tx.hint("cluster", uuid)


async def add(rig, made, *groups) -> None:
    async def change(tx):
        for each in groups:
            await tx.nodegroups.insert(each)

    await wish(rig, made.uuid, change)


async def alter(rig, made, name, operation, **spec) -> None:
    async def change(tx):
        [found] = await tx.nodegroups.select({"cluster_id": made.uuid, "name": name})
        changed = states.ask_group(found, operation, now=rig.clock.now())
        await tx.nodegroups.update(replace(changed, spec=replace(changed.spec, **spec)))

    await wish(rig, made.uuid, change)


async def shown(rig, made) -> dict[str, tuple[str, int]]:
    return {each.name: (each.status, len(each.observed)) for each in await rig.groups(made.uuid)}


async def test_a_group_is_made_resized_emptied_and_dropped(rig):
    made = await rig.create(workers=1)
    await rig.settled(made.uuid)
    await add(rig, made, group(made, "fast", 2, flavor_id="m1.large"))
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    first = {"default-master": ("CREATE_COMPLETE", 1), "default-worker": ("CREATE_COMPLETE", 1)}
    assert await shown(rig, made) == first | {"fast": ("CREATE_COMPLETE", 2)}
    assert sum("-fast-" in name for name in rig.names(made.uuid)) == 2
    for count in (3, 0):
        await alter(rig, made, "fast", Operation.UPDATE, node_count=count)
        assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
        assert await shown(rig, made) == first | {"fast": ("UPDATE_COMPLETE", count)}
        assert len(rig.names(made.uuid)) == 2 + count
    await alter(rig, made, "fast", Operation.DELETE)
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    assert await shown(rig, made) == first


async def test_a_group_goes_with_its_nodes_and_not_before(rig):
    made = await rig.create(workers=1)
    await rig.settled(made.uuid)
    await add(rig, made, group(made, "fast", 2))
    await rig.settled(made.uuid)
    rig.provider.faults.hold("remove")
    await alter(rig, made, "fast", Operation.DELETE)
    await asyncio.wait_for(rig.provider.faults.event_for("remove").wait(), 5)
    assert (await shown(rig, made))["fast"][0] == "DELETE_IN_PROGRESS"
    rig.provider.faults.mend("remove")
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    assert "fast" not in await shown(rig, made)
    assert len(rig.names(made.uuid)) == 2


async def test_many_at_once_end_well(rig):
    made = await rig.create(workers=1)
    await rig.settled(made.uuid)
    await asyncio.gather(*(add(rig, made, group(made, f"g{number}", number)) for number in range(6)))
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    seen = await shown(rig, made)
    assert {name: count for name, (_, count) in seen.items() if name.startswith("g")} == {f"g{n}": n for n in range(6)}
    assert {status for status, _ in seen.values()} == {"CREATE_COMPLETE"}
    assert len(rig.cloud.boots) == len(set(rig.cloud.boots)) == 2 + 15


@pytest.mark.parametrize("stage", ["reserve", "boot", "join"])
async def test_a_restart_in_the_middle_doubles_nothing(rig, stage):
    made = await rig.create(workers=1)
    await rig.settled(made.uuid)
    faulty = rig.coe if stage == "join" else rig.provider
    faulty.faults.hold(stage)
    reached = faulty.faults.event_for(stage)
    reached.clear()
    await add(rig, made, group(made, "fast", 3))
    await asyncio.wait_for(reached.wait(), 5)
    await rig.restart()
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    assert (await shown(rig, made))["fast"] == ("CREATE_COMPLETE", 3)
    assert len(rig.cloud.boots) == len(set(rig.cloud.boots)) == 5


@pytest.mark.parametrize("stage", ["leave", "remove"])
async def test_a_restart_while_a_group_goes_leaves_nothing(rig, stage):
    made = await rig.create(workers=1)
    await add_settled(rig, made, "fast", 2)
    faulty = rig.coe if stage == "leave" else rig.provider
    faulty.faults.hold(stage)
    await alter(rig, made, "fast", Operation.DELETE)
    await asyncio.wait_for(faulty.faults.event_for(stage).wait(), 5)
    await rig.restart()
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    assert "fast" not in await shown(rig, made)
    assert len(rig.names(made.uuid)) == 2


async def add_settled(rig, made, name, count) -> None:
    await rig.settled(made.uuid)
    await add(rig, made, group(made, name, count))
    await rig.settled(made.uuid)


async def test_a_group_that_cannot_be_made_says_so_alone_and_can_be_taken_back(rig):
    made = await rig.create(workers=1)
    await rig.settled(made.uuid)
    rig.provider.faults.fail("boot", Permanent("no room for so large a node"))
    await add(rig, made, group(made, "fast", 1))
    failed = await rig.settled(made.uuid)
    assert (failed.status, failed.status_reason) == ("UPDATE_FAILED", "no room for so large a node")
    seen = await shown(rig, made)
    assert seen["fast"][0] == "CREATE_FAILED"
    assert seen["default-worker"][0] == seen["default-master"][0] == "CREATE_COMPLETE"
    await alter(rig, made, "fast", Operation.DELETE)
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    assert "fast" not in await shown(rig, made)


def test_a_group_that_goes_takes_no_other_wish():
    cluster = builders.cluster(builders.template())
    going = states.ask_group(group(cluster, "g"), Operation.DELETE, now=builders.NOW)
    assert states.ask_group(going, Operation.DELETE, now=builders.NOW) == going
    with pytest.raises(Conflict, match="DELETE_IN_PROGRESS"):
        states.ask_group(going, Operation.UPDATE, now=builders.NOW)


def test_no_two_groups_have_a_node_of_one_name():
    cluster = builders.cluster(builders.template())
    names = ["worker", "master", "w", "W", "w_1", "w.1", "w-1", "ä", "ö", "x" * 40, "x" * 41, "a b", "-"]
    groups = [group(cluster, name, 12) for name in names] + builders.groups(cluster, masters=3, workers=12)
    nodes = [node.name for each in groups for node in plan_nodes(cluster, each, builders.new_uuid).desired]
    assert len(set(nodes)) == len(nodes)
    for name in nodes:
        assert len(name) <= 63
        assert all(letter.isascii() and (letter.isalnum() or letter == "-") for letter in name)
        assert "--" not in name or cluster.name in name
