"""Identifiers and generated names. They are injected, so that tests can predict them."""

import secrets
import uuid
from typing import Protocol

GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu "
    "nu xi omicron pi rho sigma tau upsilon phi chi psi omega"
).split()


class Ids(Protocol):
    """The source of new identifiers."""

    def uuid(self) -> str:
        """Return a new UUID in its usual 36 characters."""
        ...

    def name(self, suffix: str) -> str:
        """Return a name for an unnamed object: `<greek letter>-<1..24>-<suffix>`, as in both peers."""
        ...


class RandomIds:
    """Identifiers from the system's random source."""

    def uuid(self) -> str:
        return str(uuid.uuid4())

    def name(self, suffix: str) -> str:
        return f"{secrets.choice(GREEK)}-{secrets.randbelow(24) + 1}-{suffix}"


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID, with or without hyphens (as both peers distinguish id and name)."""
    try:
        return str(uuid.UUID(text)).replace("-", "") == text.lower().replace("-", "")
    except ValueError:
        return False
