"""The rules of streams at one end, with the test in the place of the other."""

import asyncio

import pytest

from jeroboam.domain.streams import Channel, CloseReason, StreamClosed, TerminalSize
from jeroboam.protocol import (
    InteractiveExec,
    StreamClose,
    StreamData,
    StreamEnd,
    StreamOpen,
    StreamOpened,
    StreamResize,
    StreamWindow,
)
from jeroboam.protocol.agent_streams import MAX_STREAMS, AgentStreams
from jeroboam.protocol.server_streams import ServerStreams
from jeroboam.protocol.streams import FRAME_BYTES, FRAME_COST, RETURN_BYTES, STALL_SECONDS, WINDOW_BYTES, cost_of
from tests.agent_rig import UUID
from tests.clock import ManualClock, settle

REQUEST = InteractiveExec(command=("sh",), tty=True)
OPEN = StreamOpen(id=1, container=UUID, request=REQUEST)
FRAME = b"x" * FRAME_BYTES


class End:
    """What one end has sent. `gate`, once set to an event, holds the connection until that."""

    def __init__(self) -> None:
        self.sent = []
        self.gate = None
        self.broken = False

    async def send(self, message) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            raise ConnectionError("the session is over")
        self.sent.append(message)

    def count(self, kind) -> int:
        return sum(isinstance(message, kind) for message in self.sent)


@pytest.fixture
def end():
    return End()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def server(end, clock):
    made = ServerStreams(end.send, clock=clock)
    yield made
    await made.close()


@pytest.fixture
async def agent(end, clock):
    made = AgentStreams(end.send, clock=clock)
    yield made
    await made.close()


@pytest.fixture
async def stream(server):
    opening = asyncio.ensure_future(server.open(UUID, REQUEST, seconds=5))
    await settle()
    server.confirm(StreamOpened(id=1))
    return await opening


def output(data=b"x", channel=Channel.OUTPUT, number=1):
    return StreamData(id=number, channel=channel, data=data)


