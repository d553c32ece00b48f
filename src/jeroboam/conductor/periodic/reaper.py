"""The reaper: finds the infrastructure of clusters that no longer exist, and removes it.

It works by tag alone: it looks only at what carries our tag, and removes only what no row knows. Infrastructure has to
be found by two looks, so a cluster whose row was written in between is safe.
"""

from collections.abc import Mapping

import structlog

from jeroboam.conductor.loop import repeat
from jeroboam.domain.errors import DriverError
from jeroboam.kit.clock import Clock
from jeroboam.providers.base import Provider
from jeroboam.store import Store

log = structlog.get_logger("jeroboam.conductor.periodic.reaper")


class Reaper:
    """Looks at every provider at intervals."""

    def __init__(self, *, store: Store, providers: Mapping[str, Provider], clock: Clock, every_seconds: float) -> None:
        self._store = store
        self._providers = providers
        self._clock = clock
        self._every_seconds = every_seconds
        self._suspects: dict[str, frozenset[str]] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        await repeat(self._look_everywhere, clock=self._clock, every_seconds=self._every_seconds, subject="reaper")

    async def _look_everywhere(self) -> None:
        for name in self._providers:
            try:
                await self.look(name)
            except DriverError as error:
                log.warning("cannot look for leftovers", provider=name, reason=error.reason)

    async def look(self, name: str) -> list[str]:
        """Look once at one provider. Return the clusters whose leftovers were removed."""
        provider = self._providers[name]
        owned_uuids = await provider.list_owned()
        async with self._store.read() as tx:
            # A cluster whose row cannot be read exists: its infrastructure stays.
            known_uuids = set(await tx.clusters.uuids({"uuid": list(owned_uuids)}))
        orphans = frozenset(owned_uuids) - known_uuids
        removed_uuids = []
        for uuid in sorted(orphans & self._suspects.get(name, frozenset())):
            log.warning("removing leftovers", provider=name, cluster=uuid)
            await provider.destroy(uuid)
            removed_uuids.append(uuid)
        self._suspects[name] = orphans.difference(removed_uuids)
        return removed_uuids
