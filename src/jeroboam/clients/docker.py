"""One way to reach a Docker Engine, and one way to say what it answered.

Neighbours: the `docker` runtime, the `local` provider and the `swarm` COE. The API version is negotiated with
each Engine, since the newest refuse what the oldest speak.
"""

import json
import re
import ssl
import struct
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiodocker
import aiohttp
from yarl import URL

from jeroboam.clients.bounds import BoundedResponse, LargeResponse
from jeroboam.domain.errors import DriverError, Permanent, Temporary

# What the Engine may take for one answer before the call counts as failed; streams have no limit as a whole.
ANSWER_SECONDS = 60.0
CONNECT_SECONDS = 5.0

# What aiodocker gives for a status when there was no answer at all.
CONNECTION_LOST = 900

# What may stand in a path of the Engine's API; all else could lead to another one, or become a query.
_SEGMENT = r"[A-Za-z0-9_.:@+\[\]-]+"
_PATH = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)
_DOTS = frozenset({".", ".."})
# One client has so many calls under way at once; those above it wait for a connection.
_CONNECTIONS = 1024

_LONGEST_LINE = 4 * 1024 * 1024
_SHOWN = 80
FRAME = struct.Struct(">BxxxL")
"""The head of a frame of the Engine's multiplexed streams: the stream's number, three unused bytes, and the size."""

_TEMPORARY_STATUS = frozenset({408, 429, 500, 502, 503, 504})

# What the engine's own helpers refuse they refuse again: a missing program, a capability that the host has not got.
_REFUSED_BY_THE_HOST = "OCI runtime"


class DockerClient(aiodocker.Docker):
    """The library's client, which puts names into paths as they are: this one refuses those that are no names."""

    def _canonicalize_url(self, path: str | URL, *, versioned_api: bool = True) -> URL:
        if isinstance(path, str):
            check_path(path)
        return super()._canonicalize_url(path, versioned_api=versioned_api)


def check_path(path: str) -> None:
    """Raise `Permanent` for a path of the Engine's API that a name in it has turned into another."""
    if not _PATH.fullmatch(path) or not _DOTS.isdisjoint(path.split("/")):
        raise Permanent(f"{path[:_SHOWN]!r} cannot be requested from the Docker Engine: it contains an invalid name")


def connect(
    url: str | None = None, *, tls: ssl.SSLContext | None = None, answer_seconds: float | None = None
) -> aiodocker.Docker:
    """A client of the Engine at that URL (None: the environment's, else the local socket). Nothing is sent yet.

    With `answer_seconds` no call takes longer than that as a whole, the wait for a connection included. Proxies and
    certificate settings of the environment are not looked at. Raises `Temporary` when no Engine's socket is found.
    """
    timeout = aiohttp.ClientTimeout(total=answer_seconds, sock_connect=CONNECT_SECONDS, sock_read=ANSWER_SECONDS)
    try:
        engine = DockerClient(url, ssl_context=tls, timeout=timeout)
    except (AssertionError, ValueError) as error:
        raise Temporary("no Docker Engine was found: neither DOCKER_HOST nor a local socket answers") from error
    # The library takes 100 connections, and has no word for it: as many hanging calls would hold up all others.
    engine.connector._limit = _CONNECTIONS  # noqa: SLF001
    # An Engine over TLS is a node of a cluster, and its user's.
    engine.session._response_class = LargeResponse if tls is None else BoundedResponse  # noqa: SLF001
    return engine


@contextmanager
def translate_errors(action: str) -> Iterator[None]:
    """Turn what the Engine client raises into `Temporary` or `Permanent`, with what was being done."""
    try:
        yield
    except DriverError:
        raise
    except aiodocker.DockerError as error:
        if error.status == CONNECTION_LOST:
            raise Temporary(f"{action}: the Docker Engine does not answer") from error
        text = f"{action}: {error.message}"
        again = error.status in _TEMPORARY_STATUS and _REFUSED_BY_THE_HOST not in error.message
        raise (Temporary(text) if again else Permanent(text)) from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        message = str(error) or type(error).__name__
        raise Temporary(f"{action}: the Docker Engine does not answer ({message})") from error


def build_url(engine: aiodocker.Docker, path: str) -> str:
    """The URL of a path of the Engine's API. Raises `Permanent` if a name in it is none."""
    check_path(path)
    return f"{engine.docker_host}/{path}"


async def asks_registry(engine: aiodocker.Docker, image: str) -> str | None:
    """Have the Engine look an image up where it would pull it from: None if it can, else what stands in the way."""
    async with engine.session.get(build_url(engine, f"distribution/{image}/json")) as response:
        return None if response.ok else await read_error(response)


async def post(engine: aiodocker.Docker, path: str, body: Mapping[str, Any]) -> None:
    """Send what the client library has no word for. Raises `aiodocker.DockerError` as it does itself."""
    async with engine.session.post(build_url(engine, path), json=body) as response:
        if not response.ok:
            raise aiodocker.DockerError(response.status, await read_error(response))


async def events(
    engine: aiodocker.Docker, filters: Mapping[str, list[str]], since: float
) -> AsyncIterator[dict[str, Any]]:
    """The Engine's events from that Unix time on; ends when the Engine closes the stream."""
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
    """What the container printed, both streams in order; of more than `limit` bytes, only the newest.

    What is left out is told in a first line, since clients show the text and nothing beside it.
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
    """What the Engine's multiplexed stream carries.

    A line is a frame, and there may be millions: they are taken by the chunk, which leaves others their turn.
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
    """Return the size of a frame. Raises `aiohttp.ClientPayloadError` for one that would be gathered for too long."""
    if size > _LONGEST_LINE:
        raise aiohttp.ClientPayloadError(f"a frame of {size} bytes")
    return size


async def read_error(response: aiohttp.ClientResponse) -> str:
    """The Engine's own words for an error."""
    text = await response.text()
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()
