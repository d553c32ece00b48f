"""The HTTP transport below openstacksdk, with bounds on what a server may do to its client.

keystoneauth has no size limit, and follows a redirect to any server with the user's token. Loaded on the first login,
since the library takes its time. Neighbour: `openstack`, which bounds the time of a call.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from keystoneauth1.session import Session
from requests.adapters import HTTPAdapter

from jeroboam.clients.bounds import LargeResponse
from jeroboam.clients.openstack import BadAnswer

SOCKET_SECONDS = 30.0
"""How long the server may be silent, unless the user's clouds.yaml has an `api_timeout`."""
MOST_REDIRECTS = 5
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_LOGIN = "/auth/tokens"


class BoundedAdapter(HTTPAdapter):
    """Refuses large answers and redirects to other servers. Raises `BadAnswer`."""

    def __init__(self, *, max_octets: int = LargeResponse.max_octets) -> None:
        super().__init__()
        self.address = "the API"
        """The server that was asked last."""
        self.has_sent_change = False
        """Whether a request was sent that may change something; a login is none."""
        self._max_octets = max_octets

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        """Send a request. An answer raises when it is read, if it is too large."""
        url = request.url or ""
        self.address = _read_origin(url)
        if request.method not in _READING and not urlsplit(url).path.endswith(_LOGIN):
            self.has_sent_change = True
        response = super().send(request, *arguments, **options)
        if "location" in response.headers and response.is_redirect:
            # keystoneauth takes whole URLs only.
            response.headers["location"] = urljoin(url, response.headers["location"])
            target = _read_origin(response.headers["location"])
            if target != self.address:
                response.close()
                raise BadAnswer(self.address, f"it sends to {target}, and no token is sent there")
        response.raw = _BoundedBody(response.raw, self.address, self._max_octets)
        return response


class _BoundedBody:
    """The body of an answer, which is read in pieces."""

    def __init__(self, body: Any, address: str, max_octets: int) -> None:
        self._body = body
        self._address = address
        self._remaining = max_octets
        self._max_octets = max_octets

    def stream(self, size: int, *, decode_content: bool) -> Iterator[bytes]:
        """Return the pieces. Raises `BadAnswer` if their unpacked size exceeds the bound."""
        for piece in self._body.stream(size, decode_content=decode_content):
            self._remaining -= len(piece)
            if self._remaining < 0:
                self._body.close()
                raise BadAnswer(self._address, f"it is larger than {self._max_octets} octets")
            yield piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)


def build_session(adapter: BoundedAdapter, **options: Any) -> Session:
    """Return a session of keystoneauth that sends through the adapter. `options` are keystoneauth's own."""
    transport = requests.Session()
    for scheme in ("http://", "https://"):
        transport.mount(scheme, adapter)
    options["timeout"] = options.get("timeout") or SOCKET_SECONDS
    return Session(session=transport, redirect=MOST_REDIRECTS, **options)


def _read_origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return url
    is_default = (parts.scheme, port) in {("http", 80), ("https", 443)}
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if is_default else f":{port}")
