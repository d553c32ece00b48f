"""Nodes that do not work for long are replaced where users asked for that: one at a time, and no majority is lost."""

import asyncio
import datetime as dt
from dataclasses import replace

import pytest

from jeroboam.api.container_infra.clusters.updates import build_update
from jeroboam.conductor.clusters.healing import find_due_node
from jeroboam.domain.clusters import ClusterSpec, Health, NodeObserved, NodeState, Operation, TemplateSpec
from jeroboam.domain.errors import Permanent, Temporary
from tests import builders
from tests.builders import NOW

AFTER = dt.timedelta(seconds=300)
HEALING = ClusterSpec(
    template=TemplateSpec(coe="fake", image_id="swarm-node", flavor_id="m1.small", driver="fake"),
    labels={"auto_healing_enabled": "True"},
)


async def made(rig, *, masters=1, workers=3, spec=HEALING):
    """A cluster that is up, and its nodes by name without what is the same for all."""
    cluster = await rig.create(masters=masters, workers=workers, spec=spec)
    await rig.settled(cluster.uuid)
    return cluster.uuid


def named(rig, uuid, *tails) -> list[str]:
    """Uuids of the nodes whose names end so."""
    return [node.uuid for tail in tails for node in rig.cloud.clusters[uuid].nodes.values() if node.name.endswith(tail)]


async def passes(rig, seconds: float, until=lambda: False) -> None:
    """Let so much virtual time pass, in steps that give the loop time to do its work."""
    [uuid] = rig.cloud.clusters
    end = rig.clock.monotonic() + seconds
    while rig.clock.monotonic() < end and not until():
        await rig.clock.advance(5)
        for _ in range(200):
            await asyncio.sleep(0.001)
            if not rig.loop.queue.is_working_on(uuid):
                break


async def shown(rig, uuid) -> dict[str, NodeObserved]:
    return {node.uuid: node for group in await rig.groups(uuid) for node in group.observed}


async def events(rig, uuid) -> list[str]:
    async with rig.store.read() as tx:
        found = await tx.events.select({"cluster_id": uuid})
    return [event.message for event in found if event.event_type == "node.heal"]


async def test_a_node_that_does_not_work_for_long_is_replaced_and_told(rig):
    uuid = await made(rig)
    [ill] = named(rig, uuid, "worker-1")
    rig.members[uuid].unready.add(ill)
    await rig.until(uuid, lambda c: c.observed.health_status == "UNHEALTHY")
    since = (await shown(rig, uuid))[ill].unready_since
    assert since is not None
    await passes(rig, 700, lambda: rig.cloud.rebuilds)
    assert rig.clock.now() - since >= AFTER
    name = (await shown(rig, uuid))[ill].name
    assert rig.cloud.rebuilds == [name]
    [told] = await events(rig, uuid)
    assert told.startswith(f"{name} has not worked for 3")
    assert told.endswith("(down): it is replaced.")
    rig.members[uuid].unready.clear()
    well = await rig.until(uuid, lambda c: c.observed.health_status == "HEALTHY")
    assert well.status == "CREATE_COMPLETE"
    node = (await shown(rig, uuid))[ill]
    assert (node.ready, node.unready_since, node.healed_at) == (True, None, None)


async def test_what_is_not_well_shows_with_its_reason(rig):
    uuid = await made(rig)
    [ill] = named(rig, uuid, "worker-1")
    rig.members[uuid].unready.add(ill)
    cluster = await rig.until(uuid, lambda c: c.observed.health_status == "UNHEALTHY")
    name = (await shown(rig, uuid))[ill].name
    reasons = cluster.observed.health_status_reason
    assert (reasons[f"{name}.Ready"], reasons[f"{name}.NotReady"]) == ("False", "down")
    assert sum(said == "True" for said in reasons.values()) == 3
    assert cluster.status == "CREATE_COMPLETE"
    assert [node.ready for node in (await shown(rig, uuid)).values()].count(False) == 1


async def test_nobody_is_replaced_unasked(rig):
    uuid = await made(rig, spec=replace(HEALING, labels={"auto_healing_enabled": "false"}))
    rig.members[uuid].unready |= set(named(rig, uuid, "worker-1"))
    await passes(rig, 700)
    assert rig.cloud.rebuilds == []


async def test_a_node_that_comes_back_is_not_replaced(rig):
    uuid = await made(rig)
    [ill] = named(rig, uuid, "worker-1")
    for _ in range(3):
        rig.members[uuid].unready.add(ill)
        await passes(rig, 200)
        rig.members[uuid].unready.discard(ill)
        await rig.until(uuid, lambda c: c.observed.health_status == "HEALTHY")
    assert rig.cloud.rebuilds == []
    # One that was killed is started again, and no more.
    rig.cloud.kill(uuid, ill)
    await passes(rig, 100)
    assert (rig.cloud.rebuilds, (await shown(rig, uuid))[ill].ready) == ([], True)


