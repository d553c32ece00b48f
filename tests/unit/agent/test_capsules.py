"""Capsules on an agent, in virtual time: order, restarts, deadlines, losses, and what a restart leaves."""

import pytest
from msgspec.structs import replace

from jeroboam.domain.capsules import CapsulePhase, RestartRule
from jeroboam.domain.containers import OpKind, RuntimeState
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.runtimes.fake import InjectedFault
from tests.agent_rig import ALL_LOGS, CAPSULE, MAKE, REMOVE, Rig, capsule, member
from tests.clock import settle
from tests.unit.agent.capsules import INIT, INITS, NEXT_INIT, A, B, end, member_of, phase, state


async def test_create_runs_all_containers(made):
    rig = await made(containers=(member("a"), member("b")))
    last = rig.last_of_capsule()
    assert (last.seq, last.phase, last.error, last.step) == (1, CapsulePhase.RUNNING, None, None)
    assert {state(rig, A), state(rig, B)} == {RuntimeState.RUNNING}
    assert last.addresses
    assert member_of(rig, A).is_ready
    assert [name for name, _ in rig.runtime.calls if name == "run_sandbox"] == ["run_sandbox"]


async def test_init_containers_run_in_order_each_to_its_success(made):
    rig = await made(init_containers=INITS)
    assert (rig.last_of_capsule().seq, phase(rig)) == (1, CapsulePhase.PENDING)
    assert (state(rig, INIT), state(rig, NEXT_INIT), state(rig, A)) == (
        RuntimeState.RUNNING,
        RuntimeState.ABSENT,
        RuntimeState.ABSENT,
    )
    await end(rig, INIT)
    assert (state(rig, NEXT_INIT), state(rig, A)) == (RuntimeState.RUNNING, RuntimeState.ABSENT)
    await end(rig, NEXT_INIT)
    assert (phase(rig), state(rig, A)) == (CapsulePhase.RUNNING, RuntimeState.RUNNING)
    assert rig.count("create_member") == 3


async def test_an_init_container_that_takes_hours_is_no_failed_create(made):
    rig = await made(init_containers=INITS)
    await rig.clock.advance(7200)
    assert (phase(rig), rig.last_of_capsule().error) == (CapsulePhase.PENDING, None)
    assert "Init container c runs" in rig.last_of_capsule().reason


async def test_never_fails_with_the_first_init_container(made):
    rig = await made(init_containers=INITS, restart_policy=RestartRule.NEVER)
    await end(rig, INIT, 3)
    assert phase(rig) is CapsulePhase.FAILED
    assert rig.last_of_capsule().reason == "Init container c: It has ended with exit code 3."
    assert state(rig, A) is RuntimeState.ABSENT


async def test_always_tries_an_init_container_ten_times_again(made):
    rig = await made(init_containers=(member("c"),))
    for _ in range(11):
        assert phase(rig) is CapsulePhase.PENDING
        await end(rig, INIT, 1)
        await rig.clock.advance(300)
    assert phase(rig) is CapsulePhase.FAILED
    assert member_of(rig, INIT).restart_count == 10


async def test_on_failure_tries_an_init_container_until_it_succeeds(made):
    rig = await made(init_containers=(member("c"),), restart_policy=RestartRule.ON_FAILURE)
    for _ in range(14):
        await end(rig, INIT, 1)
        await rig.clock.advance(300)
    await end(rig, INIT)
    assert state(rig, A) is RuntimeState.RUNNING


async def test_the_back_off_doubles_to_five_minutes(made):
    rig = await made()
    pauses = []
    for _ in range(9):
        await end(rig, A, 1)
        before = rig.clock.monotonic()
        while state(rig, A) is not RuntimeState.RUNNING:
            await rig.clock.advance(1)
        pauses.append(rig.clock.monotonic() - before)
    assert pauses == [0, 10, 20, 40, 80, 160, 300, 300, 300]
    assert member_of(rig, A).restart_count == 9
    assert phase(rig) is CapsulePhase.RUNNING


async def test_ten_minutes_of_peace_reset_the_back_off(made):
    rig = await made()
    for _ in range(4):
        await end(rig, A, 1)
        await rig.clock.advance(60)
    await rig.clock.advance(600)
    await end(rig, A, 1)
    assert (state(rig, A), member_of(rig, A).restart_count) == (RuntimeState.RUNNING, 5)


async def test_while_it_waits_the_reason_is_told(made):
    rig = await made()
    for _ in range(2):
        await end(rig, A, 7)
    waiting = member_of(rig, A)
    assert waiting.reason == "It has ended with exit code 7. It is started again after 10 seconds."
    assert (waiting.next_start_at - rig.clock.now()).total_seconds() == 10
    assert phase(rig) is CapsulePhase.RUNNING


