"""The public status of a capsule and of its containers, as functions of wish and observation.

Until all containers have been started the status is Creating, then Running; Stopped once they have ended well, Error
once the capsule has failed: the words that published clients know. The phase (Pending, Running, Succeeded, Failed) says
the same as Kubernetes does. Neighbour: `states`, which decides for containers.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from jeroboam.domain.capsules import FINAL_PHASES, Capsule, CapsulePhase, MemberObserved, MemberSpec
from jeroboam.domain.containers import Container, Op, OpKind, RuntimeState, Status
from jeroboam.domain.errors import Conflict
from jeroboam.domain.states import find_error, pending_ops_of

_STATUS_OF_PHASE: Mapping[CapsulePhase, Status] = MappingProxyType(
    {
        CapsulePhase.PENDING: Status.CREATING,
        CapsulePhase.RUNNING: Status.RUNNING,
        CapsulePhase.SUCCEEDED: Status.STOPPED,
        CapsulePhase.FAILED: Status.ERROR,
    }
)
_STATUS_OF_MEMBER: Mapping[RuntimeState, Status] = MappingProxyType(
    {
        RuntimeState.CREATED: Status.CREATED,
        RuntimeState.RUNNING: Status.RUNNING,
        RuntimeState.PAUSED: Status.PAUSED,
        RuntimeState.RESTARTING: Status.RESTARTING,
        RuntimeState.EXITED: Status.STOPPED,
        RuntimeState.DEAD: Status.DEAD,
    }
)


def ask_capsule(
    capsule: Capsule, kind: OpKind, *, now: dt.datetime, seconds: float, request_id: str, **params: Any
) -> Capsule:
    """Return the capsule with one more op, to be given up after so many seconds. A delete is never forbidden."""
    last = capsule.ops[-1].seq if capsule.ops else max(capsule.observed.seq, capsule.given_up)
    op = Op(seq=last + 1, kind=kind, params=params, request_id=request_id, at=now)
    new_capsule = replace(
        capsule,
        ops=(*pending_ops_of(capsule), op),
        generation=capsule.generation + 1,
        failure=None,
        deadline_at=now + dt.timedelta(seconds=seconds),
        updated_at=now,
    )
    return project_capsule(new_capsule)


def project_capsule(capsule: Capsule) -> Capsule:
    """Return the capsule with its public status; with a deadline only while something is due."""
    pending_ops, observed = pending_ops_of(capsule), capsule.observed
    if pending_ops:
        is_deleting = any(op.kind is OpKind.DELETE for op in pending_ops)
        status = Status.DELETING if is_deleting else Status.CREATING
        reason = find_error(observed, pending_ops[0].seq) or capsule.failure
        return replace(capsule, status=status, status_reason=reason)
    error = capsule.failure or find_error(observed, max(observed.seq, capsule.given_up))
    status = _STATUS_OF_PHASE[observed.phase] if error is None else Status.ERROR
    return replace(capsule, ops=(), status=status, status_reason=error or observed.reason, deadline_at=None)


def phase_of(capsule: Capsule) -> CapsulePhase:
    """Return how far the life of the capsule is. One that could not be made has failed."""
    if capsule.status is Status.ERROR:
        return CapsulePhase.FAILED
    return CapsulePhase.PENDING if capsule.status is Status.CREATING else capsule.observed.phase


def project_member(capsule: Capsule, member: MemberSpec) -> Container:
    """Return the member as a container, as it is shown and asked. Its addresses are the capsule's."""
    observed = capsule.observed.member(member.uuid)
    container_observed = replace(
        observed.container,
        addresses=capsule.observed.addresses,
        ports=tuple(sorted({int(port.partition("/")[0]) for port in member.container.exposed_ports})),
        hostname=observed.container.hostname or capsule.sandbox.hostname,
    )
    return Container(
        uuid=member.uuid,
        name=member.name,
        project_id=capsule.project_id,
        user_id=capsule.user_id,
        spec=member.container,
        generation=capsule.generation,
        host_id=capsule.host_id,
        host=capsule.host,
        observed=container_observed,
        status=_status_of_member(capsule, observed),
        status_reason=observed.reason,
        created_at=capsule.created_at,
        updated_at=capsule.updated_at,
    )


def _status_of_member(capsule: Capsule, observed: MemberObserved) -> Status:
    if capsule.status is Status.DELETING:
        return Status.DELETING
    if observed.next_start_at is not None:
        return Status.RESTARTING
    status = _STATUS_OF_MEMBER.get(observed.container.state)
    if status is not None:
        return status
    if observed.is_done:
        return Status.STOPPED
    is_over = capsule.status is Status.ERROR or capsule.observed.phase in FINAL_PHASES
    return Status.ERROR if is_over else Status.CREATING


def refuse_member_change(capsule: Capsule, member: Container, action: str) -> Conflict:
    """Return the refusal of an action that would change a container of a capsule."""
    verb = action.split("_", maxsplit=1)[0]
    text = f"Cannot {verb} container {member.uuid}: it belongs to the capsule {capsule.name} ({capsule.uuid})"
    return Conflict(f"{text}, which is created and deleted as a whole.", field="container")
