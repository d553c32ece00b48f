"""What is asked of a container is done, in order, once, and told step by step."""

import pytest

from jeroboam.domain.containers import OpKind, RuntimeState
from jeroboam.protocol import LiveFailureKind
from tests.agent_rig import ALL_LOGS, CREATE, UUID, Rig, assignment, op
from tests.clock import settle


@pytest.fixture
async def running(rig: Rig) -> Rig:
    await rig.start()
    await rig.assign(assignment(CREATE))
    assert rig.last().state is RuntimeState.RUNNING
    return rig


async def test_create_and_run(rig: Rig):
    await rig.start()
    await rig.assign(assignment(CREATE))
    assert rig.patch_json() == ["image_pulling", "container_creating", "container_starting", None]
    seen = rig.last()
    assert seen.seq == 1
    assert seen.state is RuntimeState.RUNNING
    assert seen.error is None
    assert seen.addresses
    assert seen.runtime_id
    assert seen.reported_at == rig.clock.now()


async def test_create_alone_starts_nothing(rig: Rig):
    await rig.start()
    await rig.assign(assignment(op(1, OpKind.CREATE, run=False)))
    assert rig.last().state is RuntimeState.CREATED
    assert rig.count("start") == 0


@pytest.mark.parametrize(
    ("kind", "params", "state", "step"),
    [
        (OpKind.STOP, {"timeout": 3}, RuntimeState.EXITED, "container_stopping"),
        (OpKind.REBOOT, {}, RuntimeState.RUNNING, "container_rebooting"),
        (OpKind.PAUSE, {}, RuntimeState.PAUSED, "container_pausing"),
        (OpKind.KILL, {"signal": "SIGKILL"}, RuntimeState.EXITED, "container_killing"),
        (OpKind.KILL, {"signal": "SIGWINCH"}, RuntimeState.RUNNING, "container_killing"),
        (OpKind.REBUILD, {"run": True}, RuntimeState.RUNNING, "container_rebuilding"),
        (OpKind.REBUILD, {"run": False}, RuntimeState.CREATED, "container_rebuilding"),
        (OpKind.DELETE, {"force": True}, RuntimeState.ABSENT, "container_deleting"),
        (OpKind.DELETE, {"stop": True}, RuntimeState.ABSENT, "container_deleting"),
    ],
)
async def test_one_op(running: Rig, kind, params, state, step):
    running.reports.clear()
    await running.assign(assignment(op(2, kind, **params), done=1))
    assert step in running.patch_json()
    seen = running.last()
    assert seen.step is None
    assert (seen.seq, seen.state, seen.error) == (2, state, None)


async def test_many_ops_are_done_in_order(running: Rig):
    kinds = [OpKind.PAUSE, OpKind.UNPAUSE, OpKind.STOP, OpKind.START, OpKind.REBOOT]
    running.reports.clear()
    await running.assign(assignment(*(op(seq, kind) for seq, kind in enumerate(kinds, start=2)), done=1))
    ended = [report.observed for report in running.reports if report.observed.step is None]
    assert [seen.seq for seen in ended] == [2, 3, 4, 5, 6]
    assert [seen.state.value for seen in ended] == ["paused", "running", "exited", "running", "running"]


async def test_what_is_done_is_not_done_again(running: Rig):
    calls = len(running.runtime.calls)
    await running.assign(assignment(CREATE))
    assert [name for name, _ in running.runtime.calls[calls:]] == ["inspect"]
    assert running.count("create") == 1


async def test_update_changes_the_limits(running: Rig):
    await running.assign(assignment(op(2, OpKind.UPDATE), done=1, cpu=2.0, memory=99))
    assert (running.runtime.specs[UUID].cpu, running.runtime.specs[UUID].memory) == (2.0, 99)
    assert running.last().seq == 2


async def test_what_runs_is_not_deleted_without_force(running: Rig):
    await running.assign(assignment(op(2, OpKind.DELETE), done=1))
    seen = running.last()
    assert seen.failed_op is OpKind.DELETE
    assert "running" in seen.error
    assert seen.state is RuntimeState.RUNNING
    await running.assign(assignment(op(3, OpKind.DELETE, force=True), done=2))
    assert (running.last().state, running.last().error) == (RuntimeState.ABSENT, None)


