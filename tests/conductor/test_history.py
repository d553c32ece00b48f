"""What the loop tells of its work: users in events, other services in notifications, nobody twice."""

import json

import pytest
from prometheus_client import CollectorRegistry

from jeroboam.conductor.metrics import LoopMetrics
from jeroboam.conductor.periodic.outbox import OutboxRelay
from jeroboam.domain.clusters import Operation
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.domain.events import Event
from jeroboam.store import EventFilter, Page
from tests import builders
from tests.conductor.test_rollback import resize


async def told(rig, uuid) -> list[tuple]:
    async with rig.store.read() as tx:
        events = await tx.events.list_page(Page(), None, EventFilter(cluster=uuid))
    return [(event.event_type, event.status, event.message) for event in events]


async def sent(rig) -> list[tuple]:
    async with rig.store.read() as tx:
        return [(note.event, json.loads(note.payload)["outcome"]) for note in await tx.list_outgoing(100)]


async def test_a_life(rig):
    made = await rig.create()
    await rig.settled(made.uuid)
    await rig.ask(made.uuid, Operation.UPDATE, workers=3)
    await rig.settled(made.uuid)
    await rig.ask(made.uuid, Operation.DELETE)
    assert await rig.settled(made.uuid) is None
    kinds = [(kind, status) for kind, status, _ in await told(rig, made.uuid)]
    assert kinds == [
        ("cluster.status", "CREATE_COMPLETE"),
        ("cluster.health", "HEALTHY"),
        ("cluster.status", "UPDATE_COMPLETE"),
        ("cluster.status", "DELETE_COMPLETE"),
    ]
    assert await sent(rig) == [
        ("magnum.cluster.create", "success"),
        ("magnum.cluster.update", "success"),
        ("magnum.cluster.delete", "success"),
    ]


async def test_a_reason_is_told_once_however_often_it_comes(rig):
    rig.provider.faults.fail("boot", Temporary("the cloud is tired"), times=5)
    made = await rig.create()
    await rig.settled(made.uuid)
    reasons = [message for _, status, message in await told(rig, made.uuid) if status == "CREATE_IN_PROGRESS"]
    assert reasons == ["the cloud is tired"]


async def test_a_failure_is_told_with_its_reason(rig):
    rig.provider.faults.fail("boot", Permanent("no room"), times=1)
    made = await rig.create()
    await rig.settled(made.uuid)
    assert ("cluster.status", "CREATE_FAILED", "no room") in await told(rig, made.uuid)
    assert await sent(rig) == [("magnum.cluster.create", "failure")]


async def test_a_change_that_is_taken_back(rig):
    made = await rig.create(workers=1)
    await rig.settled(made.uuid)
    rig.provider.faults.fail("boot", Permanent("no room"), times=1)
    await resize(rig, made, 4)
    await rig.settled(made.uuid)
    kinds = [(kind, status) for kind, status, _ in await told(rig, made.uuid)]
    assert kinds[2:] == [("cluster.rollback", "ROLLBACK_IN_PROGRESS"), ("cluster.status", "ROLLBACK_COMPLETE")]
    assert (await sent(rig))[-1] == ("magnum.cluster.update", "failure")
    assert len(await sent(rig)) == 2


async def test_a_cluster_that_is_well_is_told_of_no_more(rig):
    made = await rig.create()
    await rig.settled(made.uuid)
    before = await told(rig, made.uuid)
    for _ in range(20):
        await rig.clock.advance(30)
    assert await told(rig, made.uuid) == before


async def test_health_that_comes_and_goes_is_told_each_time(rig):
    made = await rig.create()
    await rig.settled(made.uuid)
    rig.provider.faults.fail("observe", Temporary("no answer"))
    await rig.until(made.uuid, lambda c: c.observed.health_status == "UNHEALTHY")
    rig.provider.faults.mend("observe")
    await rig.until(made.uuid, lambda c: c.observed.health_status == "HEALTHY")
    health = [(status, message) for kind, status, message in await told(rig, made.uuid) if kind == "cluster.health"]
    assert [status for status, _ in health] == ["HEALTHY", "UNHEALTHY", "HEALTHY"]
    assert health[1][1] == "api: no answer"


