"""The WebSockets of the HTTP server: uvicorn's, with an immediate answer to malformed handshakes.

Without this a handshake that the library cannot read is never answered, and breaks the server's shutdown.
Neighbours: `http` gives a connection to this protocol when the head of the handshake is complete.
"""

import logging
import socket
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Response
from websockets.server import ServerProtocol

from jeroboam.bootstrap.request_head import render_error

# A peer that does not answer for two minutes is gone.
_PROBES = {socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 15, socket.TCP_KEEPCNT: 4}


# The faults of clients that the library reports as its own, with a traceback.
_CLIENTS_FAULTS = frozenset(
    {"ASGI callable returned without completing handshake.", "Invalid UTF-8 sequence received from client."}
)


class _WithoutClientsFaults(logging.Filter):
    """Drops what clients did wrong: a refused handshake is logged as a request, a bad frame closes the WebSocket."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg not in _CLIENTS_FAULTS


logging.getLogger("uvicorn.error").addFilter(_WithoutClientsFaults())


class _JsonServerProtocol(ServerProtocol):
    """Refuses handshakes in JSON."""

    def reject(self, status: int, text: str) -> Response:
        response = super().reject(status, text)
        response.body = render_error(response.status_code, " ".join(text.split()))
        for name, value in (("Content-Length", str(len(response.body))), ("Content-Type", "application/json")):
            del response.headers[name]
            response.headers[name] = value
        return response


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A connection from the complete head of a handshake on."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.conn = _JsonServerProtocol(max_size=self.config.ws_max_size, logger=self.logger)

    def connection_made(self, transport: Any) -> None:
        """Let the system notice a peer that is gone: its probes are not seen by clients, as pings are."""
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family in {socket.AF_INET, socket.AF_INET6}:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _PROBES.items():
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
        super().connection_made(transport)

    def is_idle(self) -> bool:
        """Whether the connection is over and only waits until the client has taken the rest."""
        return self.close_sent or self.transport.is_closing()

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated and not self.handshake_complete:
            # RFC 6455, 4.1. The library would read the data as frames of a connection that is not open.
            self._refuse(HTTPStatus.BAD_REQUEST, "Data came before the handshake of the WebSocket was answered.")
            return
        super().data_received(data)
        if not self.handshake_initiated:
            self._refuse(HTTPStatus.BAD_REQUEST, "The handshake of the WebSocket is malformed.")

    def shutdown(self) -> None:
        if self.transport.is_closing():
            self.stop_keepalive()
        elif self.handshake_complete:
            super().shutdown()
        else:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "The service is being stopped.")

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer the handshake, with the library's own answer if there is one, and close."""
        if self.transport.is_closing():
            return
        answer = b"".join(self.conn.data_to_send())
        if not answer:
            response = self.conn.reject(status, detail)
            answer = response.serialize()
        self.handshake_complete = self.close_sent = True
        self.transport.write(answer)
        self.transport.close()
