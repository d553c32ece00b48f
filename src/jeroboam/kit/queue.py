"""A work queue by key: one piece of work for each key at a time, many keys at once.

A key that is added again while it waits is one piece of work. A key that is added during its work is worked on once
more afterwards. Work that raises is retried with growing pauses. Neighbours: `attempts`; `conductor.loop`.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable

from jeroboam.kit.attempts import RetryPolicy
from jeroboam.kit.clock import Clock, wait_for_event
from jeroboam.kit.tasks import Tasks

BACKOFF = RetryPolicy(first_seconds=1.0, longest_seconds=60.0)


class KeyedQueue:
    """Calls `handle(key)`, which returns the seconds until the next look at the key; None means no next look."""

    def __init__(
        self,
        name: str,
        handle: Callable[[str], Awaitable[float | None]],
        *,
        clock: Clock,
        parallel: int,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self._name = name
        self._handle = handle
        self._clock = clock
        self._parallel = parallel
        self._on_error = on_error
        self._tasks = Tasks(on_error)
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._working: set[str] = set()
        self._failures: dict[str, int] = {}
        self._changed = asyncio.Event()

    def add(self, key: str, after: float = 0.0) -> None:
        """Schedule work on the key in `after` seconds, unless earlier work is scheduled."""
        due = self._clock.monotonic() + after
        current = self._due.get(key)
        if current is None or due < current:
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))
            self._changed.set()

    def is_working_on(self, key: str) -> bool:
        """Whether the key is being worked on at this moment."""
        return key in self._working

    def __len__(self) -> int:
        return len(self._due) + len(self._working)

    async def run(self) -> None:
        """Work until cancelled; work in progress is cancelled too."""
        try:
            while True:
                self._changed.clear()
                wait = self._start_due()
                if wait is None:
                    await self._changed.wait()
                else:
                    await wait_for_event(self._clock, self._changed, wait)
        finally:
            await self._tasks.close()

    def _start_due(self) -> float | None:
        """Start the work that is due. Return the seconds until the next key is due; None if only a change can help."""
        postponed: list[tuple[float, str]] = []
        wait: float | None = None
        while self._heap:
            due, key = self._heap[0]
            if self._due.get(key) != due:
                heapq.heappop(self._heap)
                continue
            now = self._clock.monotonic()
            if due > now:
                wait = due - now
                break
            if len(self._working) >= self._parallel:
                break
            heapq.heappop(self._heap)
            if key in self._working:
                postponed.append((due, key))
                continue
            del self._due[key]
            self._working.add(key)
            self._tasks.start(f"{self._name}:{key}", self._work(key))
        for entry in postponed:
            heapq.heappush(self._heap, entry)
        return wait

    async def _work(self, key: str) -> None:
        again: float | None = None
        try:
            again = await self._handle(key)
            self._failures.pop(key, None)
        except Exception as error:  # noqa: BLE001  (one object's bug must not stop the others; it is reported)
            self._failures[key] = failures = self._failures.get(key, 0) + 1
            again = BACKOFF.pause_after(failures)
            self._on_error(f"{self._name}:{key}", error)
        finally:
            self._working.discard(key)
            self._changed.set()
        if again is not None:
            self.add(key, again)
