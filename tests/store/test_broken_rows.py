"""Rows that cannot be read: all else goes on, they are told once and counted, and nobody acts on their lack."""

from dataclasses import replace

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from jeroboam.domain.bay_manifests import BayManifestKind
from jeroboam.domain.clusters import Certificate
from jeroboam.store import BrokenRow, ClusterFilter, EventFilter, Page, TemplateFilter, tables
from jeroboam.store.broken import BrokenRows
from tests import builders
from tests.builders import NOW

# What of each kind of row is broken: a value that is JSON and of no object of ours, on either engine.
KINDS = {
    "templates": (tables.template, "spec"),
    "clusters": (tables.cluster, "observed"),
    "nodegroups": (tables.nodegroup, "desired"),
    "containers": (tables.container, "ops"),
    "hosts": (tables.host, "facts"),
    "bay_containers": (tables.workload, "spec"),
    "bay_manifests": (tables.workload, "observed"),
}


async def fill(store) -> dict[str, list]:
    """Two of each."""
    made: dict[str, list] = {kind: [] for kind in (*KINDS, "certificates")}
    async with store.write() as tx:
        for number in range(2):
            template = builders.template()
            cluster = builders.cluster(template)
            certificate = Certificate(cluster_id=cluster.uuid, kind="main", pem="p", sealed_key=b"k", created_at=NOW)
            rows = {
                "templates": template,
                "clusters": cluster,
                "nodegroups": builders.groups(cluster)[0],
                "certificates": certificate,
                "containers": builders.container(),
                "hosts": builders.host(hostname=f"h{number}-{template.name}"),
                "bay_containers": builders.workload(cluster),
                "bay_manifests": builders.orchestrated(cluster, kind=BayManifestKind.POD),
            }
            for kind, item in rows.items():
                await getattr(tx, kind).insert(item)
                made[kind].append(item)
            await tx.events.insert(builders.event(cluster))
    return made


async def damage(store, table, column: str, *conditions, value: str = "[1]") -> None:
    """What somebody does who edits a database by hand."""
    value = sa.text("'no time'" if column == "created_at" else f"'{value}'")
    async with store.engine.begin() as connection:
        await connection.execute(table.update().where(*conditions).values({column: value}))


def identity(table, item):
    if table is tables.certificate:
        return table.c.cluster_id == item.cluster_id
    return table.c.uuid == item.uuid


# PostgreSQL itself keeps text out of columns of times, and JSON that is none out of those of JSON.
SQLITE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_row_of_any_kind_is_left_out_told_once_and_counted(store, kind):
    table, column = KINDS[kind]
    await is_left_out(store, kind, table, column)


@SQLITE
@pytest.mark.parametrize(("kind", "table"), [("certificates", tables.certificate), ("clusters", tables.cluster)])
async def test_so_is_one_whose_time_is_none(store, kind, table):
    await is_left_out(store, kind, table, "created_at")


async def is_left_out(store, kind, table, column) -> None:
    broken, sound = (await fill(store))[kind]
    await damage(store, table, column, identity(table, broken))
    with capture_logs() as logs:
        for _ in range(3):
            async with store.read() as tx:
                assert await getattr(tx, kind).select() == [sound]
                assert await getattr(tx, kind).select(page=Page(limit=10)) == [sound]
    told = [line for line in logs if line["event"] == "row cannot be read"]
    assert [line["table"] for line in told] == [table.name]
    assert dict(store.broken.count_by_table()) == {table.name: 1}


async def test_one_that_is_asked_for_alone_says_so_and_one_that_is_repaired_counts_no_more(store):
    broken, sound = (await fill(store))["clusters"]
    await damage(store, tables.cluster, "observed", tables.cluster.c.uuid == broken.uuid)
    async with store.read() as tx:
        assert await tx.clusters.get(sound.uuid) == sound
        for question in (tx.clusters.get(broken.uuid), tx.clusters.find(broken.name), tx.clusters.find(broken.uuid)):
            with pytest.raises(BrokenRow, match=broken.uuid):
                await question
        assert await tx.clusters.find("nothing") == []
        assert set(await tx.clusters.uuids()) == {broken.uuid, sound.uuid}
    async with store.write() as tx:
        await tx.clusters.update(broken)
    async with store.read() as tx:
        assert await tx.clusters.select() == [broken, sound]
    assert not store.broken.count_by_table()


async def test_what_a_brief_does_not_read_is_not_told_as_repaired_by_it(store):
    broken, _ = (await fill(store))["clusters"]
    # A wish without a template: lists show nothing of it.
    await damage(store, tables.cluster, "spec", identity(tables.cluster, broken), value="{}")
    with capture_logs() as logs:
        for _ in range(3):
            async with store.read() as tx:
                assert len(await tx.clusters.select()) == 1
                assert len(await tx.clusters.list_briefs(Page())) == 2
    assert [line["event"] for line in logs] == ["row cannot be read"]
    assert dict(store.broken.count_by_table()) == {"cluster": 1}


async def test_a_brief_and_its_whole_name_the_same_row(store):
    broken, _ = (await fill(store))["nodegroups"]
    await damage(store, tables.nodegroup, "observed", identity(tables.nodegroup, broken))
    with capture_logs() as logs:
        async with store.read() as tx:
            await tx.nodegroups.briefs_of(broken.cluster_id)
            await tx.nodegroups.groups_of(broken.cluster_id)
    assert [(line["table"], line["key"]) for line in logs] == [("nodegroup", broken.uuid)]


