"""Decides what becomes of the containers of a capsule: the part of a kubelet that needs no runtime. Pure.

Init containers run one after the other, each to its success; then all containers run, and those that end are started
again by the restart policy: at once, then after 10 seconds, twice as long each time up to 5 minutes, and from the
beginning once one has run for 10 minutes. Neighbour: `capsules`, which carries the decisions out.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

from jeroboam.agent.observations import merge_state
from jeroboam.domain.capsules import (
    FINAL_PHASES,
    CapsuleObserved,
    CapsulePhase,
    CapsuleSpec,
    MemberObserved,
    MemberSpec,
    RestartRule,
)
from jeroboam.domain.containers import RuntimeState
from jeroboam.kit.attempts import RetryPolicy
from jeroboam.runtimes.sandboxes import SandboxState

BACK_OFF = RetryPolicy(first_seconds=10.0, longest_seconds=300.0)
STEADY_SECONDS = 600.0
"""A container that has run for so long starts its back-off from the beginning."""
INIT_RETRIES = 10
"""How often an init container is tried again where the policy is Always (contract: container, section 4)."""
ALIVE = frozenset({RuntimeState.RUNNING, RuntimeState.PAUSED, RuntimeState.RESTARTING})
_AGAIN = " It is started again"
_ENDED = frozenset({RuntimeState.EXITED, RuntimeState.DEAD})


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeResult:
    """What the probes of one life of a container say, which began at `started_at`."""

    started_at: dt.datetime | None
    is_started: bool = True
    is_ready: bool = True
    failure: str | None = None
    """Why it has to be ended: its startup or liveness probe has failed."""


def build_first_result(member: MemberSpec, seen: MemberObserved) -> ProbeResult:
    """Return what is known before a probe has run. An agent that was started again goes on from what it knew."""
    return ProbeResult(
        started_at=seen.container.started_at,
        is_started=member.startup_probe is None or seen.is_started,
        is_ready=member.readiness_probe is None or seen.is_ready,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What is to be done now, and when to look again at the latest (None: at the next event)."""

    phase: CapsulePhase
    reason: str | None = None
    starts: tuple[MemberSpec, ...] = ()
    wait_seconds: float | None = None


def is_alive(member: MemberObserved) -> bool:
    """Whether the container runs."""
    return member.container.state in ALIVE


def merge_sandbox(
    spec: CapsuleSpec,
    last: CapsuleObserved,
    sandbox: SandboxState | None,
    results: Mapping[str, ProbeResult],
    now: dt.datetime,
) -> CapsuleObserved:
    """Return the last report with the present state merged in; ends that are new are counted."""
    states = {state.uuid: state for state in sandbox.members} if sandbox is not None else {}
    members = []
    for member in spec.members:
        before = last.member(member.uuid)
        merged = replace(before, container=merge_state(states.get(member.uuid), before.container))
        is_lost = merged.container.state is RuntimeState.ABSENT and before.container.started_at is not None
        if merged.container.state in _ENDED or is_lost:
            merged = merged if before.is_end_noted else note_end(spec, member, merged, now)
        elif is_alive(merged):
            result = results.get(member.uuid)
            if result is None or result.started_at != merged.container.started_at:
                result = build_first_result(member, merged)
            merged = replace(merged, is_started=result.is_started, is_ready=result.is_started and result.is_ready)
        members.append(merged)
    if sandbox is None:
        return replace(last, members=tuple(members), state=RuntimeState.ABSENT, addresses=())
    return replace(
        last,
        members=tuple(members),
        state=sandbox.state,
        addresses=sandbox.addresses,
        runtime_id=sandbox.runtime_id or last.runtime_id,
    )


def note_end(spec: CapsuleSpec, member: MemberSpec, observed: MemberObserved, now: dt.datetime) -> MemberObserved:
    """Return the container with its end counted: when it is started again, or that it is done."""
    container = observed.container
    is_success = container.state in _ENDED and container.exit_code == 0
    if container.state in _ENDED:
        reason = observed.reason or f"It has ended with exit code {container.exit_code}."
    else:
        reason = observed.reason or "It is gone from its host."
    return _note(spec, member, observed, now, is_success=is_success, reason=reason)


def note_failed_start(
    spec: CapsuleSpec, member: MemberSpec, observed: MemberObserved, reason: str, now: dt.datetime
) -> MemberObserved:
    """Return the container that could not be started, as one that has ended badly."""
    return _note(spec, member, observed, now, is_success=False, reason=reason)


