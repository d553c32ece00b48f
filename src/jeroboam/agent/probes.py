"""Runs the probes of containers of capsules, each in a task of its own, so that a slow one holds nothing up.

A container without a startup probe is started at once, one without a readiness probe is ready once it is started. What
a probe says counts after as many answers in a row as its thresholds say; then the capsule is looked at. Probes end with
the life of their container. Neighbours: `capsules`, which asks for results; `clients.probes`, which connects.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from jeroboam.agent.supervisor import ProbeResult, build_first_result, is_alive
from jeroboam.clients.probes import check_http, check_tcp
from jeroboam.domain.capsules import CapsuleObserved, MemberSpec, Probe
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.kit.clock import Clock, DeadlineExceeded, run_within
from jeroboam.kit.tasks import Tasks
from jeroboam.protocol.capsules import CapsuleAssignment
from jeroboam.runtimes.base import CommandTimedOut, Runtime, SupportsExec

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Watch:
    """The probes of one life of a container."""

    result: ProbeResult
    task: asyncio.Task[None] | None = None


class ProbeMonitor:
    """Runs probes. `look` has the capsule with that uuid looked at."""

    def __init__(self, *, runtime: Runtime, clock: Clock, look: Callable[[str], None]) -> None:
        self._runtime = runtime
        self._clock = clock
        self._look = look
        self._watches: dict[str, _Watch] = {}
        self._tasks = Tasks(_report)

    def list_results(self, assignment: CapsuleAssignment) -> dict[str, ProbeResult]:
        """Return what the probes of the capsule's containers say."""
        uuids = [member.uuid for member in assignment.spec.members]
        return {uuid: self._watches[uuid].result for uuid in uuids if uuid in self._watches}

    def follow(self, assignment: CapsuleAssignment, observed: CapsuleObserved) -> None:
        """Probe the containers that run, from now on, and no others."""
        for member in assignment.spec.members:
            seen = observed.member(member.uuid)
            watch = self._watches.get(member.uuid)
            if watch is not None and (not is_alive(seen) or watch.result.started_at != seen.container.started_at):
                self._end(member.uuid)
                watch = None
            if watch is None and is_alive(seen):
                self._begin(assignment, member, observed)

    def _begin(self, assignment: CapsuleAssignment, member: MemberSpec, observed: CapsuleObserved) -> None:
        seen = observed.member(member.uuid)
        watch = self._watches[member.uuid] = _Watch(result=build_first_result(member, seen))
        if any((member.startup_probe, member.readiness_probe, member.liveness_probe)):
            address = next((address.addr for address in observed.addresses), "")
            work = self._watch(assignment.uuid, member, watch, address)
            watch.task = self._tasks.start(f"probes {member.uuid}", work)

    def forget(self, assignment: CapsuleAssignment) -> None:
        """End all probes of the capsule."""
        for member in assignment.spec.members:
            self._end(member.uuid)

    def _end(self, member: str) -> None:
        watch = self._watches.pop(member, None)
        if watch is not None and watch.task is not None:
            watch.task.cancel()

    async def close(self) -> None:
        """End all probes."""
        await self._tasks.close()

    async def _watch(self, capsule: str, member: MemberSpec, watch: _Watch, address: str) -> None:
        def set_result(result: ProbeResult) -> None:
            if result != watch.result:
                watch.result = result
                self._look(capsule)

        if member.startup_probe is not None and not watch.result.is_started:
            failure = await self._wait_for_startup(member, member.startup_probe, address)
            if failure is not None:
                set_result(replace(watch.result, failure=f"Its startup probe has failed: {failure}."))
                return
            set_result(replace(watch.result, is_started=True))
        async with asyncio.TaskGroup() as group:
            if member.liveness_probe is not None:
                group.create_task(self._watch_liveness(member, member.liveness_probe, address, watch, set_result))
            if member.readiness_probe is not None:
                group.create_task(self._watch_readiness(member, member.readiness_probe, address, watch, set_result))

    async def _wait_for_startup(self, member: MemberSpec, probe: Probe, address: str) -> str | None:
        """Return None once the probe has succeeded, or why it has failed too often."""
        failures = 0
        await self._clock.sleep(probe.initial_delay_seconds)
        while True:
            failure = await self._run(member, probe, address)
            if failure is None:
                return None
            failures += 1
            if failures >= probe.failure_threshold:
                return failure
            await self._clock.sleep(probe.period_seconds)

    async def _watch_liveness(
        self, member: MemberSpec, probe: Probe, address: str, watch: _Watch, set_result: Callable[[ProbeResult], None]
    ) -> None:
        failures = 0
        await self._clock.sleep(probe.initial_delay_seconds)
        while True:
            failure = await self._run(member, probe, address)
            failures = failures + 1 if failure is not None else 0
            if failures >= probe.failure_threshold:
                set_result(replace(watch.result, failure=f"Its liveness probe has failed: {failure}."))
                return
            await self._clock.sleep(probe.period_seconds)

    async def _watch_readiness(
        self, member: MemberSpec, probe: Probe, address: str, watch: _Watch, set_result: Callable[[ProbeResult], None]
    ) -> None:
        successes = failures = 0
        await self._clock.sleep(probe.initial_delay_seconds)
        while True:
            failure = await self._run(member, probe, address)
            successes, failures = (successes + 1, 0) if failure is None else (0, failures + 1)
            if successes >= probe.success_threshold:
                set_result(replace(watch.result, is_ready=True))
            elif failures >= probe.failure_threshold:
                set_result(replace(watch.result, is_ready=False))
            await self._clock.sleep(probe.period_seconds)

    async def _run(self, member: MemberSpec, probe: Probe, address: str) -> str | None:
        """Return None if the check succeeds, otherwise the reason."""
        try:
            return await run_within(self._clock, probe.timeout_seconds, self._check(member, probe, address))
        except DeadlineExceeded:
            return f"no answer within {probe.timeout_seconds} seconds"
        except (CommandTimedOut, Permanent) as error:
            return error.reason

    async def _check(self, member: MemberSpec, probe: Probe, address: str) -> str | None:
        if probe.http_get is not None:
            return await check_http(address, probe.http_get)
        if probe.tcp_port is not None:
            return await check_tcp(address, probe.tcp_port)
        if not isinstance(self._runtime, SupportsExec):
            return "this host's runtime cannot run commands in containers"
        try:
            result = await self._runtime.execute(member.uuid, probe.command or (), limit=probe.timeout_seconds)
        except CommandTimedOut:
            raise
        except Temporary as error:
            # The runtime is away, which says nothing of the container.
            log.info("agent.no-probe", container=member.uuid, reason=error.reason)
            return None
        return None if result.exit_code == 0 else f"exit code {result.exit_code}"


def _report(name: str, error: BaseException) -> None:
    log.error("agent.task-failed", task=name, error=repr(error))
