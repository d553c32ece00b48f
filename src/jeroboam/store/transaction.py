"""The transaction: all that one unit of work may read and write, and the messages that leave after its commit."""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from jeroboam.domain.bay_manifests import BayManifest
from jeroboam.domain.clusters import Certificate
from jeroboam.domain.containers import Container, list_volume_mounts
from jeroboam.domain.hosts import Host, ServiceRecord
from jeroboam.domain.noderecords import NodeRecord
from jeroboam.store import census, history, kinds, recheck, tables
from jeroboam.store.capsules import CAPSULE, CAPSULE_EVENT, CapsuleEventRows, CapsuleRows
from jeroboam.store.container_actions import CONTAINER_ACTION, ContainerActionRows
from jeroboam.store.interactive import INTERACTIVE_SESSION, InteractiveSessionRows
from jeroboam.store.leases import Leases
from jeroboam.store.named_leases import NamedLeases
from jeroboam.store.networks import (
    NETWORK,
    PORT,
    SECURITY_GROUP,
    SECURITY_GROUP_RULE,
    SUBNET,
    NetworkRows,
    PortRows,
    SecurityGroupRows,
    SecurityGroupRuleRows,
    SubnetRows,
)
from jeroboam.store.registries import HOST_IMAGE, REGISTRY, HostImageRows, RegistryRows
from jeroboam.store.rows import QueryConnection, Rows, insert_of
from jeroboam.store.selectors import (
    BayObjectSelector,
    CertificateSelector,
    HostSelector,
    NodeRecordSelector,
    ServiceSelector,
)
from jeroboam.store.volumes import VOLUME, VolumeRows


@dataclass(frozen=True, kw_only=True, slots=True)
class Notification:
    """A notification in the outbox. `payload` is JSON text."""

    id: int
    event: str
    key: str
    payload: str
    at: dt.datetime


