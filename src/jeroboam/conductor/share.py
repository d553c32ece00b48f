"""The share of the objects that one process works on.

Neighbours: `loop`, which asks; `membership`, which computes it.
"""

import asyncio
from typing import Protocol


class Share(Protocol):
    """The objects that this process works on."""

    def has(self, key: str) -> bool:
        """Whether that object belongs to the share."""
        ...

    async def wait_for_change(self) -> None:
        """Return once the share is not what it was at the call."""
        ...


class WholeShare(Share):
    """The share of a process that is alone."""

    def has(self, key: str) -> bool:
        del key
        return True

    async def wait_for_change(self) -> None:
        await asyncio.Event().wait()
