"""The container loop: gives each container a host, and gives up what is not carried out in time.

It uses only the store: the agent works on the host. A pass over a batch of containers is one transaction, so it needs
no lease and reads the hosts once. Neighbours: `scheduler.placement`, which chooses hosts; `batches`.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from jeroboam.conductor.batches import Batches
from jeroboam.domain import states
from jeroboam.domain.containers import Container, OpKind, list_volume_mounts
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
        self._batches = Batches(self._pass)

    async def list_uuids(self) -> Iterable[str]:
        async with self._store.read() as tx:
            return await tx.containers.list_unsettled()

    async def on_hint(self, uuid: str) -> None:
        """Nothing to interrupt: a pass is one transaction."""

    async def work(self, uuid: str) -> float | None:
        """One pass over one container, in one transaction with the others that wait for theirs."""
        return await self._batches.run(uuid)

    async def _pass(self, uuids: Sequence[str]) -> Mapping[str, float | None]:
        """Return in how many seconds to look at each container again. Raises `BrokenRow` for an unreadable one."""
        waits: dict[str, float | None] = dict.fromkeys(uuids)
        async with self._store.write() as tx:
            containers = await tx.containers.where(*tx.containers.build_conditions({"uuid": list(uuids)}), strict=True)
            unplaced_containers = []
            for container in containers:
                if self._is_due_for_placement(container, tx.now):
                    unplaced_containers.append(container)
                else:
                    waits[container.uuid] = await self._check(tx, container)
            if unplaced_containers:
                waits |= await self._place(tx, unplaced_containers)
        return waits

    def _is_due_for_placement(self, container: Container, now: dt.datetime) -> bool:
        pending_ops = states.pending_ops_of(container)
        if container.host_id is not None or not pending_ops or pending_ops[-1].kind is OpKind.DELETE:
            return False
        return self._seconds_left(container, now) > 0

    async def _check(self, tx: Transaction, container: Container) -> float | None:
        """Give up what is overdue, and forget a container that was deleted before it had a host."""
        pending_ops = states.pending_ops_of(container)
        if not pending_ops:
            return None
        if container.host_id is None and pending_ops[-1].kind is OpKind.DELETE:
            await tx.remove_container(container)
            return None
        seconds_left = self._seconds_left(container, tx.now)
        if seconds_left > 0:
            return seconds_left
        if any(op.kind is OpKind.DELETE for op in pending_ops):
            await self._delete_record(tx, container)
        else:
            await self._give_up(tx, container, self._describe_timeout(container))
        return None

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

    async def _place(self, tx: Transaction, containers: Sequence[Container]) -> dict[str, float | None]:
        """Write each container's host and hint its agent, or write why there is no host."""
        await tx.serialise("", "placement")
        use_by_host = await tx.containers.use_by_host()
        hosts = await tx.hosts_without_lock.select()
        pinned_cpus = await tx.containers.list_pinned_cpus()
        candidates = [
            CandidateHost(
                host=host,
                use=use_by_host.get(host.uuid, ContainerUse()),
                pinned_cpus=pinned_cpus.get(host.uuid, frozenset()),
            )
            for host in hosts
        ]
        rules = PlacementRules(now=tx.now, down_seconds=self._host_down_seconds)
        volume_hosts = await tx.volumes.list_hosts(
            [container.uuid for container in containers if list_volume_mounts(container.spec)]
        )
        requests = [
            PlacementRequest(
                uuid=container.uuid,
                spec=container.spec,
                volume_hosts=volume_hosts.get(container.uuid, frozenset()),
            )
            for container in containers
        ]
        answers = place_containers(requests, candidates, rules)
        waits: dict[str, float | None] = {}
        for container in containers:
            answer = answers[container.uuid]
            if isinstance(answer, PlacementRefusal):
                waits[container.uuid] = await self._refuse(tx, container, answer)
                continue
            host = answer.host
            placed_container = replace(
                container, host_id=host.uuid, host=host.hostname, cpuset=answer.cpuset, failure=None
            )
            await tx.containers.update(states.project_container(placed_container))
            if list_volume_mounts(container.spec):
                await tx.volumes.settle(container.uuid, host.uuid, host.hostname)
            tx.hint("dispatch", f"{host.uuid}/{container.uuid}")
            waits[container.uuid] = self._seconds_left(placed_container, tx.now)
        return waits

    async def _refuse(self, tx: Transaction, container: Container, refusal: PlacementRefusal) -> float | None:
        if not refusal.temporary:
            await self._give_up(tx, container, refusal.text)
            return None
        if container.failure != refusal.text:
            await tx.containers.update(states.project_container(replace(container, failure=refusal.text)))
        return WAIT_SECONDS

    async def _delete_record(self, tx: Transaction, container: Container) -> None:
        """Remove the record of a deleted container. An agent removes containers that are in no record."""
        await tx.remove_container(container)
        payload = {"container": container.uuid, "project_id": container.project_id, "status": container.status}
        await tx.notify("container.delete", container.uuid, payload)
        if container.host_id is not None:
            tx.hint("dispatch", f"{container.host_id}/{container.uuid}")

    async def _give_up(self, tx: Transaction, container: Container, reason: str) -> None:
        last = container.ops[-1].seq
        failed_container = states.project_container(
            replace(container, given_up=last, failure=reason, updated_at=tx.now)
        )
        await tx.containers.update(failed_container)
        await tx.container_actions.close_ended(container, failed_container, tx.now)
        if container.host_id is not None:
            tx.hint("dispatch", f"{container.host_id}/{container.uuid}")
