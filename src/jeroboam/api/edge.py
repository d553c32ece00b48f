"""HTTP messages: the head of a request, its body within a limit, the answer, and the request metrics."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import Message, Receive, Scope, Send

from jeroboam.api.call import SOCKET, Answer
from jeroboam.domain.caller import Caller

_HOST = re.compile(r"[A-Za-z0-9._\-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?", re.ASCII)
_PREFIX = re.compile(r"(/[A-Za-z0-9._\-]+)*", re.ASCII)

_PORTS = {"http": "80", "https": "443"}
_LAST_PORT = 65535

_METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS", SOCKET})

# A number with more digits is beyond every limit.
_LENGTH_DIGITS = 18


class BodyTooLarge(Exception):
    """The body is larger than the limit."""


class ClientDisconnected(Exception):
    """The client went away before the end of the body."""


@dataclass(kw_only=True, slots=True)
class RequestHead:
    """A request without its body. The caller is set once the token is valid."""

    method: str
    path: str
    segments: list[str]
    headers: dict[str, str]
    pairs: tuple[tuple[str, str], ...]
    """The query as it was sent."""
    origin: str
    """Scheme, host and the prefix that a proxy adds: the start of all links."""
    request_id: str
    subprotocols: tuple[str, ...] = ()
    peer: str | None = None
    """The address at the other end of the connection; None if the server does not know it."""
    caller: Caller | None = None


def read_head(scope: Scope, request_id: str) -> RequestHead:
    """The head of an ASGI scope. Doubled slashes and a slash at the end are ignored."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    raw = scope.get("query_string", b"").decode("latin-1")
    pairs = tuple(parse_qsl(raw, keep_blank_values=True)) if raw else ()
    path = scope["path"]
    return RequestHead(
        method=scope.get("method", SOCKET),
        path=path,
        segments=[segment for segment in path.split("/") if segment],
        headers=headers,
        pairs=pairs,
        origin=_origin_of(scope, headers),
        request_id=request_id,
        subprotocols=tuple(scope.get("subprotocols", ())),
        peer=client[0] if (client := scope.get("client")) else None,
    )


def _origin_of(scope: Scope, headers: dict[str, str]) -> str:
    """The address that the client used, as far as proxies forward it. Malformed values are ignored.

    With several proxies the first one counts. `Forwarded` (RFC 7239) has precedence over the `X-Forwarded-` headers.
    """
    standard = _parse_forwarded(headers.get("forwarded", ""))
    scheme = standard.get("proto") or headers.get("x-forwarded-proto") or str(scope.get("scheme", "http"))
    scheme = scheme.split(",")[0].strip().lower()
    scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    if scheme not in _PORTS:
        scheme = "http"
    host = standard.get("host") or headers.get("x-forwarded-host") or headers.get("host", "")
    host = host.split(",")[0].strip()
    if _HOST.fullmatch(host) is None:
        address, port = scope.get("server") or ("localhost", None)
        host = f"{address}:{port}" if port else str(address)
    prefix = headers.get("x-forwarded-prefix", str(scope.get("root_path", ""))).rstrip("/")
    if _PREFIX.fullmatch(prefix) is None:
        prefix = ""
    return f"{scheme}://{_with_port(host, scheme, headers.get('x-forwarded-port', ''))}{prefix}"


def _parse_forwarded(text: str) -> dict[str, str]:
    """The parameters of the first element of a `Forwarded` header."""
    pairs = (pair.partition("=") for pair in text.split(",", maxsplit=1)[0].split(";"))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def _with_port(host: str, scheme: str, port: str) -> str:
    """The host with the proxy's port, unless the host has a port or it is the scheme's default."""
    port = port.split(",", maxsplit=1)[0].strip()
    has_port = host.rpartition(":")[2].isdigit() and not host.endswith("]")
    if (
        has_port
        or not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= _LAST_PORT)
        or _PORTS[scheme] == port
    ):
        return host
    return f"{host}:{port}"


def read_length(head: RequestHead) -> int:
    """The length of the body that the client announces; 0 if it announces none."""
    length = head.headers.get("content-length", "")
    return int(length[:_LENGTH_DIGITS]) if length.isascii() and length.isdigit() else 0


async def read_body(head: RequestHead, receive: Receive, max_bytes: int) -> bytes:
    """The whole body. Raises `BodyTooLarge`, or `ClientDisconnected` when the client goes away before its end."""
    if head.method in {"GET", "HEAD", "DELETE", SOCKET}:
        return b""
    if read_length(head) > max_bytes:
        raise BodyTooLarge
    parts: list[bytes] = []
    size = 0
    while True:
        message: Message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnected
        part = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            raise BodyTooLarge
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def respond(answer: Answer, head: RequestHead, send: Send) -> None:
    """Send the answer with the request id. A HEAD gets no body."""
    await send({"type": "http.response.start", "status": answer.status, "headers": build_headers(answer, head)})
    await send({"type": "http.response.body", "body": b"" if head.method == "HEAD" else answer.body})


def build_headers(answer: Answer, head: RequestHead) -> list[tuple[bytes, bytes]]:
    """The headers of the answer. A body in pieces has no length."""
    headers = [(b"x-openstack-request-id", head.request_id.encode())]
    if answer.pieces is None:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    if answer.body or answer.pieces is not None:
        headers.append((b"content-type", answer.media_type.encode()))
    headers += [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in answer.headers]
    return headers


class RequestMetrics:
    """Counters of requests and a histogram of their durations."""

    def __init__(self, registry: CollectorRegistry) -> None:
        names = ("family", "route", "method", "status")
        self._requests = Counter("jeroboam_api_requests", "Requests answered", names, registry=registry)
        self._seconds = Histogram(
            "jeroboam_api_request_seconds", "Time to the answer", ("family", "route", "method"), registry=registry
        )

    def count(self, family: str, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answer. The route is its template, so callers cannot create labels without limit."""
        method_label = (
            method if method in {"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS", SOCKET} else "other"
        )
        self._requests.labels(family, route, method_label, str(status)).inc()
        self._seconds.labels(family, route, method_label).observe(seconds)
