"""The contract of runtimes: what starts containers on a host.

Everything that a runtime creates has the container's uuid as a tag, and only objects with our tag are ever touched.
All methods raise `Temporary` or `Permanent` (jeroboam.domain.errors) with a reason that users may read, and
`ContainerGone` for a container that does not exist. Optional capabilities are the `Supports…` protocols below.
Neighbours: `docker` and `fake` implement it, the agent calls it.
"""

import datetime as dt
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from jeroboam.domain.archives import PathStat
from jeroboam.domain.capsules import SandboxSpec
from jeroboam.domain.containers import Address, ContainerSpec, RuntimeState
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.domain.host_images import LocalImage
from jeroboam.domain.hosts import HostFacts
from jeroboam.domain.ports import ExecResult
from jeroboam.domain.registries import RegistryLogin
from jeroboam.domain.streams import ByteStream, TerminalSize


class ContainerGone(Permanent):
    """The runtime has no such container."""


class CommandTimedOut(Temporary):
    """A command in a container did not end within its limit. It may still run there."""


class InvalidRequest(Permanent):
    """The runtime does not accept the request; the container is unchanged."""


class ImageRegistryUnreachable(Temporary):
    """The registry of an image that is not on this host does not answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeOptions:
    """Settings of the operator for all containers of a host."""

    max_processes: int = 2048
    """The maximum of processes in each container, threads included."""
    log_mib: int = 10
    """The size of one log file of a container, in MiB."""
    log_files: int = 2
    """The number of log files of a container."""
    dedicated_cpus: tuple[int, ...] = ()
    """Cores that no container shares."""
    registry_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks outside of the Internet from which images may be pulled; by default such registries are refused."""


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
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    """What runs: of the image, where the spec does not say."""
    health: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxState:
    """A sandbox as the runtime shows it, with the containers in it."""

    uuid: str
    runtime_id: str
    state: RuntimeState
    """ABSENT: only containers of it are left."""
    addresses: tuple[Address, ...] = ()
    members: tuple[ContainerState, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeSettings:
    """What a runtime is made from."""

    installation: str
    """The tag that tells containers of this service from those of another one on the same host."""
    url: str | None = None
    """Where the runtime listens (None: what the environment says, else the local socket)."""
    options: RuntimeOptions = RuntimeOptions()


@dataclass(frozen=True, kw_only=True, slots=True)
class HostMount:
    """A folder of this host in a container. It has to exist: a runtime makes none."""

    source: Path
    destination: str
    is_read_only: bool = False


class Runtime(Protocol):
    """Starts and stops containers on this host. Containers are identified by their uuid."""

    @classmethod
    def from_settings(cls, settings: RuntimeSettings) -> Self:
        """A runtime with these settings. Nothing is sent yet."""
        ...

    async def facts(self) -> HostFacts:
        """Return the facts of the host. Raises `Temporary` while the runtime cannot be reached."""
        ...

    async def pull(
        self,
        image: str,
        policy: str | None,
        *,
        login: RegistryLogin | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        """Pull the image according to the pull policy (never, always, ifnotpresent; None: ifnotpresent).

        `login` is shown to the registry of the image, and is neither stored nor logged. `report` is told how far the
        pull is. `always` uses an image on this host only when its registry cannot be reached. Raises `Permanent` when
        there is no such image or it may not be pulled, `ImageRegistryUnreachable` when the registry does not answer.
        """
        ...

    async def create(
        self,
        uuid: str,
        name: str,
        spec: ContainerSpec,
        *,
        project: str,
        volumes: Sequence[HostMount] = (),
        cpuset: Sequence[int] = (),
    ) -> ContainerState:
        """Create the container without starting it, on the network of its project, with the volumes in it.

        It runs on the cores of `cpuset`; without them on all that are not dedicated.
        An existing container is returned unchanged; if it was never started, the files of its mounts are written again.
        """
        ...

    async def start(self, uuid: str) -> ContainerState:
        """Start it. No error when it runs already."""
        ...

    async def stop(self, uuid: str, timeout: int | None) -> ContainerState:
        """Stop it, and kill it after `timeout` seconds (None: 10). No error when it does not run.

        A container that is paused, or is being restarted by its restart policy, is stopped too, and stays stopped.
        """
        ...

    async def kill(self, uuid: str, signal: str) -> ContainerState:
        """Send the signal, which is a name with SIG."""
        ...

    async def remove(self, uuid: str, *, force: bool) -> None:
        """Remove it and its resources; with `force` also while it runs. A container that is gone is no error."""
        ...

    async def inspect(self, uuid: str) -> ContainerState:
        """Return its present state."""
        ...

    async def list_owned(self) -> Sequence[ContainerState]:
        """Return all containers with our tag."""
        ...

    def events(self) -> AsyncIterator[str]:
        """Yield uuids of our containers when something happens to them.

        Raises `Temporary` when the connection to the runtime is lost. Events until the next call are lost, so the
        caller has to list the containers after each start of the stream.
        """
        ...


@runtime_checkable
class SupportsPause(Protocol):
    """Optional: the runtime can pause containers."""

    async def pause(self, uuid: str) -> ContainerState: ...

    async def unpause(self, uuid: str) -> ContainerState: ...


@runtime_checkable
class SupportsResize(Protocol):
    """Optional: the runtime can change the limits of an existing container."""

    async def resize(self, uuid: str, *, cpu: float, memory: int) -> ContainerState: ...


@runtime_checkable
class SupportsLogs(Protocol):
    """Optional: the runtime keeps the output of containers."""

    async def logs(
        self, uuid: str, *, stdout: bool, stderr: bool, timestamps: bool, tail: int | None, since: float | None
    ) -> str: ...


@runtime_checkable
class SupportsExec(Protocol):
    """Optional: the runtime can run commands in containers."""

    async def execute(self, uuid: str, command: Sequence[str], *, limit: float) -> ExecResult:
        """Run it and wait for its end; raise `CommandTimedOut` when that takes more than `limit` seconds."""
        ...


@runtime_checkable
class SupportsFollowLogs(Protocol):
    """Optional: the runtime can stream the output of containers."""

    async def follow_logs(
        self, uuid: str, *, stdout: bool, stderr: bool, timestamps: bool, tail: int | None, since: float | None
    ) -> ByteStream:
        """Return a stream of what was printed and is printed. It ends when the container does.

        The runtime reads no faster than the stream is read. Input is not taken.
        """
        ...


@runtime_checkable
class SupportsInteractiveExec(Protocol):
    """Optional: the runtime can run commands in containers with input, and in a terminal."""

    async def open_exec(self, uuid: str, command: Sequence[str], *, tty: bool, size: TerminalSize | None) -> ByteStream:
        """Start the command and return a stream to it. The stream ends with the command's exit code.

        `close` leaves the command without input and output; whether that ends it is the command's own matter.
        """
        ...


@runtime_checkable
class SupportsAttach(Protocol):
    """Optional: the runtime can connect to the container's own process."""

    async def open_attach(self, uuid: str) -> ByteStream:
        """Return a stream to the process, from now on. It ends with the exit code of the process.

        `close` leaves the process running.
        """
        ...

    async def resize_terminal(self, uuid: str, size: TerminalSize) -> None:
        """Set the size of the terminal that the process runs in."""
        ...


@runtime_checkable
class SupportsArchives(Protocol):
    """Optional: the runtime can copy files out of containers and into them, as tar archives.

    A path is one of the container, absolute or from its root. All raise `InvalidRequest` for one that does not exist.
    """

    async def stat_path(self, uuid: str, path: str) -> PathStat:
        """Return what is known of that file or folder. A link is not followed."""
        ...

    async def read_archive(self, uuid: str, path: str) -> ByteStream:
        """Return a stream of the file, or of the folder with all in it. Input is not taken."""
        ...

    async def write_archive(self, uuid: str, path: str) -> ByteStream:
        """Return a stream that takes an archive and unpacks it into that folder.

        It ends once all is unpacked, after `end`. What was unpacked before a failure stays. Nothing leaves the
        container, whatever paths and links the archive has.
        """
        ...


@runtime_checkable
class SupportsImages(Protocol):
    """Optional: the runtime keeps images that can be looked at, listed and removed."""

    async def find_image(self, image: str) -> LocalImage | None:
        """Return the image of that name or id on this host; None if there is none."""
        ...

    async def list_images(self) -> Sequence[LocalImage]:
        """Return all images on this host."""
        ...

    async def check_image(self, image: str, login: RegistryLogin | None) -> None:
        """Ask the image's registry whether it gives the image to that login (None: to everybody). Nothing is pulled.

        Raises `Permanent` if it refuses, `ImageRegistryUnreachable` if it does not answer.
        """
        ...

    async def remove_image(self, image: str) -> None:
        """Remove that name of an image, and the image with its last name. One that is gone is no error.

        Raises `Permanent` if a container uses the image.
        """
        ...


@runtime_checkable
class SupportsTop(Protocol):
    """Optional: the runtime can list processes. The answer has `Titles` and `Processes`."""

    async def top(self, uuid: str, ps_args: str | None) -> Mapping[str, object]: ...


@runtime_checkable
class SupportsStats(Protocol):
    """Optional: the runtime can measure resource usage. The answer has the keys of `HostGateway.stats`."""

    async def stats(self, uuid: str) -> Mapping[str, str | float]: ...


@runtime_checkable
class SupportsCleanup(Protocol):
    """Optional: the runtime has further resources on its host: networks, rules of the packet filter."""

    async def tidy(self) -> None:
        """Restore resources that were lost, and remove those of containers that are gone. It may be called often."""
        ...


@runtime_checkable
class SupportsSandboxes(Protocol):
    """Optional: the runtime can run sandboxes: what the containers of a capsule share.

    The members of a sandbox share its network, its ipc namespace with /dev/shm, and its hostname; not its processes. A
    sandbox has the uuid of its capsule, a member one of its own. Members are stopped, killed, removed, inspected and
    asked with the methods for containers; `list_owned` leaves sandboxes and members out, and `events` yields the
    sandbox's uuid for both. The runtime restarts nothing here: the agent does.
    """

    async def run_sandbox(self, spec: SandboxSpec) -> SandboxState:
        """Create the sandbox and start it, on the network of its project. One that runs is returned unchanged.

        Raises `Permanent` for one that has stopped: it has to be removed first.
        """
        ...

    async def stop_sandbox(self, uuid: str) -> None:
        """Stop the sandbox and kill what runs in it. No error when it does not run or is gone.

        What members wrote can still be read.
        """
        ...

    async def remove_sandbox(self, uuid: str) -> None:
        """Remove the sandbox with all its members and folders, also while they run. One that is gone is no error."""
        ...

    async def inspect_sandbox(self, uuid: str) -> SandboxState:
        """Return its present state with its members. Raises `ContainerGone` when nothing of it is left."""
        ...

    async def list_sandboxes(self) -> Sequence[SandboxState]:
        """Return all sandboxes with our tag, also those of which only members are left."""
        ...

    async def create_member(self, sandbox: SandboxSpec, uuid: str, name: str, spec: ContainerSpec) -> ContainerState:
        """Create a container in the sandbox, which runs, without starting it. An existing one is returned unchanged.

        A mount of type `EMPTY_DIR` is a folder of the sandbox.
        """
        ...

    async def start_member(self, uuid: str) -> ContainerState:
        """Start a member that was never started. No error when it runs already."""
        ...


@runtime_checkable
class SupportsClose(Protocol):
    """Optional: the runtime has connections to close. Containers are not touched."""

    async def close(self) -> None: ...
