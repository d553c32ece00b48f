"""Whatever is wished of a container, in any order, with hints that are lost or come twice and a service that is killed
anywhere: in the end it is as it was wished, and it was made once.

The service is whole: the loop that places, dispatch, and an agent on a fake runtime, as `jeroboam up` has them in one
process. Examples are the same in each run. For others, and more of them:
`JEROBOAM_EXAMPLES=2000 python -m pytest tests/conductor/test_container_properties.py`.
"""

import asyncio
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from jeroboam.agent.journal import Journal
from jeroboam.agent.session import Agent
from jeroboam.conductor.containers.loop import ContainerReconciler
from jeroboam.conductor.loop import Loop
from jeroboam.dispatch.records import DispatchRecords
from jeroboam.dispatch.sessions import Dispatcher
from jeroboam.domain import states
from jeroboam.domain.containers import Container, Op, OpKind, RuntimeState, Status
from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.ids import RandomIds
from jeroboam.protocol import AgentConnection
from jeroboam.protocol.memory import session_pair
from jeroboam.runtimes.fake import FakeRuntime, InjectedFault
from tests import builders
from tests.clock import ManualClock, settle, until
from tests.conductor.kills import KillableStore, KillSwitch

EXAMPLES = int(os.environ.get("JEROBOAM_EXAMPLES", "0"))
SETTINGS = settings(max_examples=EXAMPLES or 12, deadline=None, derandomize=not EXAMPLES)

ACTIONS = [
    OpKind.START,
    OpKind.STOP,
    OpKind.REBOOT,
    OpKind.KILL,
    OpKind.PAUSE,
    OpKind.UNPAUSE,
    OpKind.REBUILD,
]
ALIVE = {RuntimeState.RUNNING, RuntimeState.PAUSED}
STATUS = {
    RuntimeState.CREATED: Status.CREATED,
    RuntimeState.RUNNING: Status.RUNNING,
    RuntimeState.PAUSED: Status.PAUSED,
    RuntimeState.EXITED: Status.STOPPED,
}
# A hint that was lost is made up for so soon, long before a wish is given up.
RESYNC_SECONDS, WISH_SECONDS = 5, 600


@dataclass(frozen=True)
class Wish:
    """The user asks for one of the actions that the state allows."""

    choice: int
    hints: int


@dataclass(frozen=True)
class Delete:
    hints: int


@dataclass(frozen=True)
class Hint:
    """Somebody sends hints for no reason."""


@dataclass(frozen=True)
class Work:
    """The service writes so often to the store."""

    places: int


@dataclass(frozen=True)
class Kill:
    """The service is killed there, and started again."""

    places: int


@dataclass(frozen=True)
class KillInCall:
    """The service is killed in the next call of that method of the runtime: before it has an effect, or after."""

    method: str
    after: bool


Step = Wish | Delete | Hint | Work | Kill | KillInCall

hints, places = st.sampled_from([1, 0, 2]), st.integers(0, 12)
kills = st.one_of(
    st.builds(Kill, places),
    st.builds(
        KillInCall,
        st.sampled_from(["pull", "create", "start", "stop", "kill", "pause", "unpause", "remove"]),
        st.booleans(),
    ),
)
wishes = st.builds(Wish, st.integers(0, len(ACTIONS) - 1), hints)
steps = st.lists(st.one_of(wishes, wishes, st.builds(Work, places), kills, st.builds(Hint)), min_size=4, max_size=12)
ends = st.lists(st.one_of(kills, st.builds(Hint)), max_size=3)


def perform(state: RuntimeState, kind: OpKind) -> RuntimeState:
    """What becomes of a container by one action."""
    match kind:
        case OpKind.REBOOT:
            return RuntimeState.RUNNING
        case OpKind.REBUILD:
            return RuntimeState.RUNNING if state in ALIVE else RuntimeState.CREATED
        case OpKind.START if state not in ALIVE:
            return RuntimeState.RUNNING
        case OpKind.STOP | OpKind.KILL if state in ALIVE:
            return RuntimeState.EXITED
        case OpKind.PAUSE if state is RuntimeState.RUNNING:
            return RuntimeState.PAUSED
        case OpKind.UNPAUSE if state is RuntimeState.PAUSED:
            return RuntimeState.RUNNING
    return state


