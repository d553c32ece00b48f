"""WebSockets: how one is accepted, refused and closed.

A WebSocket passes the same checks as a request before it is accepted. Neighbours: `app`, which makes the checks;
`call.Socket` is what a handler sees.
"""

import structlog
from starlette.types import Receive, Scope, Send

from jeroboam.api.call import Answer, SocketClosed
from jeroboam.api.edge import RequestHead, build_headers

log = structlog.get_logger("jeroboam.api")

# Codes of RFC 6455.
_GOING_AWAY = 1001
_BUG = 1011
_MAX_REASON = 120


class ClientSocket:
    """Implements `Socket` on ASGI."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._is_over = False

    async def receive(self) -> bytes | str | None:
        if self._is_over:
            return None
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._is_over = True
            return None
        data: bytes | None = message.get("bytes")
        return data if data is not None else str(message["text"])

    async def send(self, message: bytes | str) -> None:
        if self._is_over:
            raise SocketClosed
        kind = "text" if isinstance(message, str) else "bytes"
        try:
            await self._send({"type": "websocket.send", kind: message})
        except OSError as error:
            self._is_over = True
            raise SocketClosed from error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._is_over:
            return
        self._is_over = True
        # A reason has 123 octets at most.
        short = reason.encode()[:_MAX_REASON].decode(errors="ignore")
        try:
            await self._send({"type": "websocket.close", "code": code, "reason": short})
        except OSError:
            return


async def serve_socket(answer: Answer, head: RequestHead, receive: Receive, send: Send) -> None:
    """Accept the WebSocket and serve it to its end."""
    assert answer.socket is not None
    headers = [header for header in build_headers(answer, head) if header[0] != b"content-length"]
    await send({"type": "websocket.accept", "subprotocol": answer.subprotocol, "headers": headers})
    socket = ClientSocket(receive, send)
    try:
        await answer.socket(socket)
    except SocketClosed:
        log.info("websocket over", request_id=head.request_id)
    except Exception:
        log.exception("bug", request_id=head.request_id)
        await socket.close(_BUG, f"An unexpected error happened. It is logged under {head.request_id}.")
    except BaseException:
        await socket.close(_GOING_AWAY)
        raise
    await socket.close()


async def refuse_socket(answer: Answer, scope: Scope, head: RequestHead, send: Send) -> None:
    """Answer the handshake with a refusal; its status and body come where the server can send them, else a 403."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1000})
        return
    headers = build_headers(answer, head)
    await send({"type": "websocket.http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": answer.body})
