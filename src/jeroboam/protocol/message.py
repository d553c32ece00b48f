"""The base of all messages."""

from msgspec import Struct


class Message(Struct, frozen=True, kw_only=True, tag_field="type"):
    """The base of all messages and their parts: frozen, with a tag for unions."""