async def test_the_end_names_who_asked(rig):
    made = await rig.create()
    wish = Event(
        uuid=builders.new_uuid(),
        cluster_id=made.uuid,
        cluster_name=made.name,
        project_id="p1",
        event_type="cluster.create",
        user_id="u7",
        user_project_id="p7",
        request_id="req-7",
        created_at=rig.clock.now(),
    )
    async with rig.store.write() as tx:
        await tx.events.insert(wish)
    await rig.settled(made.uuid)
    async with rig.store.read() as tx:
        [note] = await tx.list_outgoing(10)
    initiator = json.loads(note.payload)["initiator"]
    assert (initiator["user_id"], initiator["project_id"], initiator["request_id"]) == ("u7", "p7", "req-7")


@pytest.fixture
def relayed(rig):
    """A relay whose other end takes messages, or refuses as often as it is told to."""
    got, refusals, registry = [], [], CollectorRegistry()

    async def publish(message):
        if refusals:
            refusals.pop()
            raise ConnectionError("the broker is away")
        got.append(message)

    relay = OutboxRelay(
        store=rig.store,
        bus=rig.bus,
        clock=rig.clock,
        publish=publish,
        publisher_id="container-infra.h1",
        meter=LoopMetrics(registry),
    )
    return relay, got, refusals, registry


async def test_notifications_leave_in_their_envelope_in_order(rig, relayed):
    relay, got, _, registry = relayed
    made = await rig.create()
    await rig.settled(made.uuid)
    await rig.ask(made.uuid, Operation.DELETE)
    await rig.settled(made.uuid)
    await relay.empty()
    assert [(message.event_type, message.publisher_id, message.priority) for message in got] == [
        ("magnum.cluster.create", "container-infra.h1", "INFO"),
        ("magnum.cluster.delete", "container-infra.h1", "INFO"),
    ]
    assert await sent(rig) == []
    labels = {"event_type": "magnum.cluster.create", "outcome": "success"}
    assert registry.get_sample_value("jeroboam_notifications_total", labels) == 1


async def test_what_could_not_leave_is_sent_again_under_the_same_id(rig, relayed):
    relay, got, refusals, _ = relayed
    async with rig.store.write() as tx:
        for number in range(2):
            await tx.notify("container.stop", f"k{number}", {"number": number})
    refusals.append(None)
    with pytest.raises(ConnectionError):
        await relay.empty()
    await relay.empty()
    assert [message.payload["number"] for message in got] == [0, 1]
    async with rig.store.read() as tx:
        assert await tx.list_outgoing(10) == []


async def test_passes_are_counted_by_how_they_end(rig):
    registry = CollectorRegistry()
    meter = LoopMetrics(registry)

    async def work(uuid):
        if uuid == "bad":
            raise RuntimeError
        await rig.clock.sleep(0)
        return None if uuid == "done" else 3.0

    timed = meter.count_passes("cluster", work, rig.clock)
    for uuid in ("done", "later", "later"):
        await timed(uuid)
    with pytest.raises(RuntimeError):
        await timed("bad")
    meter.watch("cluster", lambda: 5)
    found = {
        outcome: registry.get_sample_value("jeroboam_reconcile_seconds_count", {"loop": "cluster", "outcome": outcome})
        for outcome in ("idle", "again", "raised")
    }
    assert found == {"idle": 1, "again": 2, "raised": 1}
    assert registry.get_sample_value("jeroboam_loop_queue_depth", {"loop": "cluster"}) == 5


async def test_what_takes_long_is_told(rig):
    rig.provider.faults.hold("boot")
    made = await rig.create()
    await rig.until(made.uuid, lambda c: "takes more than" in (c.status_reason or ""))
    [message] = [message for _, status, message in await told(rig, made.uuid) if status == "CREATE_IN_PROGRESS"]
    names = [node.name for group in await rig.groups(made.uuid) for node in group.desired]
    assert message == f"making nodes {', '.join(names)} takes more than 5 seconds"
