"""What the programs of nodes printed when they ended, for a user who waits for these nodes.

Neighbours: the cluster loop, which asks when members do not become ready; the provider, which alone reaches a node
whose cluster does not answer.
"""

import asyncio
from collections.abc import Collection

from jeroboam.conductor.clusters.scope import ClusterScope
from jeroboam.domain.errors import DriverError, Temporary
from jeroboam.providers import base

# A cause is mostly the same on all nodes; who waits for a hundred of them is not helped by a hundred of it.
_ASKED = 8


class NodeDiagnoses:
    """What is known of nodes that are waited for, by the uuid of their cluster; gone with the process."""

    def __init__(self) -> None:
        self._outputs: dict[str, str] = {}

    def known(self, cluster_id: str) -> str:
        """What was heard last, to be put behind what is being done; empty where there was nothing."""
        output = self._outputs.get(cluster_id)
        return f" ({output})" if output else ""

    def forget(self, cluster_id: str) -> None:
        """It is well again, or nobody waits any more."""
        self._outputs.pop(cluster_id, None)

    async def explain(self, scope: ClusterScope, error: Temporary, uuids: Collection[str]) -> Temporary:
        """The same error, with what programs of these nodes printed when they ended."""
        output = await _diagnose(scope, uuids)
        self._outputs[scope.plan.cluster_id] = output
        return Temporary(f"{error.reason}; {output}") if output else error


async def _diagnose(scope: ClusterScope, uuids: Collection[str]) -> str:
    """Each of these nodes that has something to say, with its words; empty where none has."""
    provider = scope.provider
    if not isinstance(provider, base.SupportsDiagnosis):
        return ""
    members = [member for member in scope.plan.members if member.uuid in uuids][:_ASKED]

    async def ask(uuid: str) -> str:
        try:
            return await provider.diagnose(scope.plan.cluster_id, uuid, scope.script(uuid))
        except DriverError:
            # The reason that is known already has to do.
            return ""

    answers = await asyncio.gather(*(ask(member.uuid) for member in members))
    return "; ".join(
        f"on node {member.name} {output}" for member, output in zip(members, answers, strict=True) if output
    )
