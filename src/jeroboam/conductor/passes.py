"""A pass over one object: it has a deadline, and a failure is tried again or is final.

Neighbours: the loops of clusters and of bays, which write down what a failure means for their objects;
`kit.attempts`, which says how long they wait for the next attempt.
"""

import datetime as dt
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from jeroboam.domain.errors import DriverError, Permanent, Temporary
from jeroboam.kit.attempts import seconds_left
from jeroboam.kit.clock import Clock, DeadlineExceeded, run_within


@dataclass(frozen=True, kw_only=True, slots=True)
class PassFailure:
    """Why a pass ended before its work was done."""

    error: DriverError
    timed_out: bool = False
    """Whether the deadline of the object has passed."""

    @property
    def is_final(self) -> bool:
        """Whether another attempt at the same wish cannot help."""
        return self.timed_out or isinstance(self.error, Permanent)

    @property
    def reason(self) -> str:
        """What failed, while it is tried again."""
        return self.error.reason

    @property
    def final_reason(self) -> str:
        """What failed, once nothing is tried again."""
        return f"Timed out: {self.error.reason}" if self.timed_out else self.error.reason


async def run_pass(
    clock: Clock,
    deadline: dt.datetime | None,
    work: Coroutine[Any, Any, float | None],
    *,
    describe_end: Callable[[], str],
) -> float | PassFailure | None:
    """Return the result of the work, or its failure. The work is cancelled at the deadline (None: there is none).

    `describe_end` says what had not ended then.
    """
    remaining = None if deadline is None else seconds_left(deadline, clock.now())
    try:
        return await run_within(clock, remaining, work)
    except DeadlineExceeded:
        return PassFailure(error=Temporary(describe_end()), timed_out=True)
    except DriverError as error:
        return PassFailure(error=error, timed_out=deadline is not None and seconds_left(deadline, clock.now()) == 0)
