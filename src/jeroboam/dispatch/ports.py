"""What dispatch needs of the store. Bootstrap puts the store's own implementation behind it."""

from typing import Protocol

from jeroboam.protocol import Assignment, ContainerReport, Hello, HostReport


class AssignmentStore(Protocol):
    """Hosts, and the containers that were placed on them."""

    async def hello(self, hello: Hello) -> str:
        """Note that the host's agent is here; the host's id. A host that is new is written down."""
        ...

    async def heartbeat(self, host_id: str, report: HostReport) -> None:
        """Note that the host's agent still is here, with its facts or with what is wrong."""
        ...

    async def assignments(self, host_id: str) -> tuple[tuple[Assignment, ...], tuple[str, ...]]:
        """Every container that belongs on the host; and the uuids of those of them that cannot be read.

        Nobody may take these for strays.
        """
        ...

    async def assignment(self, host_id: str, container_uuid: str) -> Assignment | None:
        """One of them; None when it does not belong there (any more). Raises `Unavailable` where nobody can tell."""
        ...

    async def report(self, host_id: str, report: ContainerReport) -> bool:
        """Write what was seen; False when no such container belongs on the host (any more)."""
        ...
