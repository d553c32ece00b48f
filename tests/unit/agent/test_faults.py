"""What goes wrong: slow, failing and dead runtimes, lost sessions, deadlines, strays."""

import asyncio
import datetime as dt

import pytest

from jeroboam.domain.containers import OpKind, RuntimeState
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.protocol import VERSION, Hello, LogsAnswer
from jeroboam.runtimes.base import ImageRegistryUnreachable
from jeroboam.runtimes.fake import InjectedFault
from tests.agent_rig import ALL_LOGS, CREATE, UUID, Rig, assignment, op
from tests.clock import settle


@pytest.mark.parametrize("stage", ["pull", "create"])
async def test_a_create_that_cannot_work_leaves_nothing(rig: Rig, stage):
    await rig.start()
    rig.runtime.misbehave(stage, InjectedFault(error=Permanent(f"no {stage} today")))
    await rig.assign(assignment(CREATE))
    seen = rig.last()
    assert (seen.seq, seen.state, seen.failed_op) == (1, RuntimeState.ABSENT, OpKind.CREATE)
    assert seen.error == f"no {stage} today"
    assert seen.step is None
    assert not rig.runtime.containers


async def test_a_container_that_could_not_be_started_stays_with_its_reason(rig: Rig):
    """Its owner can read it, change it and start it again, and is told the first cause until then."""
    await rig.start()
    rig.runtime.misbehave("start", InjectedFault(error=Permanent("no such program")))
    await rig.assign(assignment(CREATE))
    seen = rig.last()
    assert (seen.state, seen.failed_op, seen.error) == (RuntimeState.CREATED, OpKind.CREATE, "no such program")
    await rig.restart()
    await rig.clock.advance(600)
    assert (rig.last().error, list(rig.runtime.containers)) == ("no such program", [UUID])
    assert await rig.ask(ALL_LOGS) == LogsAnswer(text="")
    rig.runtime.behave("start")
    await rig.assign(assignment(op(2, OpKind.START), done=1))
    assert (rig.last().state, rig.last().error) == (RuntimeState.RUNNING, None)
    assert rig.count("create") == 1


@pytest.mark.parametrize("kind", [OpKind.START, OpKind.REBOOT])
async def test_a_container_that_was_never_made_is_made_by_the_next_start(rig: Rig, kind):
    await rig.start()
    rig.runtime.misbehave("pull", InjectedFault(error=Permanent("no such image")))
    await rig.assign(assignment(CREATE))
    await rig.assign(assignment(op(2, kind), done=1))
    assert (rig.last().seq, rig.last().state, rig.last().error) == (2, RuntimeState.ABSENT, "no such image")
    rig.runtime.behave("pull")
    await rig.assign(assignment(op(3, kind), done=2))
    assert (rig.last().seq, rig.last().state, rig.last().error) == (3, RuntimeState.RUNNING, None)


async def test_what_was_given_up_and_runs_all_the_same_is_no_failure(rig: Rig):
    await rig.start()
    gate = rig.hold("start", after=True)
    await rig.assign(assignment(CREATE, deadline=rig.clock.now() + dt.timedelta(seconds=60)))
    await rig.clock.advance(61)
    gate.set()
    await rig.clock.advance(120)
    assert (rig.last().state, rig.last().error, rig.last().failed_op) == (RuntimeState.RUNNING, None, None)


async def test_a_change_of_limits_waits_for_a_container_that_is_still_to_be_made(rig: Rig):
    await rig.start()
    rig.runtime.misbehave("pull", InjectedFault(error=Permanent("no such image")))
    await rig.assign(assignment(CREATE))
    await rig.assign(assignment(op(2, OpKind.UPDATE), done=1, memory=1024))
    assert (rig.last().seq, rig.last().failed_op) == (2, None)
    rig.runtime.behave("pull")
    await rig.assign(assignment(op(3, OpKind.START), done=2, memory=1024))
    assert rig.runtime.specs[UUID].memory == 1024


