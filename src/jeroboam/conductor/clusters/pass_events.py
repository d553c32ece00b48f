"""Events that passes over one cluster have to tell beside its status, kept until they are stored.

What was done over an objection is done once: a note of it outlives a pass that is cancelled, and a store that does not
work. Neighbours: `progress`, which adds notes; the cluster loop, which has them written.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from jeroboam.domain.events import CLUSTER_REPAIR

Note = tuple[str, str]
"""The type of an event, and its sentence."""


class PassEvents:
    """Of one cluster, in this process."""

    def __init__(self) -> None:
        self._pending: list[Note] = []
        self._troubles: tuple[str, ...] = ()
        self._turn = asyncio.Lock()

    def add(self, event_type: str, sentence: str) -> None:
        """Have it told."""
        self._pending.append((event_type, sentence))

    def compare_troubles(self, troubles: Sequence[str]) -> None:
        """Note what was taken away at the last look and is there again; these are missing now."""
        for trouble in self._troubles:
            if trouble not in troubles:
                self.add(CLUSTER_REPAIR, f"{trouble[:1].upper()}{trouble[1:]}; it was made again.")
        self._troubles = tuple(troubles)

    def are_over(self) -> bool:
        """Whether there is nothing to remember."""
        return not self._pending and not self._troubles

    async def write(self, store: Callable[[Sequence[Note]], Awaitable[None]]) -> None:
        """Store what waits, each note once; one that was not stored waits on."""
        # A cancelled caller could not know whether its commit came to pass.
        await asyncio.shield(self._write(store))

    async def _write(self, store: Callable[[Sequence[Note]], Awaitable[None]]) -> None:
        async with self._turn:
            if notes := tuple(self._pending):
                await store(notes)
                del self._pending[: len(notes)]
