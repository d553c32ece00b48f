"""What the agent reports of a container, from what its runtime says. Pure. Neighbour: `executor`."""

from dataclasses import replace

from jeroboam.domain.containers import ContainerObserved, RuntimeState
from jeroboam.runtimes.base import ContainerState


def merge_state(state: ContainerState | None, last: ContainerObserved) -> ContainerObserved:
    """Return the last report with the present state merged in. A container that is gone keeps exit code and times."""
    if state is None:
        return replace(last, state=RuntimeState.ABSENT, addresses=(), health=None)
    return replace(
        last,
        state=state.state,
        runtime_id=state.runtime_id,
        exit_code=state.exit_code,
        started_at=state.started_at,
        finished_at=state.finished_at,
        addresses=state.addresses,
        ports=state.ports,
        hostname=state.hostname,
        command=state.command,
        entrypoint=state.entrypoint,
        health=state.health,
    )
