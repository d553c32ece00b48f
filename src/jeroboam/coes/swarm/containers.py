"""Single containers that the 2015 API creates inside a Swarm cluster, on the Engines of its masters.

They are plain containers and not services, because a service cannot be paused and has no commands or logs of a single
container. They run on the first master, whose address is the cluster's own (docs/decisions/0009). Containers are
identified by a label, never by names. Neighbours: `engines`; `coe`, whose `SwarmCoe` inherits from this.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from jeroboam.clients.docker import DockerClient, read_log, translate_errors
from jeroboam.clients.docker_containers import (
    MOST_BYTES,
    build_memory_limits,
    container_name,
    find_owned_uuid,
    get_by_name,
    moment,
    remove_container,
    run_command,
    state_of,
)
from jeroboam.clients.docker_images import check_image, has_image, pull_image
from jeroboam.clients.docker_types import DockerContainer, DockerError
from jeroboam.coes.base import BayContainerState, CoePlan, DesiredContainer, SupportsContainers
from jeroboam.coes.swarm.engines import SwarmEngines, api_port
from jeroboam.domain.bay_containers import ContainerAction
from jeroboam.domain.clusters import MASTER
from jeroboam.domain.containers import RuntimeState
from jeroboam.domain.errors import DriverError, Permanent, Temporary
from jeroboam.domain.owner_labels import KIND, ObjectKind
from jeroboam.domain.ports import ExecResult
from jeroboam.kit.clock import Clock

WORKLOAD_LABEL = "jeroboam.workload"
WORKLOAD_NAME_LABEL = "jeroboam.workload-name"

# How long the Engine waits for a container to stop.
_STOP_SECONDS = 10
# The states that actions need: the Engine reports some wrong states as an internal error.
_NEEDS = {ContainerAction.PAUSE: RuntimeState.RUNNING, ContainerAction.UNPAUSE: RuntimeState.PAUSED}
_DONE = {ContainerAction.PAUSE: RuntimeState.PAUSED, ContainerAction.UNPAUSE: RuntimeState.RUNNING}


class SwarmContainers(SupportsContainers):
    """The contract `SupportsContainers` for Docker Swarm."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def create(self, plan: CoePlan, want: DesiredContainer) -> BayContainerState:
        check_image(want.image)
        async with self._connect(plan) as engines:
            container = await _find_container(engines, plan, want.uuid)
            if container is not None:
                return await read_state(container)
            engine = engines.client_of(_masters(plan)[0])
            if not await has_image(engine, want.image):
                await pull_image(engine, want.image)
            with translate_errors(f"creating container {want.name}"):
                new_container = await _create_container(engine, want)
            return await read_state(new_container)

    async def inspect(self, plan: CoePlan, uuid: str) -> BayContainerState | None:
        async with self._connect(plan) as engines:
            container = await _find_container(engines, plan, uuid)
            return None if container is None else await read_state(container)

    async def act(self, plan: CoePlan, uuid: str, act: ContainerAction) -> BayContainerState:
        async with self._connect(plan) as engines:
            container = await _find_container(engines, plan, uuid)
            if container is None:
                raise Permanent(f"cannot {act} container {uuid}: it is gone")
            state = await read_state(container)
            if state.state is _DONE.get(act):
                return state
            if state.state is not _NEEDS.get(act, state.state):
                raise Permanent(f"cannot {act} container {uuid}: it is {state.state}")
            with translate_errors(f"asking for a {act} of container {uuid}"):
                await _perform_action(container, act)
            return await read_state(container)

    async def remove(self, plan: CoePlan, uuid: str) -> None:
        async with self._connect(plan) as engines:
            while (container := await _find_container(engines, plan, uuid)) is not None:
                with translate_errors(f"removing container {uuid}"):
                    await remove_container(container, force=True)

    async def list_owned(self, plan: CoePlan) -> Sequence[str]:
        async with self._connect(plan) as engines:
            lists = await asyncio.gather(
                *(_list_containers(engines.client_of(master), WORKLOAD_LABEL) for master in _masters(plan))
            )
        return [container["Labels"][WORKLOAD_LABEL] for containers in lists for container in containers]

    async def logs(self, plan: CoePlan, uuid: str) -> str | None:
        async with self._connect(plan) as engines:
            container = await _find_container(engines, plan, uuid)
            if container is None:
                return None
            with translate_errors(f"reading the logs of container {uuid}"):
                query = {"stdout": "1", "stderr": "1"}
                text = await read_log(container.docker, container.id, query, tty=False, limit=MOST_BYTES)
        return text.decode(errors="replace")

    async def execute(self, plan: CoePlan, uuid: str, command: Sequence[str], *, limit: float) -> ExecResult | None:
        async with self._connect(plan) as engines:
            container = await _find_container(engines, plan, uuid)
            if container is None:
                return None
            with translate_errors(f"running a command in container {uuid}"):
                try:
                    async with asyncio.timeout(limit):
                        return await run_command(container, command)
                except TimeoutError as error:
                    raise Permanent(f"the command did not end within {limit:g} seconds") from error

    def _connect(self, plan: CoePlan) -> SwarmEngines:
        return SwarmEngines(authority=plan.authorities["main"], port=api_port(plan.template), clock=self._clock)


