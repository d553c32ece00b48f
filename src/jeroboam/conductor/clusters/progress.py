"""The progress of one pass over a cluster in words: its step, what it waits for, and what it did against objections.

Neighbours: the cluster loop, which begins each step here and writes the words down; drivers, which report through the
same object as `domain.progress.Progress`; `pass_events`, which keeps the notes.
"""

from collections.abc import Iterable, Sequence

from jeroboam.conductor.clusters.pass_events import PassEvents
from jeroboam.domain.events import NODE_DRAIN
from jeroboam.domain.progress import SHOWN, list_some
from jeroboam.kit.clock import Clock

# After so many seconds the user is told what takes so long.
SLOW_SECONDS = 5.0


class PassProgress:
    """Implements `Progress` for one pass."""

    def __init__(self, clock: Clock, notes: PassEvents) -> None:
        self._clock = clock
        self.notes = notes
        self.begin("reading what the cluster should be")

    def begin(self, step: str) -> None:
        """Begin a step of the pass."""
        self.step, self._since = step, self._clock.monotonic()
        self._clauses: tuple[str, ...] = ()

    def wait_for(self, clauses: Sequence[str]) -> None:
        self._clauses = tuple(clauses)

    def note(self, sentence: str) -> None:
        self.notes.add(NODE_DRAIN, sentence)

    def is_slow(self) -> bool:
        """Whether the step takes longer than a user should wait without a message."""
        return self._clock.monotonic() - self._since >= SLOW_SECONDS

    def describe_wait(self) -> str:
        """Return what takes so long."""
        if not self._clauses:
            return f"{self.step} takes more than {SLOW_SECONDS:g} seconds"
        return f"{self.step}: {list_some(self._clauses)}"

    def describe_end(self) -> str:
        """Return what had not ended when the time was up."""
        return self.describe_wait() if self._clauses else f"{self.step} did not end"


def list_names(names: Iterable[str]) -> str:
    """Return names of nodes for a sentence: `node a`, `nodes a, b, c and 4 more`."""
    all_names = list(names)
    suffix = f" and {len(all_names) - SHOWN} more" if len(all_names) > SHOWN else ""
    return f"{'node' if len(all_names) == 1 else 'nodes'} {', '.join(all_names[:SHOWN])}{suffix}"
