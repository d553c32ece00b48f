"""What dispatch and agents say to each other. Version 1.

An agent opens one session and sends `Hello`. The server answers with `Assignments`, the whole set for that host, and
sends an `Assignment` whenever one changes. The agent sends a `ContainerReport` whenever a container changes, and a
`HostReport` at intervals. It answers each `LiveRequest` with a `LiveResponse`. Messages are frozen dataclasses that
msgspec can encode; within one process they are handed over as they are.
"""

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from jeroboam.domain.containers import ContainerObserved, ContainerSpec, Op
from jeroboam.domain.hosts import HostFacts

VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Hello:
    """First word of an agent."""

    version: int
    hostname: str
    facts: HostFacts | None
    """None while the runtime cannot be reached."""
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HostReport:
    """A heartbeat with fresh facts, or with why the runtime cannot be used."""

    facts: HostFacts | None
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """One container that belongs on this host, and what is asked of it."""

    uuid: str
    name: str
    project_id: str
    generation: int
    spec: ContainerSpec
    ops: tuple[Op, ...]
    """Those not yet reported as ended, oldest first."""
    done: int
    """The number of the last op that the server knows to have ended."""
    deadline_at: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignments:
    """All containers that belong on this host. What carries our tag there and is not among them is to be removed."""

    containers: tuple[Assignment, ...]
    kept: tuple[str, ...] = ()
    """Uuids of those that belong there too, and of which nothing can be read now: they stay as they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerForgotten:
    """The server has forgotten this container: the agent may forget it too."""

    uuid: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerReport:
    """What the agent sees of one container. `observed.state` ABSENT after a DELETE op means: it is gone."""

    uuid: str
    observed: ContainerObserved


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveRequest:
    """A live question: `logs`, `execute`, `top`, `stats`; params are the keyword arguments of `HostGateway`."""

    id: int
    method: str
    container: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveResponse:
    """The answer. `error` is None or `gone`, `invalid`, `conflict`, `unavailable`, with `detail` for the user."""

    id: int
    result: Any = None
    error: str | None = None
    detail: str = ""


ToAgent = Assignments | Assignment | ContainerForgotten | LiveRequest
FromAgent = Hello | HostReport | ContainerReport | LiveResponse


class AgentConnection(Protocol):
    """The agent's end of a session. Iteration ends when the session is over."""

    async def send(self, message: FromAgent) -> None:
        """Hand the message over; raises `ConnectionError` when the session is over."""
        ...

    def __aiter__(self) -> AsyncIterator[ToAgent]: ...

    async def close(self) -> None: ...


class ServerConnection(Protocol):
    """The server's end of a session. Iteration ends when the session is over."""

    async def send(self, message: ToAgent) -> None:
        """Hand the message over; raises `ConnectionError` when the session is over."""
        ...

    def __aiter__(self) -> AsyncIterator[FromAgent]: ...

    async def close(self) -> None: ...
