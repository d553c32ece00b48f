"""Writes the heartbeat of this process to the store (the published `mservices` and `services`)."""

from jeroboam.conductor.loop import repeat
from jeroboam.kit.clock import Clock
from jeroboam.store import Store


class Heartbeat:
    """The heartbeat of one process."""

    def __init__(self, *, store: Store, clock: Clock, host: str, binary: str, every_seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._host = host
        self._binary = binary
        self._every_seconds = every_seconds

    async def run(self) -> None:
        """Beat until cancelled."""
        await repeat(self._beat, clock=self._clock, every_seconds=self._every_seconds, subject="heartbeat")

    async def _beat(self) -> None:
        async with self._store.write() as tx:
            await tx.beat(self._host, self._binary)
