"""Containers that are made inside a cluster through the API of 2015.

The wish has two halves, as that of a container in the other family: `spec` (what it is) and `ops` (numbered
operations). The loop carries out every op above `observed.seq`, in order; a delete overtakes them. This module also
says what may be asked in which state, and computes the public status from wish and observation: a bay's container has
five statuses (contract: container-infra, section 15). Neighbour: `bay_manifests`, the objects that manifests make.
"""

import datetime as dt
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from jeroboam.domain.containers import RuntimeState
from jeroboam.domain.errors import Conflict


class BayObjectKind(StrEnum):
    """The kind of the object. The same table holds what manifests make, under kinds of its own."""

    CONTAINER = "container"


class BayContainerStatus(StrEnum):
    """The public status of a container in a bay."""

    ERROR = "Error"
    RUNNING = "Running"
    STOPPED = "Stopped"
    PAUSED = "Paused"
    UNKNOWN = "Unknown"


class ContainerAction(StrEnum):
    """What can be asked of a container in a bay."""

    CREATE = "create"
    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    PAUSE = "pause"
    UNPAUSE = "unpause"


@dataclass(frozen=True, kw_only=True, slots=True)
class BayContainerOp:
    """One operation on a container. `seq` is its number, from 1, without gaps."""

    seq: int
    act: ContainerAction


@dataclass(frozen=True, kw_only=True, slots=True)
class BayContainerSpec:
    """What a container in a bay is."""

    image: str
    command: str | None = None
    """As its user wrote it; `split_command` splits it."""
    memory: str | None = None
    """A limit, as its user wrote it: a number and b, k, m or g."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BayContainerObserved:
    """What the loop last observed, and the last op that ended."""

    seq: int = 0
    """The last op that ended, done or failed."""
    touched: bool = False
    """Whether anything of it may exist; noted before the first try."""
    state: RuntimeState = RuntimeState.ABSENT
    started_at: dt.datetime | None = None
    begun: int = 0
    """The reboot that was begun last. It is noted before it begins, with the start time of the container in `before`.
    """
    before: dt.datetime | None = None
    failure: str | None = None
    """Why an op failed."""
    failed_generation: int = 0
    """The generation of the wish that failed. The failure of an earlier wish than the current one does not count."""
    failed: ContainerAction | None = None
    silent: str | None = None
    """Why the cluster could not be asked the last time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BayContainer:
    """A container in a bay."""

    uuid: str
    name: str
    project_id: str
    user_id: str
    kind: BayObjectKind = BayObjectKind.CONTAINER
    cluster_id: str
    spec: BayContainerSpec
    ops: tuple[BayContainerOp, ...] = ()
    """Ops that have not ended, oldest first."""
    observed: BayContainerObserved = field(default_factory=BayContainerObserved)
    generation: int = 1
    """Counts wishes: each accepted write adds one."""
    status: BayContainerStatus = BayContainerStatus.UNKNOWN
    status_reason: str | None = None
    deleting: bool = False
    deadline_at: dt.datetime | None = None
    """When the work in progress is given up."""
    created_at: dt.datetime
    updated_at: dt.datetime | None = None


# ------------------------------------------------------------------------------------------------------ readings

_MEMORY = re.compile(r"([0-9]{1,15})([bkmgBKMG]?)", re.ASCII)
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
MOST_MEMORY = 1 << 50


def parse_memory(memory: str) -> int:
    """Return `512m` as a number of octets. Raises `ValueError` for no size, for 0 and for more than a PiB."""
    match = _MEMORY.fullmatch(memory)
    size = int(match[1]) * _UNITS[match[2].lower()] if match else 0
    if not 0 < size <= MOST_MEMORY:
        raise ValueError(memory)
    return size


def split_command(command: str) -> tuple[str, ...]:
    """Split a command line into words, as a shell does. Raises `ValueError` if quotes do not match."""
    return tuple(shlex.split(command))


# -------------------------------------------------------------------------------------------------------- states

_S = BayContainerStatus

_STATUS_OF_STATE: Mapping[RuntimeState, BayContainerStatus] = MappingProxyType(
    {
        RuntimeState.CREATED: _S.STOPPED,
        RuntimeState.RUNNING: _S.RUNNING,
        RuntimeState.PAUSED: _S.PAUSED,
        RuntimeState.RESTARTING: _S.RUNNING,
        RuntimeState.EXITED: _S.STOPPED,
        RuntimeState.DEAD: _S.ERROR,
        RuntimeState.ABSENT: _S.ERROR,
    }
)
_STATUS_AFTER: Mapping[ContainerAction, BayContainerStatus] = MappingProxyType(
    {
        ContainerAction.CREATE: _S.STOPPED,
        ContainerAction.START: _S.RUNNING,
        ContainerAction.STOP: _S.STOPPED,
        ContainerAction.REBOOT: _S.RUNNING,
        ContainerAction.PAUSE: _S.PAUSED,
        ContainerAction.UNPAUSE: _S.RUNNING,
    }
)
ALLOWED: Mapping[str, frozenset[BayContainerStatus]] = MappingProxyType(
    {
        ContainerAction.START: frozenset({_S.STOPPED, _S.ERROR}),
        ContainerAction.STOP: frozenset({_S.RUNNING}),
        ContainerAction.REBOOT: frozenset({_S.RUNNING, _S.STOPPED, _S.ERROR}),
        ContainerAction.PAUSE: frozenset({_S.RUNNING}),
        ContainerAction.UNPAUSE: frozenset({_S.PAUSED}),
        "execute": frozenset({_S.RUNNING}),
        "logs": frozenset({_S.RUNNING, _S.STOPPED, _S.PAUSED, _S.ERROR}),
    }
)

