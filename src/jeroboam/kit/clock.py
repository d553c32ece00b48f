"""Time as a dependency, so that tests run in virtual time. No other module reads a clock."""

import asyncio
import datetime as dt
import time
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Tells the time and lets it pass."""

    def now(self) -> dt.datetime:
        """Return the wall clock time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return the seconds since some start; they never decrease."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds of this clock."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class DeadlineExceeded(Exception):
    """The work did not end within its time."""


async def run_within(clock: Clock, seconds: float | None, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of the work. After `seconds` (None: no limit) cancel the work and raise `DeadlineExceeded`."""
    if seconds is None:
        return await work
    task = asyncio.ensure_future(work)
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise DeadlineExceeded
    finally:
        timer.cancel()
        task.cancel()
        await asyncio.gather(task, timer, return_exceptions=True)


async def wait_for_event(clock: Clock, event: asyncio.Event, seconds: float) -> None:
    """Return once the event is set, or after that many seconds."""
    timer = asyncio.ensure_future(clock.sleep(seconds))
    change = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({timer, change}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
        change.cancel()
