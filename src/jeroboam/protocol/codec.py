"""Messages as frames of bytes (MessagePack), for sessions between processes.

A frame holds one message; the transport keeps frames apart. A frame that cannot be decoded is a `FrameError`, which is
a `ConnectionError`: a session ends if its peer cannot be understood. Neighbours: the package, which defines the
messages.
"""

from typing import Final, TypeVar, get_args

import msgspec

from jeroboam.protocol import FromAgent, ToAgent
from jeroboam.protocol.message import Message

MAX_FRAME_BYTES: Final = 64 << 20
"""The largest frame. The largest message is an answer to `LogsRequest`, with 16 MiB of text that may be escaped."""


class FrameError(ConnectionError):
    """The frame does not follow this protocol."""


class OversizedFrame(FrameError):
    """The frame is larger than the limit."""


class UnknownMessage(FrameError):
    """The frame is a message of a kind that this direction does not have. Its sender may be newer."""

    def __init__(self, tag: str) -> None:
        super().__init__(f"there is no message {tag[:80]!r} in this direction")
        self.tag = tag


class MalformedFrame(FrameError):
    """The frame is no message: it is no MessagePack, or its fields are not those of its kind."""


class UnencodableMessage(ValueError):
    """No frame can carry the message: it is too large, or has text that is no Unicode, or a number above 64 bits."""


class _Tagged(msgspec.Struct):
    type: str


_encoder = msgspec.msgpack.Encoder()
_decode_tag = msgspec.msgpack.Decoder(_Tagged).decode
_to_agent: msgspec.msgpack.Decoder[ToAgent] = msgspec.msgpack.Decoder(ToAgent)
_from_agent: msgspec.msgpack.Decoder[FromAgent] = msgspec.msgpack.Decoder(FromAgent)
_Union = TypeVar("_Union")


def _list_tags(union: object) -> frozenset[str]:
    return frozenset(str(kind.__struct_config__.tag) for kind in get_args(union))


_TO_AGENT_TAGS = _list_tags(ToAgent)
_FROM_AGENT_TAGS = _list_tags(FromAgent)


def encode(message: Message) -> bytes:
    """Return the frame of a message. Raises `UnencodableMessage`."""
    try:
        frame = _encoder.encode(message)
    except (UnicodeEncodeError, OverflowError, TypeError, msgspec.MsgspecError) as error:
        raise UnencodableMessage(f"{_tag_of(message)}: {error}") from error
    if len(frame) > MAX_FRAME_BYTES:
        raise UnencodableMessage(f"{_tag_of(message)}: {len(frame)} bytes are more than {MAX_FRAME_BYTES}")
    return frame


def decode_to_agent(frame: bytes) -> ToAgent:
    """Return the message of a frame that the server sent. Raises `FrameError`."""
    return _decode(frame, _to_agent, _TO_AGENT_TAGS)


def decode_from_agent(frame: bytes) -> FromAgent:
    """Return the message of a frame that an agent sent. Raises `FrameError`."""
    return _decode(frame, _from_agent, _FROM_AGENT_TAGS)


def _decode(frame: bytes, decoder: msgspec.msgpack.Decoder[_Union], tags: frozenset[str]) -> _Union:
    if len(frame) > MAX_FRAME_BYTES:
        raise OversizedFrame(f"{len(frame)} bytes are more than {MAX_FRAME_BYTES}")
    try:
        return decoder.decode(frame)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        tag = _read_tag(frame)
        if tag is not None and tag not in tags:
            raise UnknownMessage(tag) from error
        raise MalformedFrame(f"{tag or 'no message'}: {error}") from error


def _read_tag(frame: bytes) -> str | None:
    try:
        return _decode_tag(frame).type
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def _tag_of(message: Message) -> str:
    return str(message.__struct_config__.tag)