@pytest.mark.parametrize(
    "messages",
    [
        [output(b"")],
        [output(b"x" * (FRAME_BYTES + 1))],
        [output(channel=Channel.INPUT)],
        [StreamEnd(id=1), output()],
        [StreamWindow(id=1, credit=1)],
        [StreamWindow(id=1, credit=0)],
        [StreamWindow(id=1, credit=-5)],
        [output(FRAME)] * (WINDOW_BYTES // FRAME_BYTES),
        [output()] * (WINDOW_BYTES // (1 + FRAME_COST) + 1),
    ],
    ids=["empty", "large", "channel", "after-end", "credit", "no-credit", "negative", "window", "window-of-bytes"],
)
async def test_a_peer_that_breaks_a_rule_loses_that_stream_only(server, stream, end, messages):
    opening = asyncio.ensure_future(server.open(UUID, REQUEST, seconds=5))
    await settle()
    server.confirm(StreamOpened(id=2))
    other = await opening
    for message in messages:
        server.receive(message)
    await settle()
    assert end.sent[-1].reason is CloseReason.VIOLATION
    assert end.sent[-1].id == 1
    with pytest.raises(StreamClosed, match="the other side sent"):
        await stream.receive()
    server.receive(output(b"fine", number=2))
    assert (await other.receive()).data == b"fine"


async def test_a_window_can_be_used_to_its_end(server, stream):
    pieces = WINDOW_BYTES // (FRAME_BYTES + FRAME_COST)
    for _ in range(pieces):
        server.receive(output(FRAME))
    server.receive(output(b"x" * (WINDOW_BYTES - pieces * cost_of(FRAME) - FRAME_COST)))
    server.receive(StreamClose(id=1, reason=CloseReason.ENDED))
    size = 0
    while (chunk := await stream.receive()) is not None:
        size += len(chunk.data)
    assert size == WINDOW_BYTES - (pieces + 1) * FRAME_COST


async def test_a_sender_uses_up_its_window_and_no_more(stream, end, server):
    sending = asyncio.ensure_future(stream.send(b"x" * (2 * WINDOW_BYTES)))
    await settle()
    pieces = [message.data for message in end.sent if isinstance(message, StreamData)]
    assert sum(map(cost_of, pieces)) <= WINDOW_BYTES < sum(map(cost_of, pieces)) + FRAME_COST + 1
    assert max(map(len, pieces)) == FRAME_BYTES
    server.receive(StreamWindow(id=1, credit=FRAME_COST + 10))
    await settle()
    assert len(end.sent[-1].data) == 10
    server.receive(StreamWindow(id=1, credit=WINDOW_BYTES))
    await settle()
    assert not sending.done(), "two windows do not fit into two windows: pieces cost more than their bytes"
    server.receive(StreamWindow(id=1, credit=RETURN_BYTES))
    await sending


async def test_credit_is_given_back_as_data_is_read(stream, end, server):
    for _ in range(4):
        server.receive(output(FRAME))
    await settle()
    assert end.count(StreamWindow) == 0
    for _ in range(4):
        await stream.receive()
    await settle()
    assert [message.credit for message in end.sent if isinstance(message, StreamWindow)] == [2 * cost_of(FRAME)] * 2


async def test_control_messages_wait_for_one_piece_at_most(server, stream, end):
    opening = asyncio.ensure_future(server.open(UUID, REQUEST, seconds=5))
    await settle()
    server.confirm(StreamOpened(id=2))
    other = await opening
    end.gate = asyncio.Event()
    sending = [asyncio.ensure_future(sender.send(FRAME * 4)) for sender in (stream, other)]
    await settle()
    resizing = asyncio.ensure_future(stream.resize(TerminalSize(rows=1, columns=2)))
    await settle()
    end.gate.set()
    await asyncio.gather(resizing, *sending)
    kinds = [type(message) for message in end.sent[2:]]
    assert kinds.index(StreamResize) == 1
    assert [message.id for message in end.sent if isinstance(message, StreamData)][:4] == [1, 2, 1, 2]


async def test_messages_of_streams_that_are_over_or_never_were_are_ignored(server, stream, end):
    await stream.close()
    sent = len(end.sent)
    for number in (1, 7):
        server.receive(output(number=number))
        server.receive(StreamWindow(id=number, credit=1))
        server.receive(StreamClose(id=number, reason=CloseReason.ENDED))
        server.confirm(StreamOpened(id=number))
    await settle()
    assert len(end.sent) == sent
    assert len(server) == 0


async def test_a_close_is_sent_even_if_its_caller_is_cancelled(stream, end):
    end.gate = asyncio.Event()
    closing = asyncio.ensure_future(stream.close())
    await settle()
    closing.cancel()
    await settle()
    end.gate.set()
    await settle()
    assert end.sent[-1] == StreamClose(id=1, reason=CloseReason.CANCELLED)


async def test_a_connection_that_breaks_ends_the_stream(stream, end):
    end.broken = True
    for attempt in (stream.send(b"x"), stream.end(), stream.resize(TerminalSize(rows=1, columns=1))):
        with pytest.raises(StreamClosed) as caught:
            await attempt
        assert caught.value.ending.reason is CloseReason.LOST


async def test_no_stream_is_opened_on_a_session_that_is_over(server, end):
    await server.close()
    with pytest.raises(StreamClosed) as caught:
        await server.open(UUID, REQUEST, seconds=5)
    assert caught.value.ending.reason is CloseReason.LOST
    assert end.sent == []


async def test_a_connection_that_breaks_while_a_stream_opens(server, end):
    end.broken = True
    with pytest.raises(StreamClosed):
        await server.open(UUID, REQUEST, seconds=5)
    assert len(server) == 0


async def test_the_second_stream_of_a_number_ends_the_first(agent, end):
    stream = agent.accept(OPEN)
    assert agent.accept(OPEN) is None
    assert (await stream.wait_closed()).reason is CloseReason.VIOLATION
    assert agent.accept(OPEN) is None
    await settle()
    assert [message.reason for message in end.sent] == [CloseReason.VIOLATION] * 2


async def test_an_agent_has_so_many_streams_and_no_more(agent, end):
    for number in range(1, MAX_STREAMS + 1):
        assert agent.accept(StreamOpen(id=number, container=UUID, request=REQUEST)) is not None
    assert agent.accept(StreamOpen(id=MAX_STREAMS + 1, container=UUID, request=REQUEST)) is None
    await settle()
    assert (end.sent[-1].id, end.sent[-1].reason) == (MAX_STREAMS + 1, CloseReason.UNAVAILABLE)
    agent.receive(StreamClose(id=1, reason=CloseReason.CANCELLED))
    assert agent.accept(StreamOpen(id=MAX_STREAMS + 2, container=UUID, request=REQUEST)) is not None


async def test_only_the_newest_size_counts(agent):
    stream = agent.accept(OPEN)
    for rows in (1, 2, 3):
        agent.resize(StreamResize(id=1, size=TerminalSize(rows=rows, columns=1)))
    agent.resize(StreamResize(id=9, size=TerminalSize(rows=9, columns=1)))
    assert (await stream.receive_size()).rows == 3
    waiting = asyncio.ensure_future(stream.receive_size())
    await settle()
    assert not waiting.done()
    agent.receive(StreamClose(id=1, reason=CloseReason.CANCELLED))
    with pytest.raises(StreamClosed):
        await waiting


async def test_an_agent_sends_on_both_channels_and_stalls_by_its_clock(agent, end, clock):
    stream = agent.accept(OPEN)
    await stream.send(b"out")
    await stream.send(b"err", Channel.ERROR)
    assert [(message.channel, message.data) for message in end.sent] == [
        (Channel.OUTPUT, b"out"),
        (Channel.ERROR, b"err"),
    ]
    sending = asyncio.ensure_future(stream.send(FRAME * 20))
    await clock.advance(STALL_SECONDS - 1)
    agent.receive(StreamWindow(id=1, credit=RETURN_BYTES))
    await clock.advance(STALL_SECONDS - 1)
    assert not sending.done()
    await clock.advance(2)
    with pytest.raises(StreamClosed, match="taken nothing"):
        await sending
    assert end.sent[-1].reason is CloseReason.STALLED