# A failure of these shows as Error, unless the container is observed to work.
_FATAL = frozenset({ContainerAction.CREATE, ContainerAction.START, ContainerAction.REBOOT})
_WORKS = frozenset({_S.RUNNING, _S.PAUSED})

VANISHED = "The container is gone from its bay."


def pending_ops_of(container: BayContainer) -> tuple[BayContainerOp, ...]:
    """Return the ops that have not ended, oldest first."""
    return tuple(op for op in container.ops if op.seq > container.observed.seq)


def failure_of(container: BayContainer) -> str | None:
    """Return why the last wish failed; None if it did not."""
    return container.observed.failure if container.observed.failed_generation == container.generation else None


def final_status_of(container: BayContainer) -> BayContainerStatus:
    """Return the status after all pending ops. Clients of 2015 ask for one op after another and wait for none."""
    pending_ops = pending_ops_of(container)
    return _STATUS_AFTER[pending_ops[-1].act] if pending_ops else _status_at_rest(container)[0]


def check_act(container: BayContainer, act: str) -> None:
    """Raise `Conflict` if the state in which the op would find the container forbids it."""
    if container.deleting:
        raise Conflict(f"Cannot {act} container {container.uuid}: it is being deleted.", field="status")
    status = final_status_of(container)
    if status not in ALLOWED[act]:
        raise Conflict(f"Cannot {act} container {container.uuid} in {status} status", field="status")


def ask_bay_container(
    container: BayContainer, act: ContainerAction, *, now: dt.datetime, deadline: dt.datetime
) -> BayContainer:
    """Return the container with one more op, which shortens no deadline. The caller checks the state."""
    pending_ops = pending_ops_of(container)
    last = pending_ops[-1].seq if pending_ops else container.observed.seq
    until = max(deadline, container.deadline_at) if pending_ops and container.deadline_at else deadline
    new_container = replace(
        container,
        ops=(*pending_ops, BayContainerOp(seq=last + 1, act=act)),
        generation=container.generation + 1,
        deadline_at=until,
        updated_at=now,
    )
    return project_bay_container(new_container)


def ask_delete(container: BayContainer, *, now: dt.datetime, deadline: dt.datetime) -> BayContainer:
    """Return the container in deletion; its pending ops are dropped. Asking twice is the same as asking once."""
    if container.deleting:
        return container
    new_container = replace(
        container,
        ops=(),
        deleting=True,
        generation=container.generation + 1,
        deadline_at=deadline,
        updated_at=now,
    )
    return project_bay_container(new_container)


def project_bay_container(container: BayContainer, *, waiting_for: str | None = None) -> BayContainer:
    """Return the container with its public status; with a deadline only while something is due.

    `waiting_for` says what the work waits for, once that is known.
    """
    observed, pending_ops = container.observed, pending_ops_of(container)
    reason: str | None
    if container.deleting:
        if failure_of(container) is not None:
            return replace(container, status=_S.ERROR, status_reason=failure_of(container), deadline_at=None)
        reason = f"It is being deleted: {waiting_for}" if waiting_for else "It is being deleted."
        return replace(container, status=_status_while_pending(observed), status_reason=reason)
    if pending_ops:
        reason = waiting_for or f"What was asked is under way: {', '.join(op.act for op in pending_ops)}."
        return replace(container, status=_status_while_pending(observed), status_reason=reason)
    status, reason = _status_at_rest(container)
    if observed.silent is not None and failure_of(container) is None:
        status, reason = _S.UNKNOWN, observed.silent
    return replace(container, ops=(), status=status, status_reason=reason, deadline_at=None)


def _status_while_pending(observed: BayContainerObserved) -> BayContainerStatus:
    """Return the status while an op is pending: that of the last observed state, if there is one."""
    return _S.UNKNOWN if observed.state is RuntimeState.ABSENT else _STATUS_OF_STATE[observed.state]


def _status_at_rest(container: BayContainer) -> tuple[BayContainerStatus, str | None]:
    """Return the status and the reason while no op is pending."""
    observed, failure = container.observed, failure_of(container)
    status = _STATUS_OF_STATE[observed.state]
    if failure is not None:
        return (_S.ERROR if observed.failed in _FATAL and status not in _WORKS else status), failure
    return status, VANISHED if observed.state is RuntimeState.ABSENT else None
