"""A capsule in a whole service on a fake runtime: placed, run, told of, and killed anywhere on the way."""

import asyncio
import shutil

import pytest

from jeroboam.agent.journal import Journal
from jeroboam.agent.session import Agent
from jeroboam.conductor.containers.loop import CapsuleReconciler
from jeroboam.conductor.loop import Loop
from jeroboam.dispatch.records import DispatchRecords
from jeroboam.dispatch.sessions import Dispatcher
from jeroboam.domain.capsule_states import ask_capsule, phase_of
from jeroboam.domain.capsules import CapsulePhase, MemberSpec, RestartRule
from jeroboam.domain.containers import ContainerSpec, OpKind, Status
from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.ids import RandomIds
from jeroboam.protocol.memory import session_pair
from jeroboam.runtimes.fake import FakeRuntime, InjectedFault
from tests import builders
from tests.clock import ManualClock, settle, until
from tests.conductor.kills import KillableStore, KillSwitch
from tests.conductor.test_container_properties import Gate

RESYNC_SECONDS = 5
METHODS = ["pull", "run_sandbox", "create_member", "start_member", "stop", "remove_sandbox"]


class Service:
    """The service with one agent. `restart` is a SIGKILL and a new start."""

    def __init__(self, store: KillableStore, bus: MemoryBus, clock: ManualClock, folder) -> None:
        self.store, self.clock = store, clock
        self._bus, self._folder = bus, folder
        self.runtime = FakeRuntime(clock=clock)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        loop = Loop(
            CapsuleReconciler(store=self.store, host_down_seconds=180),
            bus=self._bus,
            clock=self.clock,
            parallel=8,
            resync_seconds=RESYNC_SECONDS,
        )
        records = DispatchRecords(self.store, ids=RandomIds(), dispatcher="d1", heal_seconds=600)
        self._dispatcher = Dispatcher(records, bus=self._bus, clock=self.clock, resync=RESYNC_SECONDS)
        self._journal = Journal(self._folder / "agent.db")
        agent = Agent(
            runtime=self.runtime,
            journal=self._journal,
            clock=self.clock,
            hostname="h1",
            open_session=self._open_session,
        )
        self._tasks = [asyncio.ensure_future(part.run()) for part in (loop, self._dispatcher, agent)]

    async def _open_session(self):
        agent_end, server_end = session_pair()
        self._tasks.append(asyncio.ensure_future(self._dispatcher.serve(server_end)))
        return agent_end

    async def kill(self) -> None:
        self.store.switch.kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._journal.close()
        self.store.switch.revive()

    async def restart(self) -> None:
        await self.kill()
        self.start()

    async def create(self, **spec):
        made = builders.capsule(**spec)
        async with self.store.write() as tx:
            await tx.capsules.insert(made)
            tx.hint("capsule", made.uuid)
        return made

    async def delete(self, uuid: str) -> None:
        async with self.store.write() as tx:
            capsule = await tx.capsules.get(uuid)
            asked = ask_capsule(capsule, OpKind.DELETE, now=tx.now, seconds=600, request_id="r", timeout=1)
            await tx.capsules.update(asked)
            tx.hint("capsule", uuid)
            tx.hint("dispatch", f"{asked.host_id}/{uuid}")

    async def get(self, uuid: str):
        async with self.store.read() as tx:
            return await tx.capsules.get(uuid)

    async def until(self, uuid: str, condition):
        return await until(self.clock, lambda: self.get(uuid), condition, looks=lambda: 20)


@pytest.fixture
async def service(tmp_path, empty_database):
    clock, bus = ManualClock(), MemoryBus()
    path = shutil.copy(empty_database, tmp_path / "store.db")
    store = KillableStore(f"sqlite+aiosqlite:///{path}", clock=clock, bus=bus)
    store.switch = KillSwitch()
    made = Service(store, bus, clock, tmp_path)
    made.start()
    yield made
    await made.kill()
    await store.close()


