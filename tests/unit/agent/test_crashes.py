"""The agent is killed at every point of every op; the next one ends in the same state, and does nothing twice."""

import pytest

from jeroboam.agent.journal import Journal
from jeroboam.domain.containers import ContainerObserved, OpKind, RuntimeState
from tests.agent_rig import CREATE, UUID, Rig, assignment, op
from tests.clock import settle


async def crash(rig: Rig, method: str, *, after: bool) -> None:
    """Kill the agent while it is in that call, and start another."""
    await rig.kill()
    rig.runtime.behave(method)
    await rig.clock.advance(5)
    await rig.start()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("stage", ["pull", "create", "start"])
async def test_create(rig: Rig, stage, after):
    await rig.start()
    rig.hold(stage, after=after)
    await rig.assign(assignment(CREATE))
    await crash(rig, stage, after=after)
    assert (rig.last().seq, rig.last().state, rig.last().error) == (1, RuntimeState.RUNNING, None)
    assert len(rig.runtime.containers) == 1


async def test_files_are_written_again_by_the_next_agent(rig: Rig):
    await rig.start()
    rig.hold("create", after=True)
    mount = {"type": "bind", "source": "eA==", "destination": "/d"}
    await rig.assign(assignment(CREATE, mounts=(mount,)))
    await crash(rig, "create", after=True)
    assert rig.last().state is RuntimeState.RUNNING
    assert rig.count("create") == 2


async def test_create_of_what_has_ended_meanwhile_does_not_run_it_twice(rig: Rig):
    await rig.start()
    rig.hold("start", after=True)
    await rig.assign(assignment(CREATE))
    await rig.kill()
    rig.runtime.end(UUID, 0)
    rig.runtime.behave("start")
    await rig.start()
    assert (rig.last().seq, rig.last().state) == (1, RuntimeState.EXITED)
    assert rig.count("start") == 1


OPS = [
    (OpKind.START, "start", RuntimeState.RUNNING),
    (OpKind.STOP, "stop", RuntimeState.EXITED),
    (OpKind.REBOOT, "stop", RuntimeState.RUNNING),
    (OpKind.REBOOT, "start", RuntimeState.RUNNING),
    (OpKind.PAUSE, "pause", RuntimeState.PAUSED),
    (OpKind.UNPAUSE, "unpause", RuntimeState.RUNNING),
    (OpKind.KILL, "kill", RuntimeState.EXITED),
    (OpKind.DELETE, "remove", RuntimeState.ABSENT),
    (OpKind.UPDATE, "resize", RuntimeState.RUNNING),
    (OpKind.REBUILD, "pull", RuntimeState.RUNNING),
    (OpKind.REBUILD, "remove", RuntimeState.RUNNING),
    (OpKind.REBUILD, "create", RuntimeState.RUNNING),
    (OpKind.REBUILD, "start", RuntimeState.RUNNING),
]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("kind", "method", "state"), OPS)
async def test_each_op(rig: Rig, kind, method, state, after):
    await rig.start()
    await rig.assign(assignment(CREATE))
    if kind is OpKind.UNPAUSE:
        await rig.runtime.pause(UUID)
    if kind is OpKind.START:
        rig.runtime.end(UUID)
    rig.hold(method, after=after)
    await rig.assign(assignment(op(2, kind, force=True, run=True), done=1))
    assert (method, "busybox" if method == "pull" else UUID) in rig.runtime.calls
    await crash(rig, method, after=after)
    assert (rig.last().seq, rig.last().state, rig.last().error) == (2, state, None)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("method", ["pull", "remove", "create", "start"])
async def test_a_rebuild_makes_one_new_container(rig: Rig, method, after):
    await rig.start()
    await rig.assign(assignment(CREATE))
    rig.hold(method, after=after)
    await rig.assign(assignment(op(2, OpKind.REBUILD, run=True), done=1, image="other"))
    await crash(rig, method, after=after)
    assert rig.last().seq == 2
    # The first container was fake-1; a third one would have been made for nothing.
    assert rig.runtime.containers[UUID].runtime_id == "fake-2"
    assert rig.runtime.specs[UUID].image == "other"


