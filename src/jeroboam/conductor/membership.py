"""Which of several conductors does what: each takes a share of the objects, and each duty is done by one at a time.

All conductors compute the shares from the same list of live conductors (rendezvous hashing), so a hint costs the others
nothing: they do not ask the store about it. When a conductor comes or goes only its own share moves. Two of them may
disagree for a moment; then the lease on the object decides. A duty is periodic work for the whole installation, such as
the reaper; it runs under a lease by name, so that it never runs twice.
Neighbours: `loop`, which asks for the share; `store.named_leases`.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from jeroboam.conductor.loop import report
from jeroboam.conductor.share import Share
from jeroboam.domain.ports import Bus
from jeroboam.kit.clock import Clock, wait_for_event
from jeroboam.kit.tasks import Tasks
from jeroboam.store import Store, Transaction

LEASE_SECONDS = 15.0
BEAT_SECONDS = 4.0
# The leases of the others end a little later, so nothing is done twice by clocks that differ by as much.
MARGIN_SECONDS = 3.0
TOPIC = "conductor"
"""The topic of the hint that a conductor has come or gone."""
_MEMBER = "conductor/"
_DUTY = "duty/"


class Membership(Share):
    """One process among the conductors of its store."""

    def __init__(
        self,
        *,
        store: Store,
        bus: Bus,
        clock: Clock,
        member: str,
        duties: Mapping[str, Callable[[], Awaitable[None]]],
    ) -> None:
        """`member` is unique among all processes. A duty's callable runs until it is cancelled."""
        self._store = store
        self._clock = clock
        self._hints = bus.subscribe(TOPIC)
        self._member = member
        self._duties = duties
        self._members: tuple[str, ...] = ()
        self._change = asyncio.Event()
        self._beat_now = asyncio.Event()
        self._held_until = clock.monotonic()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks = Tasks(report)

    @property
    def members(self) -> tuple[str, ...]:
        """The live conductors, as of the last heartbeat."""
        return self._members

    @property
    def running_duties(self) -> list[str]:
        """The duties that this process does now."""
        return [name for name in self._duties if self._is_running(name)]

    def has(self, key: str) -> bool:
        """Whether the object is in this process's share. No conductor has one before its first heartbeat."""
        return bool(self._members) and max(self._members, key=lambda member: _weigh(member, key)) == self._member

    async def wait_for_change(self) -> None:
        await self._change.wait()

    async def run(self) -> None:
        """Take part until cancelled; then the others take over at once."""
        self._tasks.start("conductor hints", self._follow_hints(self._hints))
        self._tasks.start("conductor leases", self._stop_when_lost())
        try:
            while True:
                self._beat_now.clear()
                try:
                    await self._beat()
                except Exception as error:  # noqa: BLE001  (the next heartbeat may succeed; the failure is reported)
                    report("the heartbeat among conductors", error)
                await wait_for_event(self._clock, self._beat_now, BEAT_SECONDS)
        finally:
            await self._tasks.close()
            self._running.clear()
            await self._leave()

    async def _beat(self) -> None:
        """Renew all leases in one transaction, then start and stop duties."""
        begun = self._clock.monotonic()
        async with self._store.write() as tx:
            await tx.named_leases.remove_expired(_MEMBER)
            await tx.named_leases.claim(f"{_MEMBER}{self._member}", self._member, LEASE_SECONDS)
            members = tuple(sorted(await tx.named_leases.select(_MEMBER)))
            if self._members != members:
                tx.hint(TOPIC, self._member)
            changed, self._members = self._members != members, members
            held_duties = {name for name in self._duties if await self._claim_duty(tx, name)}
        self._held_until = begun + LEASE_SECONDS - MARGIN_SECONDS
        for name in self._duties:
            if name in held_duties:
                self._start_duty(name)
            else:
                self._stop_duty(name)
        if changed:
            self._announce_change()

    async def _claim_duty(self, tx: Transaction, name: str) -> bool:
        """Claim a duty of this process's share. One of another's is given back once it has ended here."""
        if self.has(name):
            return await tx.named_leases.claim(f"{_DUTY}{name}", self._member, LEASE_SECONDS)
        if not self._is_running(name):
            await tx.named_leases.release(f"{_DUTY}{name}", self._member)
        return False

    def _is_running(self, name: str) -> bool:
        return name in self._running and not self._running[name].done()

    def _start_duty(self, name: str) -> None:
        if not self._is_running(name):
            self._running[name] = self._tasks.start(name, self._run_duty(name))

    async def _run_duty(self, name: str) -> None:
        await self._duties[name]()

    def _stop_duty(self, name: str) -> None:
        # A second cancellation would interrupt what the first one makes it finish.
        if self._is_running(name) and not self._running[name].cancelling():
            self._running[name].cancel()

    def _announce_change(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    async def _follow_hints(self, hints: AsyncIterator[str]) -> None:
        async for member in hints:
            if member != self._member:
                self._beat_now.set()

    async def _stop_when_lost(self) -> None:
        """Stop all work of this process when its leases run out, because the store does not answer."""
        while True:
            seconds = self._held_until - self._clock.monotonic()
            if seconds <= 0:
                for name in self._duties:
                    self._stop_duty(name)
                seconds = BEAT_SECONDS
            await self._clock.sleep(seconds)

    async def _leave(self) -> None:
        try:
            async with self._store.write() as tx:
                for name in self._duties:
                    await tx.named_leases.release(f"{_DUTY}{name}", self._member)
                await tx.named_leases.release(f"{_MEMBER}{self._member}", self._member)
                tx.hint(TOPIC, self._member)
        except Exception as error:  # noqa: BLE001  (the leases run out by themselves)
            report("leaving the conductors", error)


def _weigh(member: str, key: str) -> bytes:
    return hashlib.sha256(f"{member}/{key}".encode()).digest()
