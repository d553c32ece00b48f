"""Volumes and their attachments in their tables.

A container's row is removed with its attachments, in the same transaction (`release`).
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa

from jeroboam.domain.volumes import Volume, VolumeAttachment, VolumeStatus
from jeroboam.store import volume_tables as tables
from jeroboam.store.rows import RowKind, Rows
from jeroboam.store.selectors import VolumeAttachmentSelector, VolumeSelector

VOLUME = RowKind(tables.volume, Volume, VolumeSelector)
VOLUME_ATTACHMENT = RowKind(tables.volume_attachment, VolumeAttachment, VolumeAttachmentSelector)


class VolumeRows(Rows[Volume, VolumeSelector]):
    """Volumes."""

    @property
    def attachments(self) -> Rows[VolumeAttachment, VolumeAttachmentSelector]:
        """The volumes in containers."""
        return Rows(self._connection, VOLUME_ATTACHMENT, for_update=False)

    async def use_of_project(self, project_id: str) -> tuple[int, int]:
        """Return how many volumes a project has, and their GiB together."""
        table = tables.volume
        query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(table.c.size), 0))
        row = (await self._connection.execute(query.where(table.c.project_id == project_id))).one()
        return int(row[0]), int(row[1])

    async def attach(self, volume: Volume, attachment: VolumeAttachment) -> None:
        """Record that a container mounts the volume."""
        await self.attachments.insert(attachment)
        await self.update(replace(volume, status=VolumeStatus.IN_USE, updated_at=attachment.created_at))

    async def release(self, container_id: str, now: dt.datetime) -> list[Volume]:
        """Remove the attachments of a container that is gone; return the volumes that their host has to remove."""
        volumes = await self._list_of(container_id)
        await self.attachments.remove({"container_id": container_id})
        leaving = []
        for volume in volumes:
            if await self.attachments.count({"volume_id": volume.uuid}):
                continue
            if not volume.is_temporary:
                await self.update(replace(volume, status=VolumeStatus.AVAILABLE, updated_at=now))
            elif deleted_volume := await self.delete(volume, now):
                leaving.append(deleted_volume)
        return leaving

    async def delete(self, volume: Volume, now: dt.datetime) -> Volume | None:
        """Have the volume removed by its host; return it, or None if there is nothing to remove."""
        if volume.host_id is None:
            await self.remove({"uuid": volume.uuid})
            return None
        deleted_volume = replace(volume, status=VolumeStatus.DELETING, updated_at=now)
        await self.update(deleted_volume)
        return deleted_volume

    async def list_hosts(self, container_ids: Sequence[str]) -> dict[str, frozenset[str]]:
        """Return for each of these containers the hosts that hold volumes of it, without those that have none."""
        volume, attachment = tables.volume, tables.volume_attachment
        query = (
            sa.select(attachment.c.container_id, volume.c.host_id)
            .join(volume, volume.c.uuid == attachment.c.volume_id)
            .where(attachment.c.container_id.in_(container_ids), volume.c.host_id.is_not(None))
        )
        hosts: dict[str, set[str]] = {}
        for container_id, host_id in (await self._connection.execute(query)).all():
            hosts.setdefault(container_id, set()).add(host_id)
        return {container_id: frozenset(names) for container_id, names in hosts.items()}

    async def settle(self, container_id: str, host_id: str, host: str) -> None:
        """Give the volumes of a container that have no host yet the host that it was placed on."""
        for volume in await self._list_of(container_id):
            if volume.host_id is None:
                await self.update(replace(volume, host_id=host_id, host=host))

    async def _list_of(self, container_id: str) -> list[Volume]:
        attachments = await self.attachments.select({"container_id": container_id})
        return await self.select({"uuid": [attachment.volume_id for attachment in attachments]}) if attachments else []
