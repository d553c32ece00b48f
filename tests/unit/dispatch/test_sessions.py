"""The server's end of sessions, with the test in the place of the agent."""

import asyncio
import contextlib

import msgspec
import pytest

from jeroboam.dispatch.gateway import SessionGateway
from jeroboam.dispatch.sessions import Dispatcher
from jeroboam.domain.containers import ContainerObserved, OpKind, RuntimeState
from jeroboam.domain.errors import Conflict, Invalid, NotFound, Unavailable
from jeroboam.domain.ports import ExecResult
from jeroboam.kit.bus import MemoryBus
from jeroboam.protocol import (
    VERSION,
    Assignments,
    ContainerForgotten,
    ContainerReport,
    ExecuteAnswer,
    ExecuteRequest,
    Hello,
    HostReport,
    LiveFailure,
    LiveFailureKind,
    LiveRequest,
    LiveResponse,
    LogsAnswer,
    LogsRequest,
    StatsAnswer,
    StatsRequest,
    TopAnswer,
    TopRequest,
)
from jeroboam.protocol.memory import session_pair
from tests.agent_rig import CREATE, UUID, assignment, op
from tests.assignment_store import MemoryAssignmentStore
from tests.clock import ManualClock, settle
from tests.encoded_session import SESSIONS


class Rig:
    def __init__(self, open_pair) -> None:
        self._open_pair = open_pair
        self.placed = MemoryAssignmentStore()
        self.bus = MemoryBus()
        self.clock = ManualClock()
        self.dispatcher = Dispatcher(self.placed, bus=self.bus, clock=self.clock)
        self.gateway = SessionGateway(self.dispatcher, answer_seconds=10.0)
        self.tasks = [asyncio.ensure_future(self.dispatcher.run())]

    async def connect(self, hostname="h1", version=VERSION):
        end, server = self._open_pair()
        self.tasks.append(asyncio.ensure_future(self.dispatcher.serve(server)))
        heard = []

        self.tasks.append(asyncio.ensure_future(_listen(end, heard)))
        await end.send(Hello(version=version, hostname=hostname, facts=None))
        await settle()
        return end, heard

    async def hint(self, uuid=UUID, host="h1"):
        self.bus.publish("dispatch", f"{host}/{uuid}")
        await settle()

    async def close(self):
        for task in self.tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, RuntimeError):
                await task


@pytest.fixture(params=SESSIONS)
async def rig(request):
    made = Rig(SESSIONS[request.param])
    yield made
    await made.close()


async def test_hello_is_answered_with_everything(rig):
    rig.placed.place("h1", assignment(CREATE))
    rig.placed.place("h2", assignment(CREATE, uuid="other"))
    _, heard = await rig.connect()
    assert heard == [Assignments(containers=(assignment(CREATE),))]
    assert rig.placed.hosts["h1"].hostname == "h1"


async def test_another_version_is_refused(rig):
    _, heard = await rig.connect(version=VERSION + 1)
    assert heard == [None]
    assert rig.placed.hosts == {}


async def test_a_session_without_hello_is_refused(rig):
    end, server = session_pair()
    serving = asyncio.ensure_future(rig.dispatcher.serve(server))
    await end.send(HostReport(facts=None))
    async with asyncio.timeout(5):
        await serving
    with pytest.raises(ConnectionError):
        await end.send(HostReport(facts=None))


async def test_a_hint_sends_what_changed_once(rig):
    _, heard = await rig.connect()
    rig.placed.place("h1", assignment(CREATE))
    await rig.hint()
    await rig.hint()
    assert heard[1:] == [assignment(CREATE)]
    await rig.hint(host="h2")
    changed = assignment(op(2, OpKind.STOP), done=1)
    rig.placed.place("h1", changed)
    await rig.hint()
    assert heard[2:] == [changed]


async def test_a_container_that_leaves_is_released(rig):
    rig.placed.place("h1", assignment(CREATE))
    _, heard = await rig.connect()
    rig.placed.containers.clear()
    await rig.hint()
    assert heard[1:] == [ContainerForgotten(uuid=UUID)]


async def test_the_resync_finds_what_hints_did_not_tell(rig):
    rig.placed.place("h1", assignment(CREATE))
    rig.placed.place("h1", assignment(CREATE, uuid="leaves"))
    _, heard = await rig.connect()
    del rig.placed.containers["h1"]["leaves"]
    rig.placed.place("h1", assignment(CREATE, uuid="new"))
    await rig.clock.advance(31)
    assert heard[1:] == [assignment(CREATE, uuid="new"), ContainerForgotten(uuid="leaves")]
    await rig.clock.advance(31)
    assert len(heard) == 3


async def test_reports_are_written_and_unknown_containers_released(rig):
    rig.placed.place("h1", assignment(CREATE))
    end, heard = await rig.connect()
    seen = ContainerObserved(seq=1, state=RuntimeState.RUNNING)
    await end.send(ContainerReport(uuid=UUID, observed=seen))
    await end.send(ContainerReport(uuid="unknown", observed=seen))
    await end.send(HostReport(facts=None, error="away"))
    await settle()
    assert rig.placed.observed == {UUID: seen}
    assert heard[1:] == [ContainerForgotten(uuid="unknown")]
    assert rig.placed.hosts["h1"].error == "away"


async def test_a_second_session_of_a_host_replaces_the_first(rig):
    _, first = await rig.connect()
    _, second = await rig.connect()
    assert first[-1] is None
    rig.placed.place("h1", assignment(CREATE))
    await rig.hint()
    assert second[-1] == assignment(CREATE)


