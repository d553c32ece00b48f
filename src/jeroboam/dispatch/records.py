"""What dispatch reads from the store and writes to it: assignments, hosts and observations."""

from dataclasses import replace

from jeroboam.dispatch.ports import HostSession
from jeroboam.domain import states
from jeroboam.domain.container_actions import ContainerAction
from jeroboam.domain.containers import Container, OpKind, RuntimeState, Status
from jeroboam.domain.hosts import Host, HostFacts
from jeroboam.kit.ids import Ids
from jeroboam.protocol import Assignment, ContainerReport, Hello, HostReport
from jeroboam.store import Store, Transaction

AGENT_BINARY = "jeroboam-agent"
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

    async def assignments(self, host_id: str) -> tuple[tuple[Assignment, ...], tuple[str, ...]]:
        """All containers that belong on the host, and the uuids of those that cannot be read."""
        async with self._store.read() as tx:
            # The uuids come first: a row that breaks in between then counts as unreadable and is not lost.
            uuids = await tx.containers.uuids({"host_id": host_id})
            assignments = tuple(
                _assignment(container) for container in await tx.containers.select({"host_id": host_id})
            )
        readable = {assignment.uuid for assignment in assignments}
        return assignments, tuple(sorted(set(uuids) - readable))

    async def assignment(self, host_id: str, container: str) -> Assignment | None:
        """One container, if it belongs on the host."""
        async with self._store.read() as tx:
            row = await tx.containers.get(container)
        return _assignment(row) if row is not None and row.host_id == host_id else None

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
        """A host became available: send hints for the containers that wait for one."""
        for container in await tx.containers.select({"host_id": None, "status": Status.CREATING}):
            tx.hint("container", container.uuid)

    async def report(self, host_id: str, report: ContainerReport) -> bool:
        """Store what the agent observed. False if the container does not belong on that host (any more)."""
        async with self._store.write() as tx:
            container = await tx.containers.get(report.uuid)
            if container is None or container.host_id != host_id:
                return False
            observed = replace(report.observed, reported_at=tx.now)
            if _is_gone(container, report):
                await tx.containers.remove({"uuid": container.uuid})
                await tx.container_actions.close_deleted(container, tx.now)
                await self._notify(tx, container, "container.delete")
                return False
            updated_container = states.project_container(replace(container, observed=observed))
            if states.needs_healing(container, updated_container):
                await self._heal(tx, container, updated_container)
                return True
            await tx.containers.update(replace(updated_container, updated_at=tx.now))
            await tx.container_actions.close_ended(container, updated_container, tx.now)
            if not states.pending_ops_of(updated_container) and container.ops:
                await self._notify(tx, updated_container, f"container.{container.ops[-1].kind}")
        return True

    async def _heal(self, tx: Transaction, before: Container, lost: Container) -> None:
        """Ask for a lost container to be made anew, as its user does with a rebuild."""
        request_id = f"req-{self._ids.uuid()}"
        healed = states.ask_container(
            lost,
            OpKind.REBUILD,
            now=tx.now,
            seconds=self._heal_seconds,
            request_id=request_id,
            run=states.will_run(before),
        )
        await tx.containers.update(healed)
        action = ContainerAction(
            container_id=healed.uuid,
            request_id=request_id,
            seq=healed.ops[-1].seq,
            action=OpKind.REBUILD,
            project_id=healed.project_id,
            user_id=healed.user_id,
            start_time=tx.now,
        )
        await tx.container_actions.insert(action)
        tx.hint("dispatch", f"{healed.host_id}/{healed.uuid}")

    async def _notify(self, tx: Transaction, container: Container, event: str) -> None:
        payload = {"container": container.uuid, "project_id": container.project_id, "status": container.status}
        await tx.notify(event, container.uuid, payload)


def _assignment(container: Container) -> Assignment:
    return Assignment(
        uuid=container.uuid,
        name=container.name,
        project_id=container.project_id,
        generation=container.generation,
        spec=container.spec,
        ops=states.pending_ops_of(container),
        done=max(container.observed.seq, container.given_up),
        deadline_at=container.deadline_at,
    )


def _is_gone(container: Container, report: ContainerReport) -> bool:
    """Whether the container is removed for good: after a delete, or because it removes itself when it ends."""
    if report.observed.state is not RuntimeState.ABSENT or report.observed.error is not None:
        return False
    was_deleted = any(op.kind is OpKind.DELETE and op.seq <= report.observed.seq for op in container.ops)
    has_run = container.observed.state is not RuntimeState.ABSENT
    return was_deleted or (container.spec.auto_remove and has_run and not states.pending_ops_of(container))
