"""Draining and removing a node of a swarm: its tasks stop there and start elsewhere, then the managers delete it.

Neighbours: the COE, which decides when; `engines`, which asks a manager.
"""

from collections.abc import Sequence

from jeroboam.coes.swarm.engines import DRAINED_LABEL, POLL_SECONDS, SwarmEngines, SwarmNode
from jeroboam.domain.progress import Progress, list_some
from jeroboam.kit.clock import Clock

_DRAIN_SECONDS = 30.0
_DEMOTE_SECONDS = 10.0


async def remove_node(engines: SwarmEngines, manager: str, node: SwarmNode, clock: Clock, progress: Progress) -> None:
    """Drain the node and remove it from the swarm."""
    await drain_node(engines, manager, node, clock, progress)
    await demote_manager(engines, manager, node, clock)
    await engines.remove_node(manager, node)


async def drain_node(engines: SwarmEngines, manager: str, node: SwarmNode, clock: Clock, progress: Progress) -> None:
    """Move the node's tasks away. A node that a user has drained stays drained afterwards.

    Tasks that still run when time is up go down with the node; that is noted.
    """
    before = node.spec.get("Availability", "active")
    if before != "drain":
        labels = {**(node.spec.get("Labels") or {}), DRAINED_LABEL: before}
        await engines.update(manager, node, {"Availability": "drain", "Labels": labels})
    deadline = clock.monotonic() + _DRAIN_SECONDS
    while True:
        running_tasks = await engines.list_running_tasks(manager, node) if node.ready else []
        starting_tasks = await engines.list_starting_tasks(manager)
        if not running_tasks and not starting_tasks:
            progress.wait_for(())
            return
        reasons = _describe_tasks(node, running_tasks, starting_tasks)
        if clock.monotonic() >= deadline:
            if running_tasks:
                text = f"Node {node.name} is taken down after {_DRAIN_SECONDS:g} seconds with tasks on it"
                progress.note(f"{text}: {list_some(running_tasks, between=', ')}.")
            return
        progress.wait_for(reasons)
        await clock.sleep(POLL_SECONDS)


def _describe_tasks(node: SwarmNode, running_tasks: Sequence[str], starting_tasks: Sequence[str]) -> list[str]:
    reasons = [f"task {task} has not ended on node {node.name}" for task in running_tasks]
    return reasons + [f"task {task} has not started yet" for task in starting_tasks]


async def demote_manager(engines: SwarmEngines, manager: str, node: SwarmNode, clock: Clock) -> None:
    """Demote a manager to a worker, and wait until it is no manager any more."""
    if not node.manager:
        return
    await engines.update(manager, node, {"Availability": "drain", "Role": "worker"})
    deadline = clock.monotonic() + _DEMOTE_SECONDS
    while clock.monotonic() < deadline:
        if not any(other.id == node.id and other.manager for other in await engines.nodes(manager)):
            return
        await clock.sleep(POLL_SECONDS)
