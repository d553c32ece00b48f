"""Builds the two executors of an agent, which share what pulls images. Neighbour: `session`, which calls this."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from jeroboam.agent.capsules import CapsuleExecutor
from jeroboam.agent.container_ports import ContainerPorts
from jeroboam.agent.executor import OpExecutor
from jeroboam.agent.image_access import ImageAccess
from jeroboam.agent.image_pulls import ImagePulls
from jeroboam.agent.journal import Journal
from jeroboam.agent.volumes import HostVolumes
from jeroboam.domain.capsules import CapsuleObserved
from jeroboam.domain.containers import ContainerObserved
from jeroboam.kit.clock import Clock
from jeroboam.protocol import Assignment
from jeroboam.protocol.capsules import CapsuleAssignment
from jeroboam.runtimes.base import Runtime


def build_executors(
    *,
    runtime: Runtime,
    journal: Journal,
    access: ImageAccess,
    volumes: HostVolumes,
    clock: Clock,
    tell: Callable[[str, ContainerObserved | CapsuleObserved], Awaitable[None]],
    look: Callable[[str], None],
    ports: ContainerPorts,
) -> tuple[OpExecutor, CapsuleExecutor]:
    """Return the executors of containers and of capsules. `look` has the capsule with that uuid looked at."""
    pulls = ImagePulls(access=access, journal=journal, clock=clock)
    containers = OpExecutor(
        runtime=runtime, journal=journal, pulls=pulls, volumes=volumes, clock=clock, tell=tell, ports=ports
    )
    capsules = CapsuleExecutor(runtime=runtime, journal=journal, pulls=pulls, clock=clock, tell=tell, look=look)
    return containers, capsules


def find_project(container: str, assignments: Mapping[str, Assignment], capsules: Iterable[CapsuleAssignment]) -> str:
    """Return the project of a container, also of one of a capsule; empty for one that is not assigned."""
    if container in assignments:
        return assignments[container].project_id
    members = ((member.uuid, capsule.project_id) for capsule in capsules for member in capsule.spec.members)
    return next((project for uuid, project in members if uuid == container), "")
