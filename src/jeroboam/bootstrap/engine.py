"""Looks whether the Docker Engine that the service needs can be reached. Neighbours: `doctor`; `cli`."""

from jeroboam.clients.docker_engine import read_engine
from jeroboam.domain.errors import DriverError
from jeroboam.settings import Settings

ENGINE_SECONDS = 5.0


def needs_engine(settings: Settings) -> bool:
    """Whether the service makes anything on a Docker Engine."""
    return "local" in settings.clusters.providers or settings.containers.runtime == "docker"


async def find_engine_fault(settings: Settings) -> DriverError | None:
    """Return why the service will make nothing: its Engine cannot be reached or is too old. None if all is well."""
    if not needs_engine(settings):
        return None
    try:
        await read_engine(settings.docker_url, answer_seconds=ENGINE_SECONDS)
    except DriverError as error:
        return error
    return None
