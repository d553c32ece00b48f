"""A store, dispatch and an agent on a real Engine, joined in one process as `jeroboam up` joins them."""

import asyncio
import contextlib
import pathlib
import uuid

import aiodocker
import pytest

from jeroboam.agent.journal import Journal
from jeroboam.agent.session import Agent
from jeroboam.dispatch.gateway import SessionGateway
from jeroboam.dispatch.records import DispatchRecords
from jeroboam.dispatch.sessions import Dispatcher
from jeroboam.domain import states
from jeroboam.domain.containers import Container, ContainerSpec, OpKind
from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.ids import RandomIds
from jeroboam.protocol.memory import session_pair
from jeroboam.runtimes.docker.runtime import DockerRuntime
from jeroboam.storage.local import LocalStorage
from jeroboam.store import Store
from jeroboam.store.migrations import upgrade
from tests import builders

SECONDS = 30.0


class House:
    """The service without its API and conductor: the test writes wishes and reads facts."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.clock = SystemClock()
        self.bus = MemoryBus()
        self.changes = self.bus.subscribe("changed")
        self.installation = f"test-{uuid.uuid4()}"
        self.store = Store(f"sqlite+aiosqlite:///{folder}/store.db", clock=self.clock, bus=self.bus)
        self.dispatcher = Dispatcher(_Telling(self), bus=self.bus, clock=self.clock)
        self.gateway = SessionGateway(self.dispatcher)
        self.host_id = ""
        self.engine_url: str | None = None
        self._folder = folder
        self.storage = LocalStorage(folder / "volumes")
        self._tasks: list[asyncio.Task[None]] = []
        self._agent: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await upgrade(self.store.engine)
        self._tasks.append(asyncio.ensure_future(self.dispatcher.run()))
        await self.start_agent()
        async with asyncio.timeout(SECONDS):
            while not self.host_id:
                await anext(self.changes)

    async def close(self) -> None:
        await self.kill_agent()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        runtime = DockerRuntime(installation=self.installation)
        for seen in await runtime.list_owned():
            await runtime.remove(seen.uuid, force=True)
        await runtime.tidy()
        await runtime.close()
        await self.storage.release()
        await self.store.close()

    async def start_agent(self) -> None:
        self._agent = asyncio.ensure_future(self._run_agent())

    async def kill_agent(self) -> None:
        if self._agent is not None:
            self._agent.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._agent
            self._agent = None

    async def _run_agent(self) -> None:
        runtime = DockerRuntime(installation=self.installation, url=self.engine_url)
        journal = Journal(self._folder / "agent.db")
        agent = Agent(
            storage=self.storage,
            runtime=runtime,
            journal=journal,
            clock=self.clock,
            hostname="h1",
            open_session=self._open_session,
        )
        try:
            await agent.run()
        finally:
            await runtime.close()
            journal.close()

    async def _open_session(self):
        agent_end, server_end = session_pair()
        self._tasks.append(asyncio.ensure_future(self.dispatcher.serve(server_end)))
        return agent_end

    async def create(self, *command: str, run: bool = True, **spec) -> str:
        wish = builders.container(
            spec=ContainerSpec(**{"image": "busybox", "command": command, "cpu": 0.5, "memory": 64} | spec),
            ops=(),
            host_id=self.host_id,
            host="h1",
            created_at=self.clock.now(),
        )
        async with self.store.write() as tx:
            await tx.containers.insert(self._asked(wish, OpKind.CREATE, run=run))
            tx.hint("dispatch", f"{self.host_id}/{wish.uuid}")
        return wish.uuid

    async def ask(self, uuid: str, kind: OpKind, **params) -> None:
        async with self.store.write() as tx:
            await tx.containers.update(self._asked(await tx.containers.get(uuid), kind, **params))
            tx.hint("dispatch", f"{self.host_id}/{uuid}")

    def _asked(self, container: Container, kind: OpKind, **params) -> Container:
        return states.ask_container(container, kind, now=self.clock.now(), seconds=60, request_id="req-test", **params)

    async def get(self, uuid: str) -> Container | None:
        async with self.store.read() as tx:
            return await tx.containers.get(uuid)

    async def host_until(self, wanted) -> None:
        """Wait until the host is as wanted."""
        async with asyncio.timeout(SECONDS):
            while True:
                async with self.store.read() as tx:
                    if wanted(await tx.hosts.get(self.host_id)):
                        return
                await anext(self.changes)

    async def look_until(self, read, wanted) -> None:
        """Wait until what is read in a transaction is as wanted."""
        async with asyncio.timeout(SECONDS):
            while True:
                async with self.store.read() as tx:
                    if wanted(await read(tx)):
                        return
                await anext(self.changes)

    async def until(self, uuid: str, wanted, seconds: float = SECONDS) -> Container | None:
        """The container once it is as wanted; looked at whenever the agent has said something."""
        container = await self.get(uuid)
        try:
            async with asyncio.timeout(seconds):
                while not wanted(container):
                    await anext(self.changes)
                    container = await self.get(uuid)
        except TimeoutError:
            pytest.fail(f"after {seconds} s it still is {container}")
        return container


class _Telling(DispatchRecords):
    """The store's records, telling the test of every word of the agent's."""

    def __init__(self, house: House) -> None:
        super().__init__(house.store, ids=RandomIds(), dispatcher="d1", heal_seconds=600)
        self._house = house

    async def hello(self, hello):
        session = await super().hello(hello)
        self._house.host_id = session.host_id
        self._house.bus.publish("changed", session.host_id)
        return session

    async def heartbeat(self, session, report):
        is_current = await super().heartbeat(session, report)
        self._house.bus.publish("changed", session.host_id)
        return is_current

    async def report(self, host_id, report):
        known = await super().report(host_id, report)
        self._house.bus.publish("changed", report.uuid)
        return known

    async def report_volume(self, host_id, report):
        await super().report_volume(host_id, report)
        self._house.bus.publish("changed", report.uuid)


@pytest.fixture
async def house(tmp_path, busybox):
    made = House(tmp_path)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def engine():
    async with aiodocker.Docker() as made:
        yield made
