"""Defines a check and its outcome.

Neighbours: the modules of checks; `runner`.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from jeroboam.checks.site import CheckContext


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterCheck:
    """One promise of a cluster, with its test."""

    name: str
    about: str
    """What works if the check passes."""
    run: Callable[[CheckContext], Coroutine[Any, Any, str]]
    """Runs the check. Returns a remark, often empty. Raises `CheckFailed`, `CheckSkipped` or a `DriverError`."""
    alone: bool = False
    """Whether the check changes what others look at, and so runs after them."""


class CheckOutcome(StrEnum):
    """The outcome of a check."""

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
    """The reason of a failed or skipped check, or the remark of a passed one."""


class CheckProgress(Protocol):
    """Receives the progress of the checks."""

    def begin(self, check: ClusterCheck) -> None: ...

    def end(self, result: CheckResult) -> None: ...
