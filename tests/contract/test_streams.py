"""What a stream promises, over the whole way: API's port, dispatch, a session, an agent, a runtime.

Each test runs on a session within the process and on one that encodes its messages. Time is virtual.
"""

import asyncio
import tempfile
import uuid as uuids
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from jeroboam.agent import session
from jeroboam.dispatch.sessions import RESYNC_SECONDS
from jeroboam.domain.errors import Conflict, NotFound, TooManyRequests, Unavailable
from jeroboam.domain.streams import ByteStream, Channel, CloseReason, StreamClosed, StreamEnding, TerminalSize
from jeroboam.protocol.streams import FRAME_BYTES, STALL_SECONDS, WINDOW_BYTES
from jeroboam.runtimes.fake import InjectedFault
from jeroboam.runtimes.fake_streams import PIPE_BYTES
from tests.agent_rig import CREATE, UUID, assignment
from tests.clock import settle
from tests.encoded_session import SESSIONS
from tests.stream_rig import HOST, SECONDS, StreamRig, read_all, read_some, stream_rig

LARGE = 4 << 20
# What may be on its way to a reader who takes nothing: a window, the runtime's pipe, and a piece in each hand.
MOST_ON_THE_WAY = WINDOW_BYTES + PIPE_BYTES + 2 * FRAME_BYTES


@pytest.fixture(params=SESSIONS)
async def rig(request, tmp_path) -> AsyncIterator[StreamRig]:
    async with stream_rig(tmp_path, request.param) as rig:
        yield rig


async def settle_fully() -> None:
    """Let all that can pass do so, also through many small steps."""
    for _ in range(40):
        await settle()


async def test_the_output_of_a_command_comes_whole_and_with_its_exit_code(rig: StreamRig) -> None:
    stream = await rig.exec("flood", str(LARGE))
    assert len(await read_all(stream)) == LARGE
    assert await stream.wait_closed() == StreamEnding(reason=CloseReason.ENDED, exit_code=0)
    assert await stream.receive() is None


async def test_errors_come_on_their_channel(rig: StreamRig) -> None:
    stream = await rig.exec("fail", "3")
    assert await read_all(stream, Channel.ERROR) == b"failed"
    assert (await stream.wait_closed()).exit_code == 3


async def test_input_ends_by_itself_and_the_output_still_comes(rig: StreamRig) -> None:
    stream = await rig.exec("count")
    await stream.send(b"x" * LARGE)
    await stream.end()
    assert await read_all(stream) == str(LARGE).encode()


async def talk(folder: Path, kind: str, pieces: list[bytes]) -> tuple[bytes, int | None]:
    """Send the pieces to a command that returns them, and read meanwhile."""
    async with stream_rig(folder, kind) as rig:
        stream = await rig.exec("cat")

        async def send() -> None:
            for piece in pieces:
                await stream.send(piece)
            await stream.end()

        sending = asyncio.ensure_future(send())
        received = await read_all(stream)
        await sending
        return received, (await stream.wait_closed()).exit_code


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(SESSIONS)),
    st.lists(
        st.tuples(st.integers(0, 255), st.integers(0, 80_000) | st.sampled_from([0, 1, FRAME_BYTES, WINDOW_BYTES + 1])),
        max_size=12,
    ),
)
def test_pieces_of_any_size_come_in_order(kind: str, sizes: list[tuple[int, int]]) -> None:
    pieces = [bytes([value]) * size for value, size in sizes]
    with tempfile.TemporaryDirectory() as folder:
        assert asyncio.run(talk(Path(folder), kind, pieces)) == (b"".join(pieces), 0)


async def test_output_that_nobody_reads_stops_its_command(rig: StreamRig) -> None:
    stream = await rig.exec("flood", str(LARGE))
    await settle_fully()
    printed = rig.process.output.written
    assert WINDOW_BYTES // 2 < printed <= MOST_ON_THE_WAY
    await settle_fully()
    assert rig.process.output.written == printed
    assert len(await read_all(stream)) == LARGE


async def test_input_that_nobody_reads_stops_its_sender(rig: StreamRig) -> None:
    stream = await rig.exec("hang")
    sending = asyncio.ensure_future(stream.send(b"x" * LARGE))
    await settle_fully()
    assert not sending.done()
    assert rig.process.input.written <= PIPE_BYTES + FRAME_BYTES
    await stream.close()
    with pytest.raises(StreamClosed):
        await sending


async def test_a_slow_reader_gets_everything(rig: StreamRig) -> None:
    stream = await rig.exec("flood", str(1 << 20))
    size = 0
    async with asyncio.timeout(SECONDS):
        while (chunk := await stream.receive()) is not None:
            size += len(chunk.data)
            await rig.clock.advance(STALL_SECONDS / 20)
    assert rig.clock.monotonic() > STALL_SECONDS
    assert size == 1 << 20


