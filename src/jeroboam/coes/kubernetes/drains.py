"""Moving the pods of a node away, and telling which ones stay and why.

Neighbours: the COE, which decides when; `fleet`, which asks the API.
"""

from collections.abc import Mapping
from typing import Any

from jeroboam.coes.kubernetes.fleet import POLL_SECONDS, KubeNode, Nodes, is_going
from jeroboam.domain.progress import Progress
from jeroboam.kit.clock import Clock

_SHOWN = 3


async def empty(nodes: Nodes, node: KubeNode, *, seconds: float, clock: Clock, progress: Progress) -> None:
    """Move the node's pods away, as far as disruption budgets let them go and time reaches.

    Pods that are left when time is up go down with the node; that is noted, with what kept them.
    """
    until = clock.monotonic() + seconds
    left: list[str] = []
    while pods := await nodes.movable(node):
        left = [f"{_name(pod)} {await _ask_to_go(nodes, pod)}" for pod in pods]
        if clock.monotonic() >= until:
            shown = "; ".join(left[:_SHOWN]) + (f"; and {len(left) - _SHOWN} more" if len(left) > _SHOWN else "")
            progress.note(f"Node {node.name} is taken down after {seconds:g} seconds with pods on it: {shown}.")
            return
        progress.wait_for(left)
        await clock.sleep(POLL_SECONDS)
    progress.wait_for(())


async def _ask_to_go(nodes: Nodes, pod: Mapping[str, Any]) -> str:
    """Have the pod evicted unless it is on its way; what is waited for."""
    if is_going(pod):
        return "has not ended yet"
    return await nodes.evict(pod) or "has not ended yet"


def _name(pod: Mapping[str, Any]) -> str:
    return f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']}"
