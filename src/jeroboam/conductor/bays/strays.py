"""Finds what was made inside clusters for objects that no longer exist, and removes it.

A process can be killed after it asked an Engine for a container and before it got the answer; if the user then deletes
the object, the container is left. The same holds for a pod. A stray is found by its label alone and has to be seen by
two looks, as with `periodic.reaper`. Neighbour: `connector`, which connects to either kind.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from jeroboam.coes.base import CoePlan
from jeroboam.conductor.bays.connector import ClusterConnection
from jeroboam.conductor.bays.records import BayContainerRecords
from jeroboam.conductor.loop import repeat
from jeroboam.domain.errors import DriverError
from jeroboam.kit.clock import Clock
from jeroboam.store import Store

log = structlog.get_logger("jeroboam.conductor.bays.containers")


class ListsOwned(Protocol):
    """What is needed of the part of a COE that holds the objects of users."""

    async def list_owned(self, plan: CoePlan) -> Sequence[str]: ...

    async def remove(self, plan: CoePlan, uuid: str) -> None: ...


class StrayCollector:
    """Looks for strays in every cluster that answers, at intervals."""

    def __init__(
        self,
        *,
        store: Store,
        way: Callable[[str], Awaitable[ClusterConnection[ListsOwned] | None]],
        clock: Clock,
        every_seconds: float,
    ) -> None:
        self._records = BayContainerRecords(store)
        self._way = way
        self._clock = clock
        self._every_seconds = every_seconds
        self._suspects: dict[str, frozenset[str]] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        await repeat(self._look_everywhere, clock=self._clock, every_seconds=self._every_seconds, subject="strays")

    async def _look_everywhere(self) -> None:
        clusters = list(await self._records.clusters())
        self._suspects = {uuid: self._suspects[uuid] for uuid in clusters if uuid in self._suspects}
        for uuid in clusters:
            try:
                await self.look(uuid)
            except DriverError as error:
                log.debug("cannot look for strays", cluster=uuid, reason=error.reason)

    async def look(self, cluster_id: str) -> list[str]:
        """Look once into one cluster. Return the strays that were removed."""
        connection = await self._way(cluster_id)
        if connection is None:
            return []
        uuids = await connection.coe.list_owned(connection.plan)
        strays = frozenset(uuids) - await self._records.list_bay_uuids(cluster_id)
        removable = sorted(strays & self._suspects.get(cluster_id, frozenset()))
        for uuid in removable:
            log.warning("removing a stray", cluster=cluster_id, workload=uuid)
            await connection.coe.remove(connection.plan, uuid)
        self._suspects[cluster_id] = strays.difference(removable)
        return removable