async def test_a_dead_reader_loses_his_stream(rig: StreamRig) -> None:
    stream = await rig.exec("flood", str(LARGE))
    process = rig.process
    await rig.clock.advance(STALL_SECONDS - 1)
    assert rig.runtime.programs.running[UUID] == [process]
    await rig.clock.advance(2)
    assert (await stream.wait_closed()).reason is CloseReason.STALLED
    assert rig.runtime.programs.running[UUID] == []
    with pytest.raises(StreamClosed, match="taken nothing for 120 seconds"):
        await read_all(stream)


async def test_a_command_that_reads_nothing_for_too_long_loses_its_stream(rig: StreamRig) -> None:
    stream = await rig.exec("hang")
    sending = asyncio.ensure_future(stream.send(b"x" * LARGE))
    await rig.clock.advance(STALL_SECONDS + 1)
    with pytest.raises(StreamClosed) as caught:
        await sending
    assert caught.value.ending.reason is CloseReason.STALLED
    await settle_fully()
    assert rig.runtime.programs.running[UUID] == []


async def test_a_command_that_takes_no_more_input_does_not_stop_its_user(rig: StreamRig) -> None:
    stream = await rig.exec("first")
    async with asyncio.timeout(SECONDS):
        await stream.send(b"x" * LARGE)
    await stream.resize(TerminalSize(rows=1, columns=1))
    assert await read_all(stream) == b""
    assert (await stream.wait_closed()).exit_code == 0


async def test_an_idle_stream_stays(rig: StreamRig) -> None:
    stream = await rig.exec("cat")
    await rig.clock.advance(100 * STALL_SECONDS)
    await stream.send(b"hello")
    assert await read_some(stream, 5) == b"hello"


async def test_a_user_who_leaves_ends_the_command(rig: StreamRig) -> None:
    stream = await rig.exec("cat")
    process = rig.process
    await stream.close(CloseReason.CANCELLED, "the client went away")
    await settle_fully()
    assert rig.runtime.programs.running[UUID] == []
    assert (await process.wait_closed()).reason is CloseReason.CANCELLED
    with pytest.raises(StreamClosed, match="went away"):
        await stream.send(b"x")
    with pytest.raises(StreamClosed):
        await stream.resize(TerminalSize(rows=1, columns=1))
    await stream.close()
    assert (await stream.wait_closed()).detail == "the client went away"


async def test_a_container_that_ends_ends_its_commands(rig: StreamRig) -> None:
    stream = await rig.exec("cat")
    await stream.send(b"last words")
    await settle_fully()
    rig.runtime.end(UUID)
    assert await read_all(stream) == b"last words"
    assert await stream.wait_closed() == StreamEnding(reason=CloseReason.ENDED, exit_code=137)


async def test_a_runtime_that_goes_away_ends_streams_with_its_reason(rig: StreamRig) -> None:
    stream = await rig.exec("cat")
    rig.runtime.die("the Engine is away")
    with pytest.raises(StreamClosed, match="the Engine is away"):
        await read_all(stream)
    assert (await stream.wait_closed()).reason is CloseReason.UNAVAILABLE


async def test_sizes_of_the_terminal_arrive(rig: StreamRig) -> None:
    stream = await rig.exec("show-size", tty=True, size=TerminalSize(rows=24, columns=80))
    assert await read_some(stream, 6) == b"24 80\n"
    await stream.resize(TerminalSize(rows=50, columns=132))
    assert await read_some(stream, 7) == b"50 132\n"


async def test_sizes_do_not_wait_for_input_that_is_not_read(rig: StreamRig) -> None:
    stream = await rig.exec("show-size", tty=True)
    sending = asyncio.ensure_future(stream.send(b"x" * LARGE))
    await settle_fully()
    assert not sending.done()
    await stream.resize(TerminalSize(rows=50, columns=132))
    assert await read_some(stream, 7) == b"50 132\n"
    sending.cancel()


async def test_logs_are_followed_until_the_container_ends(rig: StreamRig) -> None:
    rig.runtime.print_output(UUID, "zero\n")
    rig.runtime.print_output(UUID, "one\n")
    stream = await rig.follow_logs(tail=1)
    assert await read_some(stream, 4) == b"one\n"
    rig.runtime.print_output(UUID, "two\n")
    assert await read_some(stream, 4) == b"two\n"
    rig.runtime.print_output(UUID, "three\n")
    rig.runtime.end(UUID)
    assert await read_all(stream) == b"three\n"
    assert (await stream.wait_closed()).reason is CloseReason.ENDED


