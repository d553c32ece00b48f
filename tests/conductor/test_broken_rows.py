"""A row that cannot be read stops the work on its own cluster and on no other, and nothing is removed for its lack."""

import sqlalchemy as sa

from jeroboam.conductor.periodic.reaper import Reaper
from jeroboam.domain.clusters import Operation
from jeroboam.store import tables


async def damage(rig, table, column: str, uuid: str) -> None:
    async with rig.store.engine.begin() as connection:
        change = table.update().where(table.c.uuid == uuid).values({column: sa.text("'[1]'")})
        await connection.execute(change)


async def made(rig):
    cluster = await rig.create(workers=2)
    await rig.settled(cluster.uuid)
    return cluster.uuid


async def test_a_broken_cluster_is_neither_worked_on_nor_reaped_and_others_go_on(rig):
    broken, sound = await made(rig), await made(rig)
    await damage(rig, tables.cluster, "observed", broken)
    await rig.restart()
    await rig.ask(sound, Operation.UPDATE, workers=3)
    assert (await rig.settled(sound)).status == "UPDATE_COMPLETE"
    reaper = Reaper(store=rig.store, providers={"fake": rig.provider}, clock=rig.clock, every_seconds=60)
    assert [await reaper.look("fake"), await reaper.look("fake")] == [[], []]
    assert len(rig.names(broken)) == 3
    new = await rig.create()
    assert (await rig.settled(new.uuid)).status == "CREATE_COMPLETE"


async def test_nodes_of_a_group_that_cannot_be_read_stay(rig):
    uuid = await made(rig)
    names = rig.names(uuid)
    workers = (await rig.groups(uuid))[1]
    await damage(rig, tables.nodegroup, "desired", workers.uuid)
    await rig.restart()
    await rig.clock.advance(90)
    assert rig.names(uuid) == names
    assert rig.members[uuid].removed_names == []
    # Once it is repaired the work goes on.
    async with rig.store.write() as tx:
        await tx.nodegroups.update(workers)
    await rig.ask(uuid, Operation.UPDATE, workers=3)
    assert (await rig.settled(uuid)).status == "UPDATE_COMPLETE"


async def test_a_cluster_with_a_broken_group_can_be_deleted(rig):
    uuid = await made(rig)
    await damage(rig, tables.nodegroup, "desired", (await rig.groups(uuid))[1].uuid)
    await rig.ask(uuid, Operation.DELETE)
    assert await rig.settled(uuid) is None
    assert rig.names(uuid) == []
