"""Containers on their ports: created and started there, and put on others; and the driver that makes ports safe.

The networking driver knows all ports of this host before a container starts, and whenever they or their rules change.
Neighbours: `session`, which has the assignments; `executor`, which carries ops out; `networking`, the drivers.
"""

from collections.abc import Mapping, Sequence

import structlog

from jeroboam.domain.errors import DriverError, Permanent
from jeroboam.networking.base import Networking
from jeroboam.protocol import Assignment
from jeroboam.runtimes.base import ContainerState, HostMount, NetworkMissing, Runtime, SupportsPlug

log = structlog.get_logger(__name__)


class ContainerPorts:
    """The ports of all assignments. Without a networking driver nothing makes them safe."""

    def __init__(
        self, *, runtime: Runtime, networking: Networking | None, assignments: Mapping[str, Assignment]
    ) -> None:
        self._runtime = runtime
        self._networking = networking
        self._assignments = assignments

    async def ensure(self, *, is_fresh: bool = False) -> None:
        """Hand all ports to the driver. Raises `Temporary` if they are not safe to be used."""
        if self._networking is not None:
            ports = [port for assignment in self._assignments.values() for port in assignment.ports]
            await self._networking.set_ports(ports, is_fresh=is_fresh)

    async def ensure_quietly(self, *, is_fresh: bool = False) -> None:
        """Do the same; a failure is logged, and what starts next meets it again."""
        try:
            await self.ensure(is_fresh=is_fresh)
        except DriverError as error:
            log.error("agent.ports-not-safe", error=error.reason)  # noqa: TRY400  (the reason says all)

    async def create(self, assignment: Assignment, volumes: Sequence[HostMount]) -> ContainerState:
        """Create the container on the networks of its ports, with its volumes."""
        return await self._runtime.create(
            assignment.uuid,
            assignment.name,
            assignment.spec,
            project=assignment.project_id,
            volumes=volumes,
            cpuset=assignment.cpuset,
            ports=assignment.ports,
        )

    async def start(self, assignment: Assignment) -> ContainerState:
        """Start the container, once its ports are safe to be used."""
        await self.ensure()
        try:
            return await self._runtime.start(assignment.uuid)
        except NetworkMissing:
            await self.plug(assignment)
            return await self._runtime.start(assignment.uuid)

    async def plug(self, assignment: Assignment) -> ContainerState:
        """Have the container on exactly the networks of its ports."""
        if not isinstance(self._runtime, SupportsPlug):
            raise Permanent("this host's runtime cannot change the networks of a container")
        uuid, name, project = assignment.uuid, assignment.name, assignment.project_id
        return await self._runtime.plug(uuid, name, project=project, ports=assignment.ports)


def lacks_parts(state: ContainerState, assignment: Assignment) -> bool:
    """Whether the container may lack files or networks of its creation: an earlier attempt did not get further."""
    return state.started_at is None and (bool(assignment.spec.mounts) or len(assignment.ports) > 1)
