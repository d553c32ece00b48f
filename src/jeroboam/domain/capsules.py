"""Capsules: groups of containers that share one sandbox, which is the pod of the published API.

A capsule is one object with one wish. It is placed as a whole, and the agent of its host carries it like a kubelet: the
sandbox, the init containers in order, the containers; restarts, probes and deadlines. Its containers are its members:
each has a uuid of its own, by which it is shown and asked, and nothing else of its own. Neighbours: `containers`, whose
specs and observations members have; `capsule_states`, for the public status.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from jeroboam.domain.containers import (
    Address,
    ContainerObserved,
    ContainerSpec,
    Op,
    OpKind,
    RuntimeState,
    Status,
)

LONGEST_HOSTNAME = 63
NO_HINTS: Mapping[str, str] = {}


class RestartRule(StrEnum):
    """Which ended containers of a capsule are started again."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class CapsulePhase(StrEnum):
    """How far the life of a capsule is: the phases of Kubernetes, which the published API has as constants."""

    PENDING = "Pending"
    """Not all containers have been started yet."""
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    """All containers have ended well and none is started again."""
    FAILED = "Failed"
    """All containers have ended and one of them badly, or the capsule's time is over."""


FINAL_PHASES = frozenset({CapsulePhase.SUCCEEDED, CapsulePhase.FAILED})


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpGet:
    """A request of a probe to the capsule's own address."""

    port: int
    path: str = "/"
    scheme: str = "HTTP"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """A check of a container by its agent: one of a command, a request and a connection. Times in seconds."""

    command: tuple[str, ...] | None = None
    http_get: HttpGet | None = None
    tcp_port: int | None = None
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    failure_threshold: int = 3
    success_threshold: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberSpec:
    """What one container of a capsule is. Its restart policy is the capsule's."""

    uuid: str
    name: str
    container: ContainerSpec
    secret_environment: str | None = field(default=None, repr=False)
    """Variables with secrets as a JSON object. The store seals the text by the name of this field."""
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CapsuleSpec:
    """What the capsule is. The scheduler reads it as it reads the spec of a container."""

    containers: tuple[MemberSpec, ...]
    init_containers: tuple[MemberSpec, ...] = ()
    """They run before the containers, one after the other, each to its success."""
    restart_policy: RestartRule = RestartRule.ALWAYS
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    availability_zone: str | None = None
    hostname: str | None = None
    volumes: tuple[str, ...] = ()
    """Names of empty folders that members mount. They go with the sandbox."""
    active_deadline_seconds: int | None = None
    termination_grace_period_seconds: int = 10

    @property
    def members(self) -> tuple[MemberSpec, ...]:
        """All containers, in the order in which they run."""
        return (*self.init_containers, *self.containers)

    @property
    def cpu(self) -> float:
        """Cores: the sum of the containers, or the largest init container, which run at different times."""
        total = round(sum(member.container.cpu for member in self.containers), 9)
        return max([total, *(member.container.cpu for member in self.init_containers)])

    @property
    def cpu_policy(self) -> str:
        """A capsule has no cores of its own."""
        return "shared"

    @property
    def memory(self) -> int:
        """MiB, in the same way."""
        total = sum(member.container.memory for member in self.containers)
        return max([total, *(member.container.memory for member in self.init_containers)])

    @property
    def disk(self) -> int | None:
        """A capsule asks for no disk of a certain size."""
        return None

    @property
    def host(self) -> str | None:
        """A capsule asks for no host by name."""
        return None

    @property
    def runtime(self) -> str | None:
        """A capsule asks for no low-level runtime."""
        return None

    @property
    def hints(self) -> Mapping[str, str]:
        """A capsule has no hints."""
        return NO_HINTS

    @property
    def ports(self) -> tuple[str, ...]:
        """The ports that members name, such as 80/tcp."""
        return tuple(sorted({port for member in self.containers for port in member.container.exposed_ports}))


