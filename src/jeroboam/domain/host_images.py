"""Images that administrators pull on hosts (contract: container, section 5, images).

The wish is the row itself: `PULLING` and `DELETING` are carried out by the agent of the host, again and again until the
agent has reported the end. The row of a removed image is gone.
"""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum


class ImageStatus(StrEnum):
    """What becomes of an image on its host."""

    PULLING = "Pulling"
    AVAILABLE = "Available"
    DELETING = "Deleting"
    ERROR = "Error"


UNFINISHED = (ImageStatus.PULLING, ImageStatus.DELETING)
"""What the agent has to do something about."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostImage:
    """An image on a host."""

    uuid: str
    repo: str
    tag: str
    """A tag, or a digest with its `sha256:`."""
    host_id: str
    host: str
    project_id: str
    user_id: str
    image_id: str | None = None
    size: int | None = None
    """In bytes."""
    status: ImageStatus = ImageStatus.PULLING
    status_reason: str | None = None
    """How far the pull is, why it is not over yet, or why it failed."""
    deadline_at: dt.datetime | None = None
    """When a pull is given up."""
    created_at: dt.datetime
    updated_at: dt.datetime | None = None

    @property
    def reference(self) -> str:
        """The name that the runtime pulls."""
        return f"{self.repo}{'@' if self.tag.startswith('sha256:') else ':'}{self.tag}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalImage:
    """An image as a runtime has it."""

    image_id: str
    names: tuple[str, ...]
    """References: `REPOSITORY:TAG` and `REPOSITORY@DIGEST`."""
    size: int
    """In bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageProgress:
    """What an agent reports of the work on an image."""

    status: ImageStatus
    """`DELETING` with `is_removed`: the image is gone."""
    reason: str | None = None
    image_id: str | None = None
    size: int | None = None
    is_removed: bool = False