async def test_since_when_it_is_ill_outlives_the_process(rig):
    uuid = await made(rig)
    [ill] = named(rig, uuid, "worker-1")
    rig.members[uuid].unready.add(ill)
    begun = rig.clock.monotonic()
    await passes(rig, 200)
    await rig.restart()
    await passes(rig, 700, lambda: rig.cloud.rebuilds)
    assert rig.clock.monotonic() - begun < 400


async def test_one_at_a_time_the_longest_first(rig):
    uuid = await made(rig)
    first, second = named(rig, uuid, "worker-2", "worker-0")
    rig.members[uuid].unready.add(first)
    await passes(rig, 60)
    rig.members[uuid].unready.add(second)
    await passes(rig, 450)
    names = await shown(rig, uuid)
    assert rig.cloud.rebuilds == [names[first].name], "the other waits until this one is back, or had its time"
    rig.members[uuid].unready.discard(first)
    await passes(rig, 60)
    assert rig.cloud.rebuilds == [names[first].name, names[second].name]


async def test_one_that_stays_ill_is_replaced_again_in_its_time(rig):
    uuid = await made(rig)
    rig.members[uuid].unready |= set(named(rig, uuid, "worker-1"))
    await passes(rig, 700, lambda: rig.cloud.rebuilds)
    await passes(rig, 250)
    assert len(rig.cloud.rebuilds) == 1
    await passes(rig, 120)
    assert len(rig.cloud.rebuilds) == 2


@pytest.mark.parametrize("stage", ["rebuild", "rebuild between", "boot", "rebuilt"])
async def test_a_kill_amid_a_replacement(rig, stage):
    uuid = await made(rig)
    [ill] = named(rig, uuid, "worker-1")
    rig.members[uuid].unready.add(ill)
    await rig.until(uuid, lambda c: c.observed.health_status == "UNHEALTHY")
    rig.provider.faults.met.clear()
    rig.provider.faults.hold(stage)
    await passes(rig, 700, rig.provider.faults.event_for(stage).is_set)
    await rig.restart()
    await passes(rig, 100)
    assert (await shown(rig, uuid))[ill].state is NodeState.RUNNING
    assert len(rig.cloud.rebuilds) <= 1
    assert len(await events(rig, uuid)) == 1


async def test_a_cluster_that_does_not_answer_is_left_alone(rig):
    uuid = await made(rig)
    rig.members[uuid].dead = True
    await passes(rig, 700)
    assert rig.cloud.rebuilds == []


async def test_a_replacement_that_fails_is_tried_again_in_its_time(rig):
    uuid = await made(rig)
    rig.members[uuid].unready |= set(named(rig, uuid, "worker-1"))
    rig.provider.faults.fail("rebuild", Temporary("no room"), times=1)
    await passes(rig, 700, lambda: rig.cloud.rebuilds)
    assert len(await events(rig, uuid)) == 2


@pytest.mark.parametrize(("masters", "ill", "expected"), [(1, 1, 0), (2, 1, 0), (3, 1, 1), (3, 2, 0), (5, 1, 1)])
async def test_a_master_only_where_all_others_are_well(rig, masters, ill, expected):
    uuid = await made(rig, masters=masters, workers=1)
    rig.members[uuid].unready |= set(named(rig, uuid, *(f"master-{number}" for number in range(1, ill + 1))))
    if masters == 1:
        rig.members[uuid].unready |= set(named(rig, uuid, "master-0"))
    await passes(rig, 400)
    assert len(rig.cloud.rebuilds) == expected


# ------------------------------------------------------------------------------------------------- the choice alone


def group(role: str, *ages: int | None, healed: int | None = None):
    """A group whose nodes have not worked for so many seconds; None works."""
    nodes = tuple(
        NodeObserved(
            uuid=f"{role}-{number}",
            name=f"{role}-{number}",
            state=NodeState.RUNNING,
            ready=age is None,
            unready_since=None if age is None else NOW - dt.timedelta(seconds=age),
            healed_at=None if healed is None or age is None else NOW - dt.timedelta(seconds=healed),
        )
        for number, age in enumerate(ages)
    )
    cluster = builders.cluster(builders.template())
    spec = replace(builders.groups(cluster)[0].spec, role=role)
    return replace(builders.groups(cluster)[0], spec=spec, observed=nodes)


