"""What can stand between this process and a Docker Engine, as types: commands tell their users what to do about each.

Loops need only know that another try is worth it, so all but one are `Temporary`. Neighbours: `docker`, which raises
these; the command line, which has the sentences. Nothing heavy is imported here: every command imports this module.
"""

import errno
import socket
import ssl
from collections.abc import Iterator

from jeroboam.domain.errors import Permanent, Temporary

OLDEST_API = (1, 41)
"""The API of Engine 20.10: the first one with a cgroup namespace of a container's own, which nodes need."""
OLDEST_ENGINE = "20.10"


class EngineUnreachable(Temporary):
    """No Engine answers. `address` is where it was looked for; empty if nothing says where."""

    def __init__(self, reason: str, address: str = "") -> None:
        super().__init__(reason)
        self.address = address


class EngineSocketMissing(EngineUnreachable):
    """There is no socket of an Engine."""


class EngineAccessDenied(EngineUnreachable):
    """The socket is there, and this user may not use it."""


class EngineNotRunning(EngineUnreachable):
    """The address exists, and nothing listens there."""


class EngineSilent(EngineUnreachable):
    """Something listens there and does not answer in time."""


class EngineAddressInvalid(EngineUnreachable):
    """The address cannot be that of an Engine."""

    def __init__(self, reason: str, address: str = "", *, has_tls: bool = False) -> None:
        super().__init__(reason, address)
        self.has_tls = has_tls
        """Whether an Engine is there that wants TLS."""


class EngineTooOld(Permanent):
    """The Engine answers, and its API is older than `OLDEST_API`."""

    def __init__(self, reason: str, *, version: str, api_version: str) -> None:
        super().__init__(reason)
        self.version = version
        self.api_version = api_version


def speaks_tls(answer: str) -> bool:
    """Whether that is the answer of a server that wants TLS and got none."""
    return "HTTPS server" in answer


def classify_fault(error: BaseException, reason: str) -> EngineUnreachable | None:
    """Return the typed error for a connection that failed; None if the cause says nothing about the address."""
    for cause in _list_causes(error):
        root = getattr(cause, "os_error", cause)
        address = _read_address(cause)
        if isinstance(root, socket.gaierror):
            return EngineAddressInvalid(reason, address)
        if isinstance(root, ssl.SSLError | ssl.CertificateError) or hasattr(cause, "certificate_error"):
            return EngineAddressInvalid(reason, address)
        if isinstance(root, OSError) and (kind := _BY_ERRNO.get(root.errno or 0)) is not None:
            return kind(reason, address)
    return None


_BY_ERRNO: dict[int, type[EngineUnreachable]] = {
    errno.ENOENT: EngineSocketMissing,
    errno.EACCES: EngineAccessDenied,
    errno.EPERM: EngineAccessDenied,
    errno.ECONNREFUSED: EngineNotRunning,
    errno.EHOSTUNREACH: EngineNotRunning,
    errno.ENETUNREACH: EngineNotRunning,
    errno.ENOTDIR: EngineAddressInvalid,
    errno.ENOTSOCK: EngineAddressInvalid,
    errno.ENAMETOOLONG: EngineAddressInvalid,
}


def _list_causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _read_address(error: BaseException) -> str:
    """Return the address in an error of the HTTP library: the path of a socket, or host and port."""
    if isinstance(path := getattr(error, "path", None), str):
        return f"unix://{path}"
    host, port = getattr(error, "host", None), getattr(error, "port", None)
    return f"tcp://{host}:{port}" if host and port else ""
