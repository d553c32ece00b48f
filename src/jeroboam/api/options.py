"""The operator's options of the API, as values. Bootstrap fills them in from the settings; nothing here reads files.

No value has a default here: an option that bootstrap does not pass on is an error of the type checker.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jeroboam.domain.containers import OpKind


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerBounds:
    """What one container may ask for: cores, MiB of memory, GiB of disk; and what it has when it names nothing."""

    default_cpu: float
    default_memory: int
    minimum_cpu: float
    maximum_cpu: float
    minimum_memory: int
    maximum_memory: int
    maximum_disk: int


@dataclass(frozen=True, kw_only=True, slots=True)
class VolumeBounds:
    """What volumes may ask for. -1 is no limit."""

    is_offered: bool
    """Whether there is storage for volumes at all."""
    maximum_size: int
    """GiB of one volume."""
    max_volumes: int
    """Volumes of a project."""
    max_gigabytes: int
    """GiB of them together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiOptions:
    """Limits and defaults of all families."""

    auth_uri: str
    """The Keystone URL in `WWW-Authenticate`, for a caller without a token."""
    policy_file: str | None
    """The operator's policy.yaml; it overrides the defaults of all families."""
    max_limit: int
    """The largest page of a list, and the default size."""
    max_body: int
    """The largest body of a request, in octets."""
    max_upload: int
    """The largest body of a request that is handed on in pieces, in octets."""
    cors_origins: tuple[str, ...]
    """Sites whose pages may use the API from a browser; `*` is any."""
    parallel_requests: int
    """Requests of one project that are answered in parallel; further ones wait."""
    heat_views: bool
    """Whether clusters are also shown in the shapes of Heat's API."""
    service_down_time: float
    """Seconds without a heartbeat after which a process or a host is down."""

    max_clusters_per_project: int
    create_timeout: int
    """Minutes for a cluster operation whose own limit is 0."""

    container_bounds: ContainerBounds
    container_quota: Mapping[str, int]
    """Of each project: `containers`, `memory`, `cpu`, `disk`; -1 is no limit."""
    volume_bounds: VolumeBounds
    create_seconds: float
    """Seconds for the creation or the rebuild of a container, including the pull of its image."""
    op_seconds: float
    """Seconds for any other operation on a container, besides its own time-out."""
    runtime: str
    """The runtime that starts containers on hosts."""

    def seconds_for(self, kind: OpKind) -> float:
        """The deadline of an operation on a container, in seconds."""
        return self.create_seconds if kind in {OpKind.CREATE, OpKind.REBUILD} else self.op_seconds
