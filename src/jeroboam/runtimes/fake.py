"""A runtime in memory with fault injection, for tests and for trials without an Engine.

It keeps the contract. It can hold or fail a call, die and come back, or lose a container. Neighbours: tests.
"""
# ruff: noqa: ARG002 (a fake has no use for much of what the contract hands over)

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Self, final

from jeroboam.domain.archives import PathStat
from jeroboam.domain.containers import Address, ContainerSpec, RuntimeState
from jeroboam.domain.errors import Permanent, Temporary, describe_bad_value
from jeroboam.domain.host_ports import HostPort
from jeroboam.domain.hosts import HostFacts
from jeroboam.domain.ports import ExecResult
from jeroboam.domain.registries import RegistryLogin
from jeroboam.domain.streams import ByteStream, CloseReason, StreamEnding, TerminalSize
from jeroboam.kit.clock import Clock, SystemClock
from jeroboam.runtimes.base import (
    CommandTimedOut,
    ContainerGone,
    ContainerState,
    HostMount,
    InvalidRequest,
    Runtime,
    RuntimeOptions,
    RuntimeSettings,
    SupportsArchives,
    SupportsAttach,
    SupportsCleanup,
    SupportsClose,
    SupportsExec,
    SupportsFollowLogs,
    SupportsInteractiveExec,
    SupportsLogs,
    SupportsPause,
    SupportsPlug,
    SupportsResize,
)
from jeroboam.runtimes.fake_faults import FaultInjection, InjectedFault
from jeroboam.runtimes.fake_images import FakeImageStore
from jeroboam.runtimes.fake_sandboxes import FakeSandboxes
from jeroboam.runtimes.fake_streams import PROGRAMS, FakeProcess, FakePrograms, echo, keep_all, print_all

__all__ = ["FakeRuntime", "InjectedFault"]

_ALIVE = frozenset({RuntimeState.RUNNING, RuntimeState.PAUSED, RuntimeState.RESTARTING})
_FATAL_SIGNALS = frozenset({"SIGKILL", "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP"})
_KILLED = 137
_NOT_STARTED = 128
FILE_TIME = "2026-11-23T12:00:00Z"
_ENDED_WITH_CONTAINER = StreamEnding(reason=CloseReason.ENDED, exit_code=_KILLED)


