"""The container loop: every container gets a host or a reason, and nothing waits for ever."""

import datetime as dt
import shutil
from dataclasses import replace

import pytest

from jeroboam.conductor.containers.loop import GRACE_SECONDS, WAIT_SECONDS, ContainerReconciler
from jeroboam.domain import states
from jeroboam.domain.containers import ContainerSpec, OpKind, Status
from jeroboam.kit.bus import MemoryBus
from jeroboam.store import Store
from tests import builders
from tests.clock import ManualClock


class Rig:
    """The reconciler alone: each pass is called by hand."""

    def __init__(self, store: Store, bus: MemoryBus, clock: ManualClock) -> None:
        self.store, self.clock = store, clock
        self.dispatched = bus.subscribe("dispatch")
        self.loop = ContainerReconciler(store=store, host_down_seconds=180)

    async def put(self, **changes):
        container = builders.container(**changes)
        async with self.store.write() as tx:
            await tx.containers.insert(container)
        return container.uuid

    async def host(self, **changes):
        async with self.store.write() as tx:
            host = builders.host(**changes)
            await tx.hosts.insert(host)
        return host

    async def get(self, uuid):
        async with self.store.read() as tx:
            return await tx.containers.get(uuid)

    async def ask(self, uuid, kind, **params):
        async with self.store.write() as tx:
            container = await tx.containers.get(uuid)
            asked = states.ask_container(container, kind, now=tx.now, seconds=60, request_id="r", **params)
            await tx.containers.update(asked)


@pytest.fixture
async def rig(tmp_path, empty_database):
    clock, bus = ManualClock(), MemoryBus()
    path = shutil.copy(empty_database, tmp_path / "store.db")
    store = Store(f"sqlite+aiosqlite:///{path}", clock=clock, bus=bus)
    yield Rig(store, bus, clock)
    await store.close()


async def test_it_is_placed_and_its_agent_is_told(rig):
    host = await rig.host()
    uuid = await rig.put()
    again = await rig.loop.work(uuid)
    placed = await rig.get(uuid)
    assert (placed.host_id, placed.host, placed.status) == (host.uuid, "h1", Status.CREATING)
    assert await anext(rig.dispatched) == f"{host.uuid}/{uuid}"
    assert again == 600 + GRACE_SECONDS


async def test_no_room_is_an_error_at_once_with_the_reasons(rig):
    await rig.host()
    uuid = await rig.put(spec=ContainerSpec(image="busybox", memory=10**6))
    assert await rig.loop.work(uuid) is None
    failed = await rig.get(uuid)
    assert failed.status is Status.ERROR
    assert failed.status_reason == "There are not enough hosts available. 1 host: not enough memory"
    assert (failed.host_id, failed.ops, failed.deadline_at) == (None, (), None)


async def test_while_every_host_is_away_it_waits_says_so_and_is_placed_when_one_is_back(rig):
    host = await rig.host(runtime_error="the Docker Engine does not answer")
    uuid = await rig.put()
    assert await rig.loop.work(uuid) == WAIT_SECONDS
    waiting = await rig.get(uuid)
    assert waiting.status is Status.CREATING
    assert "the Docker Engine does not answer" in waiting.status_reason
    async with rig.store.write() as tx:
        await tx.hosts.update(replace(host, runtime_error=None))
    await rig.loop.work(uuid)
    assert (await rig.get(uuid)).status_reason is None
    assert (await rig.get(uuid)).host == "h1"


async def test_waiting_ends_at_the_deadline_and_a_start_tries_again(rig):
    uuid = await rig.put()
    await rig.clock.advance(600 + GRACE_SECONDS)
    assert await rig.loop.work(uuid) is None
    failed = await rig.get(uuid)
    assert (failed.status, failed.deadline_at) == (Status.ERROR, None)
    assert failed.status_reason.startswith("Timed out")
    await rig.ask(uuid, OpKind.START)
    await rig.host(last_seen=rig.clock.now())
    await rig.loop.work(uuid)
    retried = await rig.get(uuid)
    assert (retried.host, retried.failure) == ("h1", None)
    assert [op.kind for op in states.pending_ops_of(retried)] == [OpKind.START]


async def test_a_host_that_stays_silent_is_named_when_time_is_over(rig):
    await rig.host()
    uuid = await rig.put()
    await rig.loop.work(uuid)
    await rig.clock.advance(600)
    assert await rig.loop.work(uuid) == GRACE_SECONDS
    await rig.clock.advance(GRACE_SECONDS)
    await rig.loop.work(uuid)
    failed = await rig.get(uuid)
    assert (failed.status, failed.status_reason) == (Status.ERROR, "Timed out: host h1 did not answer")
    assert failed.host == "h1", "the agent may still have it"


async def test_a_delete_of_what_was_never_placed_removes_it(rig):
    uuid = await rig.put()
    await rig.loop.work(uuid)
    await rig.ask(uuid, OpKind.DELETE)
    assert (await rig.get(uuid)).status is Status.DELETING
    await rig.loop.work(uuid)
    assert await rig.get(uuid) is None
    assert await rig.loop.work(uuid) is None


async def test_a_delete_ends_also_where_the_host_is_silent(rig):
    await rig.host()
    uuid = await rig.put()
    await rig.loop.work(uuid)
    await rig.ask(uuid, OpKind.DELETE)
    assert await rig.loop.work(uuid)
    assert (await rig.get(uuid)).status is Status.DELETING
    await rig.clock.advance(1200)
    await rig.loop.work(uuid)
    assert await rig.get(uuid) is None


async def test_a_resync_finds_what_is_unsettled_and_only_that(rig):
    waiting = await rig.put()
    settled = await rig.put(ops=(), host_id="h", host="h1", deadline_at=None)
    assert waiting in await rig.loop.list_uuids()
    assert settled not in await rig.loop.list_uuids()


async def test_placements_at_once_do_not_overfill_a_host(rig):
    import asyncio

    await rig.host()
    uuids = [await rig.put(spec=ContainerSpec(image="busybox", memory=4096)) for _ in range(6)]
    await asyncio.gather(*[rig.loop.work(uuid) for uuid in uuids])
    placed = [await rig.get(uuid) for uuid in uuids]
    assert sum(container.host is not None for container in placed) == 3, "8192 MiB at a ratio of 1.5"
    assert dt.timedelta(0) < placed[0].deadline_at - rig.clock.now()
