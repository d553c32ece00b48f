"""Misfortune comes as it was ordered."""

import asyncio

import pytest

from jeroboam.domain.errors import Temporary
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.faults import Faults


@pytest.fixture
def faults():
    return Faults(SystemClock())


async def test_a_stage_fails_so_many_times(faults):
    faults.fail("boot", Temporary("no"), times=2)
    for _ in range(2):
        with pytest.raises(Temporary):
            await faults.meet("boot")
    await faults.meet("boot")


async def test_a_stage_fails_until_it_is_mended(faults):
    faults.fail("boot", Temporary("no"))
    for _ in range(3):
        with pytest.raises(Temporary):
            await faults.meet("boot")
    await faults.meet("other")
    faults.mend("boot")
    await faults.meet("boot")


async def test_a_held_stage_waits_for_leave(faults):
    faults.hold("boot")
    waiting = asyncio.ensure_future(faults.meet("boot"))
    async with asyncio.timeout(5):
        await faults.event_for("boot").wait()
        assert not waiting.done()
        faults.mend("boot")
        await waiting


async def test_a_slow_stage_takes_its_time(faults):
    faults.slow("boot", 0.02)
    before = SystemClock().monotonic()
    await faults.meet("boot")
    assert SystemClock().monotonic() - before >= 0.02