@SQLITE
async def test_each_certificate_of_a_cluster_is_a_row_of_its_own(store):
    broken, _ = (await fill(store))["certificates"]
    async with store.write() as tx:
        await tx.certificates.insert(replace(broken, kind="etcd"))
    await damage(store, tables.certificate, "created_at", tables.certificate.c.kind == "main")
    with capture_logs() as logs:
        for _ in range(2):
            async with store.read() as tx:
                assert len(await tx.certificates.select({"cluster_id": broken.cluster_id})) == 1
    assert [line["event"] for line in logs] == ["row cannot be read"]
    assert dict(store.broken.count_by_table()) == {"certificate": 1}


async def count_now(store) -> dict[str, int]:
    """As `/metrics` does."""
    async with store.read() as tx:
        await tx.look_at_broken_rows()
    return dict(store.broken.count_by_table())


async def test_known_ones_are_looked_at_again_when_they_are_counted(store):
    made = await fill(store)
    async with store.read() as tx:
        for kind, (table, column) in KINDS.items():
            await damage(store, table, column, identity(table, made[kind][0]))
            await getattr(tx, kind).select()
    with capture_logs() as logs:
        assert sum((await count_now(store)).values()) == len(KINDS)
        assert logs == []
        # The operator mends some, and removes others.
        async with store.write() as tx:
            await tx.templates.update(made["templates"][0])
            await tx.bay_manifests.update(made["bay_manifests"][0])
        async with store.engine.begin() as connection:
            await connection.execute(tables.host.delete().where(tables.host.c.uuid == made["hosts"][0].uuid))
            await connection.execute(tables.container.delete().where(identity(tables.container, made["containers"][0])))
        left = {"cluster": 1, "nodegroup": 1, "workload": 1}
        assert await count_now(store) == left
    events = [(line["event"], line["table"]) for line in logs]
    again, gone = "row can be read again", "row that could not be read is gone"
    assert sorted(events) == sorted(
        [(again, "cluster_template"), (again, "workload"), (gone, "host"), (gone, "container")]
    )


async def test_more_than_one_look_at_them_takes_are_taken_in_turn(store):
    broken = BrokenRows()
    for number in range(5):
        broken.add("cluster", f"c{number}", ValueError())
    assert broken.keys_of("cluster", limit=3) == ["c0", "c1", "c2"]
    assert broken.keys_of("cluster", limit=3) == ["c3", "c4", "c0"]
    assert broken.keys_of("host", limit=3) == []


async def test_a_strict_transaction_leaves_nothing_out(store):
    broken, sound = (await fill(store))["nodegroups"]
    await damage(store, tables.nodegroup, "observed", tables.nodegroup.c.uuid == broken.uuid)
    async with store.read() as tx:
        assert (await tx.nodegroups.groups_of(broken.cluster_id))[broken.cluster_id] == []
    async with store.read(strict=True) as tx:
        assert (await tx.nodegroups.groups_of(sound.cluster_id))[sound.cluster_id] == [sound]
        with pytest.raises(BrokenRow):
            await tx.nodegroups.groups_of(broken.cluster_id)


async def test_a_page_with_one_in_it_is_as_full_as_others(store):
    made = (await fill(store))["templates"]
    for _ in range(3):
        made += (await fill(store))["templates"]
    for broken in (made[1], made[2]):
        await damage(store, tables.template, "spec", tables.template.c.uuid == broken.uuid)
    sound = [template for template in made if template not in made[1:3]]
    async with store.read() as tx:
        assert await tx.templates.select(page=Page(limit=3)) == sound[:3]
        assert await tx.templates.select(page=Page(limit=3, marker=sound[2].uuid)) == sound[3:]
        assert await tx.templates.select(page=Page(limit=6)) == sound


@SQLITE
async def test_text_that_is_no_json_takes_no_count_and_no_filter_along(store):
    made = await fill(store)
    for table in (tables.cluster, tables.template, tables.container):
        broken = {tables.cluster: "clusters", tables.template: "templates", tables.container: "containers"}[table]
        async with store.engine.begin() as connection:
            where = table.c.uuid == made[broken][0].uuid
            await connection.execute(table.update().where(where).values(spec=sa.text("'{\"half'")))
    async with store.read() as tx:
        wanted = ClusterFilter(coes=("fake",), labels=(("a", None),))
        assert await tx.clusters.list_page(Page(), None, wanted) == []
        assert len(await tx.clusters.list_briefs(Page(sort_key="flavor_id"), None, ClusterFilter(coes=("fake",)))) == 1
        assert (
            len(
                await tx.templates.list_visible(
                    Page(), None, with_hidden=True, template_filter=TemplateFilter(coes=("fake",))
                )
            )
            == 1
        )
        assert (await tx.containers.use_of_project("p1")).containers == 2
        assert sum((await tx.census()).clusters.values()) == 2
        assert len(await tx.events.list_page(Page(), None, EventFilter())) == 2


@SQLITE
async def test_an_event_that_is_broken_is_left_out_of_the_story(store):
    cluster = (await fill(store))["clusters"][0]
    async with store.write() as tx:
        await tx.events.insert(builders.event(cluster, event_type="cluster.resize"))
        await tx.events.insert(replace(builders.event(cluster), message="the last"))
    await damage(store, tables.event, "created_at", tables.event.c.event_type == "cluster.resize")
    async with store.read() as tx:
        assert [event.message for event in await tx.events.list_since_wish(cluster.uuid)] == ["the last", None]
        assert await tx.events.last_wish(cluster.uuid) is None
