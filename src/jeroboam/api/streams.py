"""Bodies that are larger than memory, in both directions: neither side gets more than the other takes.

An answer in pieces waits for its client before each piece, and ends when the client goes away. An upload is read as the
handler takes it. Neighbours: `app`, which uses both; `call`, whose `Answer` and `Call` have them; `edge` for bodies
that are small.
"""

import asyncio
from collections.abc import AsyncIterator

import structlog
from starlette.types import Receive, Send

from jeroboam.api.call import Answer, BodySource
from jeroboam.api.edge import BodyTooLarge, ClientDisconnected, RequestHead, build_headers, read_length
from jeroboam.domain.streams import ByteStream, StreamClosed
from jeroboam.kit.clock import Clock
from jeroboam.kit.tasks import Tasks

log = structlog.get_logger("jeroboam.api")


class Upload:
    """The body of a request, in pieces as it comes. It can be read once.

    Iteration raises `BodyTooLarge`, or `ClientDisconnected` when the client goes away before the end.
    """

    def __init__(self, head: RequestHead, receive: Receive, max_bytes: int) -> None:
        """Raises `BodyTooLarge` for a body that is announced as larger."""
        if read_length(head) > max_bytes:
            raise BodyTooLarge
        self._receive = receive
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size, has_more = 0, True
        while has_more:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientDisconnected
            piece = message.get("body", b"")
            size += len(piece)
            if size > self._max_bytes:
                raise BodyTooLarge
            if piece:
                yield piece
            has_more = message.get("more_body", False)


class OutputBody:
    """The output of a stream as the body of an answer. The end of the answer ends the stream."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await self._stream.receive()) is not None:
            yield chunk.data

    async def close(self) -> None:
        await self._stream.close()


async def respond_in_pieces(
    answer: Answer, source: BodySource, head: RequestHead, receive: Receive, send: Send, *, clock: Clock
) -> None:
    """Send the answer piece by piece. If the source fails, the server cuts the connection, so the client notices."""
    tasks = Tasks(_report)
    try:
        await send({"type": "http.response.start", "status": answer.status, "headers": build_headers(answer, head)})
        if head.method == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        body = tasks.start(f"body of {head.request_id}", _send_pieces(source, send, head.request_id, clock))
        gone = tasks.start(f"client of {head.request_id}", _wait_until_gone(receive))
        await asyncio.wait({body, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        try:
            await tasks.close()
        finally:
            await source.close()


async def _send_pieces(source: BodySource, send: Send, request_id: str, clock: Clock) -> None:
    try:
        async for piece in source:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            # A source that is always ready, and a server whose client is gone, never wait: others have their turn here.
            await clock.sleep(0)
    except StreamClosed as error:
        log.info("answer broken off", request_id=request_id, reason=error.ending.reason, detail=error.ending.detail)
        return
    await send({"type": "http.response.body", "body": b""})


async def _wait_until_gone(receive: Receive) -> None:
    """Return when the client has gone away. A source that is silent would not notice it."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _report(name: str, error: BaseException) -> None:
    log.error("bug", task=name, exc_info=error)
