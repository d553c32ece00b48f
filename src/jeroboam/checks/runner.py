"""Runs checks in one cluster: several at once, those that change what others look at one by one afterwards.

Neighbours: the checks; bootstrap, which calls it. The namespace goes when it ends, in whatever way.
"""

import asyncio
from collections.abc import Sequence

from jeroboam.checks.base import CheckOutcome, CheckProgress, CheckResult, ClusterCheck
from jeroboam.checks.site import CheckContext, CheckFailed, CheckSkipped
from jeroboam.domain.errors import DriverError
from jeroboam.kit.clock import DeadlineExceeded, run_within

# Enough that none waits for another's patience, and few enough for a cluster on a small machine.
_AT_ONCE = 6
# Of what a check waits for, this many in a row may be slow before it counts as hanging.
_WAITS = 5


async def carry_out(site: CheckContext, checks: Sequence[ClusterCheck], report: CheckProgress) -> list[CheckResult]:
    """What became of each check. Everything that they made is removed before this returns, or raises."""
    try:
        await site.open()
        turns = asyncio.Semaphore(_AT_ONCE)
        together = [check for check in checks if not check.alone]
        # A bug in one of them ends the others before anything is removed under them.
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
