"""Carries the bytes of an interactive session between a stream and a WebSocket, each way at the pace of its reader.

The published clients offer the subprotocols `binary` (frames of bytes) and `base64` (frames of text); browsers offer
none and get `binary`. They decode each frame as UTF-8 by itself, so no character is split between two frames. When the
process ends, the WebSocket closes with code 1000 and the exit code as its reason. Neighbour: `interactive`.
"""

import asyncio
import base64
import binascii
from collections.abc import Sequence

import structlog

from jeroboam.api.call import Socket, SocketClosed
from jeroboam.domain.streams import ByteStream, CloseReason, StreamClosed, StreamEnding
from jeroboam.kit.clock import Clock
from jeroboam.kit.tasks import Tasks

log = structlog.get_logger("jeroboam.api")

BASE64, BINARY = "base64", "binary"
# Codes of RFC 6455.
_NORMAL, _INVALID, _FAILED = 1000, 1007, 1011
# A character of UTF-8 has at most four bytes, and the first says how many.
_LONGEST_CHARACTER = 4
_CONTINUATION = 0x80
# The time that a client has for the output that is left when its process has ended.
_REST_SECONDS = 120.0
_FIRST_BYTES = ((0xF0, 4), (0xE0, 3), (0xC0, 2))


def choose_subprotocol(offered: Sequence[str]) -> str | None:
    """The first subprotocol that is known; None if the client offers none of these."""
    return next((name for name in offered if name in {BASE64, BINARY}), None)


def split_incomplete(data: bytes) -> tuple[bytes, bytes]:
    """Split off the beginning of a character at the end. Bytes that are no UTF-8 are left as they are."""
    for length in range(1, min(_LONGEST_CHARACTER, len(data) + 1)):
        byte = data[-length]
        if byte & 0xC0 == _CONTINUATION:
            continue
        whole = next((size for first, size in _FIRST_BYTES if byte >= first), 1)
        return (data[:-length], data[-length:]) if whole > length else (data, b"")
    return data, b""


async def serve_terminal(stream: ByteStream, socket: Socket, subprotocol: str | None, clock: Clock) -> None:
    """Carry the session until the process ends or the client goes away."""
    tasks = Tasks(_report)
    try:
        output = tasks.start("output", _carry_output(stream, socket, subprotocol))
        gone = tasks.start("input", _carry_input(stream, socket, subprotocol))
        broken = tasks.start("end", _wait_broken(stream, clock))
        await asyncio.wait({output, gone, broken}, return_when=asyncio.FIRST_COMPLETED)
        if output.done() and not output.cancelled() and output.exception() is None:
            await _close(socket, await stream.wait_closed())
        elif broken.done() and not gone.done():
            await _close(socket, broken.result())
    finally:
        try:
            await tasks.close()
        finally:
            await stream.close()


async def _wait_broken(stream: ByteStream, clock: Clock) -> StreamEnding:
    """Return how the stream was broken off. If it ended well, the client has some time to take the rest."""
    ending = await stream.wait_closed()
    if ending.reason is CloseReason.ENDED:
        await clock.sleep(_REST_SECONDS)
    return ending


async def _close(socket: Socket, ending: StreamEnding) -> None:
    if ending.reason is CloseReason.ENDED:
        await socket.close(_NORMAL, "" if ending.exit_code is None else f"exit code {ending.exit_code}")
    else:
        await socket.close(_FAILED, ending.detail or ending.reason)


async def _carry_output(stream: ByteStream, socket: Socket, subprotocol: str | None) -> None:
    rest = b""
    try:
        while (chunk := await stream.receive()) is not None:
            data, rest = split_incomplete(rest + chunk.data)
            if data:
                await _send(socket, data, subprotocol)
        if rest:
            await _send(socket, rest, subprotocol)
    except StreamClosed:
        return


async def _send(socket: Socket, data: bytes, subprotocol: str | None) -> None:
    await socket.send(base64.b64encode(data).decode() if subprotocol == BASE64 else data)


async def _carry_input(stream: ByteStream, socket: Socket, subprotocol: str | None) -> None:
    """Pass the input on until the client goes away. What the process does not take any more is discarded.

    An empty frame ends the input, as the end of a file does. The published clients send none.
    """
    takes_input = True
    while (message := await socket.receive()) is not None:
        try:
            data = _decode(message, subprotocol)
        except (binascii.Error, ValueError):
            await socket.close(_INVALID, "a frame is not valid base64")
            return
        if takes_input:
            try:
                await (stream.send(data) if data else stream.end())
                takes_input = bool(data)
            except StreamClosed:
                takes_input = False


def _decode(message: bytes | str, subprotocol: str | None) -> bytes:
    """The bytes of a frame. Raises `ValueError` for one that is not base64 where it should be."""
    if subprotocol == BASE64:
        return base64.b64decode(message, validate=True)
    return message if isinstance(message, bytes) else message.encode()


def _report(name: str, error: BaseException) -> None:
    if not isinstance(error, SocketClosed):
        log.error("bug", task=f"terminal {name}", exc_info=error)
