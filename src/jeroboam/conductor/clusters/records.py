"""Reads and writes one whole cluster for the cluster loop, under its lease.

Neighbours: `history`, which writes the events of each change; the cluster loop and `conductor.bays.connector`, which
use this.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from jeroboam.conductor.clusters.history import EventRecorder
from jeroboam.domain import states
from jeroboam.domain.clusters import (
    Certificate,
    Cluster,
    ClusterObserved,
    ClusterStatus,
    NodeGroup,
    NodeObserved,
    NodeState,
    Operation,
    OperationOutcome,
)
from jeroboam.domain.conditions import merge_conditions
from jeroboam.domain.upgrades import restore_cluster, restore_group
from jeroboam.kit.ids import Ids
from jeroboam.store import Lease, Store, Transaction


class LeaseLost(Exception):
    """Another process works on the object now: the results of this work have to be discarded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterState:
    """A cluster with all that belongs to it, as it was when the work began."""

    cluster: Cluster
    groups: tuple[NodeGroup, ...]
    certificates: tuple[Certificate, ...]


async def load_state(store: Store, uuid: str) -> ClusterState | None:
    """Return the cluster with all that belongs to it, or None if it is gone.

    Raises `BrokenRow` if a part cannot be read: without a group its nodes would be removed. A cluster that is being
    deleted needs none of its parts.
    """
    async with store.read() as tx:
        cluster = await tx.clusters.get(uuid)
    if cluster is None:
        return None
    async with store.read(strict=cluster.operation is not Operation.DELETE) as tx:
        groups = (await tx.nodegroups.groups_of(uuid))[uuid]
        certificates = await tx.certificates.select({"cluster_id": uuid})
    return ClusterState(cluster=cluster, groups=tuple(groups), certificates=tuple(certificates))


