"""A client of one Kubernetes API, which translates the errors of its answers.

Plain HTTP over mutual TLS: only a dozen paths are needed, and the client's key must not be on a disk, where client
libraries want it. Neighbours: the `kubernetes` COE; the checks of a cluster; `kubernetes_streams`, which speaks to
running pods.
"""

import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Self

import aiohttp

from jeroboam.clients.bounds import LargeResponse
from jeroboam.domain.errors import Permanent, Temporary

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 20.0
# The largest message of a stream. The API server's own messages have 32 KiB.
_LARGEST_MESSAGE = 4 << 20
# The owner of the fields that we apply, in the API's records.
MANAGER = "jeroboam"

Socket = aiohttp.ClientWebSocketResponse

_MERGE = "application/merge-patch+json"
_STEPS = "application/json-patch+json"
_APPLY = "application/apply-patch+yaml"
_OUTLINES = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
# Names of objects, and queries whose values are URL-encoded.
_PATH = re.compile(r"(?:/[A-Za-z0-9_.:~-]+)+", re.ASCII)
_QUERY = re.compile(r"[A-Za-z0-9_.:~!*'(),/%=&+-]*", re.ASCII)
_DOTS = frozenset({".", ".."})
_SHOWN = 80
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class ObjectNotFound(Permanent):
    """There is no such object."""


class EvictionRefused(Temporary):
    """A disruption budget forbids to evict a pod."""

    def __init__(self, reason: str, *, rule: str) -> None:
        super().__init__(reason)
        self.rule = rule
        """The budget and what it needs, in the cluster's words."""


class AccessDenied(Permanent):
    """The API does not know the caller (401), or forbids the request (403)."""

    def __init__(self, reason: str, *, status: int) -> None:
        super().__init__(reason)
        self.status = status


class KubernetesApi:
    """Requests to one API server; an asynchronous context that closes its connections."""

    def __init__(self, url: str, tls: ssl.SSLContext, *, token: str | None = None) -> None:
        """Prepare the client; nothing is sent yet. Proxies and certificate settings of the environment are ignored.

        With a token, requests are made as its user, if the TLS context shows no certificate.
        """
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS)
        connector = aiohttp.TCPConnector(ssl=tls)
        headers = None if token is None else {"Authorization": f"Bearer {token}"}
        self._url = url
        self._session = aiohttp.ClientSession(
            timeout=timeout, connector=connector, headers=headers, response_class=LargeResponse
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ready(self) -> None:
        """Raise `Temporary` if the API server is not ready, with what is not ready, or if it does not answer."""
        async with self._send("GET", "/readyz", "asking whether the API is ready") as answer:
            await answer.read()

    async def get(self, path: str, action: str) -> dict[str, Any]:
        """Return an object or a list of objects. Raises `ObjectNotFound`."""
        async with self._send("GET", path, action) as answer:
            body: dict[str, Any] = await answer.json()
        return body

    async def list_metadata(self, path: str, action: str) -> list[dict[str, Any]]:
        """Return the metadata of every object of a list, without their contents."""
        async with self._send("GET", path, action, accept=_OUTLINES) as answer:
            listing = await answer.json()
        return [each["metadata"] for each in listing["items"]]

    async def text(self, path: str, action: str) -> str:
        """Return a text that is no object, such as a log."""
        async with self._send("GET", path, action, accept="*/*") as answer:
            return await answer.text()

    async def patch(self, path: str, change: Mapping[str, Any], action: str) -> None:
        """Merge a change into an object. Raises `ObjectNotFound`."""
        async with self._send("PATCH", path, action, body=change, media=_MERGE):
            pass

    async def patch_json(self, path: str, steps: Sequence[Mapping[str, Any]], action: str) -> None:
        """Change an object by the steps of a JSON patch, all of them or none."""
        async with self._send("PATCH", path, action, body=steps, media=_STEPS):
            pass

    async def apply(self, path: str, manifest: Mapping[str, Any], action: str, *, also: str = "") -> dict[str, Any]:
        """Create or change the object to match the manifest and return it. `also` is appended to the query."""
        query = f"{path}?fieldManager={MANAGER}&force=true{also}"
        async with self._send("PATCH", query, action, body=manifest, media=_APPLY) as answer:
            applied_object: dict[str, Any] = await answer.json()
        return applied_object

    async def post(self, path: str, body: Mapping[str, Any], action: str) -> dict[str, Any]:
        """Create an object and return it. Raises `ObjectNotFound` if the path does not exist."""
        async with self._send("POST", path, action, body=body) as answer:
            created: dict[str, Any] = await answer.json()
        return created

    async def delete(self, path: str, action: str, *, options: Mapping[str, Any] | None = None) -> None:
        """Delete the object; one that is gone is no error. `options` are Kubernetes' own options."""
        try:
            async with self._send("DELETE", path, action, body=options):
                pass
        except ObjectNotFound:
            return

    @asynccontextmanager
    async def stream(self, path: str, action: str, protocols: Sequence[str]) -> AsyncIterator[Socket]:
        """Open a websocket to a running pod with one of these protocols."""
        check_path(path)
        try:
            async with self._session.ws_connect(
                f"{self._url}{path}", protocols=protocols, max_msg_size=_LARGEST_MESSAGE
            ) as socket:
                yield socket
        except aiohttp.WSServerHandshakeError as error:
            raise _refusal(action, error.status, error.message) from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Temporary(_describe_silence(action, error)) from error

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        path: str,
        action: str,
        *,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        media: str = "application/json",
        accept: str = "application/json",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        check_path(path)
        headers = {"Accept": accept}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body), media
        try:
            async with self._session.request(method, f"{self._url}{path}", data=data, headers=headers) as answer:
                if answer.status >= HTTPStatus.BAD_REQUEST:
                    raise _refusal(action, answer.status, await answer.text())
                yield answer
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Temporary(_describe_silence(action, error)) from error


def check_path(path: str) -> None:
    """Raise `Permanent` for a path that a name in it has turned into another path."""
    plain, _, query = path.partition("?")
    if _PATH.fullmatch(plain) is None or not _DOTS.isdisjoint(plain.split("/")) or _QUERY.fullmatch(query) is None:
        raise Permanent(f"{path[:_SHOWN]!r} cannot be requested from the Kubernetes API: it contains an invalid name")


def _describe_silence(action: str, error: Exception) -> str:
    return f"{action}: the Kubernetes API does not answer ({str(error) or type(error).__name__})"


def _refusal(action: str, status: int, text: str) -> Temporary | Permanent:
    try:
        message = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        message = " ".join(text.split())[:300]
    if status == HTTPStatus.NOT_FOUND:
        return ObjectNotFound(f"{action}: {message}")
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return AccessDenied(f"{action}: {message}", status=status)
    if status == HTTPStatus.TOO_MANY_REQUESTS and (rule := _budget(text)):
        return EvictionRefused(f"{action}: {message}", rule=rule)
    return (Temporary if status in _AGAIN else Permanent)(f"{action}: {message}")


def _budget(text: str) -> str:
    """Return the disruption budget that refused an eviction, with what it needs; empty if none is named."""
    try:
        causes = json.loads(text)["details"]["causes"]
        return "; ".join(str(cause["message"]) for cause in causes if cause.get("reason") == "DisruptionBudget")
    except (ValueError, KeyError, TypeError):
        return ""
