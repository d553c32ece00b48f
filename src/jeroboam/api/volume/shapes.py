"""Volumes as the published Block Storage API shows them."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, TypedDict

from jeroboam.api.shapes import Link
from jeroboam.domain.volumes import Volume, VolumeAttachment

DEFAULT_TYPE, SHARED_TYPE = "local", "shared"
TYPE_IDS = {
    DEFAULT_TYPE: "5b1f4b1e-8f1b-4c43-9f0a-6a6c6f63616c",
    SHARED_TYPE: "5b1f4b1e-8f1b-4c43-9f0a-736861726564",
}
"""There are two types: of a volume that one container mounts at a time, and of one that several may mount."""


class AttachmentShape(TypedDict):
    """A volume in a container, which the API calls a server."""

    id: str
    attachment_id: str
    volume_id: str
    server_id: str
    host_name: str | None
    device: str
    attached_at: str


class VolumeAnswer(TypedDict):
    """One volume."""

    volume: dict[str, Any]


class VolumeList(TypedDict):
    """A page of volumes; `volumes_links` leads to the next one."""

    volumes: list[dict[str, Any]]


def show_volume(
    volume: Volume, attachments: Sequence[VolumeAttachment], base: str, *, shows_host: bool
) -> dict[str, Any]:
    """A volume with all its fields."""
    shown = show_brief(volume, base) | {
        "status": volume.status,
        "size": volume.size,
        "description": volume.description,
        "volume_type": SHARED_TYPE if volume.multiattach else DEFAULT_TYPE,
        "multiattach": volume.multiattach,
        "metadata": volume.metadata,
        "attachments": [_show_attachment(attachment, volume) for attachment in attachments],
        "availability_zone": "nova",
        "bootable": "false",
        "encrypted": False,
        "snapshot_id": None,
        "source_volid": None,
        "consistencygroup_id": None,
        "migration_status": None,
        "replication_status": None,
        "user_id": volume.user_id,
        "created_at": format_time(volume.created_at),
        "updated_at": format_time(volume.updated_at) if volume.updated_at else None,
        "os-vol-tenant-attr:tenant_id": volume.project_id,
    }
    return shown | {"os-vol-host-attr:host": volume.host} if shows_host else shown


def show_brief(volume: Volume, base: str) -> dict[str, Any]:
    """A volume as short lists show it."""
    path = f"{volume.project_id}/volumes/{volume.uuid}"
    links: list[Link] = [
        {"rel": "self", "href": f"{base}/v3/{path}"},
        {"rel": "bookmark", "href": f"{base}/{path}"},
    ]
    return {"id": volume.uuid, "name": volume.name or "", "links": links}


def show_type(name: str) -> dict[str, Any]:
    """A type of volumes."""
    return {
        "id": TYPE_IDS[name],
        "name": name,
        "is_public": True,
        "description": "mounted by one container at a time"
        if name == DEFAULT_TYPE
        else "mounted by several containers",
        "extra_specs": {} if name == DEFAULT_TYPE else {"multiattach": "<is> True"},
        "os-volume-type-access:is_public": True,
        "qos_specs_id": None,
    }


def _show_attachment(attachment: VolumeAttachment, volume: Volume) -> AttachmentShape:
    return {
        "id": volume.uuid,
        "attachment_id": attachment.uuid,
        "volume_id": volume.uuid,
        "server_id": attachment.container_id,
        "host_name": volume.host,
        "device": attachment.destination,
        "attached_at": format_time(attachment.created_at),
    }


def format_time(moment: dt.datetime) -> str:
    """`2026-11-21T21:32:11.000000`."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
