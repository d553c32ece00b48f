"""Faults for fakes: methods that are slow, fail a number of times, or wait until a test lets them go on.

Neighbours: the fakes of the driver families, and the tests that set faults. Methods are known by name only.
"""

import asyncio
from dataclasses import dataclass

from jeroboam.kit.clock import Clock


@dataclass(slots=True)
class _Failure:
    error: Exception
    times: int | None


class Faults:
    """The faults of a fake, which calls `meet` at each stage."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: dict[str, _Failure] = {}
        self._delays: dict[str, float] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self.met: dict[str, asyncio.Event] = {}
        """An event for each stage, set when the stage is first reached. Tests wait for the events."""

    def fail(self, stage: str, error: Exception, *, times: int | None = None) -> None:
        """Raise that error at the stage `times` times; None means until `mend`."""
        self._failures[stage] = _Failure(error, times)

    def slow(self, stage: str, seconds: float) -> None:
        """Let the stage take that long on the clock."""
        self._delays[stage] = seconds

    def hold(self, stage: str) -> None:
        """Let nothing pass the stage until `mend`."""
        self._gates[stage] = asyncio.Event()

    def mend(self, stage: str) -> None:
        """Remove all faults of the stage."""
        self._failures.pop(stage, None)
        self._delays.pop(stage, None)
        if (gate := self._gates.pop(stage, None)) is not None:
            gate.set()

    def event_for(self, stage: str) -> asyncio.Event:
        """Return the event that is set once the stage is reached."""
        return self.met.setdefault(stage, asyncio.Event())

    async def meet(self, stage: str) -> None:
        """Apply the faults of the stage."""
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
