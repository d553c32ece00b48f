"""Collects what the programs of nodes printed when they ended, for a user who waits for these nodes.

Neighbours: the cluster loop, which asks when members do not become ready; the provider, which can reach a node whose
cluster does not answer.
"""

import asyncio
from collections.abc import Collection

from jeroboam.conductor.clusters.scope import ClusterScope
from jeroboam.domain.errors import DriverError, Temporary
from jeroboam.providers import base

# The cause is mostly the same on all nodes, so a few nodes are enough.
_MAX_NODES = 8


class NodeDiagnoses:
    """The last diagnosis of each cluster that waits for nodes, in memory only."""

    def __init__(self) -> None:
        self._outputs: dict[str, str] = {}

    def describe(self, cluster_id: str) -> str:
        """Return the last diagnosis in brackets, to append to a step; empty if there is none."""
        output = self._outputs.get(cluster_id)
        return f" ({output})" if output else ""

    def forget(self, cluster_id: str) -> None:
        """Drop the diagnosis: the cluster is well again, or is gone."""
        self._outputs.pop(cluster_id, None)

    async def explain(self, scope: ClusterScope, error: Temporary, uuids: Collection[str]) -> Temporary:
        """Return the same error, with what programs of these nodes printed when they ended."""
        output = await _diagnose(scope, uuids)
        self._outputs[scope.plan.cluster_id] = output
        return Temporary(f"{error.reason}; {output}") if output else error


async def _diagnose(scope: ClusterScope, uuids: Collection[str]) -> str:
    """Return what these nodes printed, each with its name; empty if no node printed anything."""
    provider = scope.provider
    if not isinstance(provider, base.SupportsDiagnosis):
        return ""
    members = [member for member in scope.plan.members if member.uuid in uuids][:_MAX_NODES]

    async def ask(uuid: str) -> str:
        try:
            return await provider.diagnose(scope.plan.cluster_id, uuid, scope.build_script(uuid))
        except DriverError:
            # The caller's error still has its own reason.
            return ""

    answers = await asyncio.gather(*(ask(member.uuid) for member in members))
    return "; ".join(
        f"on node {member.name} {output}" for member, output in zip(members, answers, strict=True) if output
    )
