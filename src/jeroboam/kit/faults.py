"""Misfortune on order, for fakes: methods that are slow, fail so many times, or wait for leave to go on.

Neighbours: the fakes of the driver families, and the tests that order. Knows methods by name only.
"""

import asyncio
from dataclasses import dataclass

from jeroboam.kit.clock import Clock


@dataclass(slots=True)
class _Failure:
    error: Exception
    times: int | None


class Faults:
    """What is to go wrong; a fake calls `meet` at each stage."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: dict[str, _Failure] = {}
        self._delays: dict[str, float] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self.met: dict[str, asyncio.Event] = {}
        """Set when a stage was reached for the first time, so that a test can wait for it."""

    def fail(self, stage: str, error: Exception, *, times: int | None = None) -> None:
        """Raise that error at the stage, so many times; None is until `mend`."""
        self._failures[stage] = _Failure(error, times)

    def slow(self, stage: str, seconds: float) -> None:
        """Let the stage take that long on the clock."""
        self._delays[stage] = seconds

    def hold(self, stage: str) -> None:
        """Let nothing pass the stage until `mend`."""
        self._gates[stage] = asyncio.Event()

    def mend(self, stage: str) -> None:
        """All is well again at the stage."""
        self._failures.pop(stage, None)
        self._delays.pop(stage, None)
        if (gate := self._gates.pop(stage, None)) is not None:
            gate.set()

    def event_for(self, stage: str) -> asyncio.Event:
        """An event that is set once the stage was met."""
        return self.met.setdefault(stage, asyncio.Event())

    async def meet(self, stage: str) -> None:
        """Go through what was ordered for the stage."""
        self.event_for(stage).set()
        if (gate := self._gates.get(stage)) is not None:
            await gate.wait()
        if seconds := self._delays.get(stage, 0.0):
            await self._clock.sleep(seconds)
        failure = self._failures.get(stage)
        if failure is None:
            return
        if failure.times is not None:
            failure.times -= 1
            if failure.times <= 0:
                del self._failures[stage]
        raise failure.error
