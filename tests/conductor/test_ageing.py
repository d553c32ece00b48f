"""Time: clusters past the age of a limit, and events that are forgotten."""

import datetime as dt

import pytest

from jeroboam.conductor.periodic.ageing import ClusterAgeing
from jeroboam.domain.clusters import ClusterSpec
from jeroboam.domain.errors import Unavailable
from jeroboam.domain.limits import LimitOwner, parse_limits
from jeroboam.kit.ids import RandomIds
from jeroboam.store import EventFilter, Page
from tests import builders


class Projects:
    """Knows every project, unless it is away."""

    def __init__(self) -> None:
        self.away = False

    async def exists(self, project_id: str) -> bool:
        return True

    async def describe(self, project_id: str) -> LimitOwner | None:
        if self.away:
            raise Unavailable("The identity service does not answer.")
        return LimitOwner(project_id=project_id, project_name="demo", domain_id="d1")


@pytest.fixture
def projects():
    return Projects()


@pytest.fixture
def ageing(rig, projects):
    def make(*limits) -> ClusterAgeing:
        return ClusterAgeing(
            store=rig.store,
            projects=projects,
            limits=parse_limits({"limits": [{"name": f"l{number}"} | limit for number, limit in enumerate(limits)]}),
            clock=rig.clock,
            ids=RandomIds(),
            event_days=30,
            every_seconds=60,
            operation_minutes=7,
        )

    return make


async def told(rig, kind) -> list[str]:
    async with rig.store.read() as tx:
        return [event.message for event in await tx.events.list_page(Page(), None, EventFilter(event_types=(kind,)))]


async def pass_days(rig, days: float) -> None:
    await rig.clock.advance(dt.timedelta(days=days).total_seconds())


@pytest.fixture
async def old(rig):
    """A cluster that was made a while ago, without a limit of time of its own.

    Nobody looks at it meanwhile, for the test's sake.
    """
    made = await rig.create(spec=ClusterSpec(template=builders.template().spec, create_timeout=0))
    await rig.settled(made.uuid)
    await rig.stop()
    await pass_days(rig, 3)
    yield made
    rig.start()


async def test_a_warning_comes_once(rig, ageing, old):
    keeper = ageing({"max_age_days": 2})
    for _ in range(3):
        await keeper.look()
    assert await told(rig, "cluster.age") == ["Limit l0: the cluster is older than 2 days."]
    assert (await rig.get(old.uuid)).status == "CREATE_COMPLETE"


async def test_one_that_has_to_go_goes(rig, ageing, old):
    keeper = ageing({"max_age_days": 1}, {"max_age_days": 2, "at_max_age": "delete"})
    await keeper.look()
    await keeper.look()
    going = await rig.get(old.uuid)
    assert going.status == "DELETE_IN_PROGRESS"
    assert going.deadline_at == rig.clock.now() + dt.timedelta(minutes=7)
    assert {group.status for group in await rig.groups(old.uuid)} == {"DELETE_IN_PROGRESS"}
    assert await told(rig, "cluster.delete") == ["Limit l1: the cluster is older than 2 days. It is deleted."]
    async with rig.store.read() as tx:
        events = [note.event for note in await tx.list_outgoing(10)]
    assert events == ["magnum.cluster.create", "magnum.cluster.delete"]
    rig.start()
    assert await rig.settled(old.uuid) is None
    await rig.stop()


@pytest.mark.parametrize(
    "limit",
    [
        {"max_age_days": 4, "at_max_age": "delete"},
        {"max_age_days": 1, "at_max_age": "delete", "projects": ["other"]},
        {"max_age_days": 1, "at_max_age": "delete", "except_projects": ["demo"]},
        {"max_nodes_per_cluster": 1},
    ],
)
async def test_one_within_its_limits_stays(rig, ageing, old, limit):
    await ageing(limit).look()
    assert (await rig.get(old.uuid)).status == "CREATE_COMPLETE"
    assert await told(rig, "cluster.age") == []


async def test_nothing_is_deleted_while_nobody_can_say_whose_it_is(rig, ageing, old, projects):
    keeper = ageing({"max_age_days": 1, "at_max_age": "delete", "projects": ["demo"]})
    projects.away = True
    await keeper.look()
    assert (await rig.get(old.uuid)).status == "CREATE_COMPLETE"
    projects.away = False
    await keeper.look()
    assert (await rig.get(old.uuid)).status == "DELETE_IN_PROGRESS"


async def test_old_events_are_forgotten(rig, ageing, old):
    assert await told(rig, "cluster.status")
    await pass_days(rig, 26)
    await ageing().look()
    assert await told(rig, "cluster.status")
    await pass_days(rig, 2)
    await ageing().look()
    assert await told(rig, "cluster.status") == []
