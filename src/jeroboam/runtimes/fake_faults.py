"""Faults that tests inject into the fake runtime. Neighbour: `fake`."""

import asyncio
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True, slots=True)
class InjectedFault:
    """A fault of one method. `times` None: until it is removed."""

    error: Exception | None = None
    gate: asyncio.Event | None = None
    after: bool = False
    """Whether the fault comes after the effect, in place of the answer."""
    times: int | None = None


class FaultInjection:
    """The faults of a fake, by method."""

    def __init__(self) -> None:
        self._faults: dict[str, InjectedFault] = {}

    def misbehave(self, method: str, fault: InjectedFault) -> None:
        """Inject this fault into all further calls of that method."""
        self._faults[method] = fault

    def behave(self, method: str) -> None:
        """Remove the fault."""
        self._faults.pop(method, None)

    async def strike(self, method: str, *, after: bool) -> None:
        """Let the method meet its fault, if it has one there."""
        fault = self._faults.get(method)
        if fault is None or fault.after != after:
            return
        if fault.times is not None:
            self._faults[method] = replace(fault, times=fault.times - 1)
            if fault.times == 0:
                self.behave(method)
                return
        if fault.gate is not None:
            await fault.gate.wait()
        if fault.error is not None:
            raise fault.error
