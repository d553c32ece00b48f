"""The contract of runtimes: what starts containers on a host.

Everything a runtime makes carries the container's uuid as a tag, and only what carries our tag is ever touched.
All methods raise `Temporary` or `Permanent` (jeroboam.domain.errors) with a reason fit for a user's eyes; a
container that is not there raises `ContainerGone`. What only some runtimes can do is a Protocol of its own below.
"""

import datetime as dt
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol, Self, runtime_checkable

from jeroboam.domain.containers import Address, ContainerSpec, RuntimeState
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.domain.hosts import HostFacts
from jeroboam.domain.ports import ExecResult


class ContainerGone(Permanent):
    """The runtime has no such container."""


class CommandTimedOut(Temporary):
    """A command in a container did not end within its limit. It may go on there."""


class InvalidRequest(Permanent):
    """What was asked makes no sense to the runtime; the container is as it was."""


class ImageRegistryUnreachable(Temporary):
    """No registry answers for an image that is not on this host."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeOptions:
    """What an operator sets for all containers of a host."""

    max_processes: int = 2048
    """In each container, threads included."""
    log_mib: int = 10
    """Of what a container prints, as much as is kept in one file …"""
    log_files: int = 2
    """… and so many files of that."""
    registry_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks from which images may be pulled although only this machine may speak to them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerState:
    """A container as the runtime shows it."""

    uuid: str
    runtime_id: str
    state: RuntimeState
    exit_code: int | None = None
    error: str = ""
    started_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None
    addresses: tuple[Address, ...] = ()
    ports: tuple[int, ...] = ()
    hostname: str | None = None
    health: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeSettings:
    """What a runtime is made from."""

    installation: str
    """The tag that tells containers of this service from those of another one on the same host."""
    url: str | None = None
    """Where the runtime listens (None: what the environment says, else the local socket)."""
    options: RuntimeOptions = RuntimeOptions()


class Runtime(Protocol):
    """Starts and stops containers on this host. Containers are named by their uuid."""

    @classmethod
    def from_settings(cls, settings: RuntimeSettings) -> Self:
        """A runtime with these settings. Nothing is sent yet."""
        ...

    async def facts(self) -> HostFacts:
        """What the host offers. Raises `Temporary` while the runtime cannot be reached."""
        ...

    async def pull(self, image: str, policy: str | None) -> None:
        """See to it that the image is here, by the pull policy (never, always, ifnotpresent; None: ifnotpresent).

        `always` falls back to an image that is here only when its registry cannot be reached. Raises `Permanent`
        when there is no such image or it may not be pulled, `ImageRegistryUnreachable` when no registry answers.
        """
        ...

    async def create(self, uuid: str, name: str, spec: ContainerSpec, *, project: str) -> ContainerState:
        """Make the container, not started, where only those of its project reach it.

        One that is there already is the answer, unchanged.
        """
        ...

    async def start(self, uuid: str) -> ContainerState:
        """Start it. One that runs already is the answer."""
        ...

    async def stop(self, uuid: str, timeout: int | None) -> ContainerState:
        """Ask it to end, and kill it after `timeout` seconds (None: 10). One that stands is the answer.

        One that is paused, or is just being started again by its restart policy, ends too, and stays so.
        """
        ...

    async def kill(self, uuid: str, signal: str) -> ContainerState:
        """Send the signal, by its name with SIG."""
        ...

    async def remove(self, uuid: str, *, force: bool) -> None:
        """Remove it with all that was made for it; with `force` also while it runs. One that is gone is no error."""
        ...

    async def inspect(self, uuid: str) -> ContainerState:
        """What it is now."""
        ...

    async def owned(self) -> Sequence[ContainerState]:
        """Every container with our tag."""
        ...

    def events(self) -> AsyncIterator[str]:
        """Uuids of our containers as something happens to them.

        Ends by raising `Temporary` when the runtime goes away; what happened meanwhile is not told, so the caller
        asks `owned` after each new start of the stream.
        """
        ...


@runtime_checkable
class SupportsPause(Protocol):
    """Can freeze containers."""

    async def pause(self, uuid: str) -> ContainerState: ...

    async def unpause(self, uuid: str) -> ContainerState: ...


@runtime_checkable
class SupportsResize(Protocol):
    """Can change limits of a container that exists."""

    async def resize(self, uuid: str, *, cpu: float, memory: int) -> ContainerState: ...


@runtime_checkable
class SupportsLogs(Protocol):
    """Keeps what containers print."""

    async def logs(
        self, uuid: str, *, stdout: bool, stderr: bool, timestamps: bool, tail: int | None, since: float | None
    ) -> str: ...


@runtime_checkable
class SupportsExec(Protocol):
    """Can run commands in containers."""

    async def execute(self, uuid: str, command: Sequence[str], *, limit: float) -> ExecResult:
        """Run it to its end; raises `CommandTimedOut` when that takes more than `limit` seconds."""
        ...


@runtime_checkable
class SupportsTop(Protocol):
    """Can list processes. The answer has `Titles` and `Processes`."""

    async def top(self, uuid: str, ps_args: str | None) -> Mapping[str, object]: ...


@runtime_checkable
class SupportsStats(Protocol):
    """Can sample use: the keys of `HostGateway.stats`."""

    async def stats(self, uuid: str) -> Mapping[str, str | float]: ...


@runtime_checkable
class SupportsCleanup(Protocol):
    """Keeps more than containers on its host: networks, rules of the packet filter."""

    async def tidy(self) -> None:
        """Set up again what was lost, and remove what is there for containers that are gone. It may be called often."""
        ...


@runtime_checkable
class SupportsClose(Protocol):
    """Holds connections that want closing. What it runs is not touched."""

    async def close(self) -> None: ...
