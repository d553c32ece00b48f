"""The checks of the detailed `/healthcheck`, for a process that has all parts: Keystone, Engine, disk, loops.

None of them keeps the process from serving, so none turns the answer into a 503. Their texts name no path, no address
and nothing of a user. Neighbours: `service`; `jeroboam.api.health` runs them.
"""

import asyncio
import datetime as dt
from collections.abc import Mapping

from jeroboam.api.parts import HealthCheck
from jeroboam.bootstrap import machine
from jeroboam.bootstrap.context import ProcessContext
from jeroboam.bootstrap.engine import find_engine_fault
from jeroboam.clients.docker_faults import (
    EngineAccessDenied,
    EngineAddressInvalid,
    EngineNotRunning,
    EngineSocketMissing,
    EngineTooOld,
)
from jeroboam.domain.errors import DriverError
from jeroboam.identity.keystone import KeystoneTokens

LOW_DISK_GIB = 5
_FAULTS: dict[type[DriverError], str] = {
    EngineSocketMissing: "has no socket",
    EngineAccessDenied: "does not let this service in",
    EngineNotRunning: "does not run",
    EngineAddressInvalid: "has an address that is none of an Engine",
    EngineTooOld: "is too old",
}


def build_health_details(
    context: ProcessContext, *, tokens: KeystoneTokens, loops: frozenset[str]
) -> Mapping[str, HealthCheck]:
    """Return the checks by name. `loops` are the names of the tasks that have to run as long as the process."""
    settings = context.settings

    async def check_engine() -> str | None:
        error = await find_engine_fault(settings)
        # The text of an error names addresses, so only its kind is told.
        return None if error is None else f"The Docker Engine {_FAULTS.get(type(error), 'does not answer')}."

    async def check_disk() -> str | None:
        free = await asyncio.to_thread(machine.read_free_disk, settings.state)
        return None if free >= LOW_DISK_GIB else f"The disk of the state has {free:.1f} GiB left."

    async def check_loops() -> str | None:
        lost = sorted(loops - context.tasks.names)
        if lost:
            return f"These have ended, and the log says why: {', '.join(lost)}."
        async with context.store.read() as tx:
            services = await tx.services.select()
            alive_since = tx.now - dt.timedelta(seconds=settings.conductor.service_down_seconds)
        silent = sorted(
            service.binary
            for service in services
            if service.host == settings.host and service.last_seen is not None and service.last_seen < alive_since
        )
        return f"No sign of life of late from {', '.join(silent)}." if silent else None

    return {"keystone": tokens.check, "engine": check_engine, "disk": check_disk, "loops": check_loops}
