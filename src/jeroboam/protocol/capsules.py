"""The messages about capsules. The package names them with all others."""

import datetime as dt

from jeroboam.domain.capsules import CapsuleObserved, CapsuleSpec, SandboxSpec
from jeroboam.domain.containers import Op
from jeroboam.protocol.message import Message


class CapsuleAssignment(Message, frozen=True, kw_only=True, tag="capsule-assignment"):
    """One capsule that belongs on this host, with its ops. The fields are those of `Assignment`.

    The secrets of its containers are in the spec; they are never written to the host's disk by the agent.
    """

    uuid: str
    name: str
    project_id: str
    generation: int
    spec: CapsuleSpec
    sandbox: SandboxSpec
    ops: tuple[Op, ...]
    done: int
    deadline_at: dt.datetime | None = None
    is_given_up: bool = False
    """Whether it could not be made in time, or at all: nothing of it runs."""


class CapsuleReport(Message, frozen=True, kw_only=True, tag="capsule-report"):
    """The agent's observation of one capsule with its containers, as `ContainerReport` is of a container."""

    uuid: str
    observed: CapsuleObserved