class Transaction:
    """Reads and, if writable, writes. In a writable transaction, rows that are read stay locked until its end."""

    def __init__(self, connection: QueryConnection, now: dt.datetime, *, writable: bool) -> None:
        self._connection = connection
        self._writable = writable
        self.now = now
        """The time of the transaction, for every timestamp that it writes."""
        self.messages: list[tuple[str, str]] = []
        """Hints to publish after the commit."""

    @cached_property
    def templates(self) -> kinds.TemplateRows:
        return kinds.TemplateRows(self._connection, kinds.TEMPLATE, for_update=self._writable)

    @cached_property
    def clusters(self) -> kinds.ClusterRows:
        return kinds.ClusterRows(self._connection, kinds.CLUSTER, for_update=self._writable)

    @cached_property
    def nodegroups(self) -> kinds.NodeGroupRows:
        return kinds.NodeGroupRows(self._connection, kinds.NODEGROUP, for_update=self._writable)

    @cached_property
    def certificates(self) -> Rows[Certificate, CertificateSelector]:
        return Rows(self._connection, kinds.CERTIFICATE, for_update=self._writable)

    @cached_property
    def containers(self) -> kinds.ContainerRows:
        return kinds.ContainerRows(self._connection, kinds.CONTAINER, for_update=self._writable)

    @cached_property
    def capsules(self) -> CapsuleRows:
        return CapsuleRows(self._connection, CAPSULE, for_update=self._writable)

    @cached_property
    def capsule_events(self) -> CapsuleEventRows:
        return CapsuleEventRows(self._connection, CAPSULE_EVENT, for_update=False)

    @cached_property
    def hosts(self) -> Rows[Host, HostSelector]:
        return Rows(self._connection, kinds.HOST, for_update=self._writable)

    @cached_property
    def hosts_without_lock(self) -> Rows[Host, HostSelector]:
        """Hosts to choose from. No row is locked, so that no heartbeat waits for the end of the transaction."""
        return Rows(self._connection, kinds.HOST, for_update=False)

    @cached_property
    def services(self) -> Rows[ServiceRecord, ServiceSelector]:
        return Rows(self._connection, kinds.SERVICE, for_update=self._writable)

    @cached_property
    def events(self) -> history.EventRows:
        return history.EventRows(self._connection, history.EVENT, for_update=False)

    @cached_property
    def container_actions(self) -> ContainerActionRows:
        return ContainerActionRows(self._connection, CONTAINER_ACTION, for_update=False)

    @cached_property
    def interactive_sessions(self) -> InteractiveSessionRows:
        return InteractiveSessionRows(self._connection, INTERACTIVE_SESSION, for_update=self._writable)

    @cached_property
    def registries(self) -> RegistryRows:
        return RegistryRows(self._connection, REGISTRY, for_update=self._writable)

    @cached_property
    def host_images(self) -> HostImageRows:
        return HostImageRows(self._connection, HOST_IMAGE, for_update=self._writable)

    @cached_property
    def networks(self) -> NetworkRows:
        """Networks, groups and rules are never locked: the lock of a subnet, and foreign keys, decide races."""
        return NetworkRows(self._connection, NETWORK, for_update=False)

    @cached_property
    def subnets(self) -> SubnetRows:
        return SubnetRows(self._connection, SUBNET, for_update=self._writable)

    @cached_property
    def subnets_without_lock(self) -> SubnetRows:
        """Subnets to look at. A transaction that locks subnets locks ports before."""
        return SubnetRows(self._connection, SUBNET, for_update=False)

    @cached_property
    def ports(self) -> PortRows:
        return PortRows(self._connection, PORT, for_update=self._writable)

    @cached_property
    def security_groups(self) -> SecurityGroupRows:
        return SecurityGroupRows(self._connection, SECURITY_GROUP, for_update=False)

    @cached_property
    def security_group_rules(self) -> SecurityGroupRuleRows:
        return SecurityGroupRuleRows(self._connection, SECURITY_GROUP_RULE, for_update=False)

    @cached_property
    def volumes(self) -> VolumeRows:
        return VolumeRows(self._connection, VOLUME, for_update=self._writable)

    @cached_property
    def quotas(self) -> kinds.QuotaRows:
        return kinds.QuotaRows(self._connection, kinds.QUOTA, for_update=self._writable)

    @cached_property
    def bay_containers(self) -> kinds.BayContainerRows:
        return kinds.BayContainerRows(self._connection, kinds.BAY_CONTAINER, for_update=self._writable)

    @cached_property
    def bay_manifests(self) -> Rows[BayManifest, BayObjectSelector]:
        return Rows(self._connection, kinds.BAY_MANIFEST, for_update=self._writable)

    @cached_property
    def node_records(self) -> Rows[NodeRecord, NodeRecordSelector]:
        return Rows(self._connection, kinds.NODE_RECORD, for_update=self._writable)

    async def remove_container(self, container: Container) -> None:
        """Remove the row of a container that is gone, end the records of its actions, free its volumes and ports."""
        await self.containers.remove({"uuid": container.uuid})
        await self.ports.release(container.uuid)
        await self.container_actions.close_deleted(container, self.now)
        if list_volume_mounts(container.spec):
            for volume in await self.volumes.release(container.uuid, self.now):
                self.hint("dispatch", f"{volume.host_id}/volume/{volume.uuid}")

    def leases(self, topic: str) -> Leases:
        """Return the leases on `cluster`, `workload` or `orchestrated` objects."""
        tables_by_kind = {
            "cluster": tables.cluster,
            "workload": tables.workload,
            "orchestrated": tables.workload,
        }
        return Leases(self._connection, tables_by_kind[topic], self.now)

    @property
    def named_leases(self) -> NamedLeases:
        """Which process leads a piece of work, and which processes are alive."""
        return NamedLeases(self._connection, self.now)

    def hint(self, topic: str, key: str) -> None:
        """Send the hint *look at this object now* after the commit."""
        self.messages.append((topic, key))

    async def notify(self, event: str, key: str, payload: dict[str, Any]) -> None:
        """Put a notification into the outbox: it leaves, at least once, if and only if this is committed."""
        row = {"topic": event, "key": key, "payload": payload, "created_at": self.now}
        await self._connection.execute(tables.outbox.insert().values(row))
        self.hint("outbox", "")

    async def ping(self) -> None:
        """Read something small from a table."""
        await self._connection.execute(sa.select(tables.quota.c.id).limit(1))

    async def look_at_broken_rows(self) -> None:
        """Forget broken rows that have been repaired or removed."""
        if self._connection.broken:
            await recheck.look_again(self._connection)

    async def census(self) -> census.Census:
        """Count all objects."""
        return await census.take_census(self._connection)

    async def list_outgoing(self, limit: int) -> list[Notification]:
        """Return the oldest notifications that have not left yet."""
        table = tables.outbox
        query = sa.select(table.c.id, table.c.topic, table.c.key, table.c.payload, table.c.created_at)
        rows = await self._connection.execute(query.order_by(table.c.id).limit(limit))
        return [Notification(id=row[0], event=row[1], key=row[2], payload=row[3], at=row[4]) for row in rows.all()]

    async def mark_sent(self, notifications: list[Notification]) -> None:
        """Remove notifications that have left."""
        table = tables.outbox
        await self._connection.execute(table.delete().where(table.c.id.in_([note.id for note in notifications])))

    async def serialise(self, project_id: str, family: str) -> None:
        """Wait until no other transaction counts this project's objects of that family, and block others.

        Between this call and the commit a count and an insert are one step, on every engine.
        """
        row = {"project_id": project_id, "family": family, "uses": 1}
        guard = tables.quota_guard
        statement = insert_of(self._connection)(guard).values(row)
        statement = statement.on_conflict_do_update(
            index_elements=[guard.c.project_id, guard.c.family], set_={"uses": guard.c.uses + 1}
        )
        await self._connection.execute(statement)

    async def limit(self, project_id: str, resource: str, default: int) -> int:
        """Return the limit that was set for the project, or the default."""
        query = sa.select(tables.quota.c.hard_limit).where(
            tables.quota.c.project_id == project_id, tables.quota.c.resource == resource
        )
        hard_limit = (await self._connection.execute(query)).scalar_one_or_none()
        return default if hard_limit is None else int(hard_limit)

    async def beat(self, host: str, binary: str) -> None:
        """Write the heartbeat of a process."""
        table = tables.service
        row = {
            "host": host,
            "binary": binary,
            "report_count": 1,
            "disabled": False,
            "forced_down": False,
            "last_seen": self.now,
            "availability_zone": "nova",
            "created_at": self.now,
        }
        statement = insert_of(self._connection)(table).values(row)
        statement = statement.on_conflict_do_update(
            index_elements=[table.c.host, table.c.binary],
            set_={"report_count": table.c.report_count + 1, "last_seen": self.now, "updated_at": self.now},
        )
        await self._connection.execute(statement)
