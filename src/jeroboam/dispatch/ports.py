"""What dispatch needs of the store. Bootstrap provides the store's implementation."""

from dataclasses import dataclass
from typing import Protocol

from jeroboam.protocol import AnyAssignment, ContainerReport, Hello, HostReport
from jeroboam.protocol.capsules import CapsuleReport
from jeroboam.protocol.images import ImageReport, ImageWish
from jeroboam.protocol.volumes import VolumeReport, VolumeWish


@dataclass(frozen=True, kw_only=True, slots=True)
class HostSession:
    """A session of a host's agent. A later one, here or in another process, has a higher number and replaces it."""

    host_id: str
    number: int


class AssignmentStore(Protocol):
    """Hosts, and the containers that were placed on them."""

    async def hello(self, hello: Hello) -> HostSession:
        """Record that the host's agent has connected to this dispatcher. A new host is created."""
        ...

    async def heartbeat(self, session: HostSession, report: HostReport) -> bool:
        """Record that the host's agent is alive, with its facts or its error. False if the session was replaced."""
        ...

    async def is_current(self, session: HostSession) -> bool:
        """Whether no other session has replaced this one."""
        ...

    async def end_session(self, session: HostSession) -> None:
        """Record that the host has no session, unless another one has replaced this one."""
        ...

    async def assignments(self, host_id: str) -> tuple[tuple[AnyAssignment, ...], tuple[str, ...]]:
        """All containers and capsules that belong on the host, and the uuids of those that cannot be read.

        The latter must not be treated as strays.
        """
        ...

    async def assignment(self, host_id: str, container_uuid: str) -> AnyAssignment | None:
        """One of them; None if it does not belong there (any more). Raises `Unavailable` if this cannot be decided."""
        ...

    async def report(self, host_id: str, report: ContainerReport | CapsuleReport) -> bool:
        """Store the observation. False if no such container or capsule belongs on the host (any more)."""
        ...

    async def image_wishes(self, host_id: str, image: str | None = None) -> tuple[ImageWish, ...]:
        """The images that the host's agent has to pull or to remove; with `image` only that one, if it is one."""
        ...

    async def volume_wishes(self, host_id: str, volume: str | None = None) -> tuple[VolumeWish, ...]:
        """The volumes that the host's agent has to remove; with `volume` only that one, if it is one."""
        ...

    async def report_volume(self, host_id: str, report: VolumeReport) -> None:
        """Remove the record of a volume that is gone, or store why it is not gone yet."""
        ...

    async def report_image(self, host_id: str, report: ImageReport) -> None:
        """Store how far the work on an image is, if it is still wished for."""
        ...
