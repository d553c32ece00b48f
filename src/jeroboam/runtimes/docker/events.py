"""The Engine's events about our containers. Neighbour: `runtime`."""

import time
from collections.abc import AsyncIterator

from jeroboam.clients import docker as client
from jeroboam.clients.docker import DockerClient, translate_errors
from jeroboam.domain.errors import Temporary
from jeroboam.runtimes.docker.spec import OWNER, event_uuid_of

# Events that change the result of `inspect`. Output, exec and attach do not.
_TELLING = "create start restart die stop kill oom pause unpause update destroy health_status".split()

# The event stream starts a little before the call, so that no event between the call and its first byte is lost.
_OVERLAP_SECONDS = 1.0


def watch_containers(engine: DockerClient, installation: str) -> AsyncIterator[str]:
    """Yield the uuid of a container or capsule of the installation whenever one has changed, from now on.

    Raises `Temporary` when the stream ends.
    """
    return _read_events(engine, installation, time.time() - _OVERLAP_SECONDS)


async def _read_events(engine: DockerClient, installation: str, since: float) -> AsyncIterator[str]:
    filters = {"type": ["container"], "event": _TELLING, "label": [f"{OWNER}={installation}"]}
    with translate_errors("following events"):
        async for event in client.events(engine, filters, since):
            uuid = event_uuid_of(event["Actor"]["Attributes"])
            if uuid is not None:
                yield uuid
    raise Temporary("following events: the Docker Engine has closed the stream")