async def test_a_registry_that_does_not_answer_costs_less_than_half_a_minute(rig: Rig):
    await rig.start()
    rig.runtime.misbehave("pull", InjectedFault(error=ImageRegistryUnreachable("its registry does not answer")))
    await rig.assign(assignment(CREATE, deadline=rig.clock.now() + dt.timedelta(seconds=600)))
    assert (rig.last().error, rig.last().failed_op) == ("its registry does not answer", None)
    await rig.clock.advance(30)
    assert (rig.last().error, rig.last().failed_op) == ("its registry does not answer", OpKind.CREATE)
    # Another try has a time of its own.
    await rig.assign(assignment(op(2, OpKind.START), done=1))
    assert rig.last().failed_op is None


async def test_an_engine_that_is_away_is_waited_for_longer(rig: Rig):
    await rig.start()
    rig.runtime.misbehave("pull", InjectedFault(error=Temporary("the Engine does not answer")))
    await rig.assign(assignment(CREATE, deadline=rig.clock.now() + dt.timedelta(seconds=600)))
    await rig.clock.advance(300)
    assert rig.last().failed_op is None


async def test_a_delete_is_tried_until_it_is_done(rig: Rig):
    await rig.start()
    await rig.assign(assignment(CREATE))
    rig.runtime.misbehave("remove", InjectedFault(error=Temporary("the Engine does not answer")))
    await rig.assign(assignment(op(2, OpKind.DELETE), done=1, deadline=rig.clock.now() + dt.timedelta(seconds=60)))
    await rig.clock.advance(600)
    assert (rig.last().error, rig.last().failed_op) == ("the Engine does not answer", None)
    # The server has forgotten it meanwhile: it is nobody's, and goes as soon as it can.
    await rig.release()
    rig.runtime.behave("remove")
    await rig.clock.advance(600)
    assert not rig.runtime.containers


@pytest.mark.parametrize("stage", ["pull", "create", "start"])
@pytest.mark.parametrize("after", [False, True])
async def test_what_is_temporary_is_tried_again_and_told_at_once(rig: Rig, stage, after):
    await rig.start()
    rig.runtime.misbehave(stage, InjectedFault(error=Temporary("busy"), times=3, after=after))
    await rig.assign(assignment(CREATE))
    assert rig.last().error == "busy"
    assert rig.last().step is not None
    assert rig.last().failed_op is None
    await rig.clock.advance(2.0)
    assert (rig.last().state, rig.last().error, rig.last().step) == (RuntimeState.RUNNING, None, None)
    assert len(rig.runtime.containers) == 1


async def test_what_takes_long_is_told_before_it_ends(rig: Rig):
    await rig.start()
    gate = rig.hold("create")
    await rig.assign(assignment(CREATE))
    await rig.clock.advance(4)
    assert rig.last().error is None
    await rig.clock.advance(2)
    assert (rig.last().error, rig.last().step) == ("create takes more than 5 seconds", "container_creating")
    assert rig.last().seq == 0
    gate.set()
    await rig.clock.advance(1)
    assert (rig.last().state, rig.last().error, rig.last().step) == (RuntimeState.RUNNING, None, None)


async def test_pauses_grow_to_ten_seconds(rig: Rig):
    await rig.start()
    rig.runtime.misbehave("pull", InjectedFault(error=Temporary("busy")))
    await rig.assign(assignment(CREATE))
    counts = []
    for seconds in (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0):
        before = rig.count("pull")
        await rig.clock.advance(seconds)
        counts.append(rig.count("pull") - before)
    assert counts == [1] * 8


async def test_the_deadline_ends_what_never_works(rig: Rig):
    await rig.start()
    rig.runtime.misbehave("pull", InjectedFault(error=Temporary("the registry is away")))
    await rig.assign(assignment(CREATE, deadline=rig.clock.now() + dt.timedelta(seconds=60)))
    await rig.clock.advance(59)
    assert rig.last().seq == 0
    await rig.clock.advance(20)
    seen = rig.last()
    assert (seen.seq, seen.failed_op, seen.step) == (1, OpKind.CREATE, None)
    assert "deadline" in seen.error
    assert "the registry is away" in seen.error
    tried = rig.count("pull")
    await rig.clock.advance(60)
    assert rig.count("pull") == tried


@pytest.mark.parametrize("stage", ["pull", "create", "start"])
async def test_the_deadline_ends_what_hangs(rig: Rig, stage):
    await rig.start()
    rig.hold(stage)
    await rig.assign(assignment(CREATE, deadline=rig.clock.now() + dt.timedelta(seconds=60)))
    await rig.clock.advance(61)
    assert rig.last().failed_op is OpKind.CREATE
    assert list(rig.runtime.containers) == ([UUID] if stage == "start" else [])


