"""What a check is, and how it ends.

Neighbours: the modules of checks; `runner`.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from jeroboam.checks.site import CheckContext


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterCheck:
    """One promise of a cluster's, and how it is tried."""

    name: str
    about: str
    """What is seen to work when it passes."""
    run: Callable[[CheckContext], Coroutine[Any, Any, str]]
    """Tries it; what is worth saying when it passed, often nothing. Raises `Failed`, `Skipped` or a `DriverError`."""
    alone: bool = False
    """Whether it changes what others look at, and so runs when they are done."""


class CheckOutcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """A check that has ended."""

    check: ClusterCheck
    outcome: CheckOutcome
    seconds: float
    text: str
    """Why it failed or was skipped, or what is worth saying."""


class CheckProgress(Protocol):
    """Who is told how far it is."""

    def begin(self, check: ClusterCheck) -> None: ...

    def end(self, result: CheckResult) -> None: ...