@final
class FakeRuntime(
    Runtime,
    SupportsPlug,
    SupportsPause,
    SupportsResize,
    SupportsLogs,
    SupportsFollowLogs,
    SupportsExec,
    SupportsInteractiveExec,
    SupportsAttach,
    SupportsArchives,
    FakeImageStore,
    FaultInjection,
    FakeSandboxes,
    SupportsCleanup,
    SupportsClose,
):
    """Implements `Runtime` and its optional protocols except `SupportsTop` and `SupportsStats`.

    `calls` records the calls in order.
    """

    def __init__(
        self,
        *,
        installation: str = "fake",
        url: str | None = None,
        options: RuntimeOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        FakeImageStore.__init__(self)
        FaultInjection.__init__(self)
        FakeSandboxes.__init__(self)
        self.installation = installation
        self.url = url
        self.calls: list[tuple[str, str]] = []
        self.containers: dict[str, ContainerState] = {}
        self.specs: dict[str, ContainerSpec] = {}
        self.ports: dict[str, tuple[HostPort, ...]] = {}
        self.volumes: dict[str, Sequence[HostMount]] = {}
        self.printed: dict[str, list[str]] = defaultdict(list)
        self.files: dict[str, dict[str, bytes]] = defaultdict(dict)
        """Archives by container and path: what was written comes out again."""
        self.terminal_sizes: dict[str, TerminalSize] = {}
        self._clock = clock or SystemClock()
        self._dead: Temporary | None = None
        self._listeners: set[asyncio.Queue[str | None]] = set()
        self.programs = FakePrograms()
        """Commands of `open_exec`; `fake_streams` has those that do something."""
        self._log_readers = FakePrograms()
        self._followers: set[asyncio.Event] = set()
        self._made = 0

    @classmethod
    def from_settings(cls, settings: RuntimeSettings) -> Self:
        return cls(installation=settings.installation, url=settings.url, options=settings.options)

    def die(self, reason: str = "the fake runtime is away") -> None:
        """Make every call raise `Temporary`, and end the event streams."""
        self._dead = Temporary(reason)
        for listener in self._listeners:
            listener.put_nowait(None)
        for running in (self.programs, self._log_readers):
            running.end_all(StreamEnding(reason=CloseReason.UNAVAILABLE, detail=reason))

    def revive(self) -> None:
        self._dead = None

    def end(self, uuid: str, exit_code: int = 0) -> None:
        """Simulate that the container's process exits by itself."""
        self._put(uuid, state=RuntimeState.EXITED, exit_code=exit_code, finished_at=self._clock.now(), addresses=())

    def fail_to_start(self, uuid: str, error: str) -> None:
        """Simulate that the runtime, itself started again, cannot start a container that ran."""
        self.end(uuid, _NOT_STARTED)
        self._put(uuid, error=error)

    def lose(self, uuid: str) -> None:
        """Simulate that somebody removes the container."""
        self.containers.pop(uuid)
        self._tell(uuid)
        self.programs.end_all(_ENDED_WITH_CONTAINER, uuid)

    async def facts(self) -> HostFacts:
        await self._enter("facts", "")
        return HostFacts(
            hostname="fake", cpus=64, mem_total=262144, disk_total=1000, runtimes=("fake",), runtime_name="fake"
        )

    async def pull(
        self,
        image: str,
        policy: str | None,
        *,
        login: RegistryLogin | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        await self._enter("pull", image)
        self.registry.pull(image, policy, login)
        if report is not None:
            report("1 of 1 MiB are here")
        await self._leave("pull")

    async def create(
        self,
        uuid: str,
        name: str,
        spec: ContainerSpec,
        *,
        project: str,
        volumes: Sequence[HostMount] = (),
        cpuset: Sequence[int] = (),
        ports: Sequence[HostPort] = (),
    ) -> ContainerState:
        await self._enter("create", uuid)
        self.ports.setdefault(uuid, tuple(ports))
        if uuid not in self.containers:
            self._made += 1
            self.specs[uuid] = spec
            self.volumes[uuid] = volumes
            self.containers[uuid] = ContainerState(
                uuid=uuid,
                runtime_id=f"fake-{self._made}",
                state=RuntimeState.CREATED,
                hostname=spec.hostname or f"fake-{self._made}",
                ports=tuple(sorted({int(port.partition("/")[0]) for port in spec.exposed_ports})),
            )
            self._tell(uuid)
        await self._leave("create")
        return self._get(uuid)

    async def start(self, uuid: str) -> ContainerState:
        await self._enter("start", uuid)
        if self._get(uuid).state not in _ALIVE:
            address = Address(network="fake", addr=f"10.0.0.{self._made % 250 + 2}")
            life = {"started_at": self._clock.now(), "finished_at": None, "exit_code": None}
            self._put(uuid, state=RuntimeState.RUNNING, addresses=(address,), **life)
        await self._leave("start")
        return self._get(uuid)

    async def plug(self, uuid: str, name: str, *, project: str, ports: Sequence[HostPort]) -> ContainerState:
        await self._enter("plug", uuid)
        self.ports[self._get(uuid).uuid] = tuple(ports)
        await self._leave("plug")
        return self._get(uuid)

    async def stop(self, uuid: str, timeout: int | None) -> ContainerState:
        await self._enter("stop", uuid)
        if self._get(uuid).state in _ALIVE:
            self.end(uuid, _KILLED)
        await self._leave("stop")
        return self._get(uuid)

    async def kill(self, uuid: str, signal: str) -> ContainerState:
        await self._enter("kill", uuid)
        if self._get(uuid).state not in _ALIVE:
            raise Permanent(f"container {uuid} is not running")
        if signal in _FATAL_SIGNALS:
            self.end(uuid, _KILLED)
        await self._leave("kill")
        return self._get(uuid)

    async def remove(self, uuid: str, *, force: bool) -> None:
        await self._enter("remove", uuid)
        container = self.containers.get(uuid)
        if container is not None:
            if container.state in _ALIVE and not force:
                raise Permanent(f"container {uuid} is running")
            self.lose(uuid)
        await self._leave("remove")

    async def inspect(self, uuid: str) -> ContainerState:
        await self._enter("inspect", uuid)
        return self._get(uuid)

    async def list_owned(self) -> Sequence[ContainerState]:
        await self._enter("owned", "")
        return [state for uuid, state in self.containers.items() if uuid not in self.sandbox_of]

    def events(self) -> AsyncIterator[str]:
        listener: asyncio.Queue[str | None] = asyncio.Queue()
        self._listeners.add(listener)
        return self._events(listener)

    async def pause(self, uuid: str) -> ContainerState:
        return await self._turn("pause", uuid, RuntimeState.RUNNING, RuntimeState.PAUSED)

    async def unpause(self, uuid: str) -> ContainerState:
        return await self._turn("unpause", uuid, RuntimeState.PAUSED, RuntimeState.RUNNING)

    async def resize(self, uuid: str, *, cpu: float, memory: int) -> ContainerState:
        await self._enter("resize", uuid)
        self._get(uuid)
        self.specs[uuid] = replace(self.specs[uuid], cpu=cpu, memory=memory)
        return self._get(uuid)

    async def logs(
        self, uuid: str, *, stdout: bool, stderr: bool, timestamps: bool, tail: int | None, since: float | None
    ) -> str:
        await self._enter("logs", uuid)
        self._get(uuid)
        lines = self.printed[uuid]
        return "".join(lines if tail is None else lines[-tail:] if tail else [])

    async def execute(self, uuid: str, command: Sequence[str], *, limit: float) -> ExecResult:
        try:
            async with asyncio.timeout(limit):
                await self._enter("execute", uuid)
        except TimeoutError as error:
            raise CommandTimedOut(f"the command did not end within {limit:g} seconds") from error
        if self._get(uuid).state is not RuntimeState.RUNNING:
            raise Permanent(f"container {uuid} is not running")
        return ExecResult(output=" ".join(command), exit_code=0)

    async def follow_logs(
        self, uuid: str, *, stdout: bool, stderr: bool, timestamps: bool, tail: int | None, since: float | None
    ) -> ByteStream:
        await self._enter("follow_logs", uuid)
        self._get(uuid)
        start = 0 if tail is None else max(len(self.printed[uuid]) - tail, 0)

        async def follow(process: FakeProcess, _arguments: Sequence[str]) -> int:
            position, printed = start, asyncio.Event()
            self._followers.add(printed)
            try:
                while True:
                    printed.clear()
                    for line in self.printed[uuid][position:]:
                        await process.print(line.encode())
                        position += 1
                    if len(self.printed[uuid]) > position:
                        continue
                    container = self.containers.get(uuid)
                    if container is None or container.state not in _ALIVE:
                        return 0
                    await printed.wait()
            finally:
                self._followers.discard(printed)

        return self._log_readers.start(uuid, follow, (), None)

    async def open_exec(self, uuid: str, command: Sequence[str], *, tty: bool, size: TerminalSize | None) -> ByteStream:
        await self._enter("open_exec", uuid)
        if self._get(uuid).state is not RuntimeState.RUNNING:
            raise Permanent(f"container {uuid} is not running")
        program, arguments = (PROGRAMS[command[0]], command[1:]) if command[0] in PROGRAMS else (echo, command)
        return self.programs.start(uuid, program, arguments, size)

    async def open_attach(self, uuid: str) -> ByteStream:
        """The container's own process prints what it is sent."""
        await self._enter("open_attach", uuid)
        if self._get(uuid).state is not RuntimeState.RUNNING:
            raise Permanent(f"container {uuid} is not running")
        return self.programs.start(uuid, PROGRAMS["cat"], (), None)

    async def resize_terminal(self, uuid: str, size: TerminalSize) -> None:
        await self._enter("resize_terminal", uuid)
        self._get(uuid)
        self.terminal_sizes[uuid] = size

    async def stat_path(self, uuid: str, path: str) -> PathStat:
        await self._enter("stat_path", uuid)
        return PathStat(name=path.rpartition("/")[2], size=len(self._file(uuid, path)), mode=0o644, mtime=FILE_TIME)

    async def read_archive(self, uuid: str, path: str) -> ByteStream:
        await self._enter("read_archive", uuid)
        return self.programs.start(uuid, print_all(self._file(uuid, path)), (), None)

    async def write_archive(self, uuid: str, path: str) -> ByteStream:
        await self._enter("write_archive", uuid)
        self._get(uuid)
        return self.programs.start(uuid, keep_all(self.files[uuid], path), (), None)

    def _file(self, uuid: str, path: str) -> bytes:
        self._get(uuid)
        if path not in self.files[uuid]:
            raise InvalidRequest(describe_bad_value("path", path, "no such file or folder."))
        return self.files[uuid][path]

    def print_output(self, uuid: str, text: str) -> None:
        """Simulate that the container prints the text."""
        self.printed[uuid].append(text)
        self._wake_followers()

    async def tidy(self) -> None:
        await self._enter("tidy", "")

    async def close(self) -> None:
        await self.programs.close()
        await self._log_readers.close()

    async def _turn(self, method: str, uuid: str, before: RuntimeState, then: RuntimeState) -> ContainerState:
        await self._enter(method, uuid)
        if self._get(uuid).state is not before:
            raise Permanent(f"container {uuid} is not {before}")
        self._put(uuid, state=then)
        await self._leave(method)
        return self._get(uuid)

    async def _events(self, listener: "asyncio.Queue[str | None]") -> AsyncIterator[str]:
        try:
            while self._dead is None and (uuid := await listener.get()) is not None:
                yield uuid
        finally:
            self._listeners.discard(listener)
        raise self._dead or Temporary("the fake runtime was away")

    async def _enter(self, method: str, about: str) -> None:
        self.calls.append((method, about))
        await self.strike(method, after=False)
        if self._dead is not None:
            raise self._dead

    async def _leave(self, method: str) -> None:
        await self.strike(method, after=True)

    def _get(self, uuid: str) -> ContainerState:
        if uuid not in self.containers:
            raise ContainerGone(f"container {uuid} is not on this host")
        return self.containers[uuid]

    def _put(self, uuid: str, **changes: object) -> None:
        self.containers[uuid] = replace(self._get(uuid), **changes)  # type: ignore[arg-type]
        self._tell(uuid)
        if self.containers[uuid].state not in _ALIVE:
            self.programs.end_all(_ENDED_WITH_CONTAINER, uuid)

    def _wake_followers(self) -> None:
        for printed in self._followers:
            printed.set()

    def _tell(self, uuid: str) -> None:
        for listener in self._listeners:
            listener.put_nowait(self.sandbox_of.get(uuid, uuid))
        self._wake_followers()
