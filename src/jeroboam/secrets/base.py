"""The contract of the secrets family: who keeps secrets unreadable at rest.

The port itself is `domain.ports.Sealer`, since the conductor and the API need it and may not import this family;
here it gets the name that drivers implement, and the error that they share.
"""

from jeroboam.domain.ports import Sealer

__all__ = ["KeyFileError", "Sealer"]


class KeyFileError(Exception):
    """Keys cannot be used: unreadable, malformed, or open to other users. The text shows no key."""
