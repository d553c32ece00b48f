"""What the API is made of: the seams that the composition root fills in.

The API records wishes in the store and shows facts from it; everything else it needs comes through these ports.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from jeroboam.api.audit import AuditRecord, to_log
from jeroboam.api.options import ApiOptions
from jeroboam.domain.limits import Limit
from jeroboam.domain.ports import Admission, BayGateway, HostGateway, ManifestSource, Projects, Sealer, TokenValidator
from jeroboam.kit.clock import Clock
from jeroboam.kit.ids import Ids
from jeroboam.store import Store

HealthCheck = Callable[[], Awaitable[str | None]]
"""Says what is wrong, or None."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiParts:
    """Everything that requests are answered with."""

    store: Store
    tokens: TokenValidator
    projects: Projects
    admission: Admission
    gateway: HostGateway
    workloads: BayGateway
    manifests: ManifestSource
    sealer: Sealer
    clock: Clock
    ids: Ids
    options: ApiOptions = field(default_factory=ApiOptions)
    health: tuple[HealthCheck, ...] = ()
    """What `/healthcheck` asks, beside the store."""
    limits: tuple[Limit, ...] = ()
    """The operator's, for all projects."""
    audit: Callable[[AuditRecord], None] = to_log
    """Where the record of each write goes."""
    counters: tuple[CollectorRegistry, ...] = ()
    """Where other parts of the process count: `/metrics` shows them beside the application's own."""
