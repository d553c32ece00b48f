"""Checks the head of a request before the application sees it, and renders the body of the server's own refusals.

Neighbours: `http` refuses what this module finds; `websocket` has the same body for its refusals.
"""

import json
from collections.abc import Sequence
from http import HTTPStatus


def render_error(status: int, detail: str) -> bytes:
    """Return the JSON body of a refusal, in the shape that both families share."""
    error = {"request_id": "", "code": "", "status": status, "title": HTTPStatus(status).phrase, "detail": detail}
    return json.dumps({"errors": [{**error, "links": []}]}).encode()


def check_head(
    headers: Sequence[tuple[bytes, bytes]], *, version: str, is_handshake: bool
) -> tuple[HTTPStatus, str] | None:
    """Return the status and text of a refusal, or None. Names of headers are in lower case."""
    hosts = [value for name, value in headers if name == b"host"]
    # RFC 9112, 3.2.
    if len(hosts) > 1:
        return HTTPStatus.BAD_REQUEST, "The request has more than one Host header."
    if not hosts and version == "1.1":
        return HTTPStatus.BAD_REQUEST, "The request has no Host header, which HTTP/1.1 demands."
    codings = b",".join(value for name, value in headers if name == b"transfer-encoding")
    if codings and codings.strip().lower() != b"chunked":
        return HTTPStatus.NOT_IMPLEMENTED, "The header Transfer-Encoding has another coding than chunked."
    lengths = {value for name, value in headers if name == b"content-length"}
    if is_handshake and (codings or not lengths <= {b"0"}):
        header = "Transfer-Encoding" if codings else "Content-Length"
        return HTTPStatus.BAD_REQUEST, f"The handshake of a WebSocket cannot have a body: {header} announces one."
    return None
