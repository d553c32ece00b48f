"""Workloads: the containers that are made inside a cluster through the API of 2015.

The wish has two halves, as that of a container in the other family has: `spec` (what it is) and `ops` (what was asked
of it, each with a number). The workload loop carries out every op above `observed.seq`, in order; a delete overtakes.
Here is also what may be asked in which state, and the public status as one function of wish and observation: a bay's
container knows five words (contract: container-infra, section 15). Neighbours: `orchestrated`, what manifests make.
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
    """What it is: the table holds what manifests make too, under kinds of its own."""

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
    """One thing asked of a workload. `seq` is its number, from 1, without gaps."""

    seq: int
    act: ContainerAction


@dataclass(frozen=True, kw_only=True, slots=True)
class BayContainerSpec:
    """What a container in a bay is."""

    image: str
    command: str | None = None
    """As its user wrote it; `words` takes it apart."""
    memory: str | None = None
    """A limit, as its user wrote it: a number and b, k, m or g."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BayContainerObserved:
    """What the workload loop last saw, and how far it came."""

    seq: int = 0
    """The last op that ended, well or not."""
    touched: bool = False
    """Whether anything may have been made of it; noted before the first try."""
    state: RuntimeState = RuntimeState.ABSENT
    started_at: dt.datetime | None = None
    begun: int = 0
    """The reboot that was begun last; noted before it, with when the container had been started before."""
    before: dt.datetime | None = None
    failure: str | None = None
    """Why the last op failed; None when it went well."""
    failed: ContainerAction | None = None
    silent: str | None = None
    """Why the cluster could not be asked the last time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BayContainer:
    """Something that runs inside a cluster and was asked for here."""

    uuid: str
    name: str
    project_id: str
    user_id: str
    kind: BayObjectKind = BayObjectKind.CONTAINER
    cluster_id: str
    spec: BayContainerSpec
    ops: tuple[BayContainerOp, ...] = ()
    """Asked for and not yet ended, oldest first."""
    observed: BayContainerObserved = field(default_factory=BayContainerObserved)
    generation: int = 1
    """Counts wishes: each accepted write adds one."""
    status: BayContainerStatus = BayContainerStatus.UNKNOWN
    status_reason: str | None = None
    deleting: bool = False
    deadline_at: dt.datetime | None = None
    """When what is under way is given up."""
    created_at: dt.datetime
    updated_at: dt.datetime | None = None


# ------------------------------------------------------------------------------------------------------ readings

_MEMORY = re.compile(r"([0-9]{1,15})([bkmgBKMG]?)", re.ASCII)
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
MOST_MEMORY = 1 << 50


def octets(memory: str) -> int:
    """`512m` as a number of octets. Raises `ValueError` for what is none, for nothing and for more than a PiB."""
    match = _MEMORY.fullmatch(memory)
    size = int(match[1]) * _UNITS[match[2].lower()] if match else 0
    if not 0 < size <= MOST_MEMORY:
        raise ValueError(memory)
    return size


def words(command: str) -> tuple[str, ...]:
    """A command line as its words, as a shell would quote them. Raises `ValueError` where quotes do not match."""
    return tuple(shlex.split(command))


# -------------------------------------------------------------------------------------------------------- states

_S = BayContainerStatus

_SEEN: Mapping[RuntimeState, BayContainerStatus] = MappingProxyType(
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
_AFTER: Mapping[ContainerAction, BayContainerStatus] = MappingProxyType(
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

# A failure of these leaves nothing that can be called by its state, unless it is seen to work all the same.
_FATAL = frozenset({ContainerAction.CREATE, ContainerAction.START, ContainerAction.REBOOT})
_WORKS = frozenset({_S.RUNNING, _S.PAUSED})

VANISHED = "The container is gone from its bay."


def pending(container: BayContainer) -> tuple[BayContainerOp, ...]:
    """What was asked and has not ended, oldest first."""
    return tuple(op for op in container.ops if op.seq > container.observed.seq)


def expected(container: BayContainer) -> BayContainerStatus:
    """The status once all that was asked is done. Clients of 2015 ask one thing after another and wait for none."""
    pending_ops = pending(container)
    return _AFTER[pending_ops[-1].act] if pending_ops else _settled(container.observed)[0]


def check_act(container: BayContainer, act: str) -> None:
    """Raise `Conflict` if the state in which the act would find the container forbids it."""
    if container.deleting:
        raise Conflict(f"Cannot {act} container {container.uuid}: it is being deleted.", field="status")
    status = expected(container)
    if status not in ALLOWED[act]:
        raise Conflict(f"Cannot {act} container {container.uuid} in {status} status", field="status")


def ask_workload(
    container: BayContainer, act: ContainerAction, *, now: dt.datetime, deadline: dt.datetime
) -> BayContainer:
    """The workload with one more op; none of what waits is given up before the last. The caller has checked it."""
    pending_ops = pending(container)
    last = pending_ops[-1].seq if pending_ops else container.observed.seq
    until = max(deadline, container.deadline_at) if pending_ops and container.deadline_at else deadline
    new_container = replace(
        container,
        ops=(*pending_ops, BayContainerOp(seq=last + 1, act=act)),
        generation=container.generation + 1,
        observed=replace(container.observed, failure=None, failed=None),
        deadline_at=until,
        updated_at=now,
    )
    return project_workload(new_container)


def ask_delete(container: BayContainer, *, now: dt.datetime, deadline: dt.datetime) -> BayContainer:
    """The workload on its way out: whatever waits is moot. Asking twice is asking once."""
    if container.deleting:
        return container
    new_container = replace(
        container,
        ops=(),
        deleting=True,
        generation=container.generation + 1,
        observed=replace(container.observed, failure=None, failed=None),
        deadline_at=deadline,
        updated_at=now,
    )
    return project_workload(new_container)


def project_workload(container: BayContainer, *, waiting_for: str | None = None) -> BayContainer:
    """The workload with its public status; a deadline only while something is due.

    `waiting_for` says what the work waits for, once that is known.
    """
    observed, pending_ops = container.observed, pending(container)
    reason: str | None
    if container.deleting:
        if observed.failure is not None:
            return replace(container, status=_S.ERROR, status_reason=observed.failure, deadline_at=None)
        reason = f"It is being deleted: {waiting_for}" if waiting_for else "It is being deleted."
        return replace(container, status=_meanwhile(observed), status_reason=reason)
    if pending_ops:
        reason = waiting_for or f"What was asked is under way: {', '.join(op.act for op in pending_ops)}."
        return replace(container, status=_meanwhile(observed), status_reason=reason)
    status, reason = _settled(observed)
    if observed.silent is not None and observed.failure is None:
        status, reason = _S.UNKNOWN, observed.silent
    return replace(container, ops=(), status=status, status_reason=reason, deadline_at=None)


def _meanwhile(observed: BayContainerObserved) -> BayContainerStatus:
    """What shows while something is under way: the last seen state, if there is one."""
    return _S.UNKNOWN if observed.state is RuntimeState.ABSENT else _SEEN[observed.state]


def _settled(observed: BayContainerObserved) -> tuple[BayContainerStatus, str | None]:
    """What the last look means where nothing is under way."""
    status = _SEEN[observed.state]
    if observed.failure is not None:
        return (_S.ERROR if observed.failed in _FATAL and status not in _WORKS else status), observed.failure
    return status, VANISHED if observed.state is RuntimeState.ABSENT else None
