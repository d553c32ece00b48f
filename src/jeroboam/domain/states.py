"""The states: what may be asked in which state, and the public status as a function of wish and observation.

Nothing else in the service decides on a status. Sources: container-infra contract sections 6 and 7, container contract
section 2 (States).
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol

from jeroboam.domain.clusters import (
    WELL,
    Cluster,
    ClusterObserved,
    ClusterStatus,
    HealthCheckResult,
    NodeGroup,
    Operation,
    OperationOutcome,
)
from jeroboam.domain.containers import Container, Op, OpKind, RuntimeState, Status
from jeroboam.domain.errors import Conflict

# ---------------------------------------------------------------------------------------------------- clusters

STATUSES = MappingProxyType({(status.operation, status.outcome): status for status in ClusterStatus})
"""The public status by operation and outcome."""

# A cluster that failed accepts every new wish: asking again is how a user retries.
_SETTLED = frozenset(status for status in ClusterStatus if status.outcome is not OperationOutcome.IN_PROGRESS)
CHANGEABLE = _SETTLED - {ClusterStatus.DELETE_COMPLETE} | {ClusterStatus.UPDATE_IN_PROGRESS}


def ask_cluster(cluster: Cluster, operation: Operation, *, now: dt.datetime, minutes: int) -> Cluster:
    """Return the cluster with one more wish: in progress from now on, to be given up after so many minutes.

    Raises `Conflict` if the state forbids it. A delete is never forbidden, and asking twice is the same as asking once.
    """
    if operation is Operation.DELETE and cluster.operation is Operation.DELETE and is_in_progress(cluster):
        return cluster
    if operation is Operation.UPDATE and cluster.status not in CHANGEABLE:
        raise Conflict(f'Changing a cluster when status is "{cluster.status}" is not supported.', field="status")
    return replace(
        cluster,
        operation=operation,
        generation=cluster.generation + 1,
        status=STATUSES[operation, OperationOutcome.IN_PROGRESS],
        status_reason=None,
        # What an earlier wish would have gone back to does not matter to this one.
        spec=replace(cluster.spec, former=None),
        deadline_at=now + dt.timedelta(minutes=minutes),
        updated_at=now,
    )


def is_in_progress(cluster: Cluster) -> bool:
    """Whether the last wish is still being carried out."""
    return outcome_of(cluster) is OperationOutcome.IN_PROGRESS


def failure_of(cluster: Cluster) -> str | None:
    """Return why the last wish failed; None if it did not."""
    return cluster.observed.failure if cluster.observed.failed_generation == cluster.generation else None


def outcome_of(cluster: Cluster) -> OperationOutcome:
    """Return the outcome of the last wish, by what was observed."""
    if failure_of(cluster) is not None:
        return OperationOutcome.FAILED
    return (
        OperationOutcome.COMPLETE if cluster.observed.generation >= cluster.generation else OperationOutcome.IN_PROGRESS
    )


def project_cluster(cluster: Cluster, *, waiting_for: str | None = None) -> Cluster:
    """Return the cluster with its public status. `waiting_for` says why it is still in progress, once that is known."""
    outcome = outcome_of(cluster)
    reason = waiting_for if outcome is OperationOutcome.IN_PROGRESS else failure_of(cluster)
    return replace(
        cluster,
        status=STATUSES[cluster.operation, outcome],
        status_reason=reason,
        deadline_at=cluster.deadline_at if outcome is OperationOutcome.IN_PROGRESS else None,
    )


def record_health_look(observed: ClusterObserved, generation: int) -> ClusterObserved:
    """Return the observation with the result of this look at the health."""
    parts = tuple(sorted(part for part, text in observed.health_status_reason.items() if text not in WELL))
    look = HealthCheckResult(status=observed.health_status, parts=parts, generation=generation)
    return replace(observed, health_look=look)


def count_health_change(before: ClusterObserved, after: ClusterObserved) -> ClusterObserved:
    """Return the observation with its count of changes. A change ends a health that was reported from outside."""
    has_changed = after.health_look != before.health_look
    return replace(after, health_changes=before.health_changes + has_changed)


# ------------------------------------------------------------------------------------------------- node groups


def ask_group(group: NodeGroup, operation: Operation, *, now: dt.datetime) -> NodeGroup:
    """Return the group in progress with that operation. The caller asks its cluster for an update as well.

    Raises `Conflict` if the state forbids it. A group that failed accepts a new wish, and a delete is never forbidden.
    """
    if operation is Operation.UPDATE and (group.deleting or group.status is ClusterStatus.CREATE_IN_PROGRESS):
        text = f'Changing nodegroup {group.name} when its status is "{group.status}" is not supported.'
        raise Conflict(text, field="status")
    return replace(
        group,
        deleting=group.deleting or operation is Operation.DELETE,
        status=STATUSES[operation, OperationOutcome.IN_PROGRESS],
        status_reason=None,
        updated_at=now,
    )


def project_group(group: NodeGroup, cluster: Cluster) -> NodeGroup:
    """Return the group with its public status: the outcome of its own last wish, which its cluster carries out.

    A group whose wish is done keeps its status while the cluster works on something else.
    """
    if group.status.outcome is OperationOutcome.COMPLETE:
        return group
    status = STATUSES[group.status.operation, outcome_of(cluster)]
    return replace(group, status=status, status_reason=cluster.status_reason)


# -------------------------------------------------------------------------------------------------- containers

_S = Status
_ANY = frozenset(Status)

# The published table, with additions so that no state is a dead end for the owner: what runs or tries to run can be
# stopped, and everything can be read and deleted.
ALLOWED: Mapping[str, frozenset[Status]] = MappingProxyType(
    {
        "start": frozenset({_S.CREATED, _S.STOPPED, _S.ERROR}),
        "stop": frozenset({_S.RUNNING, _S.RESTARTING, _S.PAUSED}),
        "pause": frozenset({_S.RUNNING}),
        "kill": frozenset({_S.RUNNING, _S.RESTARTING, _S.PAUSED}),
        "execute": frozenset({_S.RUNNING}),
        "execute_resize": frozenset({_S.RUNNING}),
        "attach": frozenset({_S.RUNNING}),
        "resize": frozenset({_S.RUNNING}),
        "get_archive": frozenset({_S.CREATED, _S.PAUSED, _S.RUNNING, _S.STOPPED}),
        "put_archive": frozenset({_S.CREATED, _S.PAUSED, _S.RUNNING, _S.STOPPED}),
        "top": frozenset({_S.RUNNING, _S.PAUSED}),
        "stats": frozenset({_S.RUNNING, _S.PAUSED}),
        "unpause": frozenset({_S.PAUSED}),
        "reboot": frozenset({_S.CREATED, _S.RUNNING, _S.STOPPED, _S.ERROR, _S.RESTARTING}),
        "rebuild": frozenset({_S.CREATED, _S.RUNNING, _S.STOPPED, _S.ERROR}),
        "update": frozenset({_S.CREATED, _S.RUNNING, _S.STOPPED, _S.PAUSED, _S.ERROR, _S.RESTARTING}),
        "resize_container": frozenset({_S.CREATED, _S.RUNNING, _S.STOPPED, _S.PAUSED, _S.ERROR, _S.RESTARTING}),
        "add_security_group": frozenset({_S.CREATED, _S.RUNNING, _S.STOPPED, _S.PAUSED}),
        "remove_security_group": frozenset({_S.CREATED, _S.RUNNING, _S.STOPPED, _S.PAUSED}),
        "network_attach": _ANY - {_S.DELETING, _S.DELETED},
        "network_detach": _ANY - {_S.DELETING, _S.DELETED},
        "logs": _ANY,
        "delete": _ANY - {_S.RUNNING},
        "delete_force": _ANY,
        "delete_after_stop": _ANY,
        "rename": _ANY,
    }
)

STANDS = frozenset({_S.CREATED, _S.ERROR, _S.STOPPED, _S.DELETED, _S.DEAD})
"""Statuses in which nothing runs: a container is removed without force."""

_TASK: Mapping[OpKind, str] = MappingProxyType(
    {
        OpKind.CREATE: "container_creating",
        OpKind.START: "container_starting",
        OpKind.STOP: "container_stopping",
        OpKind.REBOOT: "container_rebooting",
        OpKind.REBUILD: "container_rebuilding",
        OpKind.PAUSE: "container_pausing",
        OpKind.UNPAUSE: "container_unpausing",
        OpKind.KILL: "container_killing",
        OpKind.NETWORK_ATTACH: "network_attaching",
        OpKind.NETWORK_DETACH: "network_detaching",
        OpKind.ADD_SECURITY_GROUP: "sg_adding",
        OpKind.REMOVE_SECURITY_GROUP: "sg_removing",
        OpKind.DELETE: "container_deleting",
    }
)

# Only these pending ops show in the status, the first of them that was asked for. Otherwise the last observed state
# shows.
_PENDING: Mapping[OpKind, Status] = MappingProxyType(
    {
        OpKind.DELETE: _S.DELETING,
        OpKind.CREATE: _S.CREATING,
        OpKind.REBUILD: _S.REBUILDING,
        OpKind.REBOOT: _S.RESTARTING,
    }
)

_STATUS_OF_STATE: Mapping[RuntimeState, Status] = MappingProxyType(
    {
        RuntimeState.CREATED: _S.CREATED,
        RuntimeState.RUNNING: _S.RUNNING,
        RuntimeState.PAUSED: _S.PAUSED,
        RuntimeState.RESTARTING: _S.RESTARTING,
        RuntimeState.EXITED: _S.STOPPED,
        RuntimeState.DEAD: _S.DEAD,
        RuntimeState.ABSENT: _S.ERROR,
    }
)

# A failure of these counts more than the state in which it left the container.
_FATAL = frozenset({OpKind.CREATE, OpKind.START, OpKind.REBOOT, OpKind.REBUILD, OpKind.DELETE})

VANISHED = "The container is gone from its host."


def check_action(container: Container, action: str) -> None:
    """Raise `Conflict` if the container's status forbids the action."""
    if container.status not in ALLOWED[action]:
        verb = action.split("_", maxsplit=1)[0]
        text = f"Cannot {verb} container {container.uuid} in {container.status} status"
        raise StateForbids(text, field="status")


