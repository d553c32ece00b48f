"""Dispatch on a real store with rows in it that cannot be read: they cost their own host or container, and no other."""

import asyncio
import datetime as dt
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from jeroboam.dispatch.records import DispatchRecords
from jeroboam.dispatch.sessions import RESYNC_SECONDS, Dispatcher
from jeroboam.domain.container_actions import ContainerAction
from jeroboam.domain.containers import ContainerObserved, Op, OpKind, RuntimeState, Status
from jeroboam.domain.hosts import HostFacts
from jeroboam.kit.ids import RandomIds
from jeroboam.protocol import VERSION, Assignment, Assignments, ContainerForgotten, ContainerReport, Hello, HostReport
from jeroboam.protocol.memory import session_pair
from jeroboam.store import tables
from tests import builders
from tests.clock import ManualClock
from tests.store.test_broken_rows import damage

SECONDS = 10.0


class Rig:
    """Dispatch with two hosts that have a container each, and the test in the place of their agents."""

    def __init__(self, store, bus) -> None:
        self.store = store
        self.clock = ManualClock()
        self.dispatcher = Dispatcher(
            DispatchRecords(store, ids=RandomIds(), dispatcher="d1", heal_seconds=600), bus=bus, clock=self.clock
        )
        self.hosts = [builders.host(hostname=name) for name in ("h1", "h2")]
        self.containers = [builders.container(host_id=host.uuid, host=host.hostname) for host in self.hosts]
        self.tasks = [asyncio.ensure_future(self.dispatcher.run())]

    async def fill(self) -> None:
        async with self.store.write() as tx:
            for host, container in zip(self.hosts, self.containers, strict=True):
                await tx.hosts.insert(host)
                await tx.containers.insert(container)

    async def connect(self, hostname):
        """An agent's end after its hello, and the server's work on it."""
        end, server = session_pair()
        serving = asyncio.ensure_future(self.dispatcher.serve(server))
        self.tasks.append(serving)
        await end.send(Hello(version=VERSION, hostname=hostname, facts=facts(hostname)))
        return end, serving

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def facts(hostname) -> HostFacts:
    return HostFacts(hostname=hostname, cpus=2, mem_total=1024, disk_total=10)


async def heard(end):
    """The next message; None once the session is over."""
    async with asyncio.timeout(SECONDS):
        return await anext(end, None)


@pytest.fixture
async def rig(store, bus):
    made = Rig(store, bus)
    await made.fill()
    yield made
    await made.close()


async def break_host(rig) -> None:
    await damage(rig.store, tables.host, "facts", tables.host.c.uuid == rig.hosts[0].uuid)


async def break_container(rig, container) -> None:
    await damage(rig.store, tables.container, "ops", tables.container.c.uuid == container.uuid)


async def test_an_agent_whose_hosts_row_is_broken_is_sent_away_until_it_is_repaired(rig):
    await break_host(rig)
    with capture_logs() as logs:
        for _ in range(2):
            end, serving = await rig.connect("h1")
            assert await heard(end) is None
            # The session ends as any other does: it raises nothing, and the log has the row alone.
            await serving
        other, _ = await rig.connect("h2")
        assert [each.uuid for each in (await heard(other)).containers] == [rig.containers[1].uuid]
    told = [line for line in logs if line["log_level"] == "error"]
    assert [(line["event"], line["key"]) for line in told] == [("row cannot be read", rig.hosts[0].uuid)]
    async with rig.store.write() as tx:
        await tx.hosts.update(rig.hosts[0])
    end, _ = await rig.connect("h1")
    assert [each.uuid for each in (await heard(end)).containers] == [rig.containers[0].uuid]
    async with rig.store.read() as tx:
        assert {host.uuid: host.facts for host in await tx.hosts.select()} == {
            host.uuid: facts(host.hostname) for host in rig.hosts
        }


async def test_a_hosts_row_that_breaks_ends_the_session_of_its_agent_alone(rig):
    (end, serving), (other, _) = await rig.connect("h1"), await rig.connect("h2")
    assert isinstance(await heard(end), Assignments)
    assert isinstance(await heard(other), Assignments)
    await break_host(rig)
    for each in (end, other):
        await each.send(HostReport(facts=None, error="away"))
    assert await heard(end) is None
    await serving
    async with rig.store.write() as tx:
        await tx.containers.remove({"uuid": rig.containers[1].uuid})
    await hint(rig, rig.containers[1])
    assert await heard(other) == ContainerForgotten(uuid=rig.containers[1].uuid)
    async with rig.store.read() as tx:
        assert [(host.uuid, host.runtime_error) for host in await tx.hosts.select()] == [(rig.hosts[1].uuid, "away")]


@pytest.mark.parametrize("when", ["before the hello", "later"])
async def test_a_container_that_cannot_be_read_is_kept_and_sent_once_it_is_repaired(rig, when):
    broken, sound = rig.containers[0], builders.container(host_id=rig.hosts[0].uuid, host="h1")
    async with rig.store.write() as tx:
        await tx.containers.insert(sound)
    if when == "before the hello":
        await break_container(rig, broken)
    end, _ = await rig.connect("h1")
    everything = await heard(end)
    if when == "before the hello":
        assert [each.uuid for each in everything.containers] == [sound.uuid]
        assert everything.kept == (broken.uuid,)
    else:
        assert [each.uuid for each in everything.containers] == [broken.uuid, sound.uuid]
        await break_container(rig, broken)
    # Neither a report of it nor a hint at it is answered: what comes next is about another.
    await end.send(ContainerReport(uuid=broken.uuid, observed=ContainerObserved(seq=0, state=RuntimeState.RUNNING)))
    await hint(rig, broken)
    async with rig.store.write() as tx:
        await tx.containers.update(replace(sound, generation=sound.generation + 1))
    await hint(rig, sound)
    assert (await heard(end)).uuid == sound.uuid
    # A resync, which finds that the other has left, does not release it either.
    async with rig.store.write() as tx:
        await tx.containers.remove({"uuid": sound.uuid})
    await rig.clock.advance(RESYNC_SECONDS + 1)
    assert await heard(end) == ContainerForgotten(uuid=sound.uuid)
    async with rig.store.write() as tx:
        await tx.containers.update(replace(broken, generation=broken.generation + 1))
    await hint(rig, broken)
    repaired = await heard(end)
    assert isinstance(repaired, Assignment)
    assert repaired.uuid == broken.uuid


