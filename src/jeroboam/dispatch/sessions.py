"""Sessions with agents, from the server's end.

An agent that says hello receives all assignments of its host. Changes follow: at once by hints (topic `dispatch`, key
`<host id>/<container uuid>`, `<host id>/image/<image uuid>` or `<host id>/volume/<volume uuid>`), and in any case by a
slow resync. Its reports go to the store. A host has one session at a time, and the store says which: a hint without a
uuid says that the agent has a new one, maybe with another dispatcher. Neighbours: `ports` (the store's side), `gateway`
(live questions), `jeroboam.agent` (the other end).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from jeroboam.dispatch.ports import AssignmentStore, HostSession
from jeroboam.domain.errors import Unavailable, UnreadableRow
from jeroboam.domain.ports import Bus
from jeroboam.kit.clock import Clock
from jeroboam.kit.tasks import Tasks
from jeroboam.protocol import (
    VERSION,
    AnyAssignment,
    Assignments,
    ContainerForgotten,
    ContainerReport,
    FromAgent,
    Hello,
    HostReport,
    LiveAnswer,
    LiveQuestion,
    LiveRequest,
    LiveResponse,
    ServerConnection,
    StreamClose,
    StreamData,
    StreamEnd,
    StreamOpened,
    StreamWindow,
)
from jeroboam.protocol.capsules import CapsuleReport
from jeroboam.protocol.images import ImageReport
from jeroboam.protocol.server_streams import ServerStreams
from jeroboam.protocol.volumes import VolumeReport

log = structlog.get_logger(__name__)

TOPIC = "dispatch"
IMAGE_HINT = "image/"
"""What an image's uuid has before it in a hint."""
VOLUME_HINT = "volume/"
"""What a volume's uuid has before it in a hint."""
RESYNC_SECONDS = 30.0


class AgentSession:
    """One agent's session. All messages are sent under one lock, so that no older state follows a newer one."""

    def __init__(self, *, record: HostSession, end: ServerConnection, store: AssignmentStore, clock: Clock) -> None:
        self.record = record
        self.host_id = record.host_id
        self.streams = ServerStreams(end.send, clock=clock)
        self._end = end
        self._store = store
        self._sending = asyncio.Lock()
        self._sent: dict[str, AnyAssignment] = {}
        self._pending_answers: dict[int, asyncio.Future[LiveAnswer]] = {}
        self._last_id = 0
        self._hinted_uuids: dict[str, None] = {}
        self._has_hints = asyncio.Event()

    async def open(self) -> None:
        """Send all assignments."""
        async with self._sending:
            assignments, unreadable = await self._store.assignments(self.host_id)
            self._sent = {assignment.uuid: assignment for assignment in assignments}
            await self._end.send(Assignments(containers=assignments, kept=unreadable))
        await self._send_image_wishes()
        await self._send_volume_wishes()

    async def resync(self) -> None:
        """Send the assignments that differ from what was sent."""
        async with self._sending:
            readable, unreadable = await self._store.assignments(self.host_id)
            assignments = {assignment.uuid: assignment for assignment in readable}
            for uuid in [*assignments, *self._sent.keys() - assignments.keys() - set(unreadable)]:
                await self._send(uuid, assignments.get(uuid))
        await self._send_image_wishes()
        await self._send_volume_wishes()

    async def _send_volume_wishes(self, volume: str | None = None) -> None:
        for wish in await self._store.volume_wishes(self.host_id, volume):
            await self._end.send(wish)

    async def _send_image_wishes(self, image: str | None = None) -> None:
        for wish in await self._store.image_wishes(self.host_id, image):
            await self._end.send(wish)

    def hint(self, uuid: str) -> None:
        """Make `follow_hints` look at that container, or at what is behind `IMAGE_HINT` or `VOLUME_HINT`."""
        self._hinted_uuids[uuid] = None
        self._has_hints.set()

    async def follow_hints(self) -> None:
        """Look at each container that has a hint, and send it if it differs from what was sent."""
        while True:
            await self._has_hints.wait()
            self._has_hints.clear()
            while self._hinted_uuids:
                uuid = next(iter(self._hinted_uuids))
                del self._hinted_uuids[uuid]
                # If the store cannot answer now, the next resync sends it.
                with contextlib.suppress(Unavailable):
                    if uuid.startswith(IMAGE_HINT):
                        await self._send_image_wishes(uuid.removeprefix(IMAGE_HINT))
                        continue
                    if uuid.startswith(VOLUME_HINT):
                        await self._send_volume_wishes(uuid.removeprefix(VOLUME_HINT))
                        continue
                    async with self._sending:
                        await self._send(uuid, await self._store.assignment(self.host_id, uuid))

    async def receive(self, message: FromAgent) -> None:
        """Handle a message of the agent."""
        match message:
            case StreamData() | StreamWindow() | StreamEnd() | StreamClose():
                self.streams.receive(message)
            case StreamOpened():
                self.streams.confirm(message)
            case ContainerReport() | CapsuleReport() | ImageReport() | VolumeReport() | HostReport():
                await self._store_report(message)
            case LiveResponse():
                future = self._pending_answers.pop(message.id, None)
                if future is not None and not future.done():
                    future.set_result(message.answer)
            case Hello():
                log.warning("dispatch.second-hello", host=self.host_id)

    async def _store_report(
        self, report: ContainerReport | CapsuleReport | ImageReport | VolumeReport | HostReport
    ) -> None:
        match report:
            case ContainerReport() | CapsuleReport():
                await self._store_observation(report)
            case ImageReport():
                with contextlib.suppress(UnreadableRow):
                    await self._store.report_image(self.host_id, report)
            case VolumeReport():
                with contextlib.suppress(UnreadableRow):
                    await self._store.report_volume(self.host_id, report)
            case HostReport():
                if not await self._store.heartbeat(self.record, report):
                    raise ConnectionError("the agent has another session")

    async def _store_observation(self, report: ContainerReport | CapsuleReport) -> None:
        try:
            is_known = await self._store.report(self.host_id, report)
        except UnreadableRow as error:
            # A broken row does not end the session. Once it can be read it is sent again, and the agent answers.
            self._sent.pop(report.uuid, None)
            log.warning("dispatch.report-lost", container=report.uuid, reason=error.detail)
            return
        if not is_known:
            async with self._sending:
                self._sent.pop(report.uuid, None)
                await self._end.send(ContainerForgotten(uuid=report.uuid))

    async def ask(self, container: str, question: LiveQuestion, seconds: float) -> LiveAnswer:
        """The answer to a live question. Raises `Unavailable` if it does not come in time or the session ends."""
        self._last_id += 1
        number = self._last_id
        future: asyncio.Future[LiveAnswer] = asyncio.get_running_loop().create_future()
        self._pending_answers[number] = future
        try:
            await self._end.send(LiveRequest(id=number, container=container, question=question))
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError as error:
            raise Unavailable(f"the agent did not answer within {seconds:g} seconds") from error
        except OSError as error:
            raise Unavailable("the agent of the container's host is away") from error
        finally:
            self._pending_answers.pop(number, None)

    async def close(self) -> None:
        """End the session. Questions without an answer fail, and streams end."""
        await self.streams.close()
        for future in self._pending_answers.values():
            if not future.done():
                future.set_exception(ConnectionError("the session is over"))
        await self._end.close()

    async def _send(self, uuid: str, assignment: AnyAssignment | None) -> None:
        if assignment is None:
            self._sent.pop(uuid, None)
            await self._end.send(ContainerForgotten(uuid=uuid))
        elif self._sent.get(uuid) != assignment:
            self._sent[uuid] = assignment
            await self._end.send(assignment)