@pytest.mark.parametrize(
    ("rule", "exit_code", "end_phase", "runs_again"),
    [
        (RestartRule.ALWAYS, 0, CapsulePhase.RUNNING, True),
        (RestartRule.ALWAYS, 1, CapsulePhase.RUNNING, True),
        (RestartRule.ON_FAILURE, 0, CapsulePhase.SUCCEEDED, False),
        (RestartRule.ON_FAILURE, 1, CapsulePhase.RUNNING, True),
        (RestartRule.NEVER, 0, CapsulePhase.SUCCEEDED, False),
        (RestartRule.NEVER, 1, CapsulePhase.FAILED, False),
    ],
)
async def test_the_restart_policy(made, rule, exit_code, end_phase, runs_again):
    rig = await made(restart_policy=rule)
    await end(rig, A, exit_code)
    assert phase(rig) is end_phase
    assert (state(rig, A) is RuntimeState.RUNNING) is runs_again
    assert member_of(rig, A).container.exit_code == (None if runs_again else exit_code)


async def test_a_container_is_made_anew_for_each_start(made):
    rig = await made()
    before = member_of(rig, A).container.runtime_id
    await end(rig, A, 1)
    assert member_of(rig, A).container.runtime_id != before


async def test_it_succeeds_when_all_have_and_its_sandbox_stops(made):
    rig = await made(containers=(member("a"), member("b")), restart_policy=RestartRule.NEVER)
    await end(rig, A)
    assert phase(rig) is CapsulePhase.RUNNING
    await end(rig, B)
    assert phase(rig) is CapsulePhase.SUCCEEDED
    assert rig.runtime.sandboxes[CAPSULE].state is RuntimeState.EXITED
    assert {A, B} <= rig.runtime.containers.keys(), "its logs can still be read"
    await rig.clock.advance(3600)
    assert rig.count("start_member") == 2


async def test_one_failure_fails_all(made):
    rig = await made(containers=(member("a"), member("b")), restart_policy=RestartRule.NEVER)
    await end(rig, A, 5)
    await end(rig, B)
    assert (phase(rig), rig.last_of_capsule().reason) == (CapsulePhase.FAILED, "a: It has ended with exit code 5.")


async def test_the_active_deadline_ends_it(made):
    rig = await made(active_deadline_seconds=60)
    await rig.clock.advance(59)
    assert phase(rig) is CapsulePhase.RUNNING
    await rig.clock.advance(1)
    assert phase(rig) is CapsulePhase.FAILED
    assert rig.last_of_capsule().reason == "DeadlineExceeded: it was active for 60 seconds."
    assert state(rig, A) is RuntimeState.EXITED
    assert member_of(rig, A).next_start_at is None
    await rig.clock.advance(600)
    assert rig.count("start_member") == 1


@pytest.mark.parametrize("lose", ["end_sandbox", "lose_sandbox"])
async def test_a_lost_sandbox_is_made_anew_with_all_containers(made, lose):
    rig = await made(containers=(member("a"), member("b")))
    getattr(rig.runtime, lose)(CAPSULE)
    await settle()
    assert rig.runtime.sandbox_count == 2
    assert {state(rig, A), state(rig, B)} == {RuntimeState.RUNNING}
    assert {member_of(rig, A).restart_count, member_of(rig, B).restart_count} == {1}
    assert phase(rig) is CapsulePhase.RUNNING


async def test_after_a_lost_sandbox_init_containers_run_again(made):
    rig = await made(init_containers=(member("c"),))
    await end(rig, INIT)
    rig.runtime.lose_sandbox(CAPSULE)
    await settle()
    assert (state(rig, INIT), state(rig, A)) == (RuntimeState.RUNNING, RuntimeState.ABSENT)
    await end(rig, INIT)
    assert (state(rig, A), phase(rig)) == (RuntimeState.RUNNING, CapsulePhase.RUNNING)


async def test_a_lost_sandbox_of_never_fails_the_capsule(made):
    rig = await made(restart_policy=RestartRule.NEVER)
    rig.runtime.lose_sandbox(CAPSULE)
    await settle()
    assert (phase(rig), rig.runtime.sandbox_count) == (CapsulePhase.FAILED, 1)
    assert "gone from its host" in rig.last_of_capsule().reason


async def test_a_lost_container_is_started_again(made):
    rig = await made()
    rig.runtime.lose(A)
    await settle()
    assert (state(rig, A), rig.runtime.sandbox_count) == (RuntimeState.RUNNING, 1)


async def test_delete_removes_everything(made):
    rig = await made(containers=(member("a"), member("b")), termination_grace_period_seconds=3)
    await rig.assign(capsule(REMOVE, done=1, containers=(member("a"), member("b"))))
    last = rig.last_of_capsule()
    assert (last.seq, last.state, last.error) == (2, RuntimeState.ABSENT, None)
    assert not rig.runtime.sandboxes
    assert not rig.runtime.containers
    assert rig.count("stop") == 2
    await rig.release(CAPSULE)
    await rig.clock.advance(600)
    assert rig.count("run_sandbox") == 1


