"""Volumes: data that outlives containers, or goes with one (contract: container, section 2, `mounts`).

Field names and statuses are those of the published Block Storage API. A volume of the `local` storage gets its host
with the first container that mounts it, and stays there. A volume that is to be deleted is removed by the agent of its
host, again and again until the agent has reported the end.
"""

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum

from jeroboam.domain.errors import Conflict, Invalid

MOST_GIB = 1 << 20


class VolumeStatus(StrEnum):
    """What can be done with a volume."""

    AVAILABLE = "available"
    IN_USE = "in-use"
    DELETING = "deleting"


@dataclass(frozen=True, kw_only=True, slots=True)
class Volume:
    """A volume."""

    uuid: str
    name: str | None = None
    description: str | None = None
    project_id: str
    user_id: str
    size: int
    """GiB."""
    multiattach: bool = False
    """Whether several containers may mount it at once."""
    metadata: dict[str, str] = field(default_factory=dict)
    is_temporary: bool = False
    """It was made with a container, and goes with it."""
    host_id: str | None = None
    host: str | None = None
    status: VolumeStatus = VolumeStatus.AVAILABLE
    status_reason: str | None = None
    """Why it is not removed yet."""
    created_at: dt.datetime
    updated_at: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class VolumeAttachment:
    """A volume in a container."""

    uuid: str
    volume_id: str
    container_id: str
    destination: str
    """The path in the container."""
    created_at: dt.datetime


class VolumeInUse(Invalid):
    """The volume is mounted by another container, and may be by one only."""

    code = "volume-in-use"


def check_attachable(volume: Volume) -> None:
    """Raise unless another container may mount the volume now."""
    if volume.status is VolumeStatus.DELETING:
        raise VolumeInUse(f"Volume {volume.uuid} is being deleted.", field="mounts")
    if volume.status is VolumeStatus.IN_USE and not volume.multiattach:
        text = f"Volume {volume.uuid} is in use by another container, and is not one that several may mount."
        raise VolumeInUse(text, field="mounts")


def check_deletable(volume: Volume, attachments: int) -> None:
    """Raise unless the volume may be deleted now."""
    if attachments:
        raise Conflict(f"Volume {volume.uuid} is in use by {attachments} container{'s' if attachments > 1 else ''}.")
