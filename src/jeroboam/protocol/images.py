"""The messages about images of hosts."""

import datetime as dt

from jeroboam.domain.host_images import ImageProgress, ImageStatus
from jeroboam.protocol.message import Message


class ImageWish(Message, frozen=True, kw_only=True, tag="image-wish"):
    """An image that the agent has to pull or to remove. It is sent again until the agent has reported the end."""

    uuid: str
    reference: str
    project_id: str
    status: ImageStatus
    """`PULLING` or `DELETING`."""
    deadline_at: dt.datetime | None = None


class ImageReport(Message, frozen=True, kw_only=True, tag="image-report"):
    """How far the work on an image is, or its end."""

    uuid: str
    progress: ImageProgress