@pytest.mark.parametrize(
    ("groups", "chosen"),
    [
        ([group("worker", None, 299)], None),
        ([group("worker", None, 300)], "worker-1"),
        ([group("worker", 400, 500, 300)], "worker-1"),
        ([group("worker", 900, healed=299)], None),
        ([group("worker", 900, healed=300)], "worker-0"),
        ([group("master", 400, None, None), group("worker", 500)], "worker-0"),
        ([group("master", 400, None, None)], "master-0"),
        ([group("master", 400, 10, None)], None),
        ([group("master", 400, None)], None),
        ([group("master", 400), group("worker", 300)], "worker-0"),
    ],
)
def test_who_is_due(groups, chosen):
    found = find_due_node(groups, NOW, AFTER)
    assert (found.name if found else None) == chosen


async def test_a_cluster_whose_last_wish_failed_still_tells_how_it_fares(rig):
    uuid = await made(rig)
    rig.provider.faults.fail("boot", Permanent("no room for so large a node"))
    await rig.ask(uuid, Operation.UPDATE, workers=4)
    failed = await rig.settled(uuid)
    assert (failed.status, failed.observed.health_status) == ("UPDATE_FAILED", "HEALTHY")
    [ill] = named(rig, uuid, "worker-1")
    rig.members[uuid].unready.add(ill)
    lame = await rig.until(uuid, lambda c: c.observed.health_status == "UNHEALTHY")
    assert lame.observed.health_status_reason[f"{(await shown(rig, uuid))[ill].name}.NotReady"] == "down"
    rig.members[uuid].dead = True
    silent = await rig.until(uuid, lambda c: "does not answer" in c.observed.health_status_reason["api"])
    assert silent.status_reason == "no room for so large a node"
    rig.members[uuid].dead = False
    rig.members[uuid].unready.clear()
    well = await rig.until(uuid, lambda c: c.observed.health_status == "HEALTHY")
    assert (well.status, well.status_reason) == ("UPDATE_FAILED", "no room for so large a node")
    assert rig.cloud.rebuilds == [], "its users decide what comes next"


async def report(rig, uuid, status: str, reason: dict[str, str]) -> None:
    """What a PATCH of somebody who heals the cluster from outside writes."""
    async with rig.store.write() as tx:
        cluster = await tx.clusters.get(uuid)
        wish = {"name": cluster.name, "labels": cluster.spec.labels} | {
            "health_status": status,
            "health_status_reason": reason,
        }
        after = build_update(cluster, [], wish, now=tx.now).cluster
        assert after.observed == cluster.observed, "only the loop writes what was observed"
        await tx.clusters.update(after)


async def test_a_reported_health_stays_until_our_look_has_something_newer_to_say(rig):
    uuid = await made(rig)
    worker = named(rig, uuid, "worker-1")[0]
    said = {"updated_at": "now", "c-worker-0.Ready": "error"}
    await report(rig, uuid, "UNHEALTHY", said)
    await passes(rig, 120)
    cluster = await rig.get(uuid)
    assert (cluster.health.health_status, cluster.health.health_status_reason) == (Health.UNHEALTHY, said)
    assert cluster.observed.health_status is Health.HEALTHY
    rig.members[uuid].unready.add(worker)
    await passes(rig, 60)
    health = (await rig.get(uuid)).health
    assert "updated_at" not in health.health_status_reason
    assert health.health_status is Health.UNHEALTHY
    # Somebody outside knows better while we see the same.
    await report(rig, uuid, "HEALTHY", {"api": "ok", "nodes": "ok"})
    await passes(rig, 60)
    assert (await rig.get(uuid)).health.health_status is Health.HEALTHY
    rig.members[uuid].unready.clear()
    await passes(rig, 60)
    health = (await rig.get(uuid)).health
    assert health.health_status is Health.HEALTHY
    assert "nodes" not in health.health_status_reason


async def test_a_reported_health_ends_with_the_repair_that_followed_it(rig):
    uuid = await made(rig)
    await report(rig, uuid, "UNHEALTHY", {"c-worker-0.Ready": "error"})
    await rig.ask(uuid, Operation.UPDATE, workers=3, remove=(named(rig, uuid, "worker-0")[0],))
    assert (await rig.settled(uuid)).health.health_status is Health.HEALTHY


async def test_a_report_that_a_look_has_overtaken_does_not_come_back(rig):
    uuid = await made(rig)
    worker = named(rig, uuid, "worker-1")[0]
    await report(rig, uuid, "UNKNOWN", {"api": "error"})
    rig.members[uuid].unready.add(worker)
    await rig.until(uuid, lambda cluster: cluster.health.health_status is Health.UNHEALTHY)
    rig.members[uuid].unready.clear()
    # The look has again the result that it had when the report came.
    cluster = await rig.until(uuid, lambda cluster: cluster.observed.health_status is Health.HEALTHY)
    assert cluster.health.health_status is Health.HEALTHY
