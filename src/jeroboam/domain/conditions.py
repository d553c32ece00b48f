"""Conditions: facts about an object, one for each type, with a reason and the time since when it holds."""

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


def merge_conditions(old: Iterable[Condition], new: Iterable[Condition], now: dt.datetime) -> tuple[Condition, ...]:
    """Return the new facts merged into the old ones; `since` moves only if the status changed."""
    by_type = {condition.type: condition for condition in old}
    for condition in new:
        before = by_type.get(condition.type)
        is_unchanged = before is not None and before.status == condition.status
        by_type[condition.type] = replace(condition, since=before.since if before and is_unchanged else now)
    return tuple(by_type[key] for key in sorted(by_type))
