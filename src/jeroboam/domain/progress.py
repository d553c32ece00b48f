"""How work that takes long tells what it waits for, so that the user who waits reads it.

Neighbours: drivers, which tell; the cluster loop, which writes what they told into the reason and into events.
"""

from collections.abc import Sequence
from typing import Protocol

SHOWN = 3
"""So many things of a kind a sentence names."""


def list_some(clauses: Sequence[str], *, most: int = SHOWN, between: str = "; ") -> str:
    """The first of them, and how many more there are."""
    suffix = [f"and {len(clauses) - most} more"] if len(clauses) > most else []
    return between.join([*clauses[:most], *suffix])


class Progress(Protocol):
    """Where a driver tells how its work goes on. Both are cheap, and may be called as often as it likes."""

    def wait_for(self, clauses: Sequence[str]) -> None:
        """What it waits for now, each as a clause for the user's eyes; nothing once it goes on."""
        ...

    def note(self, sentence: str) -> None:
        """What it has done over somebody's objection, such as a disruption budget's, for an event."""
        ...


class NoProgress:
    """Nobody reads it."""

    def wait_for(self, clauses: Sequence[str]) -> None:
        """Nothing to do."""

    def note(self, sentence: str) -> None:
        """Nothing to do."""


UNWATCHED = NoProgress()


class SharedProgress:
    """Several pieces of work at once that tell through one: it waits for all that any of them waits for."""

    def __init__(self, parent: Progress, count: int) -> None:
        self._parent = parent
        self._clauses: list[tuple[str, ...]] = [()] * count
        self.parts: list[Progress] = [_Part(self, place) for place in range(count)]

    def wait_for(self, place: int, clauses: Sequence[str]) -> None:
        """What the piece at that place waits for."""
        self._clauses[place] = tuple(clauses)
        self._parent.wait_for([clause for part in self._clauses for clause in part])

    def note(self, sentence: str) -> None:
        """A note of any of them."""
        self._parent.note(sentence)


class _Part:
    def __init__(self, parent: SharedProgress, place: int) -> None:
        self._parent = parent
        self._place = place

    def wait_for(self, clauses: Sequence[str]) -> None:
        self._parent.wait_for(self._place, clauses)

    def note(self, sentence: str) -> None:
        self._parent.note(sentence)
