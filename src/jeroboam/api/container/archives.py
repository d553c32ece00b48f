"""Files into containers and out of them (contract: container, section 2, get_archive and put_archive).

The archive is a member of a JSON object, as text in base64 (from version 1.25 on). It may be larger than memory: it is
read from the body and written into the answer piece by piece. Neighbours: `api.streams`, which reads and writes pieces;
`domain.archives`, which refuses archives that unpack to more than was sent.
"""

import base64
import binascii
import re
from collections.abc import AsyncIterable, AsyncIterator

import msgspec

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.container.actions import find_placed
from jeroboam.api.container.shapes import Archive, PathStatShape
from jeroboam.api.fields import LARGEST, FieldCheck, InvalidField, body_of, text
from jeroboam.domain.archives import ArchiveGuard, PathStat
from jeroboam.domain.errors import Invalid, Unavailable
from jeroboam.domain.streams import ByteStream, CloseReason, StreamClosed

BASE64_SINCE = 25
PATH: dict[str, FieldCheck] = {"path": text(high=4096)}
BODY = body_of({"data": text(low=0, high=LARGEST)}, "data")
# A text archive is held in memory: it is for small files.
_MOST_TEXT = 16 << 20
_HEAD = re.compile(rb'\s*\{\s*"data"\s*:\s*"')
_LONGEST_HEAD = 256
_TAIL = re.compile(rb"\s*\}\s*")
_LINE_BREAKS = re.compile(rb"\\[nr]")
_GROUP = 4


def _read_path(call: Call) -> str:
    path = call.query.get("path")
    if path is None:
        raise InvalidField("path", None, "it is required.")
    return str(path)


async def get_archive(call: Call) -> Answer:
    """GET /containers/{}/get_archive: a file or folder of the container as a tar archive"""
    path = _read_path(call)
    container, host_id = await find_placed(call, "get_archive")
    gateway = call.parts.gateway
    stat = _show(await gateway.stat_path(host_id, container.uuid, path))
    stream = await gateway.read_archive(host_id, container.uuid, path)
    if call.version >= BASE64_SINCE:
        return Answer(pieces=ArchiveBody(stream, stat))
    try:
        body: Archive = {"data": await _read_text(stream), "stat": stat}
    finally:
        await stream.close()
    return reply(body)


def _show(stat: PathStat) -> PathStatShape:
    return {
        "name": stat.name,
        "size": stat.size,
        "mode": stat.mode,
        "mtime": stat.mtime,
        "linkTarget": stat.link_target,
    }


class _TextArchive(msgspec.Struct, forbid_unknown_fields=True):
    data: str


_decode_text = msgspec.json.Decoder(_TextArchive).decode


class ArchiveBody:
    """The answer: what is known of the path, and the archive in base64. Implements `BodySource`."""

    def __init__(self, stream: ByteStream, stat: PathStatShape) -> None:
        self._stream = stream
        self._stat = stat

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"stat":' + msgspec.json.encode(self._stat) + b',"data":"'
        rest = b""
        while (chunk := await self._stream.receive()) is not None:
            data = rest + chunk.data
            whole = len(data) // 3 * 3
            rest = data[whole:]
            if whole:
                yield base64.b64encode(data[:whole])
        yield base64.b64encode(rest) + b'"}'

    async def close(self) -> None:
        await self._stream.close()


async def _read_text(stream: ByteStream) -> str:
    data = bytearray()
    try:
        while (chunk := await stream.receive()) is not None:
            data += chunk.data
            if len(data) > _MOST_TEXT:
                raise Invalid("The archive is larger than 16 MiB: ask with version 1.25 or later.", field="path")
        return data.decode()
    except UnicodeDecodeError as error:
        raise Invalid("The archive is not text: ask with version 1.25 or later.", field="path") from error
    except StreamClosed as error:
        raise Unavailable(error.ending.detail or "the archive was broken off") from error


async def put_archive(call: Call) -> Answer:
    """POST /containers/{}/put_archive: a tar archive, unpacked into a folder of the container"""
    path = _read_path(call)
    container, host_id = await find_placed(call, "put_archive", is_change=True)
    assert call.upload is not None
    pieces = _read_base64(call.upload) if call.version >= BASE64_SINCE else _read_plain(call.upload)
    stream = await call.parts.gateway.write_archive(host_id, container.uuid, path)
    try:
        await _send(stream, pieces)
    finally:
        await stream.close()
    return reply(None)


async def _send(stream: ByteStream, pieces: AsyncIterable[bytes]) -> None:
    """Send the archive and wait until all is unpacked. Raises `Invalid` with the reason if it cannot be."""
    guard = ArchiveGuard()
    try:
        async for piece in pieces:
            guard.feed(piece)
            await stream.send(piece)
        guard.finish()
        await stream.end()
        while await stream.receive() is not None:
            pass
    except StreamClosed as error:
        _raise_ending(error)


def _raise_ending(error: StreamClosed) -> None:
    detail = error.ending.detail or "the archive was broken off"
    if error.ending.reason in {CloseReason.INVALID, CloseReason.CONFLICT}:
        raise Invalid(f"The archive could not be unpacked: {detail}", field="data") from error
    raise Unavailable(detail) from error


async def _read_plain(upload: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The archive of a body in which it stands as text."""
    body = bytearray()
    async for piece in upload:
        body += piece
        if len(body) > _MOST_TEXT:
            raise Invalid("The archive is larger than 16 MiB: send it with version 1.25 or later.", field="data")
    try:
        # Unlike other bodies, an archive holds NUL characters.
        yield _decode_text(body).data.encode()
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise InvalidField("data", "(not shown)", "the body has to be an object with data, a string, alone.") from error


async def _read_base64(upload: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The archive of a body in which it stands in base64, piece by piece."""
    head, rest, tail = b"", b"", b""
    is_open = has_ended = False
    async for piece in upload:
        data = piece
        if not is_open:
            head += piece
            match = _HEAD.match(head)
            if match is None:
                if len(head) >= _LONGEST_HEAD:
                    break
                continue
            is_open, data = True, head[match.end() :]
        if has_ended:
            tail += data
            if len(tail) > _LONGEST_HEAD:
                break
            continue
        text, quote, after = data.partition(b'"')
        has_ended, tail = bool(quote), after
        text = _unescape(rest + text)
        keep = 0 if has_ended else len(text) % _GROUP + (_GROUP if text.endswith(b"\\") else 0)
        whole, rest = (text, b"") if not keep else (text[:-keep], text[-keep:])
        if whole:
            yield _decode_group(whole)
    if not has_ended or _TAIL.fullmatch(tail) is None:
        raise InvalidField("data", "(not shown)", "the body has to be an object with data, in base64, alone.")


def _unescape(raw: bytes) -> bytes:
    r"""Base64 as JSON may write it: `\/` for a slash, and line breaks."""
    return _LINE_BREAKS.sub(b"", raw.replace(b"\\/", b"/")) if b"\\" in raw else raw


def _decode_group(raw: bytes) -> bytes:
    try:
        return base64.b64decode(raw, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidField("data", "(not shown)", "it is not base64.") from error
