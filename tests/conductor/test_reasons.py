"""While a pass takes long its reason names the node, the object and what is waited for; an event tells an override."""

from jeroboam.domain.clusters import Operation
from jeroboam.store import EventFilter, Page
from tests.conductor.test_rollout import upgrade

KEPT = "pod default/web-1 is kept by a disruption budget: The disruption budget web needs 1 healthy pods and has 1"


async def events(rig, uuid: str, kind: str) -> list[str]:
    async with rig.store.read() as tx:
        found = await tx.events.listed(Page(), None, EventFilter(cluster=uuid, event_types=(kind,)))
    return [event.message for event in found]


async def made(rig, workers: int = 2):
    cluster = await rig.create(workers=workers)
    await rig.settled(cluster.uuid)
    return cluster.uuid


async def test_a_drain_of_a_roll_out_names_the_node_and_the_budget_and_tells_the_override(rig):
    uuid = await made(rig, 1)
    rig.members[uuid].holding.append(KEPT)
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
    rig.members[uuid].holding.append(KEPT)
    rig.coe.faults.hold("leave")
    await rig.ask(uuid, Operation.UPDATE, workers=1)
    reason = f"draining node {going.name} before the end: {KEPT}"
    await rig.until(uuid, lambda c: c.status_reason == reason)
    rig.coe.faults.mend("leave")
    rig.provider.faults.hold("remove")
    await rig.until(uuid, lambda c: c.status_reason == f"removing node {going.name} takes more than 5 seconds")
    rig.provider.faults.mend("remove")
    assert (await rig.settled(uuid)).status == "UPDATE_COMPLETE"
    assert await events(rig, uuid, "node.drain") == [f"Taken down with {KEPT}."]


async def test_what_changes_while_one_step_waits_is_one_event(rig):
    uuid = await made(rig)
    rig.members[uuid].holding.append("pod a/x has not ended yet")
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
    reason = f"bringing the nodes into the cluster: {worker.name}: down"
    await rig.until(uuid, lambda c: reason in (c.status_reason or ""))


async def test_the_deadline_names_what_was_waited_for(rig):
    uuid = await made(rig)
    going = (await rig.groups(uuid))[1].desired[1]
    rig.members[uuid].holding.append(KEPT)
    rig.coe.faults.hold("leave")
    await rig.ask(uuid, Operation.UPDATE, workers=1, minutes=1)
    failed = await rig.settled(uuid)
    assert failed.status == "UPDATE_FAILED"
    assert failed.status_reason == f"Timed out: draining node {going.name} before the end: {KEPT}"


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
    await rig.until(uuid, lambda c: c.observed.health_status == "HEALTHY" and not rig.loop.queue.working_on(uuid))
    assert await events(rig, uuid, "cluster.repair") == ["The network was removed; it is made again."]
    assert rig.cloud.clusters[uuid].addresses == before
    assert (await rig.get(uuid)).status == "CREATE_COMPLETE"
