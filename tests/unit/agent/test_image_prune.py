"""Images that nobody has used for long go from a host, where the operator wants that."""

import pytest

from jeroboam.agent.journal import Journal
from jeroboam.agent.session import Agent
from jeroboam.domain.containers import OpKind
from jeroboam.domain.host_images import ImageStatus
from jeroboam.protocol.images import ImageWish
from tests.agent_rig import CREATE, UUID, Rig, assignment, op

DAY = 86400.0
OLD, NEW, ASKED = "r.example/old:1", "r.example/new:1", "r.example/asked:1"
OTHER = "c0ffee00-0000-4000-8000-000000000002"


class PruningRig(Rig):
    days = 3

    def make_agent(self, **parts) -> Agent:
        return Agent(**parts, image_days=self.days, heartbeat=1000 * DAY)


@pytest.fixture
async def host(tmp_path):
    made = PruningRig(tmp_path)
    yield made
    await made.kill()


def names(rig: Rig) -> set[str]:
    return set(rig.runtime.registry.local)


async def test_what_was_pulled_and_is_not_used_goes(host):
    host.runtime.registry.pull("r.example/operator:1", None, None)
    await host.start()
    await host.assign(assignment(CREATE, image=OLD))
    await host.assign(assignment(CREATE, uuid=OTHER, image="r.example/operator:1"))
    await host.send(ImageWish(uuid=OTHER, reference=ASKED, project_id="p0", status=ImageStatus.PULLING))
    await host.clock.advance(2 * DAY)
    await host.restart()
    await host.assign(assignment(CREATE, uuid="c0ffee00-0000-4000-8000-000000000003", image=NEW))
    await host.clock.advance(1.5 * DAY)
    assert names(host) == {"r.example/operator:1", ASKED, NEW}, "only what containers brought goes"


async def test_a_use_keeps_an_image(host):
    await host.start()
    await host.assign(assignment(CREATE, image=OLD))
    await host.clock.advance(2 * DAY)
    host.runtime.lose(UUID)
    await host.assign(assignment(op(2, OpKind.START), done=1, image=OLD))
    await host.clock.advance(2 * DAY)
    assert names(host) == {OLD}
    await host.clock.advance(2 * DAY)
    assert names(host) == set()


async def test_what_a_container_uses_stays(host):
    await host.start()
    await host.assign(assignment(CREATE, image=OLD))
    host.runtime.in_use.add(OLD)
    await host.clock.advance(5 * DAY)
    host.runtime.in_use.clear()
    await host.clock.advance(DAY)
    assert names(host) == {OLD}, "it was in use until a day ago"
    await host.clock.advance(3 * DAY)
    assert names(host) == set()


async def test_without_the_option_everything_stays(host):
    host.days = 0
    await host.start()
    await host.assign(assignment(CREATE, image=OLD))
    await host.clock.advance(10 * DAY)
    assert names(host) == {OLD}


def test_the_journal_forgets_what_is_gone(tmp_path, host):
    journal = Journal(tmp_path / "own.db")
    now = host.clock.now()
    journal.note_image("a", now, is_pulled=False)
    journal.note_image("b", now, is_pulled=True)
    assert journal.list_images_unused_since(now.replace(year=now.year + 1)) == ["b"]
    journal.forget_image("b")
    assert journal.list_images_unused_since(now.replace(year=now.year + 1)) == []
    journal.close()
