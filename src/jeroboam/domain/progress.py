"""How work that takes long tells what it waits for, so that the user who waits reads it.

Neighbours: drivers, which tell; the cluster loop, which writes what they told into the reason and into events.
"""

from collections.abc import Sequence
from typing import Protocol

SHOWN = 3
"""So many things of a kind a sentence names."""


def list_some(things: Sequence[str], *, most: int = SHOWN, between: str = "; ") -> str:
    """The first of them, and how many more there are."""
    more = [f"and {len(things) - most} more"] if len(things) > most else []
    return between.join([*things[:most], *more])


class Progress(Protocol):
    """Where a driver tells how its work goes on. Both are cheap, and may be called as often as it likes."""

    def wait_for(self, things: Sequence[str]) -> None:
        """What it waits for now, each as a clause for the user's eyes; nothing once it goes on."""
        ...

    def note(self, sentence: str) -> None:
        """What it has done over somebody's objection, such as a disruption budget's, for an event."""
        ...


class NoProgress:
    """Nobody reads it."""

    def wait_for(self, things: Sequence[str]) -> None:
        """Nothing to do."""

    def note(self, sentence: str) -> None:
        """Nothing to do."""


UNWATCHED = NoProgress()


class SharedProgress:
    """Several pieces of work at once that tell through one: it waits for all that any of them waits for."""

    def __init__(self, whole: Progress, count: int) -> None:
        self._whole = whole
        self._things: list[tuple[str, ...]] = [()] * count
        self.parts: list[Progress] = [_Part(self, place) for place in range(count)]

    def wait_for(self, place: int, things: Sequence[str]) -> None:
        """What the piece at that place waits for."""
        self._things[place] = tuple(things)
        self._whole.wait_for([thing for each in self._things for thing in each])

    def note(self, sentence: str) -> None:
        """A note of any of them."""
        self._whole.note(sentence)


class _Part:
    def __init__(self, together: SharedProgress, place: int) -> None:
        self._together = together
        self._place = place

    def wait_for(self, things: Sequence[str]) -> None:
        self._together.wait_for(self._place, things)

    def note(self, sentence: str) -> None:
        self._together.note(sentence)
