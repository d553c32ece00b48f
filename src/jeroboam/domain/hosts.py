"""Hosts: machines that run an agent, and their resources."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class HostFacts:
    """What an agent reports of its host (contract: container, section 5, hosts)."""

    hostname: str
    cpus: int
    mem_total: int
    """MiB."""
    disk_total: int
    """GiB."""
    disk_quota_supported: bool = False
    architecture: str = ""
    os_type: str = ""
    os: str = ""
    kernel_version: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    runtimes: tuple[str, ...] = ()
    runtime_name: str = ""
    runtime_version: str = ""
    used_subnets: tuple[str, ...] = ()
    """Subnets of the host itself, which no network of a project may overlap."""
    dedicated_cpus: tuple[int, ...] = ()
    """The cores that containers may have for themselves; the others are shared."""

    @property
    def enable_cpu_pinning(self) -> bool:
        """Whether containers may have cores for themselves."""
        return bool(self.dedicated_cpus)

    @property
    def shared_cpus(self) -> int:
        """The number of cores that containers share."""
        return self.cpus - len(self.dedicated_cpus)


class PlacementSpec(Protocol):
    """What a host is chosen by: the spec of a container or of a capsule."""

    @property
    def cpu(self) -> float: ...

    @property
    def cpu_policy(self) -> str: ...

    @property
    def memory(self) -> int: ...

    @property
    def disk(self) -> int | None: ...

    @property
    def host(self) -> str | None: ...

    @property
    def availability_zone(self) -> str | None: ...

    @property
    def runtime(self) -> str | None: ...

    @property
    def hints(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """A host as the store knows it."""

    uuid: str
    hostname: str
    availability_zone: str = "nova"
    facts: HostFacts
    dispatcher: str | None = None
    """The dispatcher that holds the session with the host's agent; None while there is no session."""
    session: int = 0
    """The number of the agent's last session."""
    disabled: bool = False
    disabled_reason: str | None = None
    forced_down: bool = False
    last_seen: dt.datetime | None = None
    runtime_error: str | None = None
    """Why the agent cannot use its runtime now; None while it can."""
    created_at: dt.datetime
    updated_at: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceRecord:
    """A process of ours with its heartbeat (`mservices`, `services` of the published APIs)."""

    id: int
    host: str
    binary: str
    report_count: int = 0
    disabled: bool = False
    disabled_reason: str | None = None
    forced_down: bool = False
    last_seen: dt.datetime | None = None
    availability_zone: str = "nova"
    created_at: dt.datetime
    updated_at: dt.datetime | None = None
