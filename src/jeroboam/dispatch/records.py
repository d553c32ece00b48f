"""What dispatch reads from the store and writes to it: assignments, hosts and observations."""

import datetime as dt
from dataclasses import replace

from jeroboam.dispatch.capsule_records import build_capsule_assignment, store_capsule_report
from jeroboam.dispatch.ports import HostSession
from jeroboam.domain import states
from jeroboam.domain.container_actions import record_newest_op
from jeroboam.domain.containers import Container, ContainerSpec, OpKind, RuntimeState, Status
from jeroboam.domain.host_images import UNFINISHED, ImageStatus
from jeroboam.domain.host_ports import HostPort
from jeroboam.domain.hosts import Host, HostFacts
from jeroboam.domain.images import normalise_registry, parse_reference
from jeroboam.domain.registries import RegistryLogin
from jeroboam.domain.volumes import VolumeStatus
from jeroboam.kit.ids import Ids
from jeroboam.protocol import AnyAssignment, Assignment, ContainerReport, Hello, HostReport
from jeroboam.protocol.capsules import CapsuleReport
from jeroboam.protocol.images import ImageReport, ImageWish
from jeroboam.protocol.volumes import VolumeReport, VolumeWish
from jeroboam.store import HostImageSelector, Store, Transaction, VolumeSelector

JUST = dt.timedelta(seconds=10)
"""The longest time between the end of a container and its loss, if both have the same cause."""
AGENT_BINARY = "jeroboam-agent"
# Ops that create a container that is not there, for which the image may be pulled.
_PULLING = frozenset({OpKind.CREATE, OpKind.START, OpKind.REBOOT, OpKind.REBUILD})
# A host whose agent has not reported its facts yet.
_UNKNOWN = HostFacts(hostname="", cpus=0, mem_total=0, disk_total=0)