async def test_a_reboot_that_has_happened_is_not_done_again(rig: Rig):
    await rig.start()
    await rig.assign(assignment(CREATE))
    await rig.clock.advance(1)
    rig.hold("start", after=True)
    await rig.assign(assignment(op(2, OpKind.REBOOT), done=1))
    await crash(rig, "start", after=True)
    assert rig.last().seq == 2
    assert (rig.count("stop"), rig.count("start")) == (1, 2)


@pytest.mark.parametrize("after", [False, True])
async def test_a_signal_is_not_sent_twice(rig: Rig, after):
    await rig.start()
    await rig.assign(assignment(CREATE))
    rig.hold("kill", after=after)
    await rig.assign(assignment(op(2, OpKind.KILL, signal="SIGUSR1"), done=1))
    await crash(rig, "kill", after=after)
    assert (rig.last().seq, rig.last().error) == (2, None)
    assert rig.count("kill") == 1


async def test_a_report_that_was_lost_is_told_by_the_next_agent(rig: Rig):
    await rig.start()
    await rig.assign(assignment(CREATE))
    rig.reports.clear()
    await rig.restart()
    assert [(report.observed.seq, report.observed.state) for report in rig.reports] == [(1, RuntimeState.RUNNING)]
    assert rig.count("create") == 1


async def test_a_failure_is_remembered(rig: Rig):
    await rig.start()
    rig.runtime.registry.published = set()
    await rig.assign(assignment(CREATE))
    rig.reports.clear()
    await rig.restart()
    seen = rig.last()
    assert (seen.seq, seen.failed_op) == (1, OpKind.CREATE)
    assert "busybox" in seen.error


async def test_the_exit_code_of_an_auto_removed_container_survives(rig: Rig):
    await rig.start()
    await rig.assign(assignment(CREATE, auto_remove=True))
    rig.hold("remove", after=True)
    rig.runtime.end(UUID, 6)
    await settle()
    await crash(rig, "remove", after=True)
    assert (rig.last().state, rig.last().exit_code) == (RuntimeState.ABSENT, 6)


async def test_without_its_journal_an_agent_goes_by_what_the_server_knows(rig: Rig, tmp_path):
    await rig.start()
    await rig.assign(assignment(CREATE))
    rig.assigned[UUID] = assignment(done=1)
    await rig.kill()
    for path in tmp_path.glob("agent.db*"):
        path.unlink()
    rig.reports.clear()
    await rig.start()
    assert (rig.last().seq, rig.last().state) == (1, RuntimeState.RUNNING)
    assert rig.count("create") == 1


def test_the_journal_survives_its_process(tmp_path):
    first = Journal(tmp_path / "j")
    first.begin("a", 3, None)
    first.end("b", ContainerObserved(seq=2, state=RuntimeState.EXITED, exit_code=1))
    first.begin("b", 3, None)
    first.record_observed("b", ContainerObserved(seq=2, state=RuntimeState.RUNNING))
    first.end("c", ContainerObserved(seq=9))
    first.forget("c")
    # Not closed: a killed process does not close it either.
    second = Journal(tmp_path / "j")
    assert second.list_uuids() == {"a", "b"}
    assert second.entry("a").begun_seq == 3
    assert second.entry("b").begun_seq == 3
    assert second.entry("b").observed.state is RuntimeState.RUNNING
    first.close()
    second.close()


async def test_a_container_of_which_the_server_can_tell_nothing_is_no_stray(rig: Rig):
    await rig.start()
    await rig.assign(assignment(CREATE))
    rig.kept.add(UUID)
    del rig.assigned[UUID]
    await rig.restart()
    await rig.clock.advance(60)
    assert UUID in rig.runtime.containers
    rig.kept.clear()
    await rig.restart()
    await rig.clock.advance(60)
    assert UUID not in rig.runtime.containers