class Dispatcher:
    """All sessions. `run` follows the hints; `serve` handles one session."""

    def __init__(self, store: AssignmentStore, *, bus: Bus, clock: Clock, resync: float = RESYNC_SECONDS) -> None:
        self._store = store
        self._clock = clock
        self._resync = resync
        self._sessions: dict[str, AgentSession] = {}
        self._hints = bus.subscribe(TOPIC)

    def session(self, host_id: str) -> AgentSession | None:
        """The session with that host's agent, or None."""
        return self._sessions.get(host_id)

    async def run(self) -> None:
        """Pass hints to sessions until cancelled."""
        async for key in self._hints:
            host_id, _, uuid = key.partition("/")
            session = self._sessions.get(host_id)
            if session is None:
                continue
            if uuid:
                session.hint(uuid)
            else:
                await self._close_if_replaced(session)

    async def _close_if_replaced(self, session: AgentSession) -> None:
        """End the session if the agent has another one with another dispatcher."""
        # If the store cannot answer now, the agent's next heartbeat ends the session.
        with contextlib.suppress(Unavailable):
            if not await self._store.is_current(session.record):
                log.info("dispatch.session-replaced", host=session.host_id)
                await session.close()

    async def serve(self, end: ServerConnection) -> None:
        """One session from hello to its end."""
        tasks = Tasks(_report)
        session = None
        try:
            session = await self._greet(end)
            if session is None:
                return
            await session.open()
            tasks.start(f"hints {session.host_id}", _or_close(session, session.follow_hints))
            tasks.start(f"resync {session.host_id}", _or_close(session, lambda: self._resync_forever(session)))
            async for message in end:
                await session.receive(message)
        except OSError as error:
            log.info("dispatch.session-lost", error=str(error))
        except Unavailable as error:
            # The store has logged it; the agent connects again.
            log.debug("dispatch.session-lost", error=error.detail)
        finally:
            await tasks.close()
            await end.close()
            if session is not None:
                await session.close()
                if self._sessions.get(session.host_id) is session:
                    del self._sessions[session.host_id]
                with contextlib.suppress(Unavailable):
                    await self._store.end_session(session.record)
                log.info("dispatch.session-over", host=session.host_id)

    async def _greet(self, end: ServerConnection) -> AgentSession | None:
        first = await anext(aiter(end), None)
        if not isinstance(first, Hello):
            log.warning("dispatch.no-hello", got=type(first).__name__)
            return None
        if first.version != VERSION:
            log.warning("dispatch.version-refused", hostname=first.hostname, theirs=first.version, ours=VERSION)
            return None
        record = await self._store.hello(first)
        host_id = record.host_id
        session = AgentSession(record=record, end=end, store=self._store, clock=self._clock)
        before = self._sessions.get(host_id)
        self._sessions[host_id] = session
        if before is not None:
            log.info("dispatch.session-replaced", host=host_id)
            await before.close()
        log.info("dispatch.session", host=host_id, hostname=first.hostname)
        return session

    async def _resync_forever(self, session: AgentSession) -> None:
        while True:
            await self._clock.sleep(self._resync)
            with contextlib.suppress(Unavailable):
                await session.resync()


async def _or_close(session: AgentSession, work: Callable[[], Awaitable[None]]) -> None:
    """Run work beside a session's reader, and close the session at its end. After an error the agent connects again."""
    try:
        await work()
    except OSError:
        log.info("dispatch.session-lost", host=session.host_id)
    finally:
        await session.close()


def _report(name: str, error: BaseException) -> None:
    log.error("dispatch.task-failed", task=name, error=repr(error))
