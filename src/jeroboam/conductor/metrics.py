"""The metrics of the loops: how much waits, how long passes take and how they end, which notifications were sent.

Bootstrap gives the same registry to the API, whose `/metrics` shows it.
"""

import asyncio
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from jeroboam.domain.notifications import Message
from jeroboam.kit.clock import Clock

# A look at a healthy object takes milliseconds, the creation of a cluster minutes.
_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600)


class LoopMetrics:
    """Counts for every loop of one process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self._depth = Gauge(
            "jeroboam_loop_queue_depth", "Objects that wait or are being worked on", ("loop",), registry=registry
        )
        self._passes = Histogram(
            "jeroboam_reconcile_seconds",
            "One pass over one object: idle, it needs nothing more; again, it is looked at later; cancelled; raised",
            ("loop", "outcome"),
            registry=registry,
            buckets=_SECONDS,
        )
        self._sent = Counter(
            "jeroboam_notifications", "Notifications handed on", ("event_type", "outcome"), registry=registry
        )

    def watch(self, loop: str, depth: Callable[[], int]) -> None:
        """Show how much waits in that loop."""
        self._depth.labels(loop).set_function(depth)

    def count_passes(
        self, loop: str, work: Callable[[str], Awaitable[float | None]], clock: Clock
    ) -> Callable[[str], Awaitable[float | None]]:
        """Return the same work, with its passes counted."""

        async def run(uuid: str) -> float | None:
            started_at, outcome = clock.monotonic(), "raised"
            try:
                again = await work(uuid)
                outcome = "idle" if again is None else "again"
            except asyncio.CancelledError:
                outcome = "cancelled"
                raise
            else:
                return again
            finally:
                self._passes.labels(loop, outcome).observe(clock.monotonic() - started_at)

        return run

    def mark_sent(self, message: Message) -> None:
        """Count a notification that was sent."""
        payload = message.payload
        outcome = payload.get("outcome", "") if isinstance(payload, dict) else ""
        self._sent.labels(message.event_type, str(outcome)).inc()
