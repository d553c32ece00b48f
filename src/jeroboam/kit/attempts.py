"""The retry policy of every loop: how long to wait after failures in a row, and how much time a deadline leaves.

Neighbours: `queue`, for work that raised; the loops of clusters and of bays through `conductor.passes`; the workers of
an agent. Each of them chooses its own seconds.
"""

import datetime as dt
from dataclasses import dataclass

# More doublings than any longest wait needs. After many failures a float would overflow.
_MOST_DOUBLINGS = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """The time between attempts: twice as long after each failure, up to the longest time."""

    first_seconds: float
    longest_seconds: float

    def pause_after(self, failures: int) -> float:
        """Return the seconds to wait after `failures` failures in a row, at least one."""
        return min(self.first_seconds * 2.0 ** min(failures - 1, _MOST_DOUBLINGS), self.longest_seconds)


class Attempts:
    """The failed attempts in a row by key, with the last reason. A new generation counts from zero."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._failures: dict[str, tuple[int, int, str]] = {}

    def add_failure(self, key: str, reason: str, *, generation: int = 0) -> float:
        """Count a failed attempt. Return the seconds until the next one."""
        failures = self.count_failures(key, generation=generation) + 1
        self._failures[key] = (generation, failures, reason)
        return self._policy.pause_after(failures)

    def count_failures(self, key: str, *, generation: int = 0) -> int:
        """Return how often that generation of the key has failed in a row."""
        last_generation, failures, _ = self._failures.get(key, (generation, 0, ""))
        return failures if last_generation == generation else 0

    def last_reason(self, key: str) -> str | None:
        """Return why the last attempt failed; None after a success."""
        return self._failures[key][2] if key in self._failures else None

    def forget(self, key: str) -> None:
        """Count from zero: the work succeeded or has ended, or its key is gone."""
        self._failures.pop(key, None)


def seconds_left(deadline: dt.datetime, now: dt.datetime) -> float:
    """Return the seconds until the deadline; 0 once it has passed."""
    return max((deadline - now).total_seconds(), 0)
