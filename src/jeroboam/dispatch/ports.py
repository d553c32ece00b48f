"""What dispatch needs of the store. Bootstrap provides the store's implementation."""

from typing import Protocol

from jeroboam.protocol import Assignment, ContainerReport, Hello, HostReport


class AssignmentStore(Protocol):
    """Hosts, and the containers that were placed on them."""

    async def hello(self, hello: Hello) -> str:
        """Record that the host's agent has connected. Returns the host's id; a new host is created."""
        ...

    async def heartbeat(self, host_id: str, report: HostReport) -> None:
        """Record that the host's agent is alive, with its facts or its error."""
        ...

    async def assignments(self, host_id: str) -> tuple[tuple[Assignment, ...], tuple[str, ...]]:
        """All containers that belong on the host, and the uuids of those that cannot be read.

        The latter must not be treated as strays.
        """
        ...

    async def assignment(self, host_id: str, container_uuid: str) -> Assignment | None:
        """One of them; None if it does not belong there (any more). Raises `Unavailable` if this cannot be decided."""
        ...

    async def report(self, host_id: str, report: ContainerReport) -> bool:
        """Store the observation. False if no such container belongs on the host (any more)."""
        ...
