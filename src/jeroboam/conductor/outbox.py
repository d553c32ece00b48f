"""Takes notifications out of the outbox and hands them on, at least once and in order."""

from collections.abc import Awaitable, Callable

import structlog

from jeroboam.conductor.loop import retrying
from jeroboam.domain.ports import Bus
from jeroboam.kit.clock import Clock
from jeroboam.store import Notification, Store

BATCH = 100
log = structlog.get_logger("jeroboam.notification")

Publish = Callable[[Notification], Awaitable[None]]


class Relay:
    """Empties the outbox whenever something is put in, and once at the start."""

    def __init__(self, *, store: Store, bus: Bus, clock: Clock, publish: Publish) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._publish = publish

    async def run(self) -> None:
        """Relay until cancelled."""
        hints = self._bus.subscribe("outbox")
        await retrying(self.empty, clock=self._clock, what="outbox")
        async for _ in hints:
            await retrying(self.empty, clock=self._clock, what="outbox")

    async def empty(self) -> None:
        """Hand on all that is there now."""
        while True:
            async with self._store.read() as tx:
                batch = await tx.outgoing(BATCH)
            if not batch:
                return
            for notification in batch:
                await self._publish(notification)
            async with self._store.write() as tx:
                await tx.sent(batch)


async def to_log(notification: Notification) -> None:
    """Where notifications go while no broker is configured."""
    log.info(notification.event, key=notification.key, payload=notification.payload)