async def test_a_store_that_fails_ends_the_session_and_the_next_one_works(rig):
    _, heard = await rig.connect()
    rig.placed.broken = RuntimeError("the disk is full")
    await rig.hint()
    assert heard[-1] is None
    rig.placed.broken = None
    _, heard = await rig.connect()
    assert heard == [Assignments(containers=())]


async def test_a_report_that_the_store_cannot_take_ends_the_session_so_that_it_is_said_again(rig):
    rig.placed.place("h1", assignment(CREATE))
    end, heard = await rig.connect()
    rig.placed.broken = Unavailable("the database does not answer")
    await end.send(ContainerReport(uuid=UUID, observed=ContainerObserved(seq=1, state=RuntimeState.RUNNING)))
    await settle()
    assert heard[-1] is None


async def test_a_report_on_a_broken_row_ends_no_session_and_is_asked_for_once_the_row_is_whole(rig):
    rig.placed.place("h1", assignment(CREATE))
    end, heard = await rig.connect()
    rig.placed.unread.add(UUID)
    await end.send(ContainerReport(uuid=UUID, observed=ContainerObserved(seq=1, state=RuntimeState.RUNNING)))
    await rig.clock.advance(31)
    assert len(heard) == 1
    rig.placed.unread.clear()
    await rig.clock.advance(31)
    assert heard[1:] == [assignment(CREATE)]


async def test_questions_wait_for_their_own_answer(rig):
    end, heard = await rig.connect()
    first = asyncio.ensure_future(rig.gateway.execute("h1", UUID, ["a"]))
    second = asyncio.ensure_future(
        rig.gateway.logs("h1", UUID, stdout=True, stderr=False, timestamps=True, tail=3, since=None)
    )
    await settle()
    one, two = heard[1:]
    assert one == LiveRequest(id=one.id, container=UUID, question=ExecuteRequest(command=("a",)))
    assert two.question == LogsRequest(stdout=True, stderr=False, timestamps=True, tail=3, since=None)
    await end.send(LiveResponse(id=two.id, answer=LogsAnswer(text="text")))
    await end.send(LiveResponse(id=one.id, answer=ExecuteAnswer(output="x", exit_code=2)))
    assert await second == "text"
    assert await first == ExecResult(output="x", exit_code=2)


async def test_tables_and_samples_are_as_the_port_promises(rig):
    end, heard = await rig.connect()
    table = asyncio.ensure_future(rig.gateway.top("h1", UUID, "aux"))
    sample = asyncio.ensure_future(rig.gateway.stats("h1", UUID))
    await settle()
    one, two = heard[1:]
    assert (one.question, two.question) == (TopRequest(ps_args="aux"), StatsRequest())
    await end.send(LiveResponse(id=one.id, answer=TopAnswer(titles=("PID",), processes=(("1",), ("2",)))))
    await end.send(LiveResponse(id=two.id, answer=StatsAnswer(sample={"memory_limit_mib": 64, "cpu_percent": 1.5})))
    assert await table == {"Titles": ["PID"], "Processes": [["1"], ["2"]]}
    shown = await sample
    assert shown == {"memory_limit_mib": 64, "cpu_percent": 1.5}
    assert isinstance(shown["memory_limit_mib"], int)


@pytest.mark.parametrize(
    ("error", "raised"),
    [("gone", NotFound), ("invalid", Invalid), ("conflict", Conflict), ("unavailable", Unavailable)],
)
async def test_what_the_agent_refuses(rig, error, raised):
    end, heard = await rig.connect()
    asked = asyncio.ensure_future(rig.gateway.stats("h1", UUID))
    await settle()
    await end.send(LiveResponse(id=heard[-1].id, answer=LiveFailure(kind=LiveFailureKind(error), detail="because")))
    with pytest.raises(raised, match="because"):
        await asked


async def test_the_answer_to_another_question_is_none(rig):
    end, heard = await rig.connect()
    asked = asyncio.ensure_future(rig.gateway.stats("h1", UUID))
    await settle()
    await end.send(LiveResponse(id=heard[-1].id, answer=LogsAnswer(text="text")))
    with pytest.raises(Unavailable, match="another question"):
        await asked


@pytest.mark.parametrize("rig", ["encoded"], indirect=True)
@pytest.mark.parametrize("frame", [b"noise", msgspec.msgpack.encode({"type": "of-tomorrow"})])
async def test_a_frame_that_is_no_message_ends_the_session_and_the_next_one_works(rig, frame):
    end, heard = await rig.connect()
    await end.send_frame(frame)
    await settle()
    assert heard[-1] is None
    _, heard = await rig.connect()
    assert heard == [Assignments(containers=())]


async def test_no_agent_no_answer(rig):
    with pytest.raises(Unavailable):
        await rig.gateway.top("h1", UUID, None)
    end, _ = await rig.connect()
    asked = asyncio.ensure_future(rig.gateway.top("h1", UUID, None))
    await settle()
    await end.close()
    with pytest.raises(Unavailable, match="away"):
        await asked


async def test_an_agent_that_hangs_is_not_waited_for(rig):
    await rig.connect()
    with pytest.raises(Unavailable, match=r"0\.05"):
        await SessionGateway(rig.dispatcher, answer_seconds=0.05).top("h1", UUID, None)


async def test_a_session_in_memory_is_bounded_and_ends_on_both_sides():
    end, server = session_pair()
    sending = asyncio.ensure_future(_fill(end))
    await settle()
    assert not sending.done()
    await server.close()
    with pytest.raises(ConnectionError):
        await sending
    assert len([message async for message in server]) == 1000
    assert [message async for message in end] == []


async def _listen(end, heard):
    """Note what comes as it comes, and None at the end."""
    while (message := await anext(end, None)) is not None:
        heard.append(message)
    heard.append(None)


async def _fill(end):
    for _ in range(1001):
        await end.send(HostReport(facts=None))
