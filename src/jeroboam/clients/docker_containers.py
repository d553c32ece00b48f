"""What an Engine says of containers, in our words, and a command run in one.

Neighbours: the `docker` runtime and the `swarm` COE, which both hold containers on an Engine and do not know each
other.
"""

import datetime as dt
from collections.abc import Sequence

from aiodocker.containers import DockerContainer

from jeroboam.domain.containers import RuntimeState
from jeroboam.domain.errors import Permanent
from jeroboam.domain.ports import ExecResult

MOST_BYTES = 16 * 1024 * 1024
"""What one answer may hold of logs (the newest) or of a command's output."""

_STATES = {
    "created": RuntimeState.CREATED,
    "running": RuntimeState.RUNNING,
    "paused": RuntimeState.PAUSED,
    "restarting": RuntimeState.RESTARTING,
    # Its process has ended; the rest is the Engine's housekeeping.
    "removing": RuntimeState.EXITED,
    "exited": RuntimeState.EXITED,
    "dead": RuntimeState.DEAD,
}


def state_of(word: str) -> RuntimeState:
    """The Engine's word for a container's state as ours."""
    return _STATES.get(word, RuntimeState.DEAD)


def moment(text: str | None) -> dt.datetime | None:
    """A time of the Engine's; it writes the year 1 for never."""
    if not text or text.startswith("0001-"):
        return None
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC)


async def run_command(container: DockerContainer, command: Sequence[str]) -> ExecResult:
    """Run the command to its end. Raises `Permanent` for one that prints without end; the caller limits its time."""
    execution = await container.exec(list(command))
    output = bytearray()
    async with execution.start() as stream:
        while (message := await stream.read_out()) is not None:
            output += message.data
            if len(output) > MOST_BYTES:
                raise Permanent(f"the command printed more than {MOST_BYTES >> 20} MiB")
    result = await execution.inspect()
    return ExecResult(output=output.decode(errors="replace"), exit_code=result["ExitCode"])