async def test_a_delete_makes_what_was_asked_before_it_moot(running: Rig):
    await running.assign(assignment(op(2, OpKind.PAUSE), op(3, OpKind.REBOOT), op(4, OpKind.DELETE), done=1))
    assert (running.last().seq, running.last().state) == (4, RuntimeState.ABSENT)
    assert running.count("pause") == 0


async def test_an_op_on_what_is_gone_fails_and_says_so(running: Rig):
    running.runtime.containers.clear()
    await running.assign(assignment(op(2, OpKind.STOP), done=1))
    seen = running.last()
    assert (seen.seq, seen.state, seen.failed_op) == (2, RuntimeState.ABSENT, OpKind.STOP)
    assert "not on this host" in seen.error


async def test_the_next_op_that_goes_well_clears_the_error(running: Rig):
    await running.assign(assignment(op(2, OpKind.UNPAUSE), done=1))
    assert running.last().failed_op is OpKind.UNPAUSE
    await running.assign(assignment(op(3, OpKind.PAUSE), done=2))
    assert (running.last().error, running.last().failed_op) == (None, None)


async def test_what_happens_behind_our_back_is_told(running: Rig):
    running.runtime.end(UUID, 7)
    await settle()
    seen = running.last()
    assert (seen.seq, seen.state, seen.exit_code) == (1, RuntimeState.EXITED, 7)


async def test_a_container_that_vanishes_is_told(running: Rig):
    running.runtime.lose(UUID)
    await settle()
    assert (running.last().state, running.last().addresses) == (RuntimeState.ABSENT, ())
    assert running.last().error is None


async def test_auto_remove_keeps_the_exit_code(rig: Rig):
    await rig.start()
    await rig.assign(assignment(CREATE, auto_remove=True))
    rig.runtime.end(UUID, 5)
    await settle()
    assert (rig.last().state, rig.last().exit_code) == (RuntimeState.ABSENT, 5)
    assert not rig.runtime.containers


async def test_many_containers_do_not_wait_for_one(rig: Rig):
    await rig.start()
    gate = rig.hold("pull")
    await rig.assign(assignment(CREATE))
    rig.runtime.behave("pull")
    others = [f"c0ffee00-0000-4000-8000-{number:012}" for number in range(100, 120)]
    for uuid in others:
        await rig.assign(assignment(CREATE, uuid=uuid))
    assert {rig.last(uuid).state for uuid in others} == {RuntimeState.RUNNING}
    assert rig.last().step == "image_pulling"
    gate.set()
    await settle()
    assert rig.last().state is RuntimeState.RUNNING


async def test_a_runtime_that_cannot_says_so(rig: Rig):
    class Narrow:
        """The contract alone."""

        def __init__(self, whole) -> None:
            for name in (
                "facts",
                "pull",
                "create",
                "start",
                "stop",
                "kill",
                "remove",
                "inspect",
                "list_owned",
                "events",
            ):
                setattr(self, name, getattr(whole, name))

    await rig.start(Narrow(rig.runtime))
    await rig.assign(assignment(CREATE))
    await rig.assign(assignment(op(2, OpKind.PAUSE), op(3, OpKind.UPDATE), done=1))
    errors = [report.observed.error for report in rig.reports if report.observed.error]
    assert any("cannot pause" in error for error in errors)
    assert "limits" in errors[-1]
    assert (await rig.ask(ALL_LOGS)).kind is LiveFailureKind.CONFLICT


async def test_a_rebuild_whose_image_cannot_be_pulled_leaves_the_container(running: Rig):
    running.runtime.registry.published = {"busybox"}
    await running.assign(assignment(op(2, OpKind.REBUILD, run=True), done=1, image="nowhere"))
    seen = running.last()
    assert (seen.seq, seen.state, seen.failed_op) == (2, RuntimeState.RUNNING, None)
    assert "nowhere" in seen.error
    assert running.runtime.specs[UUID].image == "busybox"
