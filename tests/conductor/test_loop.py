"""A loop outlives whatever goes wrong in it."""

import asyncio

from jeroboam.conductor.loop import Loop
from jeroboam.conductor.periodic.reaper import Reaper
from jeroboam.kit.bus import MemoryBus
from tests.clock import ManualClock, settle


class Stumbling:
    """A reconciler whose look at a hint fails once."""

    topic = "thing"

    def __init__(self) -> None:
        self.worked: list[str] = []
        self.stumbles = 1

    async def list_uuids(self):
        return []

    async def on_hint(self, uuid: str) -> None:
        if self.stumbles:
            self.stumbles -= 1
            raise RuntimeError("the database went away")

    async def work(self, uuid: str) -> None:
        self.worked.append(uuid)


async def test_a_hint_that_cannot_be_looked_into_does_not_end_the_hints():
    bus, reconciler = MemoryBus(), Stumbling()
    loop = Loop(reconciler, bus=bus, clock=ManualClock(), parallel=1, resync_seconds=3600)
    running = asyncio.ensure_future(loop.run())
    await settle()
    for uuid in "ab":
        bus.publish("thing", uuid)
        await settle()
    assert reconciler.worked == ["a", "b"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_bug_in_one_look_does_not_end_the_reaper(rig):
    reaper = Reaper(store=rig.store, providers={"fake": rig.provider}, clock=rig.clock, every_seconds=60)
    rig.provider.faults.fail("owned", RuntimeError("a bug"), times=1)
    running = asyncio.ensure_future(reaper.run())
    await rig.clock.advance(1)
    assert not running.done()
    rig.provider.faults.met.pop("owned")
    again = rig.provider.faults.event_for("owned")
    async with asyncio.timeout(5):
        while not again.is_set():
            await rig.clock.advance(10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
