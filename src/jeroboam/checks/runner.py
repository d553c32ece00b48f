"""Runs checks in one cluster: several at once, then one by one those that change what others look at.

Neighbours: the checks; bootstrap, which calls this module. The namespace is always removed at the end.
"""

import asyncio
from collections.abc import Sequence

from jeroboam.checks.base import CheckOutcome, CheckProgress, CheckResult, ClusterCheck
from jeroboam.checks.site import CheckContext, CheckFailed, CheckSkipped
from jeroboam.domain.errors import DriverError
from jeroboam.kit.clock import DeadlineExceeded, run_within

# Enough that no check waits for a slow one, and few enough for a cluster on a small machine.
_AT_ONCE = 6
# If this many waits in a row are slow, the check counts as hanging.
_WAITS = 5


async def carry_out(site: CheckContext, checks: Sequence[ClusterCheck], report: CheckProgress) -> list[CheckResult]:
    """Return the result of each check. All objects of the checks are removed before this returns or raises."""
    try:
        await site.open()
        turns = asyncio.Semaphore(_AT_ONCE)
        together = [check for check in checks if not check.alone]
        # A bug in a check ends the others before their objects are removed.
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_run_and_report(site, check, report, turns)) for check in together]
        results = [task.result() for task in tasks]
        results += [await _run_and_report(site, check, report, turns) for check in checks if check.alone]
        return results
    finally:
        await site.close()


async def _run_and_report(
    site: CheckContext, check: ClusterCheck, report: CheckProgress, turns: asyncio.Semaphore
) -> CheckResult:
    async with turns:
        started_at = site.clock.monotonic()
        report.begin(check)
        outcome, text = await _run_check(site, check)
        result = CheckResult(check=check, outcome=outcome, seconds=site.clock.monotonic() - started_at, text=text)
        report.end(result)
        return result


async def _run_check(site: CheckContext, check: ClusterCheck) -> tuple[CheckOutcome, str]:
    limit = site.seconds * _WAITS
    try:
        return CheckOutcome.PASSED, await run_within(site.clock, limit, check.run(site))
    except CheckSkipped as skipped:
        return CheckOutcome.SKIPPED, str(skipped)
    except CheckFailed as failed:
        return CheckOutcome.FAILED, str(failed)
    except DriverError as error:
        return CheckOutcome.FAILED, error.reason
    except DeadlineExceeded:
        return CheckOutcome.FAILED, f"not over after {limit:g} s"
