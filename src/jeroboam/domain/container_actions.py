"""What was asked of a container, kept for its users: one record for each request (contract: container, section 2).

A record is written with the wish, and closed when the op ends. It outlives its container.
"""

import datetime as dt
from dataclasses import dataclass

from jeroboam.domain.containers import Container, Op, OpKind
from jeroboam.domain.states import pending_ops_of

UNRECORDED = frozenset({OpKind.UPDATE})
"""Ops of which the published API keeps no record."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerAction:
    """One thing that was asked of a container."""

    container_id: str
    request_id: str
    seq: int
    """The number of the op."""
    action: str
    project_id: str
    """The container's project."""
    user_id: str
    """Who asked."""
    start_time: dt.datetime
    finish_time: dt.datetime | None = None
    message: str | None = None
    """Why it failed; None if it has not."""


def record_newest_op(container: Container, *, user_id: str, now: dt.datetime) -> ContainerAction:
    """Return the record of what was asked last of the container."""
    op = container.ops[-1]
    return ContainerAction(
        container_id=container.uuid,
        request_id=op.request_id,
        seq=op.seq,
        action=op.kind,
        project_id=container.project_id,
        user_id=user_id,
        start_time=now,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class EndedOps:
    """The ops of a container that a change of its record has ended."""

    last_seq: int
    failed_seq: int | None = None
    """The first op that failed; None if none has. All after it that ended with it share its reason."""
    reason: str | None = None


def find_ended_ops(before: Container, after: Container) -> EndedOps | None:
    """Return what has ended between the two; None if nothing has."""
    old_pending, still_pending = pending_ops_of(before), {op.seq for op in pending_ops_of(after)}
    ended = [op for op in old_pending if op.seq not in still_pending]
    if not ended:
        return None
    failed_seq, reason = _find_failure(ended, after)
    return EndedOps(last_seq=ended[-1].seq, failed_seq=failed_seq, reason=reason)


def _find_failure(ended: list[Op], after: Container) -> tuple[int | None, str | None]:
    if after.given_up >= ended[0].seq and after.failure is not None:
        return max(ended[0].seq, after.observed.seq + 1), after.failure
    observed = after.observed
    if observed.error is not None:
        failed_seq = observed.seq if observed.error_seq is None else observed.error_seq
        if any(op.seq == failed_seq for op in ended):
            return failed_seq, observed.error
    return None, None
