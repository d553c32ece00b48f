"""While a pass takes long its reason names the node, the object and what is waited for; an event tells an override."""

from structlog.testing import capture_logs

from jeroboam.domain.clusters import Operation
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.store import EventFilter, Page
from tests.conductor.test_rollout import upgrade

KEPT = "pod default/web-1 is kept by a disruption budget: The disruption budget web needs 1 healthy pods and has 1"


REPAIRED = "The network was removed; it was repaired."
# The database's own refusal of one kind of row, while all else is stored.
REFUSAL = (
    "CREATE TRIGGER refusal BEFORE INSERT ON event WHEN NEW.event_type = 'node.drain' "
    "BEGIN SELECT RAISE(ABORT, 'refused'); END"
)


async def run_sql(rig, statement: str) -> None:
    async with rig.store.engine.begin() as connection:
        await connection.exec_driver_sql(statement)


async def events(rig, uuid: str, kind: str) -> list[str]:
    async with rig.store.read() as tx:
        found = await tx.events.list_page(Page(), None, EventFilter(cluster=uuid, event_types=(kind,)))
    return [event.message for event in found]


async def made(rig, workers: int = 2):
    cluster = await rig.create(workers=workers)
    await rig.settled(cluster.uuid)
    return cluster.uuid


async def test_a_drain_of_a_roll_out_names_the_node_and_the_budget_and_tells_the_override(rig):
    uuid = await made(rig, 1)
    rig.members[uuid].drain_blockers.append(KEPT)
    rig.coe.faults.hold("drain")
    await upgrade(rig, uuid, insecure_registry="r:5000")
    master = next(name for name in rig.names(uuid) if "master" in name)
    await rig.until(uuid, lambda c: c.status_reason == f"draining node {master}: {KEPT}")
    assert await events(rig, uuid, "node.drain") == []
    rig.coe.faults.mend("drain")
    await rig.settled(uuid)
    assert await events(rig, uuid, "node.drain") == [f"Taken down with {KEPT}."] * 2


async def test_shrinking_says_which_node_is_drained_and_what_stays_on_it(rig):
    uuid = await made(rig)
    going = (await rig.groups(uuid))[1].desired[1]
    rig.members[uuid].drain_blockers.append(KEPT)
    rig.coe.faults.hold("leave")
    await rig.ask(uuid, Operation.UPDATE, workers=1)
    reason = f"draining node {going.name} before removal: {KEPT}"
    await rig.until(uuid, lambda c: c.status_reason == reason)
    rig.coe.faults.mend("leave")
    rig.provider.faults.hold("remove")
    await rig.until(uuid, lambda c: c.status_reason == f"removing node {going.name} takes more than 5 seconds")
    rig.provider.faults.mend("remove")
    assert (await rig.settled(uuid)).status == "UPDATE_COMPLETE"
    assert await events(rig, uuid, "node.drain") == [f"Taken down with {KEPT}."]


async def test_what_changes_while_one_step_waits_is_one_event(rig):
    uuid = await made(rig)
    rig.members[uuid].drain_blockers.append("pod a/x has not ended yet")
    rig.coe.faults.hold("leave")
    await rig.ask(uuid, Operation.UPDATE, workers=1)
    await rig.until(uuid, lambda c: "pod a/x" in (c.status_reason or ""))
    # The driver tells of another pod.
    rig.coe.progress.wait_for([f"pod a/{name} has not ended yet" for name in "vwxyz"])
    seen = await rig.until(uuid, lambda c: "pod a/v" in (c.status_reason or ""))
    assert seen.status_reason.endswith("pod a/x has not ended yet; and 2 more")
    told = [message for message in await events(rig, uuid, "cluster.status") if message and "draining" in message]
    assert len(told) == 1


async def test_a_dead_worker_is_named_with_what_is_known_of_it(rig):
    uuid = await made(rig)
    worker = (await rig.groups(uuid))[1].desired[0]
    rig.members[uuid].unready.add(worker.uuid)
    rig.coe.faults.hold("join")
    await rig.ask(uuid, Operation.UPDATE, workers=3)
    reason = f"joining the nodes to the cluster: {worker.name}: down"
    await rig.until(uuid, lambda c: reason in (c.status_reason or ""))


async def test_the_deadline_names_what_was_waited_for(rig):
    uuid = await made(rig)
    going = (await rig.groups(uuid))[1].desired[1]
    rig.members[uuid].drain_blockers.append(KEPT)
    rig.coe.faults.hold("leave")
    await rig.ask(uuid, Operation.UPDATE, workers=1, minutes=1)
    failed = await rig.settled(uuid)
    assert failed.status == "UPDATE_FAILED"
    assert failed.status_reason == f"Timed out: draining node {going.name} before removal: {KEPT}"


