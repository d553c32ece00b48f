"""The loops of containers and capsules: each gets a host, and what is not carried out in time is given up.

They use only the store: the agent works on the host. A pass over a batch of objects is one transaction, so it needs no
lease and reads the hosts once. What differs between the two kinds are a few methods of the reconcilers. Neighbours:
`scheduler.placement`, which chooses hosts; `batches`.
"""

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from jeroboam.conductor.batches import Batches
from jeroboam.domain import states
from jeroboam.domain.capsule_states import project_capsule
from jeroboam.domain.capsules import Capsule
from jeroboam.domain.containers import Container, OpKind, list_volume_mounts
from jeroboam.domain.quotas import ContainerUse
from jeroboam.scheduler.placement import (
    CandidateHost,
    Placement,
    PlacementRefusal,
    PlacementRequest,
    PlacementRules,
    place_containers,
)
from jeroboam.store import CapsuleRows, ContainerRows, Store, Transaction

# An agent reports what it gave up. If it is silent for so long after a deadline, this loop does that.
GRACE_SECONDS = 5.0
# How soon to look again while every suitable host is away.
WAIT_SECONDS = 1.0

T = TypeVar("T", Container, Capsule)


class PlacementReconciler(ABC, Generic[T]):
    """What the reconcilers of containers and of capsules share."""

    topic: str

    def __init__(self, *, store: Store, host_down_seconds: float) -> None:
        self._store = store
        self._host_down_seconds = host_down_seconds
        self._batches = Batches(self._pass)

    @abstractmethod
    async def _list(self, tx: Transaction, uuids: list[str]) -> list[T]:
        """Return these objects. Raises `BrokenRow` for an unreadable one."""

    @abstractmethod
    async def _build_requests(self, tx: Transaction, subjects: Sequence[T]) -> list[PlacementRequest]:
        """Return what the scheduler has to know of these objects."""

    @abstractmethod
    async def _assign(self, tx: Transaction, subject: T, placement: Placement) -> T:
        """Store the object with its host, and return it."""

    @abstractmethod
    async def _update(self, tx: Transaction, subject: T) -> None:
        """Store the object with its public status."""

    @abstractmethod
    async def _give_up(self, tx: Transaction, subject: T, reason: str) -> None:
        """Store that nothing more is done of what was asked."""

    @abstractmethod
    async def _remove(self, tx: Transaction, subject: T) -> None:
        """Remove the record of an object that was deleted."""

    @abstractmethod
    def _rows(self, tx: Transaction) -> ContainerRows | CapsuleRows: ...

    async def list_uuids(self) -> Iterable[str]:
        async with self._store.read() as tx:
            return await self._rows(tx).list_unsettled()

    async def on_hint(self, uuid: str) -> None:
        """Nothing to interrupt: a pass is one transaction."""

    async def work(self, uuid: str) -> float | None:
        """One pass over one object, in one transaction with the others that wait for theirs."""
        return await self._batches.run(uuid)

    async def _pass(self, uuids: Sequence[str]) -> Mapping[str, float | None]:
        """Return in how many seconds to look at each object again. Raises `BrokenRow` for an unreadable one."""
        waits: dict[str, float | None] = dict.fromkeys(uuids)
        async with self._store.write() as tx:
            unplaced_subjects = []
            for subject in await self._list(tx, list(uuids)):
                if self._is_due_for_placement(subject, tx.now):
                    unplaced_subjects.append(subject)
                else:
                    waits[subject.uuid] = await self._check(tx, subject)
            if unplaced_subjects:
                waits |= await self._place(tx, unplaced_subjects)
        return waits

    def _is_due_for_placement(self, subject: T, now: dt.datetime) -> bool:
        pending_ops = states.pending_ops_of(subject)
        if subject.host_id is not None or not pending_ops or pending_ops[-1].kind is OpKind.DELETE:
            return False
        return self._seconds_left(subject, now) > 0

    async def _check(self, tx: Transaction, subject: T) -> float | None:
        """Give up what is overdue, and forget an object that was deleted before it had a host."""
        pending_ops = states.pending_ops_of(subject)
        if not pending_ops:
            return None
        if subject.host_id is None and pending_ops[-1].kind is OpKind.DELETE:
            await self._remove(tx, subject)
            return None
        seconds_left = self._seconds_left(subject, tx.now)
        if seconds_left > 0:
            return seconds_left
        if any(op.kind is OpKind.DELETE for op in pending_ops):
            await self._delete_record(tx, subject)
        else:
            await self._give_up(tx, subject, self._describe_timeout(subject))
            self._hint_agent(tx, subject)
        return None

    def _seconds_left(self, subject: T, now: dt.datetime) -> float:
        """Return the seconds until the loop gives up; an hour if there is no deadline."""
        if subject.deadline_at is None:
            return 3600.0
        return (subject.deadline_at - now).total_seconds() + GRACE_SECONDS

    def _describe_timeout(self, subject: T) -> str:
        reason = subject.status_reason
        if subject.host is None:
            return f"Timed out. {reason}" if reason else f"Timed out: no host took the {self.topic}."
        return f"Timed out: {reason or f'host {subject.host} did not answer'}"

    async def _place(self, tx: Transaction, subjects: Sequence[T]) -> dict[str, float | None]:
        """Write each object's host and hint its agent, or write why there is no host."""
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
        answers = place_containers(await self._build_requests(tx, subjects), candidates, rules)
        waits: dict[str, float | None] = {}
        for subject in subjects:
            answer = answers[subject.uuid]
            if isinstance(answer, PlacementRefusal):
                waits[subject.uuid] = await self._refuse(tx, subject, answer)
                continue
            placed_subject = await self._assign(tx, subject, answer)
            self._hint_agent(tx, placed_subject)
            waits[subject.uuid] = self._seconds_left(placed_subject, tx.now)
        return waits

    async def _refuse(self, tx: Transaction, subject: T, refusal: PlacementRefusal) -> float | None:
        if not refusal.temporary:
            await self._give_up(tx, subject, refusal.text)
            return None
        if subject.failure != refusal.text:
            await self._update(tx, replace(subject, failure=refusal.text))
        return WAIT_SECONDS

    async def _delete_record(self, tx: Transaction, subject: T) -> None:
        """Remove the record of a deleted object. An agent removes what is in no record."""
        await self._remove(tx, subject)
        payload = {self.topic: subject.uuid, "project_id": subject.project_id, "status": subject.status}
        await tx.notify(f"{self.topic}.delete", subject.uuid, payload)
        self._hint_agent(tx, subject)

    def _hint_agent(self, tx: Transaction, subject: T) -> None:
        if subject.host_id is not None:
            tx.hint("dispatch", f"{subject.host_id}/{subject.uuid}")


