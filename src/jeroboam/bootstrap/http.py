"""The HTTP server in front of the application: uvicorn's, with limits for clients that are not authenticated yet.

The head of a request is limited in size and time, and its body in time. An answer is limited in the time until the
client takes it. A malformed request is answered in JSON, in the shape that both families share. Neighbours: `service`
starts the server; `request_head` checks heads; `websocket` has the connections that become WebSockets; the
application limits the size of bodies and authenticates callers.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import uvicorn
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from jeroboam.bootstrap.request_head import check_head, render_error
from jeroboam.bootstrap.websocket import WebSocketProtocol
from jeroboam.kit.tasks import Tasks

# The headers that browsers may send and see, as in the published services.
_CORS_METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "HEAD")
_CORS_SENT = ("X-Auth-Token", "X-Openstack-Request-Id", "X-Service-Token", "OpenStack-API-Version", "Content-Type")
_CORS_SEEN = (
    "X-Openstack-Request-Id",
    "OpenStack-API-Version",
    "OpenStack-API-Minimum-Version",
    "OpenStack-API-Maximum-Version",
    "Location",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpLimits:
    """The limits of one connection. Times are in seconds."""

    head_octets: int = 64 << 10
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    body_octets_per_second: int = 16 << 10
    """The time limit of a body grows by one second for this many octets that have arrived."""
    untaken_octets: int = 4 << 20
    """The most octets of a body after its request was answered: clients send the whole body before they read."""
    answer_seconds: float = 60.0
    """The longest time until a client reads an answer."""
    message_octets: int = 1 << 20
    """The largest message of a WebSocket."""
    idle_seconds: int = 75
    """The longest time between two requests. Clients that poll every few seconds must not meet the close."""
    connections: int = 1000
    """The most open connections. Above that, each new connection closes an idle one."""


def limit_protocol(limits: HttpLimits) -> type[HttpToolsProtocol]:
    """Return the protocol class of connections with these limits."""

    class LimitedProtocol(_LimitedProtocol):
        pass

    LimitedProtocol.limits = limits
    return LimitedProtocol


class _LimitedProtocol(HttpToolsProtocol):
    limits = HttpLimits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._in_head = True
        self._head_octets = self._header_octets = self._untaken_octets = self._body_octets = 0
        self._body_start = 0.0
        self._was_read_paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._untaken: asyncio.TimerHandle | None = None
        self._make_room()
        self._arm(self.limits.head_seconds)

    def _make_room(self) -> None:
        """Close an idle connection if there are too many."""
        if len(self.connections) <= self.limits.connections:
            return
        idle = [
            other
            for other in self.connections
            if isinstance(other, _LimitedProtocol | WebSocketProtocol) and other is not self and other.is_idle()
        ]
        for other in idle:
            if not other.transport.is_closing():
                other.transport.close()
                return
        for other in idle:
            if other.transport.get_write_buffer_size():
                # The connection is closed already and waits for its client; only an abort ends it.
                other.transport.abort()
                return
        self.transport.close()

    def is_idle(self) -> bool:
        """Whether no request is being answered on the connection."""
        return self.cycle is None or self.cycle.response_complete

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_octets += len(data)
            if self._timer is None:
                self._arm(self.limits.head_seconds)
        super().data_received(data)
        if not self._in_head and self.cycle is not None and self.cycle.response_complete:
            self._untaken_octets += len(data)
            if self._untaken_octets > self.limits.untaken_octets:
                self.transport.close()
        if self._in_head and self._head_octets > self.limits.head_octets and not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's head is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_octets = max(self._head_octets, 1)
        self._arm(self.limits.head_seconds)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._header_octets += len(name) + len(value)
        if self._header_octets > self.limits.head_octets:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's head is too large.")
            raise ValueError("too large")

    def on_headers_complete(self) -> None:
        is_handshake = self.parser.should_upgrade() and self._should_upgrade()
        refusal = check_head(self.headers, version=self.parser.get_http_version(), is_handshake=is_handshake)
        if refusal is None and is_handshake and (not self.is_idle() or self.transport.get_write_buffer_size()):
            refusal = HTTPStatus.BAD_REQUEST, "The handshake of a WebSocket has to wait for the answers before it."
        if refusal is not None:
            self._refuse(*refusal)
            raise ValueError(refusal[1])
        self._in_head = False
        self._head_octets = self._header_octets = self._untaken_octets = 0
        self._start_body()
        self._arm(self.limits.body_seconds)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_octets += len(body)
        super().on_body(body)
        self._was_read_paused |= self.flow.read_paused

    def on_message_complete(self) -> None:
        self._disarm()
        # The next data belongs to the next request.
        self._in_head = True
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._untaken = self.loop.call_later(self.limits.answer_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def send_400_response(self, msg: str) -> None:
        """Answer a request that uvicorn finds malformed or cannot accept."""
        if not self.transport.is_closing():
            self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self._is_late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_late(self) -> None:
        if self.transport.is_closing():
            return
        is_body_awaited = not self._in_head and self.cycle is not None and not self.cycle.response_started
        if is_body_awaited and (seconds := self._seconds_for_body()) > 0:
            self._arm(seconds)
            return
        if self._in_head and self._head_octets:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "The request's head took too long.")
        elif self._in_head or self.cycle is None or self.cycle.response_started:
            # The client has sent nothing, or has an answer already.
            self.transport.close()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "The request's body took too long.")

    def _start_body(self) -> None:
        self._body_start, self._body_octets = self.loop.time(), 0

    def _seconds_for_body(self) -> float:
        """Return the remaining seconds for the body. A client is never late while the application reads nothing."""
        if self._was_read_paused:
            # The application may also have paused and resumed since the last look.
            self._start_body()
        self._was_read_paused = self.flow.read_paused
        seconds = self.limits.body_seconds + self._body_octets / self.limits.body_octets_per_second
        return self._body_start + seconds - self.loop.time()

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        body = render_error(status, detail)
        lines = [
            f"HTTP/1.1 {int(status)} {status.phrase}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
        ]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.close()


class _Server(uvicorn.Server):
    """A server without signal handlers, which ends closed connections whose clients do not take the rest."""

    def __init__(self, config: uvicorn.Config, limits: HttpLimits) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._limits = limits
        self._closing: dict[Any, float] = {}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()

    async def on_tick(self, counter: int) -> bool:
        self._abort_untaken()
        return await super().on_tick(counter)

    def _abort_untaken(self) -> None:
        """Abort connections that were closed long ago: a close waits for the client without a limit."""
        now = asyncio.get_running_loop().time()
        closing = [other for other in self.server_state.connections if other.transport.is_closing()]
        self._closing = {other: self._closing.get(other, now) for other in closing}
        for other, since in self._closing.items():
            if now - since > self._limits.answer_seconds:
                other.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def allow_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Return the application with CORS for pages of these origins; `*` is any. Without origins it is unchanged."""
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=list(origins),
        allow_methods=list(_CORS_METHODS),
        allow_headers=list(_CORS_SENT),
        expose_headers=list(_CORS_SEEN),
    )


@contextlib.asynccontextmanager
async def serve(
    app: ASGIApp, listener: socket.socket, *, tasks: Tasks, drain_seconds: int, limits: HttpLimits | None = None
) -> AsyncIterator[None]:
    """Serve on the socket. At the end, requests in progress may take that many seconds to be answered."""
    limits = limits or HttpLimits()
    protocol: Any = limit_protocol(limits)
    config = uvicorn.Config(
        app,
        http=protocol,
        ws=WebSocketProtocol,
        ws_max_size=limits.message_octets,
        # No pings: python-zunclient takes one for output, and waits for the rest of it while its user types.
        ws_ping_interval=None,
        ws_ping_timeout=None,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=drain_seconds,
        timeout_keep_alive=limits.idle_seconds,
        server_header=False,
    )
    server = _Server(config, limits)
    task = tasks.start("http", server.serve(sockets=[listener]))
    ready_task = tasks.start("http ready", server.ready.wait())
    await asyncio.wait({task, ready_task}, return_when=asyncio.FIRST_COMPLETED)
    ready_task.cancel()
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.wait({task}, timeout=drain_seconds)