class DispatchRecords:
    """Implements `AssignmentStore` with the store."""

    def __init__(self, store: Store, *, ids: Ids, dispatcher: str, heal_seconds: float) -> None:
        """`dispatcher` is its name, unique among all; `heal_seconds` the time for a lost container to be made anew."""
        self._heal_seconds = heal_seconds
        self._store = store
        self._ids = ids
        self._dispatcher = dispatcher

    async def assignments(self, host_id: str) -> tuple[tuple[AnyAssignment, ...], tuple[str, ...]]:
        """All containers and capsules that belong on the host, and the uuids of those that cannot be read."""
        async with self._store.read() as tx:
            # The uuids come first: a row that breaks in between then counts as unreadable and is not lost.
            uuids = await tx.containers.uuids({"host_id": host_id}) + await tx.capsules.uuids({"host_id": host_id})
            containers = await tx.containers.select({"host_id": host_id})
            capsules = await tx.capsules.select({"host_id": host_id})
            ports = await tx.ports.host_ports([container.uuid for container in containers if container.spec.addresses])
            assignments: tuple[AnyAssignment, ...] = (
                *[await _assignment(tx, row, ports.get(row.uuid, ())) for row in containers],
                *map(build_capsule_assignment, capsules),
            )
        readable = {assignment.uuid for assignment in assignments}
        return assignments, tuple(sorted(set(uuids) - readable))

    async def assignment(self, host_id: str, container: str) -> AnyAssignment | None:
        """One container or capsule, if it belongs on the host."""
        async with self._store.read() as tx:
            row = await tx.containers.get(container)
            if row is None:
                capsule = await tx.capsules.get(container)
                is_here = capsule is not None and capsule.host_id == host_id
                return build_capsule_assignment(capsule) if capsule is not None and is_here else None
            if row.host_id != host_id:
                return None
            ports = await tx.ports.host_ports([row.uuid]) if row.spec.addresses else {}
            return await _assignment(tx, row, ports.get(row.uuid, ()))

    async def hello(self, hello: Hello) -> HostSession:
        """Return the new session of the host. A new host is created.

        Raises `BrokenRow` for a known host that cannot be read: it is not new.
        """
        async with self._store.write() as tx:
            facts = hello.facts or replace(_UNKNOWN, hostname=hello.hostname)
            matches = await tx.hosts.where(*tx.hosts.build_conditions({"hostname": hello.hostname}), strict=True)
            if matches:
                host = replace(
                    matches[0],
                    facts=hello.facts or matches[0].facts,
                    runtime_error=hello.error,
                    dispatcher=self._dispatcher,
                    session=matches[0].session + 1,
                    last_seen=tx.now,
                    updated_at=tx.now,
                )
                await tx.hosts.update(host)
                if matches[0].dispatcher not in {None, self._dispatcher}:
                    tx.hint("dispatch", f"{host.uuid}/")
            else:
                host = Host(
                    uuid=self._ids.uuid(),
                    hostname=hello.hostname,
                    facts=facts,
                    runtime_error=hello.error,
                    dispatcher=self._dispatcher,
                    session=1,
                    last_seen=tx.now,
                    created_at=tx.now,
                )
                await tx.hosts.insert(host)
            await tx.beat(hello.hostname, AGENT_BINARY)
            await self._hint_unplaced(tx)
        return HostSession(host_id=host.uuid, number=host.session)

    async def heartbeat(self, session: HostSession, report: HostReport) -> bool:
        """Record that the host is alive, and its facts. False if the session was replaced."""
        async with self._store.write() as tx:
            host = await tx.hosts.get(session.host_id)
            if host is None or host.session != session.number:
                return False
            is_back = host.runtime_error is not None and report.error is None
            facts = report.facts or host.facts
            await tx.hosts.update(replace(host, facts=facts, runtime_error=report.error, last_seen=tx.now))
            await tx.beat(host.hostname, AGENT_BINARY)
            if is_back:
                await self._hint_unplaced(tx)
        return True

    async def is_current(self, session: HostSession) -> bool:
        """Whether no other session has replaced this one."""
        async with self._store.read() as tx:
            host = await tx.hosts.get(session.host_id)
        return host is not None and host.session == session.number

    async def end_session(self, session: HostSession) -> None:
        """Record that the host has no session, unless another one has replaced this one."""
        async with self._store.write() as tx:
            host = await tx.hosts.get(session.host_id)
            if host is not None and host.session == session.number:
                await tx.hosts.update(replace(host, dispatcher=None))

    async def _hint_unplaced(self, tx: Transaction) -> None:
        """A host became available: send hints for what waits for one."""
        for container in await tx.containers.select({"host_id": None, "status": Status.CREATING}):
            tx.hint("container", container.uuid)
        for capsule in await tx.capsules.select({"host_id": None, "status": Status.CREATING}):
            tx.hint("capsule", capsule.uuid)

    async def report(self, host_id: str, report: ContainerReport | CapsuleReport) -> bool:
        """Store what the agent observed. False if the subject does not belong on that host (any more)."""
        if isinstance(report, CapsuleReport):
            async with self._store.write() as tx:
                return await store_capsule_report(tx, host_id, report, self._ids)
        async with self._store.write() as tx:
            container = await tx.containers.get(report.uuid)
            if container is None or container.host_id != host_id:
                return False
            observed = replace(report.observed, reported_at=tx.now)
            if _is_gone(container, report):
                await tx.remove_container(container)
                await self._notify(tx, container, "container.delete")
                return False
            updated_container = states.project_container(replace(container, observed=observed))
            if states.needs_healing(container, updated_container):
                await self._heal(tx, container, updated_container)
                return True
            final_container = states.take_back_rebuild(container, updated_container)
            if final_container is not updated_container:
                tx.hint("dispatch", f"{host_id}/{container.uuid}")
            await tx.containers.update(replace(final_container, updated_at=tx.now))
            await tx.container_actions.close_ended(container, updated_container, tx.now)
            if not states.pending_ops_of(updated_container) and container.ops:
                await self._notify(tx, updated_container, f"container.{container.ops[-1].kind}")
        return True

    async def _heal(self, tx: Transaction, before: Container, lost: Container) -> None:
        """Ask for a lost container to be made anew, as its user does with a rebuild."""
        healed = states.ask_container(
            lost,
            OpKind.REBUILD,
            now=tx.now,
            seconds=self._heal_seconds,
            request_id=f"req-{self._ids.uuid()}",
            run=states.will_run(before) or await self._has_just_ended(tx, before),
        )
        await tx.containers.update(healed)
        await tx.container_actions.insert(record_newest_op(healed, user_id=healed.user_id, now=tx.now))
        tx.hint("dispatch", f"{healed.host_id}/{healed.uuid}")

    async def _has_just_ended(self, tx: Transaction, container: Container) -> bool:
        """Whether the container ran until a moment ago and nobody asked for its end: its removal has ended it."""
        finished_at = container.observed.finished_at
        if finished_at is None or tx.now - finished_at > JUST:
            return False
        last_actions = await tx.container_actions.list_newest_first(container.uuid, 1)
        return not any(action.action in {OpKind.STOP, OpKind.KILL} for action in last_actions)

    async def image_wishes(self, host_id: str, image: str | None = None) -> tuple[ImageWish, ...]:
        """The images that the host's agent has to pull or to remove; with `image` only that one, if it is one."""
        selector: HostImageSelector = {"host_id": host_id, "status": UNFINISHED}
        if image is not None:
            selector["uuid"] = image
        async with self._store.read() as tx:
            images = await tx.host_images.select(selector)
        return tuple(
            ImageWish(
                uuid=image.uuid,
                reference=image.reference,
                project_id=image.project_id,
                status=image.status,
                deadline_at=image.deadline_at,
            )
            for image in images
        )

    async def report_image(self, host_id: str, report: ImageReport) -> None:
        """Store how far the work on an image is, if it is still wished for."""
        progress = report.progress
        async with self._store.write() as tx:
            image = await tx.host_images.get(report.uuid)
            if image is None or image.host_id != host_id or image.status not in UNFINISHED:
                return
            is_deleting = image.status is ImageStatus.DELETING
            if is_deleting and progress.is_removed:
                await tx.host_images.remove({"uuid": image.uuid})
            elif is_deleting and progress.status in {ImageStatus.PULLING, ImageStatus.AVAILABLE}:
                # The report has crossed the delete.
                return
            elif progress.status is not ImageStatus.DELETING or is_deleting:
                is_over = progress.status not in UNFINISHED
                updated_image = replace(
                    image,
                    status=progress.status,
                    status_reason=progress.reason,
                    image_id=progress.image_id or image.image_id,
                    size=image.size if progress.size is None else progress.size,
                    deadline_at=None if is_over else image.deadline_at,
                    updated_at=tx.now,
                )
                await tx.host_images.update(updated_image)

    async def volume_wishes(self, host_id: str, volume: str | None = None) -> tuple[VolumeWish, ...]:
        """The volumes that the host's agent has to remove; with `volume` only that one, if it is one."""
        selector: VolumeSelector = {"host_id": host_id, "status": VolumeStatus.DELETING}
        if volume is not None:
            selector["uuid"] = volume
        async with self._store.read() as tx:
            return tuple(VolumeWish(uuid=volume.uuid) for volume in await tx.volumes.select(selector))

    async def report_volume(self, host_id: str, report: VolumeReport) -> None:
        """Remove the record of a volume that is gone, or store why it is not gone yet."""
        async with self._store.write() as tx:
            volume = await tx.volumes.get(report.uuid)
            if volume is None or volume.host_id != host_id or volume.status is not VolumeStatus.DELETING:
                return
            if report.error is None:
                await tx.volumes.remove({"uuid": volume.uuid})
            else:
                await tx.volumes.update(replace(volume, status_reason=report.error, updated_at=tx.now))

    async def _notify(self, tx: Transaction, container: Container, event: str) -> None:
        payload = {"container": container.uuid, "project_id": container.project_id, "status": container.status}
        await tx.notify(event, container.uuid, payload)