class StateForbids(Conflict):
    """The container's status forbids the action."""

    code = "invalid-state-exception"


class OpOutcome(Protocol):
    """What an agent reports of the ops of a container or a capsule."""

    @property
    def seq(self) -> int: ...

    @property
    def error(self) -> str | None: ...

    @property
    def error_seq(self) -> int | None: ...


class HasOps(Protocol):
    """A container or a capsule."""

    @property
    def ops(self) -> tuple[Op, ...]: ...

    @property
    def observed(self) -> OpOutcome: ...

    @property
    def given_up(self) -> int: ...


def pending_ops_of(subject: HasOps) -> tuple[Op, ...]:
    """Return the ops that are neither done nor given up, oldest first."""
    ended_seq = max(subject.observed.seq, subject.given_up)
    return tuple(op for op in subject.ops if op.seq > ended_seq)


_RUNS = frozenset({RuntimeState.RUNNING, RuntimeState.PAUSED, RuntimeState.RESTARTING})


def will_run(container: Container) -> bool:
    """Whether the container runs once all is done that was asked of it."""
    runs = container.observed.state in _RUNS
    for op in pending_ops_of(container):
        if op.kind in {OpKind.CREATE, OpKind.REBUILD}:
            runs = bool(op.params.get("run"))
        elif op.kind in {OpKind.START, OpKind.REBOOT}:
            runs = True
        elif op.kind is OpKind.STOP:
            runs = False
    return runs