async def hint(rig, container) -> None:
    async with rig.store.write() as tx:
        tx.hint("dispatch", f"{container.host_id}/{container.uuid}")


async def report_to(store, container, **observed) -> None:
    records = DispatchRecords(store, ids=RandomIds(), dispatcher="d1", heal_seconds=600)
    report = ContainerReport(uuid=container.uuid, observed=replace(container.observed, **observed))
    assert await records.report(container.host_id, report)


@pytest.mark.parametrize(
    ("auto_heal", "observed", "healed"),
    [
        (True, {"state": RuntimeState.ABSENT}, True),
        (False, {"state": RuntimeState.ABSENT}, False),
        (True, {"state": RuntimeState.EXITED}, False),
        # An op has ended: its failure is told, and not made up for.
        (True, {"state": RuntimeState.ABSENT, "seq": 2, "failed_op": OpKind.REBUILD, "error": "no"}, False),
    ],
)
async def test_a_lost_container_is_made_anew_if_it_is_wished(rig, auto_heal, observed, healed):
    host = rig.hosts[0]
    spec = replace(rig.containers[0].spec, auto_heal=auto_heal)
    seen = ContainerObserved(seq=1, state=RuntimeState.RUNNING)
    lost = builders.container(name="lost", host_id=host.uuid, host=host.hostname, spec=spec, observed=seen)
    async with rig.store.write() as tx:
        await tx.containers.insert(lost)
    await report_to(rig.store, lost, **observed)
    async with rig.store.read() as tx:
        row = await tx.containers.get(lost.uuid)
        actions = await tx.container_actions.list_newest_first(lost.uuid, 10)
    assert [(op.kind, op.params) for op in row.ops] == ([(OpKind.REBUILD, {"run": True})] if healed else [])
    assert [action.action for action in actions] == (["rebuild"] if healed else [])


@pytest.mark.parametrize(("seconds", "action", "run"), [(1, "create", True), (60, "create", False), (1, "stop", False)])
async def test_a_container_that_was_removed_while_it_ran_runs_again(rig, seconds, action, run):
    host = rig.hosts[0]
    spec = replace(rig.containers[0].spec, auto_heal=True)
    async with rig.store.write() as tx:
        ended = ContainerObserved(seq=1, state=RuntimeState.EXITED, finished_at=tx.now - dt.timedelta(seconds=seconds))
        lost = builders.container(name="lost", host_id=host.uuid, host=host.hostname, spec=spec, observed=ended)
        await tx.containers.insert(lost)
        wish = ContainerAction(
            container_id=lost.uuid,
            request_id="req-1",
            seq=1,
            action=action,
            project_id="p1",
            user_id="u1",
            start_time=tx.now,
        )
        await tx.container_actions.insert(wish)
    await report_to(rig.store, lost, state=RuntimeState.ABSENT)
    async with rig.store.read() as tx:
        [op] = (await tx.containers.get(lost.uuid)).ops
    assert op.params == {"run": run}


@pytest.mark.parametrize(("failed_op", "image"), [(None, "old"), (OpKind.REBUILD, "new")])
async def test_a_rebuild_that_has_not_touched_the_container_is_taken_back(rig, failed_op, image):
    host = rig.hosts[0]
    spec = replace(rig.containers[0].spec, image="new")
    rebuild = Op(seq=2, kind=OpKind.REBUILD, params={"run": True, "former": {"image": "old"}})
    seen = ContainerObserved(seq=1, state=RuntimeState.RUNNING)
    wished = builders.container(
        name="wished", host_id=host.uuid, host=host.hostname, spec=spec, observed=seen, ops=(rebuild,)
    )
    async with rig.store.write() as tx:
        await tx.containers.insert(wished)
    await report_to(rig.store, wished, seq=2, error="no such image", error_seq=2, failed_op=failed_op)
    async with rig.store.read() as tx:
        row = await tx.containers.get(wished.uuid)
    assert (row.spec.image, row.status_reason) == (image, "no such image")
    assert row.status is (Status.RUNNING if failed_op is None else Status.ERROR)


async def test_what_cannot_be_made_anew_stays_lost(rig):
    host = rig.hosts[0]
    spec = replace(rig.containers[0].spec, auto_heal=True)
    gone = ContainerObserved(seq=2, state=RuntimeState.ABSENT, error="no such image", failed_op=OpKind.REBUILD)
    lost = builders.container(name="lost", host_id=host.uuid, host=host.hostname, spec=spec, observed=gone)
    async with rig.store.write() as tx:
        await tx.containers.insert(lost)
    await report_to(rig.store, lost)
    async with rig.store.read() as tx:
        row = await tx.containers.get(lost.uuid)
    assert (row.ops, row.status_reason) == ((), "no such image")
