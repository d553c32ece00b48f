"""The parts of the API: the ports that the composition root fills in.

The API records wishes in the store and shows facts from it. It reaches everything else through these ports.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from jeroboam.api.audit import AuditRecord, to_log
from jeroboam.api.options import ApiOptions
from jeroboam.domain.limits import Limit
from jeroboam.domain.ports import Conductor, HostGateway, Projects, TokenValidator
from jeroboam.kit.clock import Clock
from jeroboam.kit.ids import Ids
from jeroboam.store import Store

HealthCheck = Callable[[], Coroutine[Any, Any, str | None]]
"""Returns what is wrong, or None."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiParts:
    """Everything that is needed to answer requests."""

    store: Store
    tokens: TokenValidator
    projects: Projects
    conductor: Conductor
    gateway: HostGateway
    clock: Clock
    ids: Ids
    options: ApiOptions
    health: tuple[HealthCheck, ...] = ()
    """The checks of `/healthcheck`, besides that of the store."""
    details: Mapping[str, HealthCheck] = field(default_factory=dict)
    """The checks of the detailed answer, by name: parts whose fault does not keep this process from serving."""
    limits: tuple[Limit, ...] = ()
    """The operator's limits, for all projects."""
    audit: Callable[[AuditRecord], None] = to_log
    """Takes the audit record of each write."""
    counters: tuple[CollectorRegistry, ...] = ()
    """Metrics of other parts of the process; `/metrics` shows them too."""
