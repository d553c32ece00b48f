"""An update that fails goes back to what was before, where its user asked for that."""

import asyncio
from dataclasses import replace

from jeroboam.domain import states
from jeroboam.domain.clusters import Operation
from jeroboam.domain.errors import Permanent
from jeroboam.domain.upgrades import build_previous_spec


async def resize(rig, made, count) -> None:
    async with rig.store.write() as tx:
        cluster = await tx.clusters.get(made.uuid)
        [_, workers] = (await tx.nodegroups.groups_of(made.uuid))[made.uuid]
        cluster = states.ask_cluster(cluster, Operation.UPDATE, now=rig.clock.now(), minutes=60)
        former = build_previous_spec(cluster, [workers])
        await tx.clusters.update(replace(cluster, spec=replace(cluster.spec, former=former)))
        workers = states.ask_group(workers, Operation.UPDATE, now=rig.clock.now())
        await tx.nodegroups.update(replace(workers, spec=replace(workers.spec, node_count=count)))
        tx.hint("cluster", made.uuid)


async def test_a_failed_update_goes_back(rig):
    made = await rig.create(workers=1)
    await rig.settled(made.uuid)
    before = rig.names(made.uuid)
    rig.provider.faults.fail("boot", Permanent("no room"), times=1)
    await resize(rig, made, 4)
    cluster = await rig.settled(made.uuid)
    assert (cluster.status, cluster.status_reason) == ("ROLLBACK_COMPLETE", None)
    assert rig.names(made.uuid) == before
    [master, workers] = await rig.groups(made.uuid)
    assert (workers.spec.node_count, workers.status, master.status) == (1, "ROLLBACK_COMPLETE", "CREATE_COMPLETE")
    await rig.ask(made.uuid, Operation.UPDATE, workers=2)
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    assert len(rig.names(made.uuid)) == 3


async def test_a_way_back_that_fails_says_so_and_ends_there(rig):
    made = await rig.create(workers=1)
    await rig.settled(made.uuid)
    rig.provider.faults.fail("boot", Permanent("no room"), times=1)
    rig.provider.faults.fail("remove", Permanent("the disk is stuck"))
    await resize(rig, made, 2)
    cluster = await rig.settled(made.uuid)
    assert (cluster.status, cluster.status_reason) == ("ROLLBACK_FAILED", "the disk is stuck")
    rig.provider.faults.mend("remove")
    await rig.ask(made.uuid, Operation.UPDATE, workers=1)
    assert (await rig.settled(made.uuid)).status == "UPDATE_COMPLETE"
    assert len(rig.names(made.uuid)) == 2


async def test_a_restart_on_the_way_back_goes_on(rig):
    made = await rig.create(workers=1)
    await rig.settled(made.uuid)
    rig.provider.faults.fail("boot", Permanent("no room"), times=1)
    rig.provider.faults.hold("remove")
    await resize(rig, made, 2)
    await asyncio.wait_for(rig.provider.faults.event_for("remove").wait(), 5)
    assert (await rig.get(made.uuid)).status == "ROLLBACK_IN_PROGRESS"
    await rig.restart()
    assert (await rig.settled(made.uuid)).status == "ROLLBACK_COMPLETE"
    assert len(rig.names(made.uuid)) == 2
