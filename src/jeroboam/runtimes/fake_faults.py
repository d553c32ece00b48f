"""Faults that tests inject into the fake runtime. Neighbour: `fake`."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class InjectedFault:
    """A fault of one method. `times` None: until it is removed."""

    error: Exception | None = None
    gate: asyncio.Event | None = None
    after: bool = False
    """Whether the fault comes after the effect, in place of the answer."""
    times: int | None = None