def is_running(capsule) -> bool:
    return capsule.status is Status.RUNNING


async def test_a_life_with_its_events(service):
    made = await service.create(restart_policy=RestartRule.NEVER)
    running = await service.until(made.uuid, is_running)
    assert (running.host, running.deadline_at, phase_of(running)) == ("h1", None, CapsulePhase.RUNNING)
    [member] = made.spec.containers
    service.runtime.end(member.uuid, 3)
    failed = await service.until(made.uuid, lambda capsule: capsule.status is Status.ERROR)
    assert failed.status_reason == f"{member.name}: It has ended with exit code 3."
    async with service.store.read() as tx:
        events = await tx.capsule_events.select({"capsule_id": made.uuid})
    told = [(event.event_type, event.message) for event in events]
    assert ("container.start", "Started.") in told
    assert ("container.end", "Ended with exit code 3.") in told
    assert events[-1].status == Status.ERROR
    await service.delete(made.uuid)
    await service.until(made.uuid, lambda capsule: capsule is None)
    assert not service.runtime.sandboxes


async def test_what_has_no_room_is_an_error_that_says_why(service):
    big = MemberSpec(uuid=builders.new_uuid(), name="a", container=ContainerSpec(image="busybox", memory=10**7))
    made = await service.create(containers=(big,))
    failed = await service.until(made.uuid, lambda capsule: capsule.status is Status.ERROR)
    assert "not enough memory" in failed.status_reason
    await service.delete(made.uuid)
    await service.until(made.uuid, lambda capsule: capsule is None)


async def test_capsules_use_their_host(service):
    made = await service.create()
    running = await service.until(made.uuid, is_running)
    async with service.store.read() as tx:
        use = (await tx.containers.use_by_host())[running.host_id]
    assert (use.containers, use.memory, use.cpu) == (1, 512, 1.0)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("method", METHODS[:-2])
async def test_a_kill_in_a_call_of_a_create_changes_nothing_in_the_end(service, method, after):
    reached = asyncio.Event()
    service.runtime.misbehave(method, InjectedFault(gate=Gate(reached), after=after))
    init = MemberSpec(uuid=builders.new_uuid(), name="i", container=ContainerSpec(image="busybox"))
    made = await service.create(init_containers=(init,))
    await until(service.clock, settle, lambda _: reached.is_set())
    service.runtime.behave(method)
    await service.restart()
    await service.until(made.uuid, lambda capsule: init.uuid in service.runtime.containers)
    await service.until(made.uuid, lambda capsule: capsule.observed.member(init.uuid).container.started_at is not None)
    service.runtime.end(init.uuid, 0)
    await service.until(made.uuid, is_running)
    assert len(service.runtime.sandboxes) == 1
    assert len(service.runtime.containers) == 2


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("method", METHODS[-2:])
async def test_a_kill_in_a_call_of_a_delete_leaves_nothing(service, method, after):
    made = await service.create()
    await service.until(made.uuid, is_running)
    reached = asyncio.Event()
    service.runtime.misbehave(method, InjectedFault(gate=Gate(reached), after=after))
    await service.delete(made.uuid)
    await until(service.clock, settle, lambda _: reached.is_set())
    service.runtime.behave(method)
    await service.restart()
    await service.until(made.uuid, lambda capsule: capsule is None)
    assert not service.runtime.sandboxes
    assert not service.runtime.containers


@pytest.mark.parametrize("places", range(1, 9))
async def test_a_kill_at_any_write_changes_nothing_in_the_end(service, places):
    made = builders.capsule()
    async with service.store.write() as tx:
        await tx.capsules.insert(made)
    service.store.switch.set(places, kills=True)
    reached = service.store.switch.reached
    await service.until(made.uuid, lambda capsule: reached.is_set() or is_running(capsule))
    await service.restart()
    await service.until(made.uuid, is_running)
    assert (len(service.runtime.sandboxes), len(service.runtime.containers)) == (1, 1)
    assert service.runtime.sandbox_count == 1
