"""The contract of the secrets family: sealing secrets at rest.

The port is `domain.ports.Sealer`, since the conductor and the API need it and may not import this family. This module
gives it the name that drivers implement, and the error that they share.
"""

from jeroboam.domain.ports import Sealer

__all__ = ["KeyFileError", "Sealer"]


class KeyFileError(Exception):
    """The keys cannot be used: unreadable, malformed, or readable by other users. The text shows no key."""
