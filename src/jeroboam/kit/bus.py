"""A bus within one process: each published key reaches every subscriber that exists at that moment."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator


class _Subscription:
    """One subscriber's queue. A key that waits already is not queued twice."""

    def __init__(self) -> None:
        self._waiting: dict[str, None] = {}
        self._filled = asyncio.Event()

    def put(self, key: str) -> None:
        self._waiting[key] = None
        self._filled.set()

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        key = next(iter(self._waiting))
        del self._waiting[key]
        return key


class MemoryBus:
    """Implements the port `Bus`. Subscriptions last as long as the bus."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, list[_Subscription]] = defaultdict(list)

    def publish(self, topic: str, key: str) -> None:
        """Send the key to every subscriber of the topic."""
        for subscription in self._subscriptions[topic]:
            subscription.put(key)

    def subscribe(self, topic: str) -> AsyncIterator[str]:
        """Return an iterator of the keys that are published from now on. A waiting key is delivered once."""
        subscription = _Subscription()
        self._subscriptions[topic].append(subscription)
        return subscription