async def test_what_is_not_assigned_is_removed(made):
    rig = await made()
    await rig.release(CAPSULE)
    assert not rig.runtime.sandboxes
    assert not rig.runtime.containers


async def test_a_stray_sandbox_is_removed_once_all_is_known(rig: Rig):
    await rig.runtime.run_sandbox(capsule().sandbox)
    await rig.runtime.create_member(capsule().sandbox, A, "a", member("a").container)
    await rig.start()
    await rig.clock.advance(1)
    assert not rig.runtime.sandboxes
    assert not rig.runtime.containers


async def test_what_cannot_be_described_is_kept(rig: Rig):
    await rig.runtime.run_sandbox(capsule().sandbox)
    rig.kept.add(CAPSULE)
    await rig.start()
    await rig.clock.advance(120)
    assert CAPSULE in rig.runtime.sandboxes


async def test_an_image_that_is_not_there_is_an_error_and_leaves_nothing(rig: Rig):
    rig.runtime.registry.published = {"other"}
    await rig.start()
    await rig.assign(capsule(MAKE))
    last = rig.last_of_capsule()
    assert (last.seq, last.failed_op) == (1, OpKind.CREATE)
    assert "busybox" in last.error
    assert not rig.runtime.sandboxes
    await rig.clock.advance(120)
    assert rig.count("run_sandbox") == 0


async def test_a_container_that_cannot_be_started_fails_the_create_and_is_named(rig: Rig):
    rig.runtime.misbehave("start_member", InjectedFault(error=Permanent("no such program")))
    await rig.start()
    await rig.assign(capsule(MAKE))
    assert rig.last_of_capsule().error == "container a: no such program"
    assert not rig.runtime.sandboxes


async def test_a_container_that_cannot_be_started_later_is_tried_again(made):
    rig = await made(init_containers=(member("c"),))
    rig.runtime.misbehave("start_member", InjectedFault(error=Permanent("no such program"), times=2))
    await end(rig, INIT)
    assert "no such program" in member_of(rig, A).reason
    await rig.clock.advance(10)
    assert state(rig, A) is RuntimeState.RUNNING


async def test_a_runtime_that_is_away_is_waited_for(rig: Rig):
    rig.runtime.misbehave("run_sandbox", InjectedFault(error=Temporary("away"), times=3))
    await rig.start()
    await rig.assign(capsule(MAKE))
    assert rig.last_of_capsule().error == "away"
    await rig.clock.advance(30)
    assert (phase(rig), rig.last_of_capsule().error) == (CapsulePhase.RUNNING, None)


async def test_a_create_ends_at_its_deadline_and_leaves_nothing(rig: Rig):
    rig.hold("create_member", after=True)
    await rig.start()
    await rig.assign(capsule(MAKE, deadline=rig.clock.now()))
    await rig.clock.advance(31)
    last = rig.last_of_capsule()
    assert (last.seq, last.failed_op) == (1, OpKind.CREATE)
    assert "by its deadline" in last.error
    assert not rig.runtime.sandboxes


async def test_a_delete_interrupts_a_pull(rig: Rig):
    rig.hold("pull")
    await rig.start()
    await rig.assign(capsule(MAKE))
    await rig.assign(capsule(MAKE, REMOVE))
    assert (rig.last_of_capsule().seq, rig.last_of_capsule().error) == (2, None)


async def test_an_agent_that_is_started_again_goes_on(made):
    rig = await made()
    for _ in range(3):
        await end(rig, A, 1)
        await rig.clock.advance(30)
    calls = rig.count("start_member")
    rig.assigned[CAPSULE] = capsule(done=1)
    await rig.restart()
    assert (state(rig, A), member_of(rig, A).restart_count) == (RuntimeState.RUNNING, 3)
    assert rig.count("start_member") == calls, "what runs is left alone"
    await end(rig, A, 1)
    assert "after 40 seconds" in member_of(rig, A).reason


async def test_what_ended_while_the_agent_was_away_is_started_again(made):
    rig = await made()
    rig.assigned[CAPSULE] = capsule(done=1)
    await rig.kill()
    rig.runtime.end(A, 1)
    await rig.clock.advance(5)
    await rig.start()
    assert (state(rig, A), member_of(rig, A).restart_count) == (RuntimeState.RUNNING, 1)


async def test_what_the_server_gave_up_does_not_run(made):
    rig = await made()
    await rig.assign(replace(capsule(done=1), is_given_up=True))
    assert not rig.runtime.sandboxes
    assert rig.last_of_capsule().state is RuntimeState.ABSENT


async def test_secrets_become_variables(made):
    secret = member("a", secret_environment='{"PASSWORD": "s3cr3t"}')
    rig = await made(containers=(secret,))
    assert rig.runtime.specs[A].environment == {"PASSWORD": "s3cr3t"}


async def test_members_are_asked_by_their_uuids(made):
    rig = await made()
    rig.runtime.print_output(A, "hello\n")
    assert (await rig.ask(ALL_LOGS, uuid=A)).text == "hello\n"
