"""Draining and removing a node of a swarm: its tasks stop there and start elsewhere, then the managers delete it.

Neighbours: the COE, which decides when; `engines`, which asks a manager.
"""

from collections import defaultdict

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

    Tasks that still run when time is up go down with the node; that is noted. A replacement that was replaced itself
    has failed, for its image may be on the drained node only: its slot is not waited for any longer.
    """
    tasks = await engines.list_running_tasks(manager, node)
    former_ids = {task.id for task in await engines.list_starting_tasks(manager)}
    replacement_ids: defaultdict[str, set[str]] = defaultdict(set)
    before = node.spec.get("Availability", "active")
    if before != "drain":
        labels = {**(node.spec.get("Labels") or {}), DRAINED_LABEL: before}
        await engines.update(manager, node, {"Availability": "drain", "Labels": labels})
    deadline = clock.monotonic() + _DRAIN_SECONDS
    drained_slots = {task.slot for task in tasks}
    while True:
        running_tasks = await engines.list_running_tasks(manager, node) if node.ready else []
        drained_slots |= {task.slot for task in running_tasks}
        # A task of another slot that waits belongs to a service that crashes; its delay may be hours.
        starting_tasks = [
            task for task in await engines.list_starting_tasks(manager) if not task.waits or task.slot in drained_slots
        ]
        for task in starting_tasks:
            if task.id not in former_ids:
                replacement_ids[task.slot].add(task.id)
        starting_tasks = [task for task in starting_tasks if len(replacement_ids[task.slot]) <= 1]
        if not running_tasks and not starting_tasks:
            progress.wait_for(())
            return
        if clock.monotonic() >= deadline:
            if running_tasks:
                text = f"Node {node.name} is taken down after {_DRAIN_SECONDS:g} seconds with tasks on it"
                progress.note(f"{text}: {list_some([str(task) for task in running_tasks], between=', ')}.")
            return
        reasons = [f"task {task} has not ended on node {node.name}" for task in running_tasks]
        progress.wait_for(reasons + [f"task {task} has not started yet" for task in starting_tasks])
        await clock.sleep(POLL_SECONDS)


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
