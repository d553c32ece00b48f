"""Takes notifications out of the outbox, puts each into its envelope and publishes it, at least once and in order.

The port `Publish` says where they go: today to the log, in a larger installation to a broker.
"""

import dataclasses
from collections.abc import Awaitable, Callable

import structlog

from jeroboam.conductor.loop import retry
from jeroboam.conductor.metrics import LoopMetrics
from jeroboam.domain.notifications import Message, build_message
from jeroboam.domain.ports import Bus
from jeroboam.kit.clock import Clock
from jeroboam.store import Store

BATCH = 100
log = structlog.get_logger("jeroboam.notification")

Publish = Callable[[Message], Awaitable[None]]


class OutboxRelay:
    """Empties the outbox at the start, and whenever something is put in."""

    def __init__(
        self,
        *,
        store: Store,
        bus: Bus,
        clock: Clock,
        publish: Publish,
        publisher_id: str,
        meter: LoopMetrics | None = None,
    ) -> None:
        """`publisher_id` is `<service>.<host>`, as every OpenStack service names itself on the bus."""
        self._store = store
        self._bus = bus
        self._clock = clock
        self._publish = publish
        self._publisher_id = publisher_id
        self._meter = meter or LoopMetrics()

    async def run(self) -> None:
        """Relay until cancelled."""
        hints = self._bus.subscribe("outbox")
        await retry(self.empty, clock=self._clock, subject="outbox")
        async for _ in hints:
            await retry(self.empty, clock=self._clock, subject="outbox")

    async def empty(self) -> None:
        """Publish all notifications of the outbox."""
        while True:
            async with self._store.read() as tx:
                batch = await tx.list_outgoing(BATCH)
            if not batch:
                return
            for note in batch:
                message = build_message(
                    note.event, note.payload, number=note.id, at=note.at, publisher_id=self._publisher_id
                )
                await self._publish(message)
                self._meter.mark_sent(message)
            async with self._store.write() as tx:
                await tx.mark_sent(batch)


async def log_notification(message: Message) -> None:
    """Log the notification; used while no broker is configured."""
    fields = dataclasses.asdict(message)
    log.info(fields.pop("event_type"), **fields)
