"""Draining a node: its pods are evicted, and those that stay are reported with the reason.

Neighbours: the COE, which decides when; `node_ops`, which uses the API.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from jeroboam.coes.kubernetes.node_ops import POLL_SECONDS, KubernetesNode, NodeOps, is_terminating
from jeroboam.domain.progress import Progress, list_some
from jeroboam.kit.clock import Clock, DeadlineExceeded, run_within

# Several nodes are drained at once, and the API serves others too.
_AT_ONCE = 8
_GOING = "has not ended yet"


async def drain_node(ops: NodeOps, node: KubernetesNode, *, seconds: float, clock: Clock, progress: Progress) -> None:
    """Evict the node's pods, as far as disruption budgets and time allow.

    Pods that remain when time is up go down with the node; that is noted, with the reason. A slow API does not extend
    the time.
    """
    remaining: dict[str, str] = {}
    try:
        await run_within(clock, seconds, _move_away(ops, node, remaining, clock, progress))
    except DeadlineExceeded:
        suffix = " without an answer to what runs on it"
        if remaining:
            suffix = f" with pods on it: {list_some(list(remaining.values()))}"
        progress.note(f"Node {node.name} is taken down after {seconds:g} seconds{suffix}.")


async def _move_away(
    ops: NodeOps, node: KubernetesNode, remaining: dict[str, str], clock: Clock, progress: Progress
) -> None:
    """Evict its pods until none remains; `remaining` holds what the drain waits for, by pod."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def ask(pod: Mapping[str, Any]) -> None:
        async with slots:
            remaining[_pod_name(pod)] = f"{_pod_name(pod)} {await _evict(ops, pod)}"
            progress.wait_for(list(remaining.values()))

    while pods := await ops.list_movable_pods(node):
        names = [_pod_name(pod) for pod in pods]
        still_there = {name: remaining.get(name, f"{name} {_GOING}") for name in names}
        remaining.clear()
        remaining.update(still_there)
        await asyncio.gather(*map(ask, pods))
        await clock.sleep(POLL_SECONDS)
    remaining.clear()
    progress.wait_for(())


async def _evict(ops: NodeOps, pod: Mapping[str, Any]) -> str:
    """Evict the pod unless it is terminating; return what the drain waits for."""
    if is_terminating(pod):
        return _GOING
    return await ops.evict(pod) or _GOING


def _pod_name(pod: Mapping[str, Any]) -> str:
    return f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']}"
