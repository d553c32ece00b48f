"""Finds clusters that are older than a limit allows, and removes what has expired: events, sessions.

Pulls of images that no host has ended by their deadline are given up.

Both run at intervals, each cluster in a transaction of its own. What is interrupted is done at the next look. A cluster
that has to go gets the same wish as for a delete by its user, and the cluster loop does the rest. Neighbours: `reaper`,
which removes infrastructure without a cluster; `domain.limits`.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace

import structlog

from jeroboam.conductor.clusters.history import EventRecorder
from jeroboam.conductor.loop import repeat
from jeroboam.domain.clusters import Cluster, Operation
from jeroboam.domain.errors import Unavailable
from jeroboam.domain.events import CLUSTER_AGE
from jeroboam.domain.limits import Limit, LimitOwner, select_limits
from jeroboam.domain.ports import Projects
from jeroboam.domain.states import ask_cluster
from jeroboam.kit.clock import Clock
from jeroboam.kit.ids import Ids
from jeroboam.store import Store, Transaction

log = structlog.get_logger("jeroboam.conductor.periodic.ageing")


class ClusterAgeing:
    """Checks the age of clusters and of events."""

    def __init__(
        self,
        *,
        store: Store,
        projects: Projects,
        limits: Iterable[Limit],
        clock: Clock,
        ids: Ids,
        event_days: int,
        every_seconds: float,
        operation_minutes: int,
    ) -> None:
        """`operation_minutes` is how long a delete may take if the cluster has no limit of its own."""
        self._store = store
        self._projects = projects
        self._limits = [limit for limit in limits if limit.max_age_days is not None]
        self._clock = clock
        self._history = EventRecorder(ids)
        self._event_days = event_days
        self._every_seconds = every_seconds
        self._operation_minutes = operation_minutes

    async def run(self) -> None:
        """Look until cancelled."""
        await repeat(self.look, clock=self._clock, every_seconds=self._every_seconds, subject="ageing")

    async def look(self) -> None:
        """Look once at all clusters, and remove what has expired."""
        if self._limits:
            await self._look_at_clusters()
        async with self._store.write() as tx:
            oldest = tx.now - dt.timedelta(days=self._event_days)
            await tx.events.forget(oldest)
            await tx.container_actions.forget(oldest)
            await tx.capsule_events.forget(oldest)
            await tx.interactive_sessions.forget(tx.now)
            await tx.host_images.give_up(tx.now)

    async def _look_at_clusters(self) -> None:
        youngest = min(limit.max_age_days or 0 for limit in self._limits)
        async with self._store.read() as tx:
            old = await tx.clusters.list_older(tx.now - dt.timedelta(days=youngest))
        owners: dict[str, LimitOwner] = {}
        for cluster in old:
            project_id = cluster.project_id
            try:
                if project_id not in owners:
                    owners[project_id] = await self._projects.describe(project_id) or LimitOwner(project_id=project_id)
            except Unavailable as error:
                log.warning("limits of age wait", project=project_id, reason=error.detail)
                continue
            await self._judge(cluster.uuid, select_limits(self._limits, owners[project_id]))

    async def _judge(self, uuid: str, limits: Iterable[Limit]) -> None:
        async with self._store.write() as tx:
            cluster = await tx.clusters.get(uuid)
            if cluster is None or cluster.operation is Operation.DELETE:
                return
            exceeded_limits = [limit for limit in limits if _is_past(cluster, limit, tx.now)]
            # A limit that deletes goes before those that warn.
            exceeded_limits.sort(key=lambda limit: limit.at_max_age != "delete")
            if not exceeded_limits:
                return
            if exceeded_limits[0].at_max_age == "delete":
                await self._remove(tx, cluster, exceeded_limits[0])
                return
            messages = {
                event.message for event in await tx.events.select({"cluster_id": uuid, "event_type": CLUSTER_AGE})
            }
            for limit in exceeded_limits:
                if _describe_age(limit) not in messages:
                    await self._history.record_age(tx, cluster, _describe_age(limit))

    async def _remove(self, tx: Transaction, cluster: Cluster, limit: Limit) -> None:
        minutes = cluster.spec.create_timeout or self._operation_minutes
        new_cluster = ask_cluster(cluster, Operation.DELETE, now=tx.now, minutes=minutes)
        await tx.clusters.update(new_cluster)
        for group in await tx.nodegroups.select({"cluster_id": cluster.uuid}):
            await tx.nodegroups.update(replace(group, status=new_cluster.status, status_reason=None, updated_at=tx.now))
        log.warning("cluster is too old", cluster=cluster.uuid, limit=limit.name)
        await self._history.record_age(tx, new_cluster, f"{_describe_age(limit)} It is deleted.")
        tx.hint("cluster", cluster.uuid)


def _is_past(cluster: Cluster, limit: Limit, now: dt.datetime) -> bool:
    return now - cluster.created_at > dt.timedelta(days=limit.max_age_days or 0)


def _describe_age(limit: Limit) -> str:
    return f"Limit {limit.name}: the cluster is older than {limit.max_age_days:g} days."