class Service:
    """The service, one container, and what its user wished."""

    def __init__(self, store: KillableStore, bus: MemoryBus, clock: ManualClock, folder: Path) -> None:
        self._store, self._bus, self._clock, self._folder = store, bus, clock, folder
        self._tasks: list[asyncio.Task[None]] = []
        self.runtime = FakeRuntime(clock=clock)
        self.uuid = ""
        self.wished = RuntimeState.ABSENT
        self.made = 1

    def start(self) -> None:
        self._loop = Loop(
            ContainerReconciler(store=self._store, host_down_seconds=180),
            bus=self._bus,
            clock=self._clock,
            parallel=8,
            resync_seconds=RESYNC_SECONDS,
        )
        records = DispatchRecords(self._store, ids=RandomIds(), dispatcher="d1", heal_seconds=600)
        self._dispatcher = Dispatcher(records, bus=self._bus, clock=self._clock, resync=RESYNC_SECONDS)
        self._journal = Journal(self._folder / "agent.db")
        agent = Agent(
            runtime=self.runtime,
            journal=self._journal,
            clock=self._clock,
            hostname="h1",
            open_session=self._open_session,
        )
        self._tasks = [asyncio.ensure_future(part.run()) for part in (self._loop, self._dispatcher, agent)]

    async def _open_session(self) -> AgentConnection:
        agent_end, server_end = session_pair()
        self._tasks.append(asyncio.ensure_future(self._dispatcher.serve(server_end)))
        return agent_end

    async def kill(self) -> None:
        self._store.switch.kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._journal.close()
        self._store.switch.revive()

    async def create(self, *, run: bool, hinted: bool) -> None:
        create = Op(seq=1, kind=OpKind.CREATE, params={"run": run})
        container = builders.container(ops=(create,), deadline_at=None)
        self.uuid, self.wished = container.uuid, RuntimeState.RUNNING if run else RuntimeState.CREATED
        async with self._store.write() as tx:
            await tx.containers.insert(container)
            if hinted:
                tx.hint("container", container.uuid)

    async def take(self, step: Step) -> None:
        match step:
            case Wish(choice, hints):
                await self._wish(choice, hints)
            case Delete(hints):
                await self._ask(OpKind.DELETE, hints, force=True)
            case Hint():
                await self._hint()
            case Work(places):
                self._store.switch.set(places, kills=False)
                await self._idle_or(self._store.switch.reached)
            case Kill(places):
                self._store.switch.set(places, kills=True)
                await self._idle_or(self._store.switch.reached)
                await self._restart()
            case KillInCall(method, after):
                reached = asyncio.Event()
                self.runtime.misbehave(method, InjectedFault(gate=Gate(reached), after=after))
                await self._idle_or(reached)
                self.runtime.behave(method)
                await self._restart()

    async def _restart(self) -> None:
        await self.kill()
        self.start()

    async def _wish(self, choice: int, hints: int) -> None:
        container = await self._get()
        if allowed := [kind for kind in ACTIONS if container.status in states.ALLOWED[kind]]:
            await self._ask(allowed[choice % len(allowed)], hints)

    async def _ask(self, kind: OpKind, hints: int, **params: object) -> None:
        """One transaction, as the API writes it, and its hints."""
        async with self._store.write() as tx:
            container = await tx.containers.get(self.uuid)
            if kind is OpKind.REBUILD:
                params["run"] = states.will_run(container)
            asked = states.ask_container(container, kind, now=tx.now, seconds=WISH_SECONDS, request_id="r", **params)
            await tx.containers.update(asked)
        self.wished = RuntimeState.ABSENT if kind is OpKind.DELETE else perform(self.wished, kind)
        self.made += kind is OpKind.REBUILD
        for _ in range(hints):
            await self._hint()

    async def _hint(self) -> None:
        container = await self._get()
        self._bus.publish("container", self.uuid)
        if container is not None and container.host_id is not None:
            self._bus.publish("dispatch", f"{container.host_id}/{self.uuid}")
        await settle()

    async def _get(self) -> Container | None:
        async with self._store.read() as tx:
            return await tx.containers.get(self.uuid)

    async def settle(self) -> None:
        """Wait until nothing is due any more."""
        await self._idle_or(asyncio.Event())

    async def _idle_or(self, reached: asyncio.Event) -> None:
        """Wait for the event, or until nothing is due any more."""

        def is_over(container: Container | None) -> bool:
            return reached.is_set() or container is None or not states.pending_ops_of(container)

        await until(self._clock, self._get, is_over, looks=lambda: 20)

    async def check_end(self) -> None:
        """What there is in the end is what was wished."""
        if self.wished is RuntimeState.ABSENT:
            await until(self._clock, self._get, lambda container: container is None and not self.runtime.containers)
            return
        await self.settle()
        container = await self._get()
        assert container.status is STATUS[self.wished]
        assert self.runtime.containers[self.uuid].state is self.wished
        assert self.runtime.containers[self.uuid].runtime_id == f"fake-{self.made}", "it is made once for each wish"


class Gate(asyncio.Event):
    """Holds whoever waits for it, and tells that somebody does."""

    def __init__(self, reached: asyncio.Event) -> None:
        super().__init__()
        self._reached = reached

    async def wait(self) -> bool:
        self._reached.set()
        return await super().wait()


async def live(steps: list[Step], database: Path, *, run: bool, hinted: bool, settled: bool) -> None:
    """One life of a container; with `settled` it is made before the first step."""
    with tempfile.TemporaryDirectory() as folder:
        clock, bus = ManualClock(), MemoryBus()
        path = shutil.copy(database, Path(folder) / "store.db")
        store = KillableStore(f"sqlite+aiosqlite:///{path}", clock=clock, bus=bus)
        store.switch = KillSwitch()
        service = Service(store, bus, clock, Path(folder))
        service.start()
        try:
            await service.create(run=run, hinted=hinted)
            if settled:
                await service.settle()
            for step in steps:
                await service.take(step)
            await service.check_end()
        finally:
            await service.kill()
            await store.close()


@SETTINGS
@given(steps=steps, run=st.booleans(), hinted=st.booleans())
def test_a_container_ends_as_last_wished(steps, run, hinted, empty_database):
    asyncio.run(live(steps, empty_database, run=run, hinted=hinted, settled=True))


@SETTINGS
@given(before=steps, hints=hints, after=ends, run=st.booleans(), hinted=st.booleans())
def test_a_delete_always_ends(before, hints, after, run, hinted, empty_database):
    steps = [*before, Delete(hints), *after]
    asyncio.run(live(steps, empty_database, run=run, hinted=hinted, settled=False))