async def test_a_session_that_is_lost_ends_its_streams_and_the_next_one_has_its_own(rig: StreamRig) -> None:
    stream = await rig.exec("cat")
    other = await rig.exec("hang")
    sending = asyncio.ensure_future(other.send(b"x" * LARGE))
    await settle_fully()
    assert rig.session is not None
    await rig.session.close()
    with pytest.raises(StreamClosed, match="the session with the agent is over"):
        await read_all(stream)
    with pytest.raises(StreamClosed) as caught:
        await sending
    assert caught.value.ending.reason is CloseReason.LOST
    await settle_fully()
    assert rig.runtime.programs.running[UUID] == []
    await rig.clock.advance(1)
    again = await rig.exec("cat")
    await again.send(b"back")
    assert await read_some(again, 4) == b"back"


async def test_what_was_received_before_the_session_was_lost_can_be_read(rig: StreamRig) -> None:
    stream = await rig.exec("cat")
    await stream.send(b"before")
    await settle_fully()
    assert rig.session is not None
    await rig.session.close()
    assert await read_some(stream, 6) == b"before"
    with pytest.raises(StreamClosed):
        await stream.receive()


async def test_reports_and_questions_pass_streams_that_are_stopped(rig: StreamRig) -> None:
    floods = [await rig.exec("flood", str(LARGE)) for _ in range(40)]
    stopped = [await rig.exec("hang") for _ in range(10)]
    sending = [asyncio.ensure_future(stream.send(b"x" * LARGE)) for stream in stopped]
    await settle_fully()
    assert not any(task.done() for task in sending)
    async with asyncio.timeout(SECONDS):
        assert (await rig.gateway.execute(HOST, UUID, ["echo", "hi"])).output == "echo hi"
    rig.runtime.end(UUID, 7)
    await settle_fully()
    assert rig.store.observed[UUID].exit_code == 7
    for stream in floods:
        await read_all(stream)
    for task in sending:
        with pytest.raises(StreamClosed):
            await task


async def test_many_streams_get_their_turns(rig: StreamRig) -> None:
    """One that is read fast does not keep the others waiting."""
    streams = [await rig.exec("flood", str(LARGE)) for _ in range(8)]
    sizes = [0] * len(streams)

    async def read(number: int, stream: ByteStream) -> None:
        while (chunk := await stream.receive()) is not None:
            sizes[number] += len(chunk.data)
            if sizes[number] == LARGE:
                assert min(sizes) > LARGE // 2

    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*(read(number, stream) for number, stream in enumerate(streams)))


async def test_a_stream_that_cannot_be_opened_says_why(rig: StreamRig) -> None:
    with pytest.raises(NotFound):
        await rig.gateway.open_exec(HOST, "nobody", ["cat"], tty=False, size=None)
    with pytest.raises(Unavailable, match="away"):
        await rig.gateway.open_exec("h2", UUID, ["cat"], tty=False, size=None)
    rig.runtime.end(UUID)
    with pytest.raises(Conflict, match="not running"):
        await rig.exec("cat")
    rig.runtime.misbehave("open_exec", InjectedFault(error=RuntimeError("a secret")))
    with pytest.raises(Unavailable) as caught:
        await rig.exec("cat")
    assert "secret" not in caught.value.detail


async def test_an_open_that_takes_too_long_is_given_up_on_both_sides(rig: StreamRig) -> None:
    rig.runtime.misbehave("open_exec", InjectedFault(gate=asyncio.Event()))
    opening = asyncio.ensure_future(rig.exec("cat"))
    await rig.clock.advance(6)
    with pytest.raises(Unavailable, match="within 5 seconds"):
        await opening
    rig.runtime.behave("open_exec")
    stream = await rig.exec("cat")
    await stream.send(b"x")
    assert await read_some(stream, 1) == b"x"
    assert len(rig.runtime.programs.running[UUID]) == 1


async def test_a_user_who_leaves_while_it_opens_leaves_nothing(rig: StreamRig) -> None:
    gate = asyncio.Event()
    rig.runtime.misbehave("open_exec", InjectedFault(gate=gate, times=1))
    opening = asyncio.ensure_future(rig.exec("cat"))
    await settle_fully()
    opening.cancel()
    await settle_fully()
    gate.set()
    await settle_fully()
    assert not rig.runtime.programs.running.get(UUID)


async def test_one_project_does_not_take_the_streams_of_others(rig: StreamRig, monkeypatch) -> None:
    monkeypatch.setattr(session, "MAX_PROJECT_STREAMS", 2)
    mine = [await rig.exec("cat") for _ in range(2)]
    with pytest.raises(TooManyRequests, match="2 sessions"):
        await rig.exec("cat")
    other = str(uuids.uuid4())
    rig.store.place(HOST, structs.replace(assignment(CREATE, uuid=other), project_id="other"))
    await rig.clock.advance(RESYNC_SECONDS + 1)
    await settle()
    theirs = await rig.gateway.open_exec(HOST, other, ("cat",), tty=False, size=None)
    await mine[0].close()
    await settle()
    again = await rig.exec("cat")
    for stream in (*mine, theirs, again):
        await stream.close()
