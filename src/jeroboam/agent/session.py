"""The agent: keeps a session with dispatch, follows the runtime's events, and gives assignments to workers.

Three tasks run independently: the session (always reopened), the runtime's events (always followed again) and the
heartbeat. After a possible gap, the containers of the runtime are compared with the assignments. A stop of the agent
touches none. Neighbours: `worker`, `executor`, `capsules`; `images`; `queries` and `streams`, for live requests.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from jeroboam.agent import queries
from jeroboam.agent.container_ports import ContainerPorts
from jeroboam.agent.executors import build_executors, find_project
from jeroboam.agent.image_access import ImageAccess
from jeroboam.agent.image_prune import ImagePruner
from jeroboam.agent.images import ImageWorker
from jeroboam.agent.journal import Journal
from jeroboam.agent.streams import serve_stream
from jeroboam.agent.volumes import HostVolumes
from jeroboam.agent.worker import LONGEST_PAUSE, WorkerPool, pause_after
from jeroboam.domain.capsules import CapsuleObserved
from jeroboam.domain.containers import ContainerObserved, RuntimeState
from jeroboam.domain.errors import DriverError, Temporary
from jeroboam.domain.hosts import HostFacts
from jeroboam.kit.clock import Clock
from jeroboam.kit.tasks import Tasks
from jeroboam.networking.base import Networking
from jeroboam.protocol import (
    VERSION,
    AgentConnection,
    AnyAssignment,
    Assignment,
    Assignments,
    ContainerForgotten,
    ContainerReport,
    FromAgent,
    Hello,
    HostReport,
    LiveFailure,
    LiveFailureKind,
    LiveRequest,
    LiveResponse,
    StreamClose,
    StreamData,
    StreamEnd,
    StreamOpen,
    StreamResize,
    StreamWindow,
    ToAgent,
)
from jeroboam.protocol.agent_streams import AgentStreams
from jeroboam.protocol.capsules import CapsuleAssignment, CapsuleReport
from jeroboam.protocol.codec import UnencodableMessage
from jeroboam.protocol.images import ImageWish
from jeroboam.protocol.volumes import VolumeWish
from jeroboam.runtimes.base import Runtime, SupportsCleanup
from jeroboam.runtimes.sandboxes import SupportsSandboxes
from jeroboam.storage.base import Storage

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 15.0
EXECUTE_SECONDS = 5.0
FACTS_SECONDS = 5.0
MAX_PROJECT_STREAMS = 128
"""The most streams of one project on this host, an eighth of all."""

# The heartbeats between two full comparisons, which find what lost events told.
_BEATS_A_COMPARISON = 4


class Agent:
    """The agent of one host. `open_session` connects to dispatch and raises `OSError` if it cannot."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        storage: Storage | None = None,
        journal: Journal,
        clock: Clock,
        hostname: str,
        open_session: Callable[[], Awaitable[AgentConnection]],
        execute_limit: float = EXECUTE_SECONDS,
        heartbeat: float = HEARTBEAT_SECONDS,
        image_days: int = 0,
        networking: Networking | None = None,
    ) -> None:
        self._runtime, self._journal, self._clock = runtime, journal, clock
        self._hostname, self._open_session = hostname, open_session
        self._execute_limit, self._heartbeat = execute_limit, heartbeat
        self._connection: AgentConnection | None = None
        self._facts: HostFacts | None = None
        self._trouble: str | None = None
        self._assignments, self._capsules = dict[str, Assignment](), dict[str, CapsuleAssignment]()
        self._is_complete = False
        self._kept: set[str] = set()
        """Uuids of containers and capsules that belong on this host and that the server could not describe."""
        self._sent: dict[str, ContainerObserved | CapsuleObserved] = {}
        self._commands: queries.RunningCommands = {}
        self._stream_counts: Counter[str] = Counter()
        """Open streams by project."""
        self._tasks = Tasks(_report)
        self._cleanup: asyncio.Task[None] | None = None
        self._access = ImageAccess(runtime=runtime, journal=journal)
        self._pruner = ImagePruner(runtime=runtime, journal=journal, clock=clock, days=image_days)
        self._images = ImageWorker(runtime=runtime, access=self._access, clock=clock, send=self._send)
        self._ports = ContainerPorts(runtime=runtime, networking=networking, assignments=self._assignments)
        self._volumes = HostVolumes(storage=storage, clock=clock, send=self._send)
        self._executor, self._capsule_executor = build_executors(
            runtime=runtime,
            journal=journal,
            access=self._access,
            volumes=self._volumes,
            clock=clock,
            tell=self._tell,
            ports=self._ports,
            look=self._look_at_capsule,
        )
        self._workers = WorkerPool[Assignment](
            executor=self._executor,
            find_assignment=self._assignments.get,
            is_complete=self._may_remove_strays,
            clock=clock,
        )
        self._capsule_workers = WorkerPool[CapsuleAssignment](
            executor=self._capsule_executor,
            find_assignment=self._capsules.get,
            is_complete=self._may_remove_strays,
            clock=clock,
        )

    def _may_remove_strays(self, uuid: str) -> bool:
        """Whether what has that uuid and is not assigned is a stray."""
        return self._is_complete and uuid not in self._kept

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            await self._probe()
            self._tasks.start("events", self._run_forever(self._follow_events))
            self._tasks.start("heartbeat", self._run_forever(self._beat))
            self._tasks.start("images", self._pruner.run())
            await self._run_forever(self._keep_session)
        finally:
            await self._tasks.close()
            await self._workers.close()
            await self._capsule_workers.close()
            await self._capsule_executor.close()
            await self._images.close()
            await self._volumes.close()

    async def _run_forever(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run the work again after each end. A bug in the work is logged and ends no task."""
        while True:
            try:
                await work()
            except Exception:
                log.exception("agent.bug")
            await self._clock.sleep(LONGEST_PAUSE)

    async def _keep_session(self) -> None:
        failures = 0
        while True:
            try:
                connection = await self._open_session()
            except OSError as error:
                log.info("agent.no-session", error=str(error))
            else:
                failures = 0 if await self._serve(connection) else failures
            failures += 1
            await self._clock.sleep(pause_after(failures))

    async def _serve(self, connection: AgentConnection) -> bool:
        """Run one session to its end. Return whether the server sent anything."""
        has_received = False
        streams = AgentStreams(connection.send, clock=self._clock)
        try:
            await connection.send(
                Hello(version=VERSION, hostname=self._hostname, facts=self._facts, error=self._trouble),
            )
            self._sent.clear()
            self._connection = connection
            async for message in connection:
                has_received = True
                self._receive(message, streams)
        except OSError as error:
            log.info("agent.session-lost", error=str(error))
        finally:
            self._connection = None
            await streams.close()
            await connection.close()
        return has_received

    def _receive(self, message: ToAgent, streams: AgentStreams) -> None:
        match message:
            case StreamData() | StreamWindow() | StreamEnd() | StreamClose():
                streams.receive(message)
            case StreamResize():
                streams.resize(message)
            case StreamOpen():
                self._open_stream(message, streams)
            case Assignments():
                self._take_all(message)
            case Assignment() | CapsuleAssignment():
                self._take_assignment(message)
            case ContainerForgotten():
                self._release(message.uuid)
            case ImageWish():
                self._images.take(message)
            case VolumeWish():
                self._volumes.take(message)
            case LiveRequest():
                self._tasks.start(f"request {message.id}", self._answer(message))

    def _open_stream(self, message: StreamOpen, streams: AgentStreams) -> None:
        """Serve the stream, unless its project has so many on this host that others would get none."""
        project = find_project(message.container, self._assignments, self._capsules.values())
        if self._stream_counts[project] >= MAX_PROJECT_STREAMS:
            streams.refuse(message, f"the project has {MAX_PROJECT_STREAMS} sessions on this host already")
            return
        stream = streams.accept(message)
        if stream is None:
            return
        self._stream_counts[project] += 1
        work = serve_stream(self._runtime, streams, stream, message, self._commands)
        task = self._tasks.start(f"stream {stream.number}", work)
        task.add_done_callback(lambda _: self._stream_counts.subtract((project,)))

    def _take_assignment(self, assignment: AnyAssignment) -> None:
        if (self._assignments.get(assignment.uuid) or self._capsules.get(assignment.uuid)) == assignment:
            # The server asks again, so it has lost the last report.
            self._sent.pop(assignment.uuid, None)
        self._put(assignment)

    def _put(self, assignment: AnyAssignment) -> None:
        """Have a worker look at a new or changed assignment."""
        if isinstance(assignment, CapsuleAssignment):
            self._capsules[assignment.uuid] = assignment
            self._capsule_workers.call(assignment.uuid)
            return
        before = self._assignments.get(assignment.uuid)
        self._assignments[assignment.uuid] = assignment
        if before is not None and before.ports != assignment.ports:
            self._tasks.start("ports", self._ports.ensure_quietly())
        self._workers.call(assignment.uuid)

    def _take_all(self, message: Assignments) -> None:
        uuids = {assignment.uuid for assignment in message.containers}
        self._kept = set(message.kept)
        known_uuids = self._assignments.keys() | self._capsules.keys() | self._journal.list_uuids()
        for uuid in known_uuids - uuids - self._kept:
            self._release(uuid)
        self._is_complete = True
        for assignment in message.containers:
            self._put(assignment)
        self._tasks.start("comparison", self._compare_quietly())

    def _release(self, uuid: str) -> None:
        """Forget a container or a capsule. If it still exists, its worker removes it as a stray."""
        self._kept.discard(uuid)
        self._sent.pop(uuid, None)
        capsule = self._capsules.pop(uuid, None)
        if capsule is not None:
            self._capsule_executor.end_probes(capsule)
        if capsule is not None or self._journal.has_capsule(uuid):
            self._capsule_executor.forget(uuid)
            self._capsule_workers.call(uuid)
            return
        assignment = self._assignments.pop(uuid, None)
        if assignment is not None and assignment.ports:
            self._tasks.start("ports", self._ports.ensure_quietly())
        self._executor.forget(uuid)
        self._workers.call(uuid)

    def _look_at_capsule(self, uuid: str) -> None:
        self._capsule_workers.look(uuid)

    def _look(self, uuid: str) -> None:
        """Have a worker look at what an event is about."""
        if uuid not in self._assignments and isinstance(self._runtime, SupportsSandboxes):
            self._capsule_workers.look(uuid)
        if uuid not in self._capsules:
            self._workers.look(uuid)

    async def _answer(self, request: LiveRequest) -> None:
        response = await queries.answer_request(
            self._runtime, request, limit=self._execute_limit, commands=self._commands, access=self._access
        )
        try:
            await self._send(response)
        except UnencodableMessage as error:
            failure = LiveFailure(kind=LiveFailureKind.UNAVAILABLE, detail=f"the answer cannot be sent: {error}")
            await self._send(LiveResponse(id=request.id, answer=failure))

    async def _follow_events(self) -> None:
        failures = 0
        while True:
            try:
                events = self._runtime.events()
                await self._compare()
                failures = 0
                if self._trouble is not None:
                    await self._probe()
                    await self._send(HostReport(facts=self._facts, error=self._trouble))
                async for uuid in events:
                    self._look(uuid)
            except DriverError as error:
                log.info("agent.runtime-away", error=error.reason)
                self._facts, self._trouble = None, error.reason
                await self._send(HostReport(facts=None, error=error.reason))
            failures += 1
            await self._clock.sleep(pause_after(failures))

    async def _beat(self) -> None:
        beats = 0
        while True:
            await self._clock.sleep(self._heartbeat)
            await self._probe()
            await self._send(HostReport(facts=self._facts, error=self._trouble))
            beats += 1
            if beats % _BEATS_A_COMPARISON == 0:
                await self._compare_quietly()

    async def _probe(self) -> None:
        """Ask the runtime for facts. A runtime that hangs counts as away."""
        try:
            async with asyncio.timeout(FACTS_SECONDS):
                facts = await self._runtime.facts()
        except DriverError as error:
            self._facts, self._trouble = None, error.reason
        except TimeoutError:
            self._facts, self._trouble = None, f"the runtime has not answered for {FACTS_SECONDS:g} seconds"
        else:
            self._facts, self._trouble = replace(facts, hostname=self._hostname), None

    async def _compare(self) -> None:
        """Have a worker look at each container that has changed or is not assigned, and at each capsule."""
        states = {state.uuid: state for state in await self._runtime.list_owned()}
        if self._cleanup is None or self._cleanup.done():
            self._cleanup = self._tasks.start("tidying", self._tidy())
        for uuid, state in states.items():
            if uuid not in self._assignments or self._executor.has_changed(state):
                self._workers.look(uuid)
        for uuid in self._assignments.keys() - states.keys():
            if self._journal.entry(uuid).observed.state is not RuntimeState.ABSENT:
                self._workers.look(uuid)
        if isinstance(self._runtime, SupportsSandboxes):
            sandboxes = {sandbox.uuid for sandbox in await self._runtime.list_sandboxes()}
            for uuid in sandboxes | self._capsules.keys():
                self._capsule_workers.look(uuid)

    async def _tidy(self) -> None:
        """Clean up in a separate task: no container waits for it, and its failure affects nothing else."""
        if self._is_complete:
            await self._ports.ensure_quietly(is_fresh=True)
        if isinstance(self._runtime, SupportsCleanup):
            try:
                await self._runtime.tidy()
            except DriverError as error:
                log.warning("agent.not-tidied", error=error.reason)

    async def _compare_quietly(self) -> None:
        """Compare, and ignore a failure: the end of the events reports a runtime that is away."""
        try:
            await self._compare()
        except Temporary as error:
            log.info("agent.no-comparison", error=error.reason)

    async def _tell(self, uuid: str, observed: ContainerObserved | CapsuleObserved) -> None:
        """Send the report unless it repeats the last one of this session."""
        content = replace(observed, reported_at=None)
        if self._connection is None or self._sent.get(uuid) == content:
            return
        self._sent[uuid] = content
        report: FromAgent = (
            CapsuleReport(uuid=uuid, observed=observed)
            if isinstance(observed, CapsuleObserved)
            else ContainerReport(uuid=uuid, observed=observed)
        )
        if not await self._send(report):
            self._sent.pop(uuid, None)

    async def _send(self, message: FromAgent) -> bool:
        """Send the message. Return whether it was sent; otherwise it is sent again in the next session."""
        if self._connection is None:
            return False
        try:
            await self._connection.send(message)
        except OSError:
            return False
        return True


def _report(name: str, error: BaseException) -> None:
    log.error("agent.task-failed", task=name, error=repr(error))
