"""Containers on an Engine: names, owned labels, states, removal, and commands run in them.

Neighbours: the `docker` runtime and the `swarm` COE. Both hold containers on an Engine, and neither imports the other.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import aiodocker
from aiodocker.containers import DockerContainer

from jeroboam.clients.docker_streams import start_exec
from jeroboam.domain.containers import RuntimeState
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.domain.owner_labels import ObjectKind, has_kind
from jeroboam.domain.ports import ExecResult

MOST_BYTES = 16 * 1024 * 1024
"""The limit of one answer: of logs (the newest) or of a command's output."""

_STATES = {
    "created": RuntimeState.CREATED,
    "running": RuntimeState.RUNNING,
    "paused": RuntimeState.PAUSED,
    "restarting": RuntimeState.RESTARTING,
    # The process has ended; the Engine only cleans up.
    "removing": RuntimeState.EXITED,
    "exited": RuntimeState.EXITED,
    "dead": RuntimeState.DEAD,
}


def container_name(uuid: str) -> str:
    """Return the container's name on the Engine. Names are unique there, so there are never two of a container."""
    return f"jeroboam-{uuid}"


def find_owned_uuid(labels: Mapping[str, str], names: Sequence[str], *, label: str, kind: ObjectKind) -> str | None:
    """Return the uuid that the label holds; None for a container that we have not created as one of that kind.

    Images have labels too, and every client of the Engine can set any label, so the name has to match as well.
    """
    uuid = labels.get(label)
    is_ours = uuid and has_kind(labels, kind) and f"/{container_name(uuid)}" in names
    return uuid if is_ours else None


def build_memory_limits(octets: int) -> dict[str, int]:
    """Return the limits of memory and swap together: no swap beyond the limit."""
    return {"Memory": octets, "MemorySwap": octets}


async def get_by_name(engine: aiodocker.Docker, uuid: str, name: str) -> DockerContainer:
    """Return the container that has the Engine's name for that uuid. An earlier attempt may have created it.

    Raises `Temporary`, which names the container `name`, while the Engine reserves the name and does not show it yet.
    """
    try:
        return await engine.containers.get(container_name(uuid))
    except aiodocker.DockerError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        raise Temporary(f"creating container {name}: it is still being made") from error


async def remove_container(container: DockerContainer, *, force: bool) -> None:
    """Remove the container with its volumes, or wait for a removal in progress. One that is gone is no error."""
    try:
        await container.delete(force=force, v=True)
    except aiodocker.DockerError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return
        if error.status != HTTPStatus.CONFLICT or "already in progress" not in error.message:
            raise
        await container.wait(condition="removed")


def state_of(word: str) -> RuntimeState:
    """Return the state for the Engine's word."""
    return _STATES.get(word, RuntimeState.DEAD)


def moment(text: str | None) -> dt.datetime | None:
    """Return a time of the Engine; None for the year 1, which stands for never."""
    if not text or text.startswith("0001-"):
        return None
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC)


async def run_command(container: DockerContainer, command: Sequence[str]) -> ExecResult:
    """Run the command to its end. Raises `Permanent` for one that prints without end; the caller limits its time."""
    execution = await container.exec(list(command))
    output = bytearray()
    async with await start_exec(execution) as stream:
        while (message := await stream.read_out()) is not None:
            output += message.data
            if len(output) > MOST_BYTES:
                raise Permanent(f"the command printed more than {MOST_BYTES >> 20} MiB")
    result = await execution.inspect()
    return ExecResult(output=output.decode(errors="replace"), exit_code=result["ExitCode"])
