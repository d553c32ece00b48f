"""Interactive sessions: what a user may open a stream to, once, with the token that stands in the URL of a WebSocket.

The published clients open that URL without a token of Keystone, so the URL is a secret. Only the hash of its token is
stored; the token is good for one WebSocket, for some minutes, and for the container that it was made for.
"""

import datetime as dt
import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from jeroboam.domain.streams import TerminalSize

TOKEN_SECONDS: Final = 300
"""How long a token is good for."""
MAX_WAITING: Final = 64
"""The most sessions of one container that were asked for and not opened."""


class SessionKind(StrEnum):
    """What a session connects to."""

    ATTACH = "attach"
    """The container's own process."""
    EXEC = "exec"
    """A new command."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InteractiveSession:
    """A session that was asked for and not opened yet."""

    token_hash: str
    kind: SessionKind
    container_id: str
    project_id: str
    """The project of the user, who may be an admin of another project than the container's."""
    user_id: str
    exec_id: str | None = None
    """The command's name, 64 hexadecimal digits."""
    command: tuple[str, ...] = ()
    tty: bool = False
    size: TerminalSize | None = None
    """The terminal's size, if it was set before the session was opened."""
    expires_at: dt.datetime


def hash_token(token: str) -> str:
    """Return what is stored of a token. It is random and long, so a plain hash hides it."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
