"""An agent on a fake runtime in virtual time, with the test in the place of the server."""

import asyncio
import contextlib
import datetime as dt
from typing import Any

from jeroboam.agent.journal import Journal
from jeroboam.agent.session import Agent
from jeroboam.domain.capsules import CapsuleObserved, CapsuleSpec, MemberSpec, SandboxSpec
from jeroboam.domain.containers import ContainerSpec, Op, OpKind
from jeroboam.protocol import (
    AnyAssignment,
    Assignment,
    Assignments,
    ContainerForgotten,
    ContainerReport,
    Hello,
    HostReport,
    LiveAnswer,
    LiveQuestion,
    LiveRequest,
    LiveResponse,
    LogsRequest,
    ServerConnection,
    ToAgent,
)
from jeroboam.protocol.capsules import CapsuleAssignment, CapsuleReport
from jeroboam.protocol.images import ImageReport
from jeroboam.protocol.memory import session_pair
from jeroboam.protocol.volumes import VolumeReport
from jeroboam.runtimes.fake import FakeRuntime, InjectedFault
from tests.clock import ManualClock, settle

UUID = "c0ffee00-0000-4000-8000-000000000001"


def assignment(*ops: Op, uuid: str = UUID, done: int = 0, deadline: dt.datetime | None = None, **spec) -> Assignment:
    return Assignment(
        uuid=uuid,
        name="a",
        project_id="p",
        generation=1,
        spec=ContainerSpec(**{"image": "busybox"} | spec),
        ops=ops,
        done=done,
        deadline_at=deadline,
    )


CAPSULE = "ca950000-0000-4000-8000-000000000001"
MAKE = Op(seq=1, kind=OpKind.CREATE)
REMOVE = Op(seq=2, kind=OpKind.DELETE)


def member(name: str, **changes) -> MemberSpec:
    """A container of a capsule; its uuid ends with its name."""
    uuid = f"c0ffee00-0000-4000-8000-{name:0>12}"
    return MemberSpec(uuid=uuid, name=name, container=ContainerSpec(image="busybox"), **changes)


def capsule(*ops: Op, done: int = 0, deadline: dt.datetime | None = None, **spec) -> CapsuleAssignment:
    """A capsule with one container, unless the spec says otherwise."""
    return CapsuleAssignment(
        uuid=CAPSULE,
        name="pod",
        project_id="p",
        generation=1,
        spec=CapsuleSpec(**{"containers": (member("a"),)} | spec),
        sandbox=SandboxSpec(uuid=CAPSULE, name="pod", project_id="p", hostname="pod"),
        ops=ops,
        done=done,
        deadline_at=deadline,
    )


def op(seq: int, kind: OpKind, **params) -> Op:
    return Op(seq=seq, kind=kind, params=params)


CREATE = op(1, OpKind.CREATE, run=True)
ALL_LOGS = LogsRequest(stdout=True, stderr=True, timestamps=False, tail=None, since=None)


class Rig:
    """`start` and `kill` the agent at will: the runtime, the journal's file and the assignments survive it."""

    def __init__(self, folder, open_pair=session_pair) -> None:
        self._open_pair = open_pair
        self.clock = ManualClock()
        self.runtime = FakeRuntime(clock=self.clock)
        self.assigned: dict[str, AnyAssignment] = {}
        self.kept: set[str] = set()
        """Uuids of containers that belong here, and of which the server can tell nothing."""
        self.reports: list[ContainerReport | CapsuleReport] = []
        self.hosts: list[Hello | HostReport] = []
        self.responses: list[LiveResponse] = []
        self.images: list[ImageReport] = []
        self.volumes: list[VolumeReport] = []
        self.refuse = False
        self.end: ServerConnection | None = None
        self._journal_path = folder / "agent.db"
        self._journal: Journal | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, runtime=None) -> None:
        self._journal = Journal(self._journal_path)
        agent = self.make_agent(
            runtime=runtime or self.runtime,
            journal=self._journal,
            clock=self.clock,
            hostname="h1",
            open_session=self._open,
        )
        self._tasks.append(asyncio.ensure_future(agent.run()))
        await settle()

    def make_agent(self, **parts) -> Agent:
        return Agent(**parts)

    async def kill(self) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    async def restart(self) -> None:
        await self.kill()
        await self.start()

    async def _open(self):
        if self.refuse:
            raise ConnectionRefusedError("no server")
        agent_end, self.end = self._open_pair()
        self._tasks.append(asyncio.ensure_future(self._serve(self.end)))
        return agent_end

    async def _serve(self, end: ServerConnection) -> None:
        async for message in end:
            match message:
                case Hello():
                    self.hosts.append(message)
                    await end.send(Assignments(containers=tuple(self.assigned.values()), kept=tuple(self.kept)))
                case HostReport():
                    self.hosts.append(message)
                case ContainerReport() | CapsuleReport():
                    self.reports.append(message)
                case ImageReport():
                    self.images.append(message)
                case VolumeReport():
                    self.volumes.append(message)
                case LiveResponse():
                    self.responses.append(message)

    async def send(self, message: ToAgent) -> None:
        assert self.end is not None
        await self.end.send(message)
        await settle()

    async def assign(self, wanted: AnyAssignment) -> None:
        self.assigned[wanted.uuid] = wanted
        await self.send(wanted)

    async def release(self, uuid: str = UUID) -> None:
        self.assigned.pop(uuid, None)
        await self.send(ContainerForgotten(uuid=uuid))

    async def ask(self, question: LiveQuestion, uuid: str = UUID) -> LiveAnswer:
        await self.send(LiveRequest(id=len(self.responses) + 1, container=uuid, question=question))
        return self.responses[-1].answer

    def hold(self, method: str, *, after: bool = False) -> asyncio.Event:
        """Calls of that method wait for the event, before or after their effect."""
        gate = asyncio.Event()
        self.runtime.misbehave(method, InjectedFault(gate=gate, after=after))
        return gate

    def last(self, uuid: str = UUID) -> Any:
        return [report.observed for report in self.reports if report.uuid == uuid][-1]

    def last_of_capsule(self) -> CapsuleObserved:
        return self.last(CAPSULE)

    def patch_json(self) -> list[str | None]:
        return [report.observed.step for report in self.reports]

    def count(self, method: str) -> int:
        return sum(1 for called, _ in self.runtime.calls if called == method)
