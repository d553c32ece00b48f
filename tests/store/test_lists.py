"""Lists that are narrowed and counted, events, and the census: the same answers on both engines."""

import datetime as dt
from dataclasses import replace

import pytest

from jeroboam.domain.clusters import Health, ReportedHealth
from jeroboam.domain.errors import Invalid, NotFound
from jeroboam.domain.events import Event
from jeroboam.domain.quotas import Quota
from jeroboam.store import ClusterFilter, EventFilter, Page, TemplateFilter, tables
from jeroboam.store.rows import RowKind
from jeroboam.store.selectors import CertificateSelector
from tests import builders


def labelled(thing, **labels):
    return replace(thing, spec=replace(thing.spec, labels=labels))


@pytest.fixture
async def five(store):
    """Five clusters of two templates; the last is somebody else's."""
    swarm, mesos = builders.template(name="swarm"), builders.template(name="mesos")
    mesos = replace(mesos, spec=replace(mesos.spec, coe="mesos"))
    odd = {"a.b/c": "1", "with space": "x", "quote'": "y", "komma,{}": "w"}
    made = [
        labelled(builders.cluster(swarm, name="one"), team="a", tier="gold"),
        labelled(builders.cluster(swarm, name="two", status="CREATE_COMPLETE"), team="b"),
        labelled(builders.cluster(mesos, name="three", status="UPDATE_FAILED"), team="a", **odd),
        builders.cluster(mesos, name="one", status="CREATE_COMPLETE"),
        labelled(builders.cluster(swarm, name="five", project_id="p2", user_id="u2"), team="a"),
    ]
    made[1] = replace(made[1], observed=replace(made[1].observed, health_status=Health.UNHEALTHY))
    # A current report is what users see; the look of the other cluster is newer than its report.
    observed = replace(made[3].observed, health_status=Health.UNKNOWN, health_changes=2)
    report = ReportedHealth(health_status=Health.HEALTHY, health_changes=2, reported_at=builders.NOW)
    made[3] = replace(made[3], observed=observed, reported_health=report)
    made[1] = replace(made[1], reported_health=report)
    async with store.write() as tx:
        for template in (swarm, mesos):
            await tx.templates.insert(template)
        for cluster in made:
            await tx.clusters.insert(cluster)
            for group in builders.groups(cluster, 1, 2):
                await tx.nodegroups.insert(group)
    return swarm, mesos, made


CLUSTERS = [
    ({}, [0, 1, 2, 3]),
    ({"name": "one"}, [0, 3]),
    ({"name": "One"}, []),
    ({"statuses": ("CREATE_COMPLETE",)}, [1, 3]),
    ({"statuses": ("CREATE_COMPLETE", "UPDATE_FAILED")}, [1, 2, 3]),
    ({"coes": ("mesos",)}, [2, 3]),
    ({"coes": ("mesos", "fake")}, [0, 1, 2, 3]),
    ({"healths": ("UNHEALTHY",)}, [1]),
    ({"healths": ("UNHEALTHY", "HEALTHY")}, [1, 3]),
    ({"healths": ("UNKNOWN",)}, []),
    ({"template": "swarm"}, [0, 1]),
    ({"template": "nothing"}, []),
    ({"labels": (("team", "a"),)}, [0, 2]),
    ({"labels": (("team", None),)}, [0, 1, 2]),
    ({"labels": (("team", "a"), ("tier", "gold"))}, [0]),
    ({"labels": (("team", "a"), ("tier", None)), "name": "two"}, []),
    ({"labels": (("a.b/c", "1"), ("with space", "x"), ("quote'", "y"))}, [2]),
    ({"labels": (("komma,{}", "w"),)}, [2]),
    ({"labels": (("0", None),)}, []),
    ({"labels": (("' OR 1=1 --", None),)}, []),
]


@pytest.mark.parametrize(("wanted", "found"), CLUSTERS)
async def test_clusters_are_narrowed_and_counted(store, five, wanted, found):
    _, _, made = five
    wanted = ClusterFilter(**wanted)
    async with store.read() as tx:
        listed = await tx.clusters.list_page(Page(), "p1", wanted)
        assert [cluster.uuid for cluster in listed] == [made[number].uuid for number in found]
        assert await tx.clusters.total("p1", wanted) == len(found)


async def test_clusters_are_sorted_by_the_health_that_they_show(store, five):
    async with store.read() as tx:
        clusters = await tx.clusters.list_page(Page(sort_key="health_status", limit=2), "p1")
        briefs = await tx.clusters.list_briefs(Page(sort_key="health_status", limit=2), "p1")
    assert [cluster.health.health_status for cluster in clusters] == [Health.HEALTHY, Health.UNHEALTHY]
    assert [brief.health.health_status for brief in briefs] == [Health.HEALTHY, Health.UNHEALTHY]


async def test_a_template_may_be_meant_by_its_uuid_and_all_projects_by_none(store, five):
    swarm, _, made = five
    async with store.read() as tx:
        everybody = await tx.clusters.list_page(Page(), None, ClusterFilter(template=swarm.uuid))
    assert [cluster.uuid for cluster in everybody] == [made[number].uuid for number in (0, 1, 4)]


async def test_a_page_goes_on_after_its_marker_has_left_the_list(store, five):
    _, _, made = five
    wanted = ClusterFilter(statuses=("CREATE_COMPLETE",))
    async with store.write() as tx:
        [first] = await tx.clusters.list_page(Page(limit=1), "p1", wanted)
        await tx.clusters.update(replace(first, status="DELETE_IN_PROGRESS"))
    async with store.read() as tx:
        rest = await tx.clusters.list_page(Page(marker=first.uuid), "p1", wanted)
        assert [cluster.uuid for cluster in rest] == [made[3].uuid]
        with pytest.raises(NotFound):
            await tx.clusters.list_page(Page(marker=made[4].uuid), "p1", wanted)


