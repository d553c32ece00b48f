"""The common context of all parts of a process: settings, store, bus, clock and the like.

Neighbours: `api`, `conductor`, `dispatch`, `agent`, which build one part each; `service`, which runs all in one.
"""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from jeroboam.conductor.metrics import LoopMetrics
from jeroboam.domain.limits import Limit
from jeroboam.domain.ports import Bus
from jeroboam.kit.clock import Clock
from jeroboam.kit.ids import Ids
from jeroboam.kit.tasks import Tasks
from jeroboam.settings import Settings
from jeroboam.store import Store

# The length of names in the store's columns.
_NAME_LENGTH = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessContext:
    """The context of one process."""

    settings: Settings
    store: Store
    bus: Bus
    clock: Clock
    ids: Ids
    tasks: Tasks
    """The tasks of all parts. Bootstrap ends them before it closes the store."""
    limits: tuple[Limit, ...]
    counters: CollectorRegistry
    meter: LoopMetrics
    name: str
    """The name of this process, unique in the whole installation. A process that starts again has a new name."""


def name_process(host: str, ids: Ids) -> str:
    """Return a new name for a process on that host: `HOST/UUID`. A host that is too long is cut."""
    ident = ids.uuid()
    return f"{host[: _NAME_LENGTH - len(ident) - 1]}/{ident}"
