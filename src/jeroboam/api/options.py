"""The operator's options of the API, as values. The settings module fills them in; nothing here reads files."""

from dataclasses import dataclass, field

from jeroboam.domain.containers import OpKind


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiOptions:
    """Limits and defaults of all families."""

    auth_uri: str = "http://127.0.0.1:5000/v3"
    """The Keystone URL in `WWW-Authenticate`, for a caller without a token."""
    policy_file: str | None = None
    """The operator's policy.yaml; it overrides the defaults of all families."""
    max_limit: int = 1000
    """The largest page of a list, and the default size."""
    max_body: int = 1 << 20
    """The largest body of a request, in octets."""
    parallel_requests: int = 64
    """Requests of one project that are answered in parallel; further ones wait."""
    heat_views: bool = False
    """Whether clusters are also shown in the shapes of Heat's API."""
    service_down_time: float = 180.0
    """Seconds without a heartbeat after which a process or a host is down."""

    max_clusters_per_project: int = 20
    create_timeout: int = 60
    """Minutes for a cluster operation whose own limit is 0."""

    certificate_days: int = 365
    """Days that a certificate is valid which a user requests."""
    container_quota: dict[str, int] = field(
        default_factory=lambda: {"containers": 40, "memory": 51200, "cpu": 20, "disk": 100}
    )
    default_cpu: float = 1.0
    default_memory: int = 512
    minimum_cpu: float = 0.1
    maximum_cpu: float = 16.0
    minimum_memory: int = 4
    maximum_memory: int = 8192
    maximum_disk: int = 160
    create_seconds: float = 600.0
    """Seconds for the creation of a container, including the pull of its image."""
    op_seconds: float = 120.0
    """Seconds for any other operation on a container, besides its own time-out."""
    runtime: str = "docker"
    """The runtime that starts containers on hosts."""

    def seconds_for(self, kind: OpKind) -> float:
        """The deadline of an operation on a container, in seconds."""
        return self.create_seconds if kind is OpKind.CREATE else self.op_seconds
