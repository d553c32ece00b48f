"""Live questions to an agent, and why it has no answer."""

from msgspec import structs

from jeroboam.domain.containers import OpKind
from jeroboam.protocol import ExecuteAnswer, ExecuteRequest, LiveFailure, LiveFailureKind, LogsAnswer, TopRequest
from jeroboam.runtimes.fake import InjectedFault
from tests.agent_rig import ALL_LOGS, CREATE, UUID, Rig, assignment, op
from tests.encoded_session import encoded_session_pair


async def test_live_questions_do_not_wait_for_an_op(rig: Rig):
    await rig.start()
    await rig.assign(assignment(CREATE))
    rig.runtime.printed[UUID] += ["one\n", "two\n"]
    rig.hold("stop")
    await rig.assign(assignment(op(2, OpKind.STOP), done=1))
    assert await rig.ask(structs.replace(ALL_LOGS, tail=1)) == LogsAnswer(text="two\n")
    answer = await rig.ask(ExecuteRequest(command=("echo", "hi")))
    assert answer == ExecuteAnswer(output="echo hi", exit_code=0)


async def test_live_questions_say_why_not(rig: Rig):
    await rig.start()
    await rig.assign(assignment(op(1, OpKind.CREATE)))
    command = ExecuteRequest(command=("x",))
    assert (await rig.ask(command)).kind is LiveFailureKind.CONFLICT
    assert (await rig.ask(command, "nobody")).kind is LiveFailureKind.GONE
    answer = await rig.ask(TopRequest(ps_args=None))
    assert (answer.kind, answer.detail) == (LiveFailureKind.CONFLICT, "this host's runtime has no top")
    rig.runtime.misbehave("logs", InjectedFault(error=RuntimeError("a bug")))
    answer = await rig.ask(ALL_LOGS)
    assert answer.kind is LiveFailureKind.UNAVAILABLE
    assert "a bug" not in answer.detail
    rig.runtime.die("away")
    assert await rig.ask(command) == LiveFailure(kind=LiveFailureKind.UNAVAILABLE, detail="away")


async def test_an_answer_that_no_frame_can_carry_is_a_failure(tmp_path):
    rig = Rig(tmp_path, encoded_session_pair)
    try:
        await rig.start()
        await rig.assign(assignment(CREATE))
        rig.runtime.printed[UUID] += ["\ud800"]
        answer = await rig.ask(ALL_LOGS)
        assert answer.kind is LiveFailureKind.UNAVAILABLE
        assert "cannot be sent" in answer.detail
        rig.runtime.printed[UUID] = ["fine"]
        assert await rig.ask(ALL_LOGS) == LogsAnswer(text="fine")
    finally:
        await rig.kill()
