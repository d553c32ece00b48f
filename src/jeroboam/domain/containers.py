"""Containers as cloud resources.

The wish has two halves: `spec` (what the container is) and `ops` (numbered operations, in order). The agent carries out
every op whose number is above `observed.seq`, once: its journal remembers the op that was begun. Field names of the
spec are those of the published container API.
"""

import base64
import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from jeroboam.domain.images import qualify_image


class Status(StrEnum):
    """The public status (contract: container, section 2, States)."""

    ERROR = "Error"
    RUNNING = "Running"
    STOPPED = "Stopped"
    PAUSED = "Paused"
    UNKNOWN = "Unknown"
    CREATING = "Creating"
    CREATED = "Created"
    DELETED = "Deleted"
    DELETING = "Deleting"
    REBUILDING = "Rebuilding"
    DEAD = "Dead"
    RESTARTING = "Restarting"


class OpKind(StrEnum):
    """The operations on a container."""

    CREATE = "create"
    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    KILL = "kill"
    UPDATE = "update"
    REBUILD = "rebuild"
    DELETE = "delete"


@dataclass(frozen=True, kw_only=True, slots=True)
class Op:
    """One operation on a container. `seq` is its number, from 1, without gaps."""

    seq: int
    kind: OpKind
    params: dict[str, Any] = field(default_factory=dict)
    """stop, reboot, delete: `timeout` in seconds; kill: `signal`; create, rebuild: `run`; delete: `force`, `stop`.

    rebuild: `former`, the values of what it changes.
    """
    request_id: str = ""
    at: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RestartPolicy:
    """What the runtime does when the process ends: no, always, on-failure, unless-stopped."""

    name: str = "no"
    maximum_retry_count: int = 0


RESTARTING = ("always", "unless-stopped")
"""The restart policies that start a container again whatever its process ended with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthCheck:
    """A command that the runtime runs in the container; times in seconds."""

    test: str
    interval: int | None = None
    retries: int | None = None
    timeout: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ulimit:
    """A limit of the kernel for each process; -1 is none."""

    soft: int
    hard: int


CAPABILITIES = frozenset(
    (
        "AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH "
        "FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN "
        "NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT "
        "SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM"
    ).split()
)
"""The capabilities of Linux, without `CAP_` (capabilities(7))."""
DEFAULT_CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID "
        "SYS_CHROOT"
    ).split()
)
"""Those that a container has by default."""
SAFE_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.tcp_syncookies net.ipv4.ping_group_range "
        "net.ipv4.ip_unprivileged_port_start net.ipv4.ip_local_reserved_ports net.ipv4.tcp_keepalive_time "
        "net.ipv4.tcp_fin_timeout net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes net.ipv4.tcp_rmem "
        "net.ipv4.tcp_wmem"
    ).split()
)
"""The parameters that Kubernetes calls safe: they change nothing for others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerSpec:
    """What the container is."""

    image: str
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    cpu: float = 1.0
    """Cores; a limit, not a weight."""
    cpu_policy: str = "shared"
    memory: int = 512
    """MiB; a limit."""
    disk: int | None = None
    workdir: str | None = None
    auto_remove: bool = False
    image_pull_policy: str | None = None
    """never, always or ifnotpresent; None is the service's default."""
    image_driver: str = "docker"
    labels: dict[str, str] = field(default_factory=dict)
    hints: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    restart_policy: RestartPolicy | None = None
    interactive: bool = False
    tty: bool = False
    security_groups: tuple[str, ...] = ()
    exposed_ports: dict[str, dict[str, str]] = field(default_factory=dict)
    nets: tuple[dict[str, str], ...] = ()
    mounts: tuple[dict[str, str], ...] = ()
    """Each with `type` and `destination`; of a file (`bind`) the `source` is its content in base64.

    Of a `volume` the source is its uuid, and `size` its size in GiB.
    """
    runtime: str | None = None
    hostname: str | None = None
    availability_zone: str | None = None
    auto_heal: bool = False
    privileged: bool = False
    healthcheck: HealthCheck | None = None
    registry_id: str | None = None
    registry_domain: str | None = None
    """The domain of that registry when the container was created: where images without a registry come from."""
    host: str | None = None
    """The host that an admin asked for."""
    user: str | None = None
    ulimits: dict[str, Ulimit] = field(default_factory=dict)
    init: bool = False
    """Whether a first process of the runtime's reaps orphans."""
    read_only: bool = False
    """Whether nobody can write to the root file system."""
    tmpfs: dict[str, int] = field(default_factory=dict)
    """Sizes in MiB by path."""
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)

    @property
    def full_image(self) -> str:
        """The image, with the domain of its registry."""
        return qualify_image(self.image, self.registry_domain)