def make_hostname(name: str) -> str:
    """Return the host name for a capsule of that name, as Kubernetes makes it: no longer than the kernel allows."""
    return name.replace("_", "-")[:LONGEST_HOSTNAME].strip("-.") or "capsule"


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxSpec:
    """What the containers of one capsule share, for the runtime of a host."""

    uuid: str
    """The capsule's."""
    name: str
    project_id: str
    hostname: str
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    """Names of empty folders that containers mount (`EMPTY_DIR`)."""


EMPTY_DIR = "emptydir"
"""The type of a mount of a member that is a shared folder of its sandbox; `source` is the folder's name."""


NOT_OBSERVED = ContainerObserved()


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberObserved:
    """What the agent knows of one container of a capsule."""

    uuid: str
    container: ContainerObserved = NOT_OBSERVED
    restart_count: int = 0
    """How often it was started again."""
    restarts_in_a_row: int = 0
    """The same since it last ran for ten minutes: the back-off grows with it."""
    is_end_noted: bool = False
    """Whether its last end was counted."""
    is_done: bool = False
    """It has ended well and is not started again."""
    is_started: bool = False
    """It runs, and its startup probe has succeeded."""
    is_ready: bool = False
    """It runs, and its readiness probe has succeeded."""
    next_start_at: dt.datetime | None = None
    """When it is started again."""
    reason: str | None = None
    """Why it does not run, or is to be started again; for its users."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CapsuleObserved:
    """What the agent last reported."""

    seq: int = 0
    """The last op that ended, done or failed."""
    state: RuntimeState = RuntimeState.ABSENT
    """That of the sandbox."""
    phase: CapsulePhase = CapsulePhase.PENDING
    reason: str | None = None
    """Why the phase is Failed or still Pending."""
    members: tuple[MemberObserved, ...] = ()
    step: str | None = None
    """What the agent does now, while an op is in progress."""
    error: str | None = None
    """Why an op failed, or has to be tried again; None if it was done."""
    error_seq: int | None = None
    """The op that the error is about. None: the last one that ended."""
    failed_op: OpKind | None = None
    runtime_id: str | None = None
    started_at: dt.datetime | None = None
    """When the sandbox first ran: the active deadline counts from here."""
    addresses: tuple[Address, ...] = ()
    reported_at: dt.datetime | None = None

    def member(self, uuid: str) -> MemberObserved:
        """Return that member; an empty one before it was observed."""
        return next((member for member in self.members if member.uuid == uuid), MemberObserved(uuid=uuid))


@dataclass(frozen=True, kw_only=True, slots=True)
class Capsule:
    """A capsule."""

    uuid: str
    name: str
    project_id: str
    user_id: str
    spec: CapsuleSpec
    ops: tuple[Op, ...] = ()
    """Ops that were not reported as ended, oldest first: CREATE and DELETE."""
    generation: int = 1
    """Counts wishes: each accepted write adds one."""
    host_id: str | None = None
    """Written by the capsule loop: the host that the capsule was placed on."""
    host: str | None = None
    """The name of that host."""
    observed: CapsuleObserved = CapsuleObserved()
    given_up: int = 0
    """Written by the capsule loop: the last op that will not be carried out."""
    failure: str | None = None
    """Why the loop gave up: no host has room, the host did not answer in time."""
    status: Status = Status.CREATING
    status_reason: str | None = None
    deadline_at: dt.datetime | None = None
    """When the work in progress is given up."""
    created_at: dt.datetime
    updated_at: dt.datetime | None = None

    @property
    def sandbox(self) -> SandboxSpec:
        """What its containers share on a host."""
        return SandboxSpec(
            uuid=self.uuid,
            name=self.name,
            project_id=self.project_id,
            hostname=self.spec.hostname or make_hostname(self.name),
            ports=self.spec.ports,
            volumes=self.spec.volumes,
        )
