"""A bus within one process: what is published reaches every subscriber that listens at that moment."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator


class _Subscription:
    """One subscriber's queue. Keys that wait already are not queued twice."""

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
    """Implements the port `Bus`. A subscriber that is forgotten by its reader is forgotten here when it is closed."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, list[_Subscription]] = defaultdict(list)

    def publish(self, topic: str, key: str) -> None:
        """Tell every subscriber of the topic."""
        for subscription in self._subscriptions[topic]:
            subscription.put(key)

    def subscribe(self, topic: str) -> AsyncIterator[str]:
        """Keys as they are published, from now on, each once however often it was said while it waited."""
        subscription = _Subscription()
        self._subscriptions[topic].append(subscription)
        return subscription
