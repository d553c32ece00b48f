"""Images that the server wishes on a host, or away from it."""

import datetime as dt

from jeroboam.domain.errors import Temporary
from jeroboam.domain.host_images import ImageProgress, ImageStatus
from jeroboam.protocol.images import ImageWish
from jeroboam.runtimes.fake import InjectedFault
from tests.agent_rig import Rig

UUID = "1a6e0000-0000-4000-8000-000000000001"
APP = "r.example:5000/team/app:1"


def wish(status=ImageStatus.PULLING, deadline=None) -> ImageWish:
    return ImageWish(uuid=UUID, reference=APP, project_id="p0", status=status, deadline_at=deadline)


def last(rig: Rig) -> ImageProgress:
    return rig.images[-1].progress


async def test_a_pull_ends_with_the_image(rig: Rig):
    await rig.start()
    await rig.send(wish())
    image = rig.runtime.registry.local[APP]
    assert last(rig) == ImageProgress(status=ImageStatus.AVAILABLE, image_id=image.image_id, size=image.size)


async def test_a_pull_tells_how_far_it_is(rig: Rig):
    await rig.start()
    gate = rig.hold("pull", after=True)
    await rig.send(wish())
    # The same wish again changes nothing.
    await rig.send(wish())
    await rig.clock.advance(60)
    assert [report.progress.reason for report in rig.images] == ["1 of 1 MiB are here"]
    gate.set()
    await rig.clock.advance(1)
    assert last(rig).status is ImageStatus.AVAILABLE
    assert rig.count("pull") == 1


async def test_a_refusal_is_told_at_once(rig: Rig):
    await rig.start()
    rig.runtime.registry.published = set()
    await rig.send(wish())
    assert (last(rig).status, last(rig).reason) == (ImageStatus.ERROR, f"image {APP}: not found")


async def test_a_registry_that_is_away_costs_less_than_half_a_minute(rig: Rig):
    await rig.start()
    rig.runtime.registry.is_away = True
    await rig.send(wish())
    assert last(rig).status is ImageStatus.PULLING
    await rig.clock.advance(30)
    assert (last(rig).status, last(rig).reason) == (
        ImageStatus.ERROR,
        f"pulling image {APP}: its registry does not answer",
    )


async def test_a_pull_ends_at_its_deadline(rig: Rig):
    await rig.start()
    rig.runtime.misbehave("pull", InjectedFault(error=Temporary("the Engine does not answer")))
    await rig.send(wish(deadline=rig.clock.now() + dt.timedelta(seconds=120)))
    await rig.clock.advance(119)
    assert (last(rig).status, last(rig).reason) == (ImageStatus.PULLING, "the Engine does not answer")
    await rig.clock.advance(2)
    assert (last(rig).status, last(rig).reason) == (ImageStatus.ERROR, "the pull was not done by its deadline")
    reports = len(rig.images)
    await rig.clock.advance(600)
    assert len(rig.images) == reports, "nothing goes on"


async def test_a_bug_ends_the_pull_and_not_the_agent(rig: Rig):
    await rig.start()
    rig.runtime.misbehave("pull", InjectedFault(error=ValueError("a bug"), times=1))
    await rig.send(wish())
    assert last(rig).reason == "the agent had an internal error; its log has the details"
    await rig.send(wish())
    assert last(rig).status is ImageStatus.AVAILABLE


async def test_a_delete_interrupts_the_pull(rig: Rig):
    await rig.start()
    rig.hold("pull")
    await rig.send(wish())
    await rig.send(wish(ImageStatus.DELETING))
    assert last(rig) == ImageProgress(status=ImageStatus.DELETING, is_removed=True)
    assert APP not in rig.runtime.registry.local


async def test_an_image_that_is_used_stays(rig: Rig):
    await rig.start()
    await rig.send(wish())
    rig.runtime.in_use.add(APP)
    await rig.send(wish(ImageStatus.DELETING))
    assert (last(rig).status, last(rig).is_removed) == (ImageStatus.ERROR, False)
    assert last(rig).reason == f"removing image {APP}: a container uses it"
    rig.runtime.in_use.clear()
    await rig.send(wish(ImageStatus.DELETING))
    assert last(rig).is_removed


async def test_a_wish_survives_the_agent(rig: Rig):
    await rig.start()
    rig.hold("pull")
    await rig.send(wish())
    await rig.restart()
    rig.runtime.behave("pull")
    # The server sends what is not done to each new session.
    await rig.send(wish())
    assert last(rig).status is ImageStatus.AVAILABLE
