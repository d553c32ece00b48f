"""The retry policy: pauses that double up to a limit, failures counted by generation, deadlines."""

import datetime as dt

import pytest

from jeroboam.conductor.passes import PassFailure, run_pass
from jeroboam.domain.errors import DriverError, Permanent, Temporary
from jeroboam.kit.attempts import Attempts, RetryPolicy, seconds_left
from tests.clock import ManualClock

POLICY = RetryPolicy(first_seconds=0.5, longest_seconds=5.0)


def test_a_pause_doubles_up_to_the_longest() -> None:
    assert [POLICY.pause_after(failures) for failures in range(1, 7)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_wish_may_fail_for_days() -> None:
    assert POLICY.pause_after(100_000) == 5.0


def test_failures_are_counted_by_key_and_generation() -> None:
    attempts = Attempts(POLICY)
    assert [attempts.add_failure("a", "busy", generation=1) for _ in range(3)] == [0.5, 1.0, 2.0]
    assert attempts.add_failure("b", "away", generation=1) == 0.5
    assert (attempts.count_failures("a", generation=1), attempts.count_failures("a", generation=2)) == (3, 0)
    assert attempts.add_failure("a", "full", generation=2) == 0.5
    assert attempts.last_reason("a") == "full"
    attempts.forget("a")
    assert (attempts.last_reason("a"), attempts.count_failures("a", generation=2)) == (None, 0)
    assert attempts.last_reason("b") == "away"


def test_a_deadline_that_has_passed_leaves_nothing() -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert seconds_left(now + dt.timedelta(minutes=1), now) == 60
    assert seconds_left(now, now + dt.timedelta(minutes=1)) == 0


@pytest.mark.parametrize(
    ("failure", "is_final", "final_reason"),
    [
        (PassFailure(error=Temporary("busy")), False, "busy"),
        (PassFailure(error=Permanent("no such image")), True, "no such image"),
        (PassFailure(error=Temporary("busy"), timed_out=True), True, "Timed out: busy"),
    ],
)
def test_what_a_failure_means(failure: PassFailure, is_final: bool, final_reason: str) -> None:
    assert (failure.is_final, failure.final_reason) == (is_final, final_reason)


async def fail(error: DriverError) -> float:
    raise error


@pytest.mark.parametrize(("seconds", "timed_out"), [(None, False), (60, False), (0, True), (-60, True)])
async def test_a_pass_that_fails_has_timed_out_only_after_its_deadline(seconds: int | None, timed_out: bool) -> None:
    clock = ManualClock()
    deadline = None if seconds is None else clock.now() + dt.timedelta(seconds=seconds)
    error = Temporary("busy")
    result = await run_pass(clock, deadline, fail(error), describe_end=lambda: "late")
    assert result == PassFailure(error=error, timed_out=timed_out)


async def test_a_pass_that_ends_in_time_returns_its_result() -> None:
    async def work() -> float:
        return 3.0

    assert await run_pass(ManualClock(), None, work(), describe_end=lambda: "late") == 3.0