async def test_nodes_that_are_made_are_named(rig):
    uuid = await made(rig)
    rig.provider.faults.hold("boot")
    await rig.ask(uuid, Operation.UPDATE, workers=3)
    seen = await rig.until(uuid, lambda c: "takes more than" in (c.status_reason or ""))
    new = (await rig.groups(uuid))[1].desired[2]
    assert seen.status_reason == f"making node {new.name} takes more than 5 seconds"


async def test_a_network_that_was_removed_is_told_and_made_again(rig):
    uuid = await made(rig)
    before = dict(rig.cloud.clusters[uuid].addresses)
    rig.cloud.lose_network(uuid)
    await rig.clock.advance(31)
    await rig.until(uuid, lambda _: rig.cloud.clusters[uuid].network_id is not None)
    await rig.until(uuid, lambda c: c.observed.health_status == "HEALTHY" and not rig.loop.queue.is_working_on(uuid))
    assert await events(rig, uuid, "cluster.repair") == [REPAIRED]
    assert rig.cloud.clusters[uuid].addresses == before
    assert (await rig.get(uuid)).status == "CREATE_COMPLETE"


async def test_a_network_that_cannot_be_made_again_yet_is_told_once_it_is(rig):
    uuid = await made(rig)
    rig.provider.faults.fail("reserve", Temporary("its former subnet is taken"))
    rig.cloud.lose_network(uuid)
    await rig.clock.advance(31)
    await rig.until(uuid, lambda c: c.observed.health_status == "UNHEALTHY")
    for _ in range(3):
        await rig.clock.advance(31)
        await rig.until(uuid, lambda _: not rig.loop.queue.is_working_on(uuid))
    assert await events(rig, uuid, "cluster.repair") == []
    rig.provider.faults.mend("reserve")
    await rig.clock.advance(31)
    await rig.until(uuid, lambda c: c.observed.health_status == "HEALTHY" and not rig.loop.queue.is_working_on(uuid))
    assert await events(rig, uuid, "cluster.repair") == [REPAIRED]


async def test_an_override_that_cannot_be_stored_is_told_once_it_can(rig):
    uuid = await made(rig)
    rig.members[uuid].drain_blockers.append(KEPT)
    await run_sql(rig, REFUSAL)
    rig.provider.faults.fail("remove", Permanent("the node is stuck"))
    await rig.ask(uuid, Operation.UPDATE, workers=1)
    with capture_logs() as logs:
        # What the pass came to is stored, and is its outcome.
        assert (await rig.settled(uuid)).status_reason == "the node is stuck"
        await rig.until(uuid, lambda _: not rig.loop.queue.is_working_on(uuid))
    failed = [line["what"] for line in logs if line["event"] == "failed"]
    assert failed == [f"events of cluster {uuid}"]
    assert await events(rig, uuid, "node.drain") == []
    await run_sql(rig, "DROP TRIGGER refusal")
    rig.members[uuid].drain_blockers.clear()
    await rig.clock.advance(31)
    await rig.until(uuid, lambda _: not rig.loop.queue.is_working_on(uuid))
    assert await events(rig, uuid, "node.drain") == [f"Taken down with {KEPT}."]


async def test_nothing_is_remembered_of_a_cluster_that_is_deleted_while_it_is_built(rig):
    rig.coe.faults.fail("join", Temporary("nobody answers"))
    cluster = await rig.create(workers=1)
    await rig.until(cluster.uuid, lambda _: bool(rig.names(cluster.uuid)))
    node = rig.names(cluster.uuid)[0]
    rig.cloud.complaints[node] = "it printed this"
    seen = await rig.until(cluster.uuid, lambda c: "it printed this" in (c.status_reason or ""))
    assert seen.status == "CREATE_IN_PROGRESS"
    assert rig.conductor._diagnoses.describe(cluster.uuid)
    await rig.ask(cluster.uuid, Operation.DELETE)
    assert await rig.settled(cluster.uuid) is None
    await rig.until(cluster.uuid, lambda _: not rig.loop.queue.is_working_on(cluster.uuid))
    assert not rig.conductor._diagnoses.describe(cluster.uuid)
    assert not rig.conductor._notes
    assert rig.conductor._attempts.last_reason(cluster.uuid) is None
