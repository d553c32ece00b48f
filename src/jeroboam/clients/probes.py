"""Checks whether something answers at an address: the requests of probes. Neighbour: `jeroboam.agent.probes`.

Nothing is read but the first line of an answer, and no redirect is followed: what answers belongs to a user.
"""

import asyncio
import ssl

from jeroboam.domain.capsules import HttpGet

_LONGEST_LINE = 1024
_GOOD = range(200, 400)


async def check_tcp(address: str, port: int) -> str | None:
    """Return None if the port takes a connection, otherwise the reason."""
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError as error:
        return f"port {port}: {error.strerror or 'no connection'}"
    writer.close()
    return None


async def check_http(address: str, request: HttpGet) -> str | None:
    """Return None if the answer has a status from 200 to 399, otherwise the reason. Certificates are not checked."""
    try:
        context = _trust_anything() if request.scheme == "HTTPS" else None
        reader, writer = await asyncio.open_connection(address, request.port, ssl=context, limit=_LONGEST_LINE)
    except (OSError, ssl.SSLError) as error:
        return f"port {request.port}: {getattr(error, 'strerror', None) or 'no connection'}"
    try:
        writer.write(_build_request(address, request))
        line = await reader.readline()
    except (OSError, ValueError):
        return f"port {request.port}: no answer"
    finally:
        writer.close()
    words = line.strip().split(b" ", 2)
    if not line.startswith(b"HTTP/") or len(words) < 2 or not words[1].isdigit():  # noqa: PLR2004  (version and status)
        return f"port {request.port}: the answer is not HTTP"
    status = int(words[1][:3])
    return None if status in _GOOD else f"port {request.port}: status {status}"


def _build_request(address: str, request: HttpGet) -> bytes:
    given_names = {name.lower() for name in request.headers}
    own = (("Host", f"{address}:{request.port}"), ("User-Agent", "jeroboam-probe"), ("Accept", "*/*"))
    headers = [*request.headers.items(), *((name, value) for name, value in own if name.lower() not in given_names)]
    lines = [f"GET {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _trust_anything() -> ssl.SSLContext:
    """A context for the certificate of a user's own container: as kubelets do, it is not checked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
