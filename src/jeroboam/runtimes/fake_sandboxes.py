"""Sandboxes of the fake runtime: they run, stop, are lost, and hold containers of it.

Neighbour: `fake`, which this is a part of.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from jeroboam.domain.capsules import SandboxSpec
from jeroboam.domain.containers import Address, ContainerSpec, RuntimeState
from jeroboam.domain.errors import Permanent
from jeroboam.runtimes.base import ContainerGone, ContainerState
from jeroboam.runtimes.sandboxes import SandboxState, SupportsSandboxes


class FakeSandboxes(SupportsSandboxes):
    """The part of the fake that runs sandboxes. What it needs of the rest stands here without a body."""

    containers: dict[str, ContainerState]

    def __init__(self) -> None:
        self.sandboxes: dict[str, SandboxState] = {}
        """Without their members."""
        self.sandbox_of: dict[str, str] = {}
        """The sandbox of each member that exists."""
        self.sandbox_count = 0

    @abstractmethod
    async def _enter(self, method: str, about: str) -> None: ...

    @abstractmethod
    async def _leave(self, method: str) -> None: ...

    @abstractmethod
    def _tell(self, uuid: str) -> None: ...

    @abstractmethod
    def end(self, uuid: str, exit_code: int = 0) -> None: ...

    @abstractmethod
    def lose(self, uuid: str) -> None: ...

    @abstractmethod
    async def create(self, uuid: str, name: str, spec: ContainerSpec, *, project: str) -> ContainerState: ...

    @abstractmethod
    async def start(self, uuid: str) -> ContainerState: ...

    def end_sandbox(self, uuid: str) -> None:
        """Simulate that the sandbox ends by itself, with all in it, as when the runtime was restarted."""
        for member in self._list_members(uuid):
            if member.state is RuntimeState.RUNNING:
                self.end(member.uuid, 255)
        self.sandboxes[uuid] = replace(self.sandboxes[uuid], state=RuntimeState.EXITED, addresses=())
        self._tell(uuid)

    def lose_sandbox(self, uuid: str) -> None:
        """Simulate that somebody removes the sandbox with all in it."""
        self._forget_sandbox(uuid)
        self._tell(uuid)

    def _forget_sandbox(self, uuid: str) -> None:
        for member in self._list_members(uuid):
            self.lose(member.uuid)
            del self.sandbox_of[member.uuid]
        self.sandboxes.pop(uuid, None)

    def _list_members(self, uuid: str) -> list[ContainerState]:
        members = [member for member, sandbox in self.sandbox_of.items() if sandbox == uuid]
        return [self.containers[member] for member in members if member in self.containers]

    async def run_sandbox(self, spec: SandboxSpec) -> SandboxState:
        await self._enter("run_sandbox", spec.uuid)
        sandbox = self.sandboxes.get(spec.uuid)
        if sandbox is None:
            self.sandbox_count += 1
            address = Address(network="fake", addr=f"10.1.0.{self.sandbox_count % 250 + 2}")
            self.sandboxes[spec.uuid] = SandboxState(
                uuid=spec.uuid,
                runtime_id=f"sandbox-{self.sandbox_count}",
                state=RuntimeState.RUNNING,
                addresses=(address,),
            )
            self._tell(spec.uuid)
        elif sandbox.state is not RuntimeState.RUNNING:
            raise Permanent(f"the sandbox of {spec.name} has stopped")
        await self._leave("run_sandbox")
        return self._show(spec.uuid)

    def _show(self, uuid: str) -> SandboxState:
        members = tuple(self._list_members(uuid))
        sandbox = self.sandboxes.get(uuid)
        if sandbox is None and not members:
            raise ContainerGone(f"the sandbox {uuid} is not on this host")
        absent = SandboxState(uuid=uuid, runtime_id="", state=RuntimeState.ABSENT)
        return replace(sandbox or absent, members=members)

    async def stop_sandbox(self, uuid: str) -> None:
        await self._enter("stop_sandbox", uuid)
        if uuid in self.sandboxes:
            self.end_sandbox(uuid)
        await self._leave("stop_sandbox")

    async def remove_sandbox(self, uuid: str) -> None:
        await self._enter("remove_sandbox", uuid)
        self.lose_sandbox(uuid)
        await self._leave("remove_sandbox")

    async def inspect_sandbox(self, uuid: str) -> SandboxState:
        await self._enter("inspect_sandbox", uuid)
        return self._show(uuid)

    async def list_sandboxes(self) -> Sequence[SandboxState]:
        await self._enter("sandboxes", "")
        return [self._show(uuid) for uuid in dict.fromkeys([*self.sandboxes, *self.sandbox_of.values()])]

    async def create_member(self, sandbox: SandboxSpec, uuid: str, name: str, spec: ContainerSpec) -> ContainerState:
        await self._enter("create_member", uuid)
        if self._show(sandbox.uuid).state is not RuntimeState.RUNNING:
            raise Permanent(f"the sandbox of {name} does not run")
        self.sandbox_of[uuid] = sandbox.uuid
        await self.create(uuid, name, spec, project=sandbox.project_id)
        await self._leave("create_member")
        return self.containers[uuid]

    async def start_member(self, uuid: str) -> ContainerState:
        await self._enter("start_member", uuid)
        await self.start(uuid)
        await self._leave("start_member")
        return self.containers[uuid]
