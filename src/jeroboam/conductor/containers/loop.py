"""The container loop: gives each container a host, and gives up what is not carried out in time.

It uses only the store: the agent works on the host. Each pass is one transaction, so it needs no lease. Neighbour:
`scheduler.placement`, which chooses the host.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace

from jeroboam.domain import states
from jeroboam.domain.containers import Container, OpKind
from jeroboam.domain.hosts import Host
from jeroboam.domain.quotas import ContainerUse
from jeroboam.scheduler.placement import (
    CandidateHost,
    PlacementRefusal,
    PlacementRequest,
    PlacementRules,
    place_containers,
)
from jeroboam.store import Store, Transaction

# An agent reports what it gave up. If it is silent for so long after a deadline, this loop does that.
GRACE_SECONDS = 5.0
# How soon to look again while every suitable host is away.
WAIT_SECONDS = 1.0


class ContainerReconciler:
    """The reconciler of containers."""

    topic = "container"

    def __init__(self, *, store: Store, host_down_seconds: float) -> None:
        self._store = store
        self._host_down_seconds = host_down_seconds

    async def list_uuids(self) -> Iterable[str]:
        async with self._store.read() as tx:
            return await tx.containers.list_unsettled()

    async def on_hint(self, uuid: str) -> None:
        """Nothing to interrupt: a pass is one transaction."""

    async def work(self, uuid: str) -> float | None:
        """One pass over one container."""
        async with self._store.write() as tx:
            container = await tx.containers.get(uuid)
            if container is None:
                return None
            pending_ops = states.pending_ops_of(container)
            if not pending_ops:
                return None
            if container.host_id is None and pending_ops[-1].kind is OpKind.DELETE:
                await tx.containers.remove(uuid=uuid)
                return None
            overdue = self._seconds_left(container, tx.now)
            if overdue <= 0 and any(op.kind is OpKind.DELETE for op in pending_ops):
                await self._delete_record(tx, container)
                return None
            if overdue <= 0:
                await self._give_up(tx, container, self._describe_timeout(container))
                return None
            if container.host_id is None:
                return await self._place(tx, container)
            return overdue

    def _seconds_left(self, container: Container, now: dt.datetime) -> float:
        """Return the seconds until the loop gives up; an hour if there is no deadline."""
        if container.deadline_at is None:
            return 3600.0
        return (container.deadline_at - now).total_seconds() + GRACE_SECONDS

    def _describe_timeout(self, container: Container) -> str:
        reason = container.status_reason
        if container.host is None:
            return f"Timed out. {reason}" if reason else "Timed out: no host took the container."
        return f"Timed out: {reason or f'host {container.host} did not answer'}"

    async def _place(self, tx: Transaction, container: Container) -> float | None:
        """Write the host and hint its agent, or write why there is no host."""
        await tx.serialise("", "placement")
        use_by_host = await tx.containers.use_by_host()
        hosts = await tx.hosts_without_lock.select()
        candidates = [CandidateHost(host=host, use=use_by_host.get(host.uuid, ContainerUse())) for host in hosts]
        rules = PlacementRules(now=tx.now, down_seconds=self._host_down_seconds)
        answer = place_containers([PlacementRequest(uuid=container.uuid, spec=container.spec)], candidates, rules)[
            container.uuid
        ]
        if isinstance(answer, Host):
            placed_container = replace(container, host_id=answer.uuid, host=answer.hostname, failure=None)
            await tx.containers.update(states.project_container(placed_container))
            tx.hint("dispatch", f"{answer.uuid}/{container.uuid}")
            return self._seconds_left(placed_container, tx.now)
        return await self._refuse(tx, container, answer)

    async def _refuse(self, tx: Transaction, container: Container, refusal: PlacementRefusal) -> float | None:
        if not refusal.temporary:
            await self._give_up(tx, container, refusal.text)
            return None
        if container.failure != refusal.text:
            await tx.containers.update(states.project_container(replace(container, failure=refusal.text)))
        return WAIT_SECONDS

    async def _delete_record(self, tx: Transaction, container: Container) -> None:
        """Remove the record of a deleted container. An agent removes containers that are in no record."""
        await tx.containers.remove(uuid=container.uuid)
        payload = {"container": container.uuid, "project_id": container.project_id, "status": container.status}
        await tx.notify("container.delete", container.uuid, payload)
        if container.host_id is not None:
            tx.hint("dispatch", f"{container.host_id}/{container.uuid}")

    async def _give_up(self, tx: Transaction, container: Container, reason: str) -> None:
        last = container.ops[-1].seq
        failed_container = replace(container, given_up=last, failure=reason, updated_at=tx.now)
        await tx.containers.update(states.project_container(failed_container))
        if container.host_id is not None:
            tx.hint("dispatch", f"{container.host_id}/{container.uuid}")
