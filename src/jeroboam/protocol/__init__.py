"""The messages between dispatch and agents. Version 1.

An agent opens one session and sends `Hello`. The server answers with `Assignments`, the whole set for that host, and
sends an `Assignment` whenever one changes. The agent sends a `ContainerReport` whenever a container changes, and a
`HostReport` at intervals. It answers each `LiveRequest` with a `LiveResponse`. Messages are frozen dataclasses that
msgspec can encode; within one process they are passed on as they are.
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
    """The first message of an agent."""

    version: int
    hostname: str
    facts: HostFacts | None
    """None while the runtime cannot be reached."""
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HostReport:
    """A heartbeat with new facts, or with the reason why the runtime cannot be used."""

    facts: HostFacts | None
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """One container that belongs on this host, with its ops."""

    uuid: str
    name: str
    project_id: str
    generation: int
    spec: ContainerSpec
    ops: tuple[Op, ...]
    """The ops that are not reported as ended, oldest first."""
    done: int
    """The number of the last op that the server knows to have ended."""
    deadline_at: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignments:
    """All containers that belong on this host. Any other container with our tag is a stray and is removed."""

    containers: tuple[Assignment, ...]
    kept: tuple[str, ...] = ()
    """Uuids of containers that belong there too but cannot be read now: they must not be touched."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerForgotten:
    """The container does not belong on this host any more: the agent may forget it."""

    uuid: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerReport:
    """The agent's observation of one container. `observed.state` ABSENT after a DELETE op means that it is removed."""

    uuid: str
    observed: ContainerObserved


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveRequest:
    """A live question: `logs`, `execute`, `top`, `stats`. `params` are the keyword arguments of `HostGateway`."""

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
        """Send the message. Raises `ConnectionError` if the session is over."""
        ...

    def __aiter__(self) -> AsyncIterator[ToAgent]: ...

    async def close(self) -> None: ...


class ServerConnection(Protocol):
    """The server's end of a session. Iteration ends when the session is over."""

    async def send(self, message: ToAgent) -> None:
        """Send the message. Raises `ConnectionError` if the session is over."""
        ...

    def __aiter__(self) -> AsyncIterator[FromAgent]: ...

    async def close(self) -> None: ...
