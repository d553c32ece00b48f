"""Messages as frames: everything that is sent can be decoded, and nothing else is."""

import dataclasses
import datetime as dt
import enum
import types
import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jeroboam.domain.containers import ContainerObserved, OpKind, RuntimeState
from jeroboam.protocol import (
    ContainerForgotten,
    ContainerReport,
    FromAgent,
    Hello,
    LiveRequest,
    LiveResponse,
    LogsAnswer,
    StatsRequest,
    StreamWindow,
    ToAgent,
    codec,
)
from tests.agent_rig import CREATE, UUID, assignment, op
from tests.builders import NOW

_PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()
_SCALARS = {
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False),
    str: st.text(),
    bytes: st.binary(max_size=200),
    dt.datetime: st.datetimes(timezones=st.just(dt.UTC)),
    type(None): st.none(),
    Any: st.recursive(_PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5),
}


def build_strategy(hint) -> st.SearchStrategy[Any]:
    """All values of a type, as far as messages use types."""
    if hint in _SCALARS:
        return _SCALARS[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        return st.one_of(*map(build_strategy, arguments))
    if origin is tuple:
        return st.lists(build_strategy(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(*map(build_strategy, arguments), max_size=3)
    if issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    assert dataclasses.is_dataclass(hint) or issubclass(hint, msgspec.Struct), hint
    return st.builds(hint, **{name: build_strategy(inner) for name, inner in typing.get_type_hints(hint).items()})


@given(build_strategy(ToAgent))
def test_what_the_server_sends_is_what_the_agent_receives(message):
    assert codec.decode_to_agent(codec.encode(message)) == message


@given(build_strategy(FromAgent))
def test_what_an_agent_sends_is_what_the_server_receives(message):
    assert codec.decode_from_agent(codec.encode(message)) == message


@given(st.binary(max_size=200))
def test_noise_is_a_frame_error(noise):
    for decode in (codec.decode_to_agent, codec.decode_from_agent):
        with pytest.raises(codec.FrameError):
            decode(noise)


@given(build_strategy(FromAgent), st.data())
def test_a_damaged_frame_is_a_message_or_a_frame_error(message, data):
    frame = bytearray(codec.encode(message))
    place = data.draw(st.integers(0, len(frame) - 1))
    frame[place] = data.draw(st.integers(0, 255))
    try:
        decoded = codec.decode_from_agent(bytes(frame))
    except codec.FrameError:
        return
    assert codec.decode_from_agent(codec.encode(decoded)) == decoded


def test_values_keep_their_types():
    sent = assignment(CREATE, op(2, OpKind.STOP, timeout=3), deadline=NOW, labels={"a": "b"})
    received = codec.decode_to_agent(codec.encode(sent))
    assert received == sent
    assert isinstance(received.ops, tuple)
    assert received.ops[1].kind is OpKind.STOP
    assert received.deadline_at.tzinfo is not None
    report = ContainerReport(uuid=UUID, observed=ContainerObserved(seq=1, state=RuntimeState.RUNNING))
    assert codec.decode_from_agent(codec.encode(report)).observed.state is RuntimeState.RUNNING


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (codec.encode(ContainerForgotten(uuid=UUID)), codec.UnknownMessage),
        (msgspec.msgpack.encode({"type": "of-tomorrow", "field": 1}), codec.UnknownMessage),
        (msgspec.msgpack.encode({"type": "stream-window", "id": 1}), codec.MalformedFrame),
        (msgspec.msgpack.encode({"type": "stream-window", "id": "1", "credit": 1}), codec.MalformedFrame),
        (codec.encode(StreamWindow(id=1, credit=1)) + b"\x00", codec.MalformedFrame),
        (codec.encode(StreamWindow(id=1, credit=1))[:-1], codec.MalformedFrame),
        (b"\x91" * 100_000, codec.MalformedFrame),
        (b"", codec.MalformedFrame),
        (bytes(codec.MAX_FRAME_BYTES + 1), codec.OversizedFrame),
    ],
)
def test_frames_that_are_none(frame, error):
    with pytest.raises(error):
        codec.decode_from_agent(frame)


def test_a_field_that_is_newer_is_ignored():
    frame = msgspec.msgpack.encode({"type": "stream-window", "id": 1, "credit": 2, "of_tomorrow": 3})
    assert codec.decode_from_agent(frame) == StreamWindow(id=1, credit=2)


@pytest.mark.parametrize(
    "message",
    [
        Hello(version=1, hostname="\ud800", facts=None),
        LiveRequest(id=2**64, container=UUID, question=StatsRequest()),
        LiveResponse(id=1, answer=LogsAnswer(text="x" * codec.MAX_FRAME_BYTES)),
    ],
)
def test_messages_that_no_frame_can_carry(message):
    with pytest.raises(codec.UnencodableMessage, match=str(message.__struct_config__.tag)):
        codec.encode(message)
