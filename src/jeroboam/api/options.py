"""What an operator may set of the API edge, as values: the settings module fills it in, nothing here reads files."""

from dataclasses import dataclass, field

from jeroboam.domain.containers import OpKind


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiOptions:
    """Limits and defaults of both families."""

    auth_uri: str = "http://127.0.0.1:5000/v3"
    """Where a caller without a token is sent (`WWW-Authenticate`)."""
    policy_file: str | None = None
    """The operator's policy.yaml, over the defaults of both families."""
    max_limit: int = 1000
    """Objects on one page, at most and by default."""
    max_body: int = 1 << 20
    """Octets of a request's body, at most."""
    parallel_requests: int = 64
    """Requests of one project that are answered at once; those above it wait for their turn."""
    heat_views: bool = False
    """Whether clusters are shown in the shapes of Heat's API too."""
    service_down_time: float = 180.0
    """Seconds without a heartbeat after which a process or a host counts as down."""

    max_clusters_per_project: int = 20
    create_timeout: int = 60
    """Minutes for a cluster operation whose own limit is 0."""

    certificate_days: int = 365
    """How long the certificates last that users ask for."""
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
    """How long a container may take to be created, its image's pull included."""
    op_seconds: float = 120.0
    """How long any other operation on a container may take, beyond its own time-out."""
    runtime: str = "docker"
    """What starts containers on hosts."""

    def seconds_for(self, kind: OpKind) -> float:
        """When an operation on a container is given up."""
        return self.create_seconds if kind is OpKind.CREATE else self.op_seconds
