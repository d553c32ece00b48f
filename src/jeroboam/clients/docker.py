"""Connects to a Docker Engine and translates its errors, in one way for all callers.

Neighbours: the `docker` runtime, the `local` provider and the `swarm` COE. The API version is negotiated with each
Engine, since the newest Engines refuse the versions of the oldest.
"""

import json
import os
import re
import ssl
import struct
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import aiodocker
import aiohttp
from yarl import URL

from jeroboam.clients.bounds import BoundedResponse, LargeResponse
from jeroboam.clients.docker_faults import EngineAddressInvalid, EngineSocketMissing, classify_fault, speaks_tls
from jeroboam.domain.errors import DriverError, Permanent, Temporary

# The Engine's time for one answer; then the call counts as failed. A stream as a whole has no limit.
ANSWER_SECONDS = 60.0
CONNECT_SECONDS = 5.0

# The status that aiodocker reports if there was no answer.
CONNECTION_LOST = 900

# What a path of the Engine's API may contain. Other characters could lead to another path or become a query.
_SEGMENT = r"[A-Za-z0-9_.:@+\[\]-]+"
_PATH = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)
_DOTS = frozenset({".", ".."})
# The most calls of one client at once. Further calls wait for a connection.
_CONNECTIONS = 1024

_LONGEST_LINE = 4 * 1024 * 1024
_SHOWN = 80
FRAME = struct.Struct(">BxxxL")
"""The head of a frame of the Engine's multiplexed streams: the stream's number, three unused bytes, and the size."""

_TEMPORARY_STATUS = frozenset({408, 429, 500, 502, 503, 504})

# Errors of the Engine's own helpers are permanent: a missing program, a capability that the host lacks.
_REFUSED_BY_THE_HOST = "OCI runtime"


class DockerClient(aiodocker.Docker):
    """The library's client with checked paths: the library puts names into paths unchecked."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        return self

    def _canonicalize_url(self, path: str | URL, *, versioned_api: bool = True) -> URL:
        if isinstance(path, str):
            check_path(path)
        return super()._canonicalize_url(path, versioned_api=versioned_api)


def check_path(path: str) -> None:
    """Raise `Permanent` for a path of the Engine's API that a name in it has turned into another path."""
    if not _PATH.fullmatch(path) or not _DOTS.isdisjoint(path.split("/")):
        raise Permanent(f"{path[:_SHOWN]!r} cannot be requested from the Docker Engine: it contains an invalid name")


def connect(
    url: str | None = None, *, tls: ssl.SSLContext | None = None, answer_seconds: float | None = None
) -> DockerClient:
    """Return a client of the Engine at that URL (None: the environment's, else the local socket). Nothing is sent yet.

    `answer_seconds` limits each call as a whole, including the wait for a connection. Proxies and certificate settings
    of the environment are ignored. Raises `EngineSocketMissing` if nothing names an Engine and there is no local
    socket, and `EngineAddressInvalid` for an address that cannot be one.
    """
    timeout = aiohttp.ClientTimeout(total=answer_seconds, sock_connect=CONNECT_SECONDS, sock_read=ANSWER_SECONDS)
    try:
        engine = DockerClient(url, ssl_context=tls, timeout=timeout)
    except AssertionError as error:
        raise EngineSocketMissing(
            "no Docker Engine was found: neither DOCKER_HOST nor a local socket answers"
        ) from error
    except (ValueError, aiodocker.DockerError) as error:
        address = url or os.environ.get("DOCKER_HOST", "")
        raise EngineAddressInvalid("no Docker Engine was found: the address is none of an Engine", address) from error
    # The library allows 100 connections and has no option for that: 100 hanging calls would hold up all others.
    engine.connector._limit = _CONNECTIONS  # noqa: SLF001
    # An Engine over TLS is a node of a cluster, and its user controls it.
    engine.session._response_class = LargeResponse if tls is None else BoundedResponse  # noqa: SLF001
    return engine


