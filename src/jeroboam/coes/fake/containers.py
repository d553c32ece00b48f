"""Single containers inside a fake cluster.

Neighbours: `coe`, whose `FakeCoe` inherits from this and holds what the clusters' own APIs would know. Faults can be
injected at stages: the contract's methods (`container.make`, `container.stop`), and the moments between the effect and
the answer (`container.made`, `container.stop.done`, `container.removed`).
"""

import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from jeroboam.coes.base import BayContainerState, CoePlan, DesiredContainer, SupportsContainers
from jeroboam.domain.bay_containers import ContainerAction
from jeroboam.domain.containers import RuntimeState
from jeroboam.domain.errors import Permanent
from jeroboam.domain.ports import ExecResult
from jeroboam.kit.clock import Clock
from jeroboam.kit.faults import Faults

UNKNOWN_IMAGE = "no-such-image"


@dataclass(slots=True)
class FakeContainer:
    """A container and the actions that changed it."""

    want: DesiredContainer
    state: BayContainerState = field(default_factory=lambda: BayContainerState(state=RuntimeState.CREATED))
    acts: list[ContainerAction] = field(default_factory=list)


class FakeContainers(SupportsContainers):
    """The contract `SupportsContainers` without an Engine."""

    def __init__(
        self, *, clock: Clock, faults: Faults, containers_of: Callable[[CoePlan], Awaitable[dict[str, FakeContainer]]]
    ) -> None:
        """`containers_of` returns a cluster's containers; it raises `Temporary` when the API does not answer."""
        self._clock = clock
        self._faults = faults
        self._containers_of = containers_of

    async def create(self, plan: CoePlan, want: DesiredContainer) -> BayContainerState:
        await self._faults.meet("container.make")
        containers = await self._containers_of(plan)
        if want.uuid not in containers:
            if want.image == UNKNOWN_IMAGE:
                raise Permanent(f"pulling image {want.image}: manifest unknown")
            containers[want.uuid] = FakeContainer(want)
        await self._faults.meet("container.made")
        return containers[want.uuid].state

    async def inspect(self, plan: CoePlan, uuid: str) -> BayContainerState | None:
        await self._faults.meet("container.look")
        container = (await self._containers_of(plan)).get(uuid)
        return None if container is None else container.state

    async def act(self, plan: CoePlan, uuid: str, act: ContainerAction) -> BayContainerState:
        await self._faults.meet(f"container.{act}")
        container = (await self._containers_of(plan)).get(uuid)
        if container is None:
            raise Permanent(f"cannot {act} container {uuid}: it is gone")
        before = container.state
        container.state = self._next_state(before, act, len(container.acts))
        if container.state != before:
            container.acts.append(act)
        await self._faults.meet(f"container.{act}.done")
        return container.state

    def _next_state(self, current: BayContainerState, act: ContainerAction, number: int) -> BayContainerState:
        is_running = current.state is RuntimeState.RUNNING
        required_states = {ContainerAction.PAUSE: RuntimeState.RUNNING, ContainerAction.UNPAUSE: RuntimeState.PAUSED}
        outcomes = {ContainerAction.PAUSE: RuntimeState.PAUSED, ContainerAction.UNPAUSE: RuntimeState.RUNNING}
        if act in required_states and current.state not in {required_states[act], outcomes[act]}:
            raise Permanent(f"the container is {current.state}")
        if act is ContainerAction.REBOOT or (act is ContainerAction.START and not is_running):
            # Two starts never have the same time, even when the clock stands still.
            at = self._clock.now() + dt.timedelta(microseconds=number)
            return BayContainerState(state=RuntimeState.RUNNING, started_at=at)
        if act is ContainerAction.STOP and (is_running or current.state is RuntimeState.PAUSED):
            return BayContainerState(state=RuntimeState.EXITED, started_at=current.started_at)
        return BayContainerState(state=outcomes.get(act, current.state), started_at=current.started_at)

    async def remove(self, plan: CoePlan, uuid: str) -> None:
        await self._faults.meet("container.remove")
        (await self._containers_of(plan)).pop(uuid, None)
        await self._faults.meet("container.removed")

    async def list_owned(self, plan: CoePlan) -> Sequence[str]:
        await self._faults.meet("container.owned")
        return list(await self._containers_of(plan))

    async def logs(self, plan: CoePlan, uuid: str) -> str | None:
        await self._faults.meet("container.logs")
        container = (await self._containers_of(plan)).get(uuid)
        return None if container is None else f"{container.want.name} speaks\n"

    async def execute(self, plan: CoePlan, uuid: str, command: Sequence[str], *, limit: float) -> ExecResult | None:
        del limit
        await self._faults.meet("container.execute")
        container = (await self._containers_of(plan)).get(uuid)
        if container is None:
            return None
        if container.state.state is not RuntimeState.RUNNING:
            raise Permanent("the container is not running")
        return ExecResult(output=" ".join(command), exit_code=0)