TEMPLATES = [
    ({}, ["a", "b", "c"]),
    ({"name": "b"}, ["b"]),
    ({"coes": ("fake",)}, ["a", "c"]),
    ({"drivers": ("heat",)}, ["c"]),
    ({"public": True}, ["c"]),
    ({"public": False}, ["a", "b"]),
    ({"hidden": True}, ["b"]),
    ({"labels": (("team", "a"),)}, ["a"]),
]


@pytest.mark.parametrize(("wanted", "found"), TEMPLATES)
async def test_templates_are_narrowed_and_counted(store, wanted, found):
    a, b = labelled(builders.template(name="a"), team="a"), builders.template(name="b", hidden=True)
    c, d = builders.template(name="c", public=True, project_id="p2"), builders.template(name="d", project_id="p2")
    b = replace(b, spec=replace(b.spec, coe="mesos"))
    c = replace(c, spec=replace(c.spec, driver="heat"))
    async with store.write() as tx:
        for template in (a, b, c, d):
            await tx.templates.insert(template)
    wanted = TemplateFilter(**wanted)
    async with store.read() as tx:
        listed = await tx.templates.list_visible(Page(), "p1", with_hidden=False, template_filter=wanted)
        assert [template.name for template in listed] == found
        assert await tx.templates.total("p1", with_hidden=False, template_filter=wanted) == len(found)


def event(number: int, **changes) -> Event:
    base = Event(
        uuid=builders.new_uuid(),
        cluster_id="c1",
        cluster_name="demo",
        project_id="p1",
        event_type="cluster.status",
        status="CREATE_COMPLETE",
        message=f"number {number}",
        created_at=builders.NOW + dt.timedelta(days=number),
    )
    return replace(base, **changes)


@pytest.fixture
async def events(store):
    made = [
        event(0, event_type="cluster.create", user_id="u1", request_id="req-1"),
        event(1),
        event(2, event_type="cluster.resize", nodegroup="default-worker"),
        event(3),
        event(4, cluster_id="c2", cluster_name="other", project_id="p2"),
    ]
    async with store.write() as tx:
        for each in made:
            await tx.events.insert(each)
    return made


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [0, 1, 2, 3]),
        ({"cluster": "c1"}, [0, 1, 2, 3]),
        ({"cluster": "demo"}, [0, 1, 2, 3]),
        ({"cluster": "other"}, []),
        ({"event_types": ("cluster.resize", "cluster.create")}, [0, 2]),
        ({"nodegroup": "default-worker"}, [2]),
        ({"since": builders.NOW + dt.timedelta(days=2)}, [2, 3]),
    ],
)
async def test_events_are_narrowed_and_counted(store, events, wanted, found):
    wanted = EventFilter(**wanted)
    async with store.read() as tx:
        assert await tx.events.list_page(Page(), "p1", wanted) == [events[number] for number in found]
        assert await tx.events.total("p1", wanted) == len(found)


async def test_the_last_wish_and_what_came_after_it(store, events):
    async with store.read() as tx:
        assert await tx.events.list_since_wish("c1") == [events[3], events[2]]
        assert await tx.events.last_wish("c1") == events[2]
        assert await tx.events.list_since_wish("c2") == [events[4]]
        assert await tx.events.last_wish("c2") is None


async def test_old_events_are_forgotten(store, events):
    async with store.write() as tx:
        assert await tx.events.forget(builders.NOW + dt.timedelta(days=2)) == 2
    async with store.read() as tx:
        assert await tx.events.list_page(Page(), None, EventFilter()) == events[2:]


async def test_the_census_counts_everything(store, five, events):
    async with store.write() as tx:
        await tx.containers.insert(builders.container())
        await tx.notify("a", "b", {})
    async with store.read() as tx:
        census = await tx.census()
    assert census.clusters == {
        ("CREATE_IN_PROGRESS", "fake"): 2,
        ("CREATE_COMPLETE", "fake"): 1,
        ("UPDATE_FAILED", "mesos"): 1,
        ("CREATE_COMPLETE", "mesos"): 1,
    }
    assert (census.nodegroups, census.nodes, census.events, census.outbox) == (10, 15, 5, 1)
    assert census.containers == {"Creating": 1}


async def test_the_census_of_nothing(store):
    async with store.read() as tx:
        census = await tx.census()
    assert (census.clusters, census.nodes, census.containers, census.outbox) == ({}, 0, {}, 0)


async def test_clusters_older_than_a_moment(store, five):
    _, _, made = five
    async with store.write() as tx:
        await tx.clusters.update(replace(made[0], operation="DELETE"))
    async with store.read() as tx:
        assert await tx.clusters.list_older(builders.NOW) == []
        old = await tx.clusters.list_older(builders.NOW + dt.timedelta(seconds=1))
    assert [cluster.uuid for cluster in old] == [cluster.uuid for cluster in made[1:]]


async def test_a_field_that_objects_do_not_have_is_a_bug_and_no_bad_request(store):
    async with store.read() as tx:
        with pytest.raises(KeyError, match="colour"):
            await tx.clusters.select({"colour": "red"})
        with pytest.raises(Invalid):
            await tx.clusters.select(page=Page(sort_key="colour"))


def test_a_selector_has_no_field_that_its_table_does_not_have():
    with pytest.raises(TypeError, match="quota has no cluster_id, kind to select by"):
        RowKind(tables.quota, Quota, CertificateSelector, key="id")
