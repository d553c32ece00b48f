"""Two conductors and two dispatchers on one database: each piece of work is done once, also when one of them goes."""

import asyncio
import shutil
from collections import Counter
from dataclasses import replace

import pytest

from jeroboam.conductor.membership import LEASE_SECONDS
from jeroboam.protocol import HostReport
from jeroboam.secrets.keyfile import KeyFileSealer
from jeroboam.settings import load
from jeroboam.store import Store
from jeroboam.store.migrations import upgrade
from tests.integration.processes import RESYNC_SECONDS, SECONDS, Installation, facts
from tests.store.conftest import FILE, postgres, store_url  # noqa: F401


@pytest.fixture
async def installation(store_url, tmp_path, empty_database):  # noqa: F811
    if store_url.startswith("sqlite"):
        shutil.copy(empty_database, tmp_path / FILE)
    settings = load(None, state=str(tmp_path / "state"))
    settings = replace(settings, conductor=replace(settings.conductor, resync_seconds=RESYNC_SECONDS))
    installation = Installation(store_url, settings, KeyFileSealer(tmp_path / "key"))
    installation.store = Store(store_url, clock=installation.clock, bus=installation.bus)
    await upgrade(installation.store.engine)
    yield installation
    await installation.close()


async def test_each_cluster_is_made_once_and_by_its_own_conductor(installation):
    first, second = installation.start("a"), installation.start("b")
    await installation.wait_for_members(first, second)
    # By chance alone all of them may be one conductor's share.
    uuids = await installation.create_clusters(6, share=first.membership)
    uuids += await installation.create_clusters(6, share=second.membership)
    await installation.wait_for_clusters(uuids)
    assert len(installation.cloud.boots) == 24
    assert len(set(installation.cloud.boots)) == 24, "no node was started twice"
    for process in (first, second):
        share = {uuid for uuid in uuids if process.membership.has(uuid)}
        assert set(process.provider.clusters) == share
        assert share
    assert not first.provider.clusters.keys() & second.provider.clusters.keys()


async def test_a_hint_costs_the_other_conductor_nothing(installation):
    first, second = installation.start("a"), installation.start("b")
    await installation.wait_for_members(first, second)
    [uuid] = await installation.create_clusters(1, share=first.membership)
    await installation.wait_for_clusters([uuid])
    for _ in range(20):
        observed = first.provider.faults.met["observe"] = asyncio.Event()
        installation.bus.publish("cluster", uuid)
        async with asyncio.timeout(SECONDS):
            await observed.wait()
    assert second.count_passes("cluster") == 0


async def test_when_a_conductor_dies_the_other_ends_its_work(installation):
    first, second = installation.start("a"), installation.start("b")
    await installation.wait_for_members(first, second)
    for process in (first, second):
        process.provider.faults.hold("boot")
    uuids = await installation.create_clusters(4, share=first.membership)
    uuids += await installation.create_clusters(4, share=second.membership)
    await asyncio.gather(*(process.provider.faults.event_for("boot").wait() for process in (first, second)))
    await first.die()
    for process in (first, second):
        process.provider.faults.mend("boot")
    died_at = installation.clock.monotonic()
    await installation.wait_for_clusters(uuids)
    assert installation.clock.monotonic() - died_at < 2 * LEASE_SECONDS + RESYNC_SECONDS
    assert len(set(installation.cloud.boots)) == len(installation.cloud.boots) == 16
    assert second.membership.members == ("b",)


async def test_one_that_leaves_hands_over_at_once(installation):
    first, second = installation.start("a"), installation.start("b")
    await installation.wait_for_members(first, second)
    left_at = installation.clock.monotonic()
    await first.leave()
    await installation.wait_for_members(second)
    uuids = await installation.create_clusters(4)
    await installation.wait_for_clusters(uuids)
    assert set(second.provider.clusters) == set(uuids)
    assert set((await installation.wait_for_duties(second)).values()) == {"b"}
    assert installation.clock.monotonic() - left_at < LEASE_SECONDS


