"""Keeps the events of passes over one cluster until they are stored, beside those of its status.

An act against an objection, such as a disruption budget, happens once. Its note outlives a pass that is cancelled, and
a store that does not work. Neighbours: `progress`, which adds notes; the cluster loop, which writes them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from jeroboam.domain.events import CLUSTER_REPAIR

Note = tuple[str, str]
"""The type of an event, and its sentence."""


class PassEvents:
    """The events of one cluster, in this process."""

    def __init__(self) -> None:
        self._pending: list[Note] = []
        self._troubles: tuple[str, ...] = ()
        self._turn = asyncio.Lock()

    def add(self, event_type: str, sentence: str) -> None:
        """Add an event."""
        self._pending.append((event_type, sentence))

    def compare_troubles(self, troubles: Sequence[str]) -> None:
        """Add an event for each trouble of the last look that is repaired now, and keep the present ones."""
        for trouble in self._troubles:
            if trouble not in troubles:
                self.add(CLUSTER_REPAIR, f"{trouble[:1].upper()}{trouble[1:]}; it was repaired.")
        self._troubles = tuple(troubles)

    def is_empty(self) -> bool:
        """Whether there is nothing to keep."""
        return not self._pending and not self._troubles

    async def write(self, store: Callable[[Sequence[Note]], Awaitable[None]]) -> None:
        """Store the notes, each once. A note that could not be stored stays."""
        # A cancelled caller could not know whether its commit happened.
        await asyncio.shield(self._write(store))

    async def _write(self, store: Callable[[Sequence[Note]], Awaitable[None]]) -> None:
        async with self._turn:
            if notes := tuple(self._pending):
                await store(notes)
                del self._pending[: len(notes)]