def _note(
    spec: CapsuleSpec, member: MemberSpec, observed: MemberObserved, now: dt.datetime, *, is_success: bool, reason: str
) -> MemberObserved:
    started_at, finished_at = observed.container.started_at, observed.container.finished_at
    end = finished_at if finished_at is not None and (started_at is None or finished_at > started_at) else now
    was_steady = started_at is not None and (end - started_at).total_seconds() >= STEADY_SECONDS
    row = 0 if was_steady else observed.restarts_in_a_row
    noted = replace(
        observed,
        is_end_noted=True,
        is_started=False,
        is_ready=False,
        restarts_in_a_row=row,
        next_start_at=None,
        is_done=False,
        reason=reason,
    )
    if not _is_started_again(spec, member, observed, is_success=is_success):
        return replace(noted, is_done=is_success, reason=None if is_success else reason)
    pause = BACK_OFF.pause_after(row) if row else 0.0
    text = f"{reason}{_AGAIN} {f'after {pause:g} seconds' if pause else 'at once'}."
    return replace(noted, next_start_at=end + dt.timedelta(seconds=pause), reason=text)


def _is_started_again(spec: CapsuleSpec, member: MemberSpec, observed: MemberObserved, *, is_success: bool) -> bool:
    rule = spec.restart_policy
    if member in spec.init_containers:
        has_retries = rule is not RestartRule.ALWAYS or observed.restart_count < INIT_RETRIES
        return rule is not RestartRule.NEVER and not is_success and has_retries
    return rule is RestartRule.ALWAYS or (rule is RestartRule.ON_FAILURE and not is_success)


def note_start(member: MemberObserved) -> MemberObserved:
    """Return the container as one that is about to be started. Every start but the first is counted."""
    again = int(member.is_end_noted)
    return replace(
        member,
        restart_count=member.restart_count + again,
        restarts_in_a_row=member.restarts_in_a_row + again,
        is_end_noted=False,
        is_done=False,
        next_start_at=None,
        reason=None,
    )


def end_restarts(member: MemberObserved) -> MemberObserved:
    """Return the container as one that is not started again: its capsule has ended."""
    if member.next_start_at is None:
        return member
    reason = member.reason and member.reason.partition(_AGAIN)[0]
    return replace(member, next_start_at=None, reason=reason)


def decide(spec: CapsuleSpec, observed: CapsuleObserved, now: dt.datetime) -> Decision:
    """Return what is to be done now. A capsule that has ended stays as it is."""
    if observed.phase in FINAL_PHASES:
        return Decision(phase=observed.phase, reason=observed.reason)
    wait = None
    if spec.active_deadline_seconds is not None and observed.started_at is not None:
        wait = (observed.started_at - now).total_seconds() + spec.active_deadline_seconds
        if wait <= 0:
            text = f"DeadlineExceeded: it was active for {spec.active_deadline_seconds} seconds."
            return Decision(phase=CapsulePhase.FAILED, reason=text)
    for member in spec.init_containers:
        init = observed.member(member.uuid)
        if not init.is_done:
            return _decide_init(member, init, now, wait)
    return _decide_containers(spec, observed, now, wait)


def _decide_init(member: MemberSpec, init: MemberObserved, now: dt.datetime, wait: float | None) -> Decision:
    phase = CapsulePhase.PENDING
    if is_alive(init):
        return Decision(phase=phase, reason=f"Init container {member.name} runs.", wait_seconds=wait)
    if not init.is_end_noted:
        return Decision(phase=phase, starts=(member,), wait_seconds=wait)
    reason = f"Init container {member.name}: {init.reason}"
    if init.next_start_at is None:
        return Decision(phase=CapsulePhase.FAILED, reason=reason)
    left = (init.next_start_at - now).total_seconds()
    if left <= 0:
        return Decision(phase=phase, starts=(member,), wait_seconds=wait)
    return Decision(phase=phase, reason=reason, wait_seconds=left if wait is None else min(left, wait))


def _decide_containers(spec: CapsuleSpec, observed: CapsuleObserved, now: dt.datetime, wait: float | None) -> Decision:
    starts, waits = [], [] if wait is None else [wait]
    members = [(member, observed.member(member.uuid)) for member in spec.containers]
    for member, seen in members:
        if is_alive(seen):
            continue
        if not seen.is_end_noted:
            starts.append(member)
        elif seen.next_start_at is not None:
            left = (seen.next_start_at - now).total_seconds()
            if left <= 0:
                starts.append(member)
            else:
                waits.append(left)
    if all(seen.is_end_noted and seen.next_start_at is None and not is_alive(seen) for _, seen in members):
        failures = [f"{member.name}: {seen.reason}" for member, seen in members if not seen.is_done]
        phase = CapsulePhase.FAILED if failures else CapsulePhase.SUCCEEDED
        return Decision(phase=phase, reason="; ".join(failures) or None)
    has_started = all(is_alive(seen) or seen.is_end_noted for _, seen in members)
    is_running = has_started or observed.phase is CapsulePhase.RUNNING
    return Decision(
        phase=CapsulePhase.RUNNING if is_running else CapsulePhase.PENDING,
        starts=tuple(starts),
        wait_seconds=min(waits, default=None),
    )
