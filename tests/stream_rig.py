"""The whole way of a stream: gateway, dispatch, a session, an agent and the fake runtime, in virtual time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from jeroboam.agent.journal import Journal
from jeroboam.agent.session import Agent
from jeroboam.dispatch.gateway import SessionGateway
from jeroboam.dispatch.sessions import Dispatcher
from jeroboam.domain.streams import ByteStream, Channel, TerminalSize
from jeroboam.kit.bus import MemoryBus
from jeroboam.protocol import AgentConnection, ServerConnection
from jeroboam.runtimes.fake import FakeRuntime
from jeroboam.runtimes.fake_streams import FakeProcess
from tests.agent_rig import CREATE, UUID, assignment
from tests.assignment_store import MemoryAssignmentStore
from tests.clock import ManualClock, settle
from tests.encoded_session import SESSIONS

HOST = "h1"
SECONDS = 10.0


class StreamRig:
    """One host with one container that runs. `session` is the server's end of the present session."""

    def __init__(self, folder, kind: str) -> None:
        self.clock = ManualClock()
        self.runtime = FakeRuntime(clock=self.clock)
        self.store = MemoryAssignmentStore()
        self.store.place(HOST, assignment(CREATE))
        self.dispatcher = Dispatcher(self.store, bus=MemoryBus(), clock=self.clock)
        self.gateway = SessionGateway(self.dispatcher, answer_seconds=5)
        self.session: ServerConnection | None = None
        self._open_pair = SESSIONS[kind]
        self._journal = Journal(folder / "agent.db")
        self._agent = Agent(
            runtime=self.runtime,
            journal=self._journal,
            clock=self.clock,
            hostname=HOST,
            open_session=self._connect,
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def _connect(self) -> AgentConnection:
        agent_end, self.session = self._open_pair()
        self._tasks.append(asyncio.ensure_future(self.dispatcher.serve(self.session)))
        return agent_end

    async def start(self) -> None:
        self._tasks.append(asyncio.ensure_future(self._agent.run()))
        await settle()
        assert self.runtime.containers

    async def close(self) -> None:
        for task in reversed(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.runtime.close()
        self._journal.close()

    async def exec(self, *command: str, tty: bool = False, size: TerminalSize | None = None) -> ByteStream:
        return await self.gateway.open_exec(HOST, UUID, command, tty=tty, size=size)

    async def follow_logs(self, tail: int | None = None) -> ByteStream:
        return await self.gateway.follow_logs(
            HOST, UUID, stdout=True, stderr=True, timestamps=False, tail=tail, since=None
        )

    @property
    def process(self) -> FakeProcess:
        """The newest command that runs."""
        return self.runtime.programs.running[UUID][-1]


@contextlib.asynccontextmanager
async def stream_rig(folder, kind: str = "plain") -> AsyncIterator[StreamRig]:
    rig = StreamRig(folder, kind)
    try:
        await rig.start()
        yield rig
    finally:
        await rig.close()


async def read_all(stream: ByteStream, channel: Channel = Channel.OUTPUT) -> bytes:
    """What comes on that channel until the end."""
    data = bytearray()
    async with asyncio.timeout(SECONDS):
        while (chunk := await stream.receive()) is not None:
            if chunk.channel is channel:
                data += chunk.data
    return bytes(data)


async def read_some(stream: ByteStream, size: int) -> bytes:
    """What comes until it is so many bytes."""
    data = bytearray()
    async with asyncio.timeout(SECONDS):
        while len(data) < size:
            chunk = await stream.receive()
            assert chunk is not None, bytes(data)
            data += chunk.data
    return bytes(data)