async def test_a_delete_breaks_off_a_pull(rig: Rig):
    await rig.start()
    rig.hold("pull")
    await rig.assign(assignment(CREATE))
    assert rig.last().step == "image_pulling"
    await rig.assign(assignment(CREATE, op(2, OpKind.DELETE, force=True)))
    assert (rig.last().seq, rig.last().state, rig.last().error) == (2, RuntimeState.ABSENT, None)
    assert rig.count("create") == 0


async def test_a_delete_breaks_off_a_long_stop(rig: Rig):
    await rig.start()
    await rig.assign(assignment(CREATE))
    rig.hold("stop")
    await rig.assign(assignment(op(2, OpKind.STOP, timeout=600), done=1))
    await rig.assign(assignment(op(2, OpKind.STOP, timeout=600), op(3, OpKind.DELETE, force=True), done=1))
    assert (rig.last().seq, rig.last().state) == (3, RuntimeState.ABSENT)


async def test_what_is_given_up_or_released_is_broken_off(rig: Rig):
    await rig.start()
    other = UUID[:-1] + "2"
    rig.hold("pull")
    await rig.assign(assignment(CREATE))
    await rig.assign(assignment(CREATE, uuid=other))
    await rig.assign(assignment(done=1))
    await rig.release(other)
    rig.runtime.behave("pull")
    await rig.clock.advance(60)
    assert rig.count("create") == 0
    assert (rig.last().seq, rig.last().state, rig.last().step) == (1, RuntimeState.ABSENT, None)


async def test_a_delete_does_not_wait_for_a_pause_between_retries(rig: Rig):
    await rig.start()
    rig.runtime.misbehave("pull", InjectedFault(error=Temporary("busy")))
    await rig.assign(assignment(CREATE))
    await rig.clock.advance(30)
    await rig.assign(assignment(CREATE, op(2, OpKind.DELETE)))
    assert (rig.last().seq, rig.last().error) == (2, None)


async def test_a_bug_is_told_and_tried_again(rig: Rig):
    await rig.start()
    rig.runtime.misbehave("create", InjectedFault(error=ZeroDivisionError("ours"), times=1))
    await rig.assign(assignment(CREATE))
    assert "internal error" in rig.last().error
    await rig.clock.advance(1)
    assert rig.last().state is RuntimeState.RUNNING


async def test_a_runtime_that_dies_and_comes_back(rig: Rig):
    await rig.start()
    await rig.assign(assignment(CREATE))
    rig.runtime.die("the Engine is away")
    await settle()
    assert (rig.hosts[-1].facts, rig.hosts[-1].error) == (None, "the Engine is away")
    await rig.assign(assignment(op(2, OpKind.STOP), done=1))
    assert rig.last().error == "the Engine is away"
    rig.runtime.revive()
    await rig.clock.advance(11)
    assert rig.hosts[-1].error is None
    assert rig.hosts[-1].facts is not None
    assert (rig.last().seq, rig.last().state, rig.last().error) == (2, RuntimeState.EXITED, None)


async def test_what_happened_while_the_runtime_was_away_is_seen(rig: Rig):
    await rig.start()
    other = UUID[:-1] + "2"
    await rig.assign(assignment(CREATE))
    await rig.assign(assignment(CREATE, uuid=other))
    rig.runtime.die()
    await settle()
    rig.runtime.end(UUID, 3)
    rig.runtime.containers.pop(other)
    rig.runtime.revive()
    await rig.clock.advance(11)
    assert (rig.last().state, rig.last().exit_code) == (RuntimeState.EXITED, 3)
    assert rig.last(other).state is RuntimeState.ABSENT


async def test_an_agent_starts_without_its_runtime(rig: Rig):
    rig.runtime.die("not yet")
    rig.assigned[UUID] = assignment(CREATE)
    await rig.start()
    hello = rig.hosts[0]
    assert isinstance(hello, Hello)
    assert (hello.version, hello.hostname, hello.facts, hello.error) == (VERSION, "h1", None, "not yet")
    assert rig.last().error == "not yet"
    rig.runtime.revive()
    await rig.clock.advance(11)
    assert rig.last().state is RuntimeState.RUNNING


