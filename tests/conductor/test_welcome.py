"""A COE that can do something for nodes that are up does it while others are still being made."""

import asyncio

import pytest

from jeroboam.coes.fake.coe import FakeCoe
from jeroboam.domain.errors import Temporary


class Hospitable(FakeCoe):
    """A COE that remembers what came first."""

    def __init__(self, **parts) -> None:
        super().__init__(**parts)
        self.told: list[str] = []
        self.fault: Exception | None = None

    async def admit_joining_nodes(self, plan) -> None:
        self.told.append("welcome")
        if self.fault is not None:
            raise self.fault
        try:
            await asyncio.Event().wait()
        finally:
            self.told.append("over")

    async def join(self, plan, progress):
        self.told.append("join")
        return await super().join(plan)


@pytest.fixture
async def hospitable(rig):
    await rig.stop()
    rig.coes = Hospitable
    rig.start()
    return rig


async def test_it_is_over_when_all_nodes_are_there(hospitable):
    cluster = await hospitable.create(workers=3)
    assert (await hospitable.settled(cluster.uuid)).status == "CREATE_COMPLETE"
    assert hospitable.coe.told[:3] == ["welcome", "over", "join"]
    assert hospitable.coe.told.count("welcome") == 1


async def test_what_goes_wrong_with_it_is_for_joining_to_say(hospitable):
    hospitable.coe.fault = Temporary("the API does not answer")
    cluster = await hospitable.create(workers=3)
    assert (await hospitable.settled(cluster.uuid)).status == "CREATE_COMPLETE"
    assert hospitable.coe.told[:2] == ["welcome", "join"]