class ClusterRecords:
    """Reads and writes clusters for their loop."""

    def __init__(self, store: Store, ids: Ids, *, operation_minutes: int) -> None:
        """`operation_minutes` is how long a rollback may take if the cluster has no limit of its own."""
        self._store = store
        self._operation_minutes = operation_minutes
        self._history = EventRecorder(ids)

    async def list_uuids(self) -> Iterable[str]:
        async with self._store.read() as tx:
            return await tx.clusters.uuids()

    async def generation(self, uuid: str) -> int | None:
        async with self._store.read() as tx:
            cluster = await tx.clusters.get(uuid)
        return None if cluster is None else cluster.generation

    async def load(self, uuid: str) -> ClusterState | None:
        """Return the cluster, or None if it is gone."""
        return await load_state(self._store, uuid)

    async def add_certificates(self, lease: Lease, certificates: Iterable[Certificate]) -> None:
        """Store new authorities."""
        async with self._store.write() as tx:
            await self._check_lease(tx, lease)
            for certificate in certificates:
                await tx.certificates.insert(certificate)

    async def replace_certificates(self, lease: Lease, certificates: Sequence[Certificate], *old: str) -> None:
        """Store these in the place of those of the old kinds, in one transaction."""
        async with self._store.write() as tx:
            await self._check_lease(tx, lease)
            await tx.certificates.remove({"cluster_id": lease.uuid, "kind": old})
            for certificate in certificates:
                await tx.certificates.insert(certificate)

    async def save_plan(self, lease: Lease, groups: Iterable[NodeGroup]) -> None:
        """Write the desired nodes before any of them is made."""
        async with self._store.write() as tx:
            await self._check_lease(tx, lease)
            for plan in groups:
                group = await tx.nodegroups.get(plan.uuid)
                if group is not None:
                    await tx.nodegroups.update(replace(group, desired=plan.desired, next_index=plan.next_index))

    async def save(
        self,
        lease: Lease,
        observed: ClusterObserved,
        *,
        nodes: Iterable[NodeObserved] | None = None,
        waiting_for: str | None = None,
        ended_kinds: Sequence[str] = (),
    ) -> None:
        """Write the observation and the public status; nothing if both are unchanged.

        `observed.generation` is the wish that is done: if the user has wished again meanwhile, the cluster stays in
        progress. Authorities of the `ended_kinds` are removed in the same transaction.
        """
        by_uuid = None if nodes is None else {node.uuid: node for node in nodes}
        async with self._store.write() as tx:
            await self._check_lease(tx, lease)
            before = await tx.clusters.get(lease.uuid)
            if before is None:
                return
            conditions = merge_conditions(before.observed.conditions, observed.conditions, tx.now)
            new_observed = states.count_health_change(before.observed, replace(observed, conditions=conditions))
            cluster = replace(before, observed=new_observed)
            cluster = states.project_cluster(cluster, waiting_for=waiting_for)
            if ended_kinds:
                await tx.certificates.remove({"cluster_id": lease.uuid, "kind": ended_kinds})
            if cluster != before:
                await tx.clusters.update(replace(cluster, updated_at=tx.now))
            await self._save_groups(tx, cluster, by_uuid)
            await self._history.record_change(tx, before, cluster)

    async def start_healing(self, lease: Lease, node: NodeObserved, message: str) -> None:
        """Write that the node is replaced from now on, before the replacement begins."""
        async with self._store.write() as tx:
            await self._check_lease(tx, lease)
            cluster = await tx.clusters.get(lease.uuid)
            if cluster is None:
                return
            for group in (await tx.nodegroups.groups_of(lease.uuid))[lease.uuid]:
                if any(group_node.uuid == node.uuid for group_node in group.observed):
                    new_nodes = (
                        replace(group_node, healed_at=tx.now) if group_node.uuid == node.uuid else group_node
                        for group_node in group.observed
                    )
                    await tx.nodegroups.update(replace(group, observed=tuple(new_nodes)))
                    await self._history.record_healing(tx, cluster, group, message)

    async def write_events(self, lease: Lease, notes: Sequence[tuple[str, str]]) -> None:
        """Write these events; nothing if another process works on the cluster now."""
        if not notes:
            return
        async with self._store.write() as tx:
            cluster = await tx.clusters.get(lease.uuid)
            if cluster is not None and await tx.leases("cluster").is_held(lease):
                for event_type, sentence in notes:
                    await self._history.record_note(tx, cluster, event_type, sentence)

    async def write_wait(self, lease: Lease, waiting_for: str, *, with_event: bool = True) -> None:
        """Write what the work waits for; nothing if it has ended or another process does it.

        `with_event` also writes an event.
        """
        async with self._store.write() as tx:
            before = await tx.clusters.get(lease.uuid)
            if before is None or not await tx.leases("cluster").is_held(lease):
                return
            cluster = states.project_cluster(before, waiting_for=waiting_for)
            if states.is_in_progress(cluster):
                await tx.clusters.update(replace(cluster, updated_at=tx.now))
                if with_event:
                    await self._history.record_change(tx, before, cluster)

    async def _save_groups(self, tx: Transaction, cluster: Cluster, nodes: dict[str, NodeObserved] | None) -> None:
        outcome = states.outcome_of(cluster)
        for before in await tx.nodegroups.select({"cluster_id": cluster.uuid}):
            if before.deleting and not before.desired and outcome is OperationOutcome.COMPLETE:
                await tx.nodegroups.remove({"uuid": before.uuid})
                continue
            group = states.project_group(_merge_observed(before, nodes, tx.now), cluster)
            if group != before:
                await tx.nodegroups.update(replace(group, updated_at=tx.now))

    async def roll_back(self, lease: Lease, generation: int) -> bool:
        """Wish back what was before the failed wish of that generation; False if there is a newer wish."""
        async with self._store.write() as tx:
            await self._check_lease(tx, lease)
            cluster = await tx.clusters.get(lease.uuid)
            former = None if cluster is None else cluster.spec.former
            if cluster is None or former is None or cluster.generation != generation:
                return False
            for group in (await tx.nodegroups.groups_of(cluster.uuid))[cluster.uuid]:
                if group.uuid in former.groups:
                    restored_group = restore_group(group, former.groups[group.uuid])
                    await tx.nodegroups.update(states.ask_group(restored_group, Operation.ROLLBACK, now=tx.now))
            if await tx.templates.get(former.template_id) is None:
                # The template was removed meanwhile. The cluster has a copy of it.
                former = replace(former, template_id=cluster.template_id)
            minutes = cluster.spec.create_timeout or self._operation_minutes
            restored_cluster = restore_cluster(cluster, former)
            failed_cluster, cluster = (
                cluster,
                states.ask_cluster(restored_cluster, Operation.ROLLBACK, now=tx.now, minutes=minutes),
            )
            await tx.clusters.update(cluster)
            await self._history.record_rollback(tx, failed_cluster, cluster)
        return True

    async def forget(self, lease: Lease) -> None:
        """Remove the cluster with its groups, its keys and what was made inside it."""
        async with self._store.write() as tx:
            await self._check_lease(tx, lease)
            cluster = await tx.clusters.get(lease.uuid)
            if cluster is not None:
                removed = replace(cluster, status=ClusterStatus.DELETE_COMPLETE, status_reason=None)
                await self._history.record_removal(tx, removed)
            await tx.bay_containers.remove({"cluster_id": lease.uuid})
            await tx.certificates.remove({"cluster_id": lease.uuid})
            await tx.nodegroups.remove({"cluster_id": lease.uuid})
            await tx.clusters.remove({"uuid": lease.uuid})

    async def _check_lease(self, tx: Transaction, lease: Lease) -> None:
        if not await tx.leases("cluster").is_held(lease):
            raise LeaseLost(lease.uuid)


def _merge_observed(group: NodeGroup, nodes: dict[str, NodeObserved] | None, now: dt.datetime) -> NodeGroup:
    """Return the group with the observation of its desired nodes; None means that nobody looked."""
    if nodes is None:
        return group
    absent = {node.uuid: NodeObserved(uuid=node.uuid, name=node.name, state=NodeState.GONE) for node in group.desired}
    before = {node.uuid: node for node in group.observed}
    observed_nodes = (nodes.get(node.uuid, absent[node.uuid]) for node in group.desired)
    return replace(group, observed=tuple(_merge_times(node, before.get(node.uuid), now) for node in observed_nodes))


def _merge_times(node: NodeObserved, before: NodeObserved | None, now: dt.datetime) -> NodeObserved:
    """Return the node with its times from before: since when it has not worked, and when it was replaced for that."""
    if node.ready:
        return node
    if before is None:
        return replace(node, unready_since=node.unready_since or now)
    return replace(node, unready_since=node.unready_since or before.unready_since or now, healed_at=before.healed_at)