async def _assignment(tx: Transaction, container: Container, ports: tuple[HostPort, ...]) -> Assignment:
    pending_ops = states.pending_ops_of(container)
    login = None
    if container.spec.registry_id is not None and any(op.kind in _PULLING for op in pending_ops):
        login = await _read_login(tx, container.spec)
    return Assignment(
        uuid=container.uuid,
        name=container.name,
        project_id=container.project_id,
        generation=container.generation,
        spec=container.spec,
        cpuset=container.cpuset,
        ops=pending_ops,
        done=max(container.observed.seq, container.given_up),
        deadline_at=container.deadline_at,
        login=login,
        ports=ports,
    )


async def _read_login(tx: Transaction, spec: ContainerSpec) -> RegistryLogin | None:
    """Return the login of the container's registry; None if it has none, or if the image is not of its domain."""
    registries = await tx.registries.select({"uuid": spec.registry_id or ""})
    if not registries or registries[0].domain != spec.registry_domain or registries[0].login.is_empty:
        return None
    # A rebuild may have named an image of another registry.
    reference = parse_reference(spec.full_image)
    if reference is None or reference.registry != normalise_registry(registries[0].domain):
        return None
    return registries[0].login


def _is_gone(container: Container, report: ContainerReport) -> bool:
    """Whether the container is removed for good: after a delete, or because it removes itself when it ends."""
    if report.observed.state is not RuntimeState.ABSENT or report.observed.error is not None:
        return False
    was_deleted = any(op.kind is OpKind.DELETE and op.seq <= report.observed.seq for op in container.ops)
    has_run = container.observed.state is not RuntimeState.ABSENT
    return was_deleted or (container.spec.auto_remove and has_run and not states.pending_ops_of(container))
