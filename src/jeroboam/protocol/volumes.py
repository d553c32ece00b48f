"""The messages about volumes."""

from jeroboam.protocol.message import Message


class VolumeWish(Message, frozen=True, kw_only=True, tag="volume-wish"):
    """A volume that the agent has to remove. It is sent again until the agent has reported the end."""

    uuid: str


class VolumeReport(Message, frozen=True, kw_only=True, tag="volume-report"):
    """The volume is gone; or, with an error, why it is not gone yet."""

    uuid: str
    error: str | None = None