VOLUME = "volume"
"""The type of a mount that is a volume: of that name or uuid (`source`), or a new one of that `size`."""
DEDICATED = "dedicated"
"""The policy of a container that has cores for itself; their number is `cpu`, a whole one."""
BIND = "bind"
"""The type of a mount that is a file with its content (contract: container, section 2, `mounts`)."""


def read_files(spec: ContainerSpec) -> dict[str, bytes]:
    """Return the files that the container is created with, by their path."""
    binds = [mount for mount in spec.mounts if mount["type"] == BIND]
    return {mount["destination"]: base64.b64decode(mount["source"]) for mount in binds}


@dataclass(frozen=True, kw_only=True, slots=True)
class VolumeMount:
    """A volume in a container."""

    volume_id: str
    size: int
    """GiB."""
    destination: str
    is_read_only: bool = False


def list_volume_mounts(spec: ContainerSpec) -> tuple[VolumeMount, ...]:
    """Return the volumes that the container mounts, as the API has written them into the wish."""
    return tuple(
        VolumeMount(
            volume_id=mount["source"],
            size=int(mount["size"]),
            destination=mount["destination"],
            is_read_only=mount.get("read_only") == READ_ONLY,
        )
        for mount in spec.mounts
        if mount["type"] == VOLUME
    )


READ_ONLY = "True"


class RuntimeState(StrEnum):
    """What the runtime says of a container."""

    ABSENT = "absent"
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    EXITED = "exited"
    DEAD = "dead"


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """One address of a container on one network."""

    network: str
    addr: str
    version: int = 4
    port: str = ""
    subnet_id: str = ""
    preserve_on_delete: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerObserved:
    """What the agent last reported."""

    seq: int = 0
    """The last op that ended, done or failed."""
    state: RuntimeState = RuntimeState.ABSENT
    runtime_id: str | None = None
    step: str | None = None
    """The public `task_state` while an op is in progress: image_pulling, container_creating, …"""
    error: str | None = None
    """Why an op failed, or has to be tried again; None if it was done."""
    error_seq: int | None = None
    """The op that the error is about. None: the last one that ended."""
    failed_op: OpKind | None = None
    exit_code: int | None = None
    started_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None
    addresses: tuple[Address, ...] = ()
    ports: tuple[int, ...] = ()
    hostname: str | None = None
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    """What runs, of the container's own wish or of its image."""
    health: str | None = None
    reported_at: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """A container."""

    uuid: str
    name: str
    project_id: str
    user_id: str
    spec: ContainerSpec
    ops: tuple[Op, ...] = ()
    """Ops that were not reported as ended, oldest first."""
    generation: int = 1
    """Counts wishes: each accepted write adds one."""
    host_id: str | None = None
    """Written by the container loop: the host that the container was placed on."""
    host: str | None = None
    """The name of that host."""
    cpuset: tuple[int, ...] = ()
    """Written by the container loop: the cores of that host that are the container's own."""
    observed: ContainerObserved = ContainerObserved()
    given_up: int = 0
    """Written by the container loop: the last op that will not be carried out."""
    failure: str | None = None
    """Why the loop gave up: no host has room, the host did not answer in time."""
    status: Status = Status.CREATING
    status_reason: str | None = None
    task_state: str | None = None
    deadline_at: dt.datetime | None = None
    """When the work in progress is given up."""
    created_at: dt.datetime
    updated_at: dt.datetime | None = None