def _masters(plan: CoePlan) -> list[str]:
    return [member.address for member in plan.members if member.role == MASTER]


async def _list_containers(engine: DockerClient, label: str) -> list[DockerContainer]:
    """Return our containers of that Engine with the label, in any state."""
    with translate_errors("asking a master of the cluster for its containers"):
        containers = await engine.containers.list(all=1, filters=json.dumps({"label": [label]}))
    return [container for container in containers if _uuid_of(container["Labels"], container["Names"] or ())]


def _uuid_of(labels: Mapping[str, str], names: Sequence[str]) -> str | None:
    return find_owned_uuid(labels, names, label=WORKLOAD_LABEL, kind=ObjectKind.WORKLOAD)


async def _find_container(engines: SwarmEngines, plan: CoePlan, uuid: str) -> DockerContainer | None:
    """Return the container from any master; None when all masters answered and none has it.

    Raises the error of a silent master when the others do not have the container.
    """
    requests = (_list_containers(engines.client_of(master), f"{WORKLOAD_LABEL}={uuid}") for master in _masters(plan))
    silent: DriverError | None = None
    for answer in await asyncio.gather(*requests, return_exceptions=True):
        if isinstance(answer, DriverError):
            silent = silent or answer
        elif isinstance(answer, BaseException):
            raise answer
        elif answer:
            return answer[0]
    if silent is not None:
        raise silent
    return None


async def _create_container(engine: DockerClient, want: DesiredContainer) -> DockerContainer:
    """Create the container without starting it."""
    body: dict[str, Any] = {
        "Image": want.image,
        "Hostname": want.uuid,
        "Labels": {KIND: ObjectKind.WORKLOAD.value, WORKLOAD_LABEL: want.uuid, WORKLOAD_NAME_LABEL: want.name},
        "HostConfig": {} if want.memory is None else build_memory_limits(want.memory),
    }
    if want.command:
        body["Cmd"] = list(want.command)
    try:
        return await engine.containers.create(body, name=container_name(want.uuid))
    except DockerError as error:
        if error.status != HTTPStatus.CONFLICT:
            raise
    container = await get_by_name(engine, want.uuid, want.name)
    if _uuid_of(container["Config"]["Labels"] or {}, [container["Name"]]) != want.uuid:
        raise Permanent(f"creating container {want.name}: its name on the Engine is taken by another's")
    return container


async def read_state(container: DockerContainer) -> BayContainerState:
    """Return the container's state. Raises `Temporary` when it is listed but not shown: it is just coming or going."""
    with translate_errors("asking a master of the cluster for a container"):
        try:
            state = (await container.show())["State"]
        except DockerError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            raise Temporary(f"the Engine lists container {container.id[:12]} and does not show it") from error
    return BayContainerState(state=state_of(state["Status"]), started_at=moment(state.get("StartedAt")))


async def _perform_action(container: DockerContainer, act: ContainerAction) -> None:
    match act:
        case ContainerAction.START:
            await container.start()
        case ContainerAction.STOP:
            await container.stop(t=_STOP_SECONDS)
        case ContainerAction.REBOOT:
            await container.restart(t=_STOP_SECONDS)
        case ContainerAction.PAUSE:
            await container.pause()
        case ContainerAction.UNPAUSE:
            await container.unpause()
        case ContainerAction.CREATE:
            raise AssertionError("a container is made by `make`")
