"""Identifiers and generated names. Injected, so that tests can foretell them."""

import secrets
import uuid
from typing import Protocol

GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu "
    "nu xi omicron pi rho sigma tau upsilon phi chi psi omega"
).split()


class Ids(Protocol):
    """Where new identifiers come from."""

    def uuid(self) -> str:
        """A new UUID in its usual 36 characters."""
        ...

    def name(self, suffix: str) -> str:
        """A name for what its user left unnamed: `<greek letter>-<1..24>-<suffix>`, as both peers make it."""
        ...


class RandomIds:
    """Identifiers from the system's random source."""

    def uuid(self) -> str:
        return str(uuid.uuid4())

    def name(self, suffix: str) -> str:
        return f"{secrets.choice(GREEK)}-{secrets.randbelow(24) + 1}-{suffix}"


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID, with or without hyphens (as both peers decide between id and name)."""
    try:
        return str(uuid.UUID(text)).replace("-", "") == text.lower().replace("-", "")
    except ValueError:
        return False