async def test_hello_and_heartbeats_carry_facts(rig: Rig):
    await rig.start()
    assert rig.hosts[0].facts.hostname == "h1"
    await rig.clock.advance(46)
    assert len(rig.hosts) == 4


async def test_a_lost_session_is_opened_again_and_everything_told_again(rig: Rig):
    await rig.start()
    await rig.assign(assignment(CREATE))
    rig.assigned[UUID] = assignment(done=1)
    rig.refuse = True
    await rig.end.close()
    await settle()
    rig.runtime.end(UUID, 4)
    await rig.clock.advance(60)
    rig.reports.clear()
    rig.refuse = False
    await rig.clock.advance(11)
    assert [(report.observed.seq, report.observed.exit_code) for report in rig.reports] == [(1, 4)]


async def test_work_goes_on_without_a_session(rig: Rig):
    await rig.start()
    gate = rig.hold("pull")
    await rig.assign(assignment(CREATE))
    rig.refuse = True
    await rig.end.close()
    await settle()
    gate.set()
    await settle()
    assert rig.runtime.containers[UUID].state is RuntimeState.RUNNING
    rig.refuse = False
    await rig.clock.advance(11)
    assert (rig.last().seq, rig.last().state) == (1, RuntimeState.RUNNING)


async def test_strays_are_removed_once_everything_is_known(rig: Rig):
    stray = await rig.runtime.create("stray", "s", assignment().spec, project="p")
    await rig.runtime.start(stray.uuid)
    rig.refuse = True
    await rig.start()
    await rig.clock.advance(120)
    assert "stray" in rig.runtime.containers
    rig.refuse = False
    rig.assigned[UUID] = assignment(CREATE)
    await rig.clock.advance(11)
    assert set(rig.runtime.containers) == {UUID}


async def test_what_is_released_is_forgotten_and_removed(rig: Rig):
    await rig.start()
    await rig.assign(assignment(CREATE))
    await rig.release()
    assert not rig.runtime.containers
    await rig.assign(assignment(CREATE))
    assert rig.last().state is RuntimeState.RUNNING


async def test_ending_the_agent_touches_no_container(rig: Rig):
    await rig.start()
    await rig.assign(assignment(CREATE))
    calls = len(rig.runtime.calls)
    await rig.kill()
    assert rig.runtime.containers[UUID].state is RuntimeState.RUNNING
    assert len(rig.runtime.calls) == calls
    assert len(asyncio.all_tasks()) == 1


async def test_what_cannot_be_tidied_is_no_trouble_of_the_host(rig: Rig):
    """Neither where tidying fails nor where it never ends, and it is not begun again before that."""
    rig.runtime.misbehave("tidy", InjectedFault(error=Temporary("a network cannot be removed")))
    await rig.start()
    await rig.assign(assignment(CREATE))
    assert rig.count("tidy") >= 1
    never_ends = rig.hold("tidy")
    await rig.clock.advance(600)
    rig.runtime.end(UUID, 3)
    await settle()
    assert {host.error for host in rig.hosts} == {None}
    assert rig.last().exit_code == 3
    tidied = rig.count("tidy")
    never_ends.set()
    rig.runtime.behave("tidy")
    await rig.clock.advance(60)
    assert rig.count("tidy") > tidied


async def test_what_is_asked_again_is_answered_again(rig: Rig):
    """The server has not been able to keep the first answer."""
    await rig.start()
    await rig.assign(assignment(CREATE))
    count = len(rig.reports)
    await rig.assign(assignment(CREATE))
    assert rig.reports[count:] == [rig.reports[count]]
    assert rig.last().state is RuntimeState.RUNNING


@pytest.mark.parametrize("rig", ["encoded"], indirect=True)
async def test_a_frame_that_is_no_message_ends_the_session_and_the_agent_connects_again(rig: Rig):
    await rig.start()
    await rig.end.send_frame(b"noise")
    await rig.clock.advance(1)
    assert [type(message) for message in rig.hosts] == [Hello, Hello]
    await rig.assign(assignment(CREATE))
    assert rig.last().state is RuntimeState.RUNNING