def take_back_rebuild(before: Container, after: Container) -> Container:
    """Return the container with the wish of before a rebuild that has failed and has not touched it."""
    observed = after.observed
    if observed.error is None or observed.failed_op is not None:
        return after
    seq = observed.seq if observed.error_seq is None else observed.error_seq
    rebuilds = [op for op in before.ops if op.kind is OpKind.REBUILD]
    if not rebuilds or rebuilds[-1].seq != seq or seq > observed.seq:
        return after
    former = rebuilds[-1].params.get("former") or {}
    return replace(after, spec=replace(after.spec, **former), generation=after.generation + 1) if former else after


def needs_healing(before: Container, after: Container) -> bool:
    """Whether the container was lost on its host between the two reports, and is to be made anew.

    What could not be made anew stays lost: it is not tried again and again.
    """
    was_there, is_gone = before.observed.state is not RuntimeState.ABSENT, after.observed.state is RuntimeState.ABSENT
    by_itself = after.observed.seq == before.observed.seq and not pending_ops_of(after)
    return after.spec.auto_heal and not after.spec.auto_remove and was_there and is_gone and by_itself


def ask_container(
    container: Container, kind: OpKind, *, now: dt.datetime, seconds: float, request_id: str, **params: Any
) -> Container:
    """Return the container with one more op, to be given up after so many seconds. The caller checks the state."""
    last = container.ops[-1].seq if container.ops else max(container.observed.seq, container.given_up)
    op = Op(seq=last + 1, kind=kind, params=params, request_id=request_id, at=now)
    new_container = replace(
        container,
        ops=(*pending_ops_of(container), op),
        generation=container.generation + 1,
        failure=None,
        deadline_at=now + dt.timedelta(seconds=seconds),
        updated_at=now,
    )
    return project_container(new_container)


def find_error(observed: OpOutcome, seq: int) -> str | None:
    """Return the agent's error if it is about that op or a later one; None for one that a new op has made obsolete."""
    failed_seq = observed.seq if observed.error_seq is None else observed.error_seq
    return observed.error if failed_seq >= seq else None


def project_container(container: Container) -> Container:
    """Return the container with status, status_reason and task_state; with a deadline only while something is due."""
    pending_ops, observed = pending_ops_of(container), container.observed
    if pending_ops:
        kinds = [op.kind for op in pending_ops]
        visible_kind = next((kind for kind in _PENDING if kind in kinds), kinds[0])
        status = _PENDING.get(visible_kind, _STATUS_OF_STATE[observed.state])
        task = _TASK[OpKind.DELETE] if visible_kind is OpKind.DELETE else observed.step or _TASK.get(kinds[0])
        reason = find_error(observed, pending_ops[0].seq) or container.failure
        return replace(container, status=status, status_reason=reason, task_state=task)
    error = find_error(observed, max(observed.seq, container.given_up))
    status, reason = _STATUS_OF_STATE[observed.state], error
    if container.failure is not None:
        status, reason = _S.ERROR, container.failure
    elif error is not None and observed.failed_op in _FATAL:
        status = _S.ERROR
    elif observed.state is RuntimeState.ABSENT:
        status = _S.DELETED if container.spec.auto_remove else _S.ERROR
        reason = reason or VANISHED
    return replace(container, ops=(), status=status, status_reason=reason, task_state=None, deadline_at=None)
