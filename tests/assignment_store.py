"""What dispatch needs of the store, in memory."""

from msgspec.structs import replace

from jeroboam.dispatch.ports import HostSession
from jeroboam.domain.containers import ContainerObserved
from jeroboam.domain.errors import UnreadableRow
from jeroboam.protocol import Assignment, ContainerReport, Hello, HostReport
from jeroboam.protocol.capsules import CapsuleReport
from jeroboam.protocol.images import ImageReport, ImageWish
from jeroboam.protocol.volumes import VolumeReport, VolumeWish


class MemoryAssignmentStore:
    """Implements `AssignmentStore` for hosts that are called by their names."""

    def __init__(self) -> None:
        self.containers: dict[str, dict[str, Assignment]] = {}
        self.hosts: dict[str, Hello | HostReport] = {}
        self.sessions: dict[str, int] = {}
        self.ended_sessions: list[HostSession] = []
        self.observed: dict[str, ContainerObserved] = {}
        self.broken: Exception | None = None
        self.image_wishes_of: dict[str, list[ImageWish]] = {}
        self.image_reports: list[ImageReport] = []
        self.unread: set[str] = set()
        """Uuids of containers whose rows are broken."""

    def place(self, host_id: str, assignment: Assignment) -> None:
        self.containers.setdefault(host_id, {})[assignment.uuid] = assignment

    async def hello(self, hello: Hello) -> HostSession:
        self.hosts[hello.hostname] = hello
        self.sessions[hello.hostname] = self.sessions.get(hello.hostname, 0) + 1
        return HostSession(host_id=hello.hostname, number=self.sessions[hello.hostname])

    async def heartbeat(self, session: HostSession, report: HostReport) -> bool:
        if not await self.is_current(session):
            return False
        self.hosts[session.host_id] = report
        return True

    async def is_current(self, session: HostSession) -> bool:
        return self.sessions[session.host_id] == session.number

    async def end_session(self, session: HostSession) -> None:
        if await self.is_current(session):
            self.ended_sessions.append(session)

    async def assignments(self, host_id: str) -> tuple[tuple[Assignment, ...], tuple[str, ...]]:
        if self.broken is not None:
            raise self.broken
        placed = self.containers.get(host_id, {})
        readable = tuple(found for uuid, found in placed.items() if uuid not in self.unread)
        return readable, tuple(placed.keys() & self.unread)

    async def assignment(self, host_id: str, container_uuid: str) -> Assignment | None:
        if self.broken is not None:
            raise self.broken
        return self.containers.get(host_id, {}).get(container_uuid)

    async def report(self, host_id: str, report: ContainerReport | CapsuleReport) -> bool:
        if self.broken is not None:
            raise self.broken
        if report.uuid in self.unread:
            raise UnreadableRow("the row cannot be read")
        known = self.containers.get(host_id, {})
        found = known.get(report.uuid)
        if found is None:
            return False
        ops = tuple(op for op in found.ops if op.seq > report.observed.seq)
        assert isinstance(report.observed, ContainerObserved)
        known[report.uuid] = replace(found, ops=ops, done=max(found.done, report.observed.seq))
        self.observed[report.uuid] = report.observed
        return True

    async def image_wishes(self, host_id: str, image: str | None = None) -> tuple[ImageWish, ...]:
        wishes = self.image_wishes_of.get(host_id, [])
        return tuple(wish for wish in wishes if image in {None, wish.uuid})

    async def volume_wishes(self, host_id: str, volume: str | None = None) -> tuple[VolumeWish, ...]:
        return ()

    async def report_volume(self, host_id: str, report: VolumeReport) -> None:
        pass

    async def report_image(self, host_id: str, report: ImageReport) -> None:
        self.image_reports.append(report)