@contextmanager
def translate_errors(action: str) -> Iterator[None]:
    """Translate the errors of the Engine client into `Temporary` or `Permanent`, which name the action.

    An Engine that cannot be reached is one of the errors in `docker_faults`.
    """
    try:
        yield
    except DriverError:
        raise
    except aiodocker.DockerError as error:
        if error.status == CONNECTION_LOST:
            text = f"{action}: the Docker Engine does not answer"
            raise (classify_fault(error, text) or Temporary(text)) from error
        message = error.message.strip()
        text = f"{action}: {message}"
        if speaks_tls(message):
            raise EngineAddressInvalid(text, os.environ.get("DOCKER_HOST", ""), has_tls=True) from error
        again = error.status in _TEMPORARY_STATUS and _REFUSED_BY_THE_HOST not in message
        raise (Temporary(text) if again else Permanent(text)) from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        message = str(error) or type(error).__name__
        text = f"{action}: the Docker Engine does not answer ({message})"
        raise (classify_fault(error, text) or Temporary(text)) from error


def build_url(engine: aiodocker.Docker, path: str) -> str:
    """Return the URL of a path of the Engine's API. Raises `Permanent` if the path has an invalid name."""
    check_path(path)
    return f"{engine.docker_host}/{path}"


async def ask_registry(engine: aiodocker.Docker, image: str, *, headers: Mapping[str, str] | None = None) -> str | None:
    """Have the Engine look up the image in its registry. Return None if it can, otherwise the reason."""
    async with engine.session.get(build_url(engine, f"distribution/{image}/json"), headers=headers) as response:
        return None if response.ok else await read_error(response)


async def post(engine: aiodocker.Docker, path: str, body: Mapping[str, Any]) -> None:
    """Send a request that the client library has no method for. Raises `aiodocker.DockerError` as the library does."""
    async with engine.session.post(build_url(engine, path), json=body) as response:
        if not response.ok:
            raise aiodocker.DockerError(response.status, await read_error(response))


async def events(
    engine: aiodocker.Docker, filters: Mapping[str, list[str]], since: float
) -> AsyncIterator[dict[str, Any]]:
    """Yield the Engine's events from that Unix time on, until the Engine closes the stream."""
    patient = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=None)
    query = {"filters": json.dumps(filters), "since": f"{since:.6f}"}
    url = build_url(engine, "events")
    # An event is one line and carries all labels of its container.
    async with engine.session.get(url, params=query, timeout=patient, read_bufsize=_LONGEST_LINE) as response:
        if not response.ok:
            raise aiodocker.DockerError(response.status, await read_error(response))
        async for line in response.content:
            yield json.loads(line)


async def read_log(
    engine: aiodocker.Docker, container: str, query: Mapping[str, str], *, tty: bool, limit: int
) -> bytes:
    """Return the output of the container, both streams in order; if it exceeds `limit` bytes, the newest.

    The first line then says how much is left out, since clients show only the text.
    """
    pieces: deque[bytes] = deque()
    size = left_out = 0
    async with engine.session.get(build_url(engine, f"containers/{container}/logs"), params=query) as response:
        if not response.ok:
            raise aiodocker.DockerError(response.status, await read_error(response))
        async for piece in response.content.iter_any() if tty else _frames(response.content):
            pieces.append(piece)
            size += len(piece)
            while size > limit:
                size -= len(pieces[0])
                left_out += len(pieces.popleft())
    text = b"".join(pieces)
    if not left_out:
        return text
    _part, newline, whole_lines = text.partition(b"\n")
    tail = whole_lines if newline else text
    left_out += len(text) - len(tail)
    return f"[the first {left_out} bytes of this log are left out; ask for fewer lines with tail]\n".encode() + tail


async def _frames(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield the payloads of the Engine's multiplexed stream.

    Each line is a frame, and there may be millions. Frames are read in chunks, so that other tasks have their turn.
    """
    buffer = bytearray()
    async for chunk in content.iter_any():
        buffer += chunk
        output, begin = bytearray(), 0
        while len(buffer) - begin >= FRAME.size:
            end = begin + FRAME.size + check_frame(FRAME.unpack_from(buffer, begin)[1])
            if end > len(buffer):
                break
            output += buffer[begin + FRAME.size : end]
            begin = end
        del buffer[:begin]
        yield bytes(output)


def check_frame(size: int) -> int:
    """Return the size of a frame. Raises `aiohttp.ClientPayloadError` if the frame is too large to buffer."""
    if size > _LONGEST_LINE:
        raise aiohttp.ClientPayloadError(f"a frame of {size} bytes")
    return size


async def read_error(response: aiohttp.ClientResponse) -> str:
    """Return the Engine's own text of an error."""
    text = await response.text()
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()