class ContainerReconciler(PlacementReconciler[Container]):
    """The reconciler of containers."""

    topic = "container"

    def _rows(self, tx: Transaction) -> ContainerRows:
        return tx.containers

    async def _list(self, tx: Transaction, uuids: list[str]) -> list[Container]:
        return await tx.containers.where(*tx.containers.build_conditions({"uuid": uuids}), strict=True)

    async def _update(self, tx: Transaction, subject: Container) -> None:
        await tx.containers.update(states.project_container(subject))

    async def _build_requests(self, tx: Transaction, subjects: Sequence[Container]) -> list[PlacementRequest]:
        volume_hosts = await tx.volumes.list_hosts(
            [container.uuid for container in subjects if list_volume_mounts(container.spec)]
        )
        return [
            PlacementRequest(
                uuid=container.uuid,
                spec=container.spec,
                volume_hosts=volume_hosts.get(container.uuid, frozenset()),
            )
            for container in subjects
        ]

    async def _assign(self, tx: Transaction, subject: Container, placement: Placement) -> Container:
        host = placement.host
        placed_container = replace(
            subject, host_id=host.uuid, host=host.hostname, cpuset=placement.cpuset, failure=None
        )
        await self._update(tx, placed_container)
        if list_volume_mounts(subject.spec):
            await tx.volumes.settle(subject.uuid, host.uuid, host.hostname)
        return placed_container

    async def _remove(self, tx: Transaction, subject: Container) -> None:
        await tx.remove_container(subject)

    async def _give_up(self, tx: Transaction, subject: Container, reason: str) -> None:
        changes: dict[str, Any] = {"given_up": subject.ops[-1].seq, "failure": reason, "updated_at": tx.now}
        failed_container = states.project_container(replace(subject, **changes))
        await tx.containers.update(failed_container)
        await tx.container_actions.close_ended(subject, failed_container, tx.now)


class CapsuleReconciler(PlacementReconciler[Capsule]):
    """The reconciler of capsules: each is placed as a whole."""

    topic = "capsule"

    def _rows(self, tx: Transaction) -> CapsuleRows:
        return tx.capsules

    async def _list(self, tx: Transaction, uuids: list[str]) -> list[Capsule]:
        return await tx.capsules.where(*tx.capsules.build_conditions({"uuid": uuids}), strict=True)

    async def _update(self, tx: Transaction, subject: Capsule) -> None:
        await tx.capsules.update(project_capsule(subject))

    async def _build_requests(self, tx: Transaction, subjects: Sequence[Capsule]) -> list[PlacementRequest]:
        del tx
        return [PlacementRequest(uuid=capsule.uuid, spec=capsule.spec) for capsule in subjects]

    async def _assign(self, tx: Transaction, subject: Capsule, placement: Placement) -> Capsule:
        host = placement.host
        placed_capsule = replace(subject, host_id=host.uuid, host=host.hostname, failure=None)
        await self._update(tx, placed_capsule)
        return placed_capsule

    async def _remove(self, tx: Transaction, subject: Capsule) -> None:
        await tx.capsules.remove({"uuid": subject.uuid})

    async def _give_up(self, tx: Transaction, subject: Capsule, reason: str) -> None:
        changes: dict[str, Any] = {"given_up": subject.ops[-1].seq, "failure": reason, "updated_at": tx.now}
        await tx.capsules.update(project_capsule(replace(subject, **changes)))
