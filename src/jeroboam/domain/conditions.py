"""Conditions: facts about an object, one a type, each with a reason and since when."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One fact. `status` None means that nobody knows."""

    type: str
    status: bool | None
    reason: str = ""
    message: str = ""
    since: dt.datetime | None = None


def merge(old: Iterable[Condition], new: Iterable[Condition], now: dt.datetime) -> tuple[Condition, ...]:
    """The new facts over the old ones; `since` moves only where the status changed."""
    known = {condition.type: condition for condition in old}
    for condition in new:
        before = known.get(condition.type)
        same = before is not None and before.status == condition.status
        known[condition.type] = replace(condition, since=before.since if before and same else now)
    return tuple(known[key] for key in sorted(known))