async def test_each_duty_is_done_by_one_conductor(installation):
    first, second = installation.start("a"), installation.start("b")
    await installation.wait_for_members(first, second)
    duties = await installation.wait_for_duties(first, second)
    assert set(duties.values()) == {"a", "b"}, "they are shared"
    reaper, idle = (first, second) if duties["reaper"] == "a" else (second, first)
    before = idle.provider.calls["list_owned"]
    for number in range(20):
        async with installation.store.write() as tx:
            await tx.notify("thing.event", str(number), {"number": number})

    async def look():
        return len(installation.published)

    await installation.until(look, lambda count: count >= 20)
    await installation.let_pass(5 * installation.settings.conductor.reaper_seconds)
    assert [message.payload["number"] for message in installation.published] == list(range(20))
    assert reaper.provider.calls["list_owned"] >= 5
    assert idle.provider.calls["list_owned"] == before


async def test_leftovers_are_removed_by_the_conductor_that_remains(installation):
    first, second = installation.start("a"), installation.start("b")
    await installation.wait_for_members(first, second)
    duties = await installation.wait_for_duties(first, second)
    reaper, other = (first, second) if duties["reaper"] == "a" else (second, first)
    await reaper.die()
    other.provider.make_leftovers("lost")

    async def look():
        return set(installation.cloud.clusters)

    await installation.until(look, lambda uuids: not uuids)
    assert other.provider.calls["list_owned"] >= 2


async def test_without_the_database_a_conductor_stops_its_duties_before_another_takes_them(installation):
    first, second = installation.start("a"), installation.start("b")
    await installation.wait_for_members(first, second)
    duties = await installation.wait_for_duties(first, second)
    cut_off, other = (first, second) if duties["outbox"] == "a" else (second, first)
    cut_off.cut_off()
    assert set((await installation.wait_for_duties(other)).values()) == {other.context.name}
    assert not cut_off.membership.running_duties


async def test_containers_are_placed_in_batches_and_each_by_one_conductor(installation):
    first, second = installation.start("a"), installation.start("b")
    await installation.wait_for_members(first, second)
    agents = [await installation.connect(process, f"h{number}") for number, process in enumerate((first, second))]
    before = first.store.transactions + second.store.transactions
    uuids = await installation.create_containers(60)
    received = [uuid for agent in agents for uuid in await agent.receive_assignments(60 // len(agents))]
    assert sorted(received) == sorted(uuids)
    async with installation.store.read() as tx:
        hosts = {host.uuid: host for host in await tx.hosts.select()}
        containers = await tx.containers.select()
    assert {host.hostname: host.dispatcher for host in hosts.values()} == {"h0": "a", "h1": "b"}
    assert Counter(container.host for container in containers) == {"h0": 30, "h1": 30}
    # An assignment is read by the dispatcher that sends it; the passes that placed them all are few.
    passes = first.store.transactions + second.store.transactions - before - len(uuids)
    assert passes < 20


async def test_an_agent_that_goes_to_another_dispatcher_ends_its_session_at_the_first(installation):
    first, second = installation.start("a"), installation.start("b")
    await installation.wait_for_members(first, second)
    old = await installation.connect(first, "h0")
    new = await installation.connect(second, "h0")
    assert await old.is_over()
    [uuid] = await installation.create_containers(1)
    assert await new.receive_assignments(1) == [uuid]

    async def look():
        async with installation.store.read() as tx:
            [host] = await tx.hosts.select()
        return host.dispatcher

    assert await look() == "b"
    await new.close()
    assert await installation.until(look, lambda dispatcher: dispatcher is None) is None


async def test_a_heartbeat_of_a_replaced_session_ends_it_even_if_the_hint_was_lost(installation):
    first, second = installation.start("a"), installation.start("b")
    await installation.wait_for_members(first, second)
    installation.bus.lose("dispatch")
    old = await installation.connect(first, "h0")
    await installation.connect(second, "h0")
    await old.send(HostReport(facts=facts("h0")))
    assert await old.is_over()
