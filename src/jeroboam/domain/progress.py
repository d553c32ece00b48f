"""The progress of long work: what it waits for, so that the user who waits can read it.

Neighbours: drivers, which report; the cluster loop, which writes that into the reason and into events.
"""

from collections.abc import Sequence
from typing import Protocol

SHOWN = 3
"""So many items a sentence names."""


def list_some(clauses: Sequence[str], *, limit: int = SHOWN, between: str = "; ") -> str:
    """Return the first items, and how many more there are."""
    suffix = [f"and {len(clauses) - limit} more"] if len(clauses) > limit else []
    return between.join([*clauses[:limit], *suffix])


class Progress(Protocol):
    """Receives the progress of a driver's work. Both methods are cheap, and may be called at any rate."""

    def wait_for(self, clauses: Sequence[str]) -> None:
        """Set what the work waits for now, each a clause for the user; nothing once it goes on."""
        ...

    def note(self, sentence: str) -> None:
        """Note for an event what was done against an objection, such as a disruption budget's."""
        ...


class NoProgress:
    """Drops the progress: nobody reads it."""

    def wait_for(self, clauses: Sequence[str]) -> None:
        """Nothing to do."""

    def note(self, sentence: str) -> None:
        """Nothing to do."""


UNWATCHED = NoProgress()


class SharedProgress:
    """One progress for several pieces of work at once: it waits for all that any of them waits for."""

    def __init__(self, parent: Progress, count: int) -> None:
        self._parent = parent
        self._clauses: list[tuple[str, ...]] = [()] * count
        self.parts: list[Progress] = [_Part(self, place) for place in range(count)]

    def wait_for(self, place: int, clauses: Sequence[str]) -> None:
        """Set what the piece at that place waits for."""
        self._clauses[place] = tuple(clauses)
        self._parent.wait_for([clause for part in self._clauses for clause in part])

    def note(self, sentence: str) -> None:
        """Note what one of the pieces did."""
        self._parent.note(sentence)


class _Part:
    def __init__(self, parent: SharedProgress, place: int) -> None:
        self._parent = parent
        self._place = place

    def wait_for(self, clauses: Sequence[str]) -> None:
        self._parent.wait_for(self._place, clauses)

    def note(self, sentence: str) -> None:
        self._parent.note(sentence)
