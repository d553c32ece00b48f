"""The unit of work: what is written is there, whole or not at all, and pages and finds as the APIs promise."""

import asyncio
from dataclasses import replace

import pytest

from jeroboam.domain.bay_containers import (
    BayContainerSpec,
    BayContainerStatus,
    BayObjectKind,
    ContainerAction,
    project_bay_container,
)
from jeroboam.domain.clusters import Cluster, Health, NodeGroup, Template
from jeroboam.domain.containers import Container, ContainerSpec, RuntimeState, Status
from jeroboam.domain.errors import Conflict, Invalid, NotFound
from jeroboam.domain.noderecords import NodeRecord
from jeroboam.store import Page, Store, sort_keys
from jeroboam.store.migrations import current, newest, upgrade
from tests import builders


async def put(store: Store, kind: str, *items) -> None:
    async with store.write() as tx:
        for item in items:
            await getattr(tx, kind).insert(item)


async def test_what_is_written_is_read_back_whole(store):
    template = builders.template()
    cluster = builders.cluster(template)
    cluster = replace(cluster, observed=replace(cluster.observed, health_status=Health.HEALTHY, api_address="tcp://x"))
    groups = builders.groups(cluster)
    container = builders.container()
    await put(store, "templates", template)
    await put(store, "clusters", cluster)
    await put(store, "nodegroups", *groups)
    await put(store, "containers", container)
    async with store.read() as tx:
        assert await tx.templates.get(template.uuid) == template
        assert await tx.clusters.get(cluster.uuid) == cluster
        assert (await tx.nodegroups.groups_of(cluster.uuid))[cluster.uuid] == groups
        assert await tx.containers.get(container.uuid) == container
        assert isinstance((await tx.containers.get(container.uuid)).status, Status)


async def test_workloads_and_node_records_are_read_back_whole(store):
    template = builders.template()
    cluster = builders.cluster(template)
    workload = builders.workload(cluster, spec=BayContainerSpec(image="busybox", command="top -b", memory="64m"))
    seen = replace(workload.observed, state=RuntimeState.RUNNING, started_at=builders.NOW, failed=ContainerAction.PAUSE)
    workload = project_bay_container(replace(workload, observed=seen))
    node = NodeRecord(uuid=builders.new_uuid(), project_id="p1", user_id="u1", type="virt", created_at=builders.NOW)
    await put(store, "templates", template)
    await put(store, "clusters", cluster)
    await put(store, "bay_containers", workload)
    await put(store, "node_records", node)
    async with store.read() as tx:
        assert await tx.bay_containers.get(workload.uuid) == workload
        assert isinstance((await tx.bay_containers.get(workload.uuid)).status, BayContainerStatus)
        assert await tx.bay_containers.uuids() == [workload.uuid]
        assert await tx.bay_containers.select(
            {"image": "busybox", "kind": BayObjectKind.CONTAINER}, page=Page(sort_key="bay_uuid")
        )
        assert await tx.node_records.get(node.uuid) == node
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        async with store.write() as tx:
            await tx.clusters.remove({"uuid": cluster.uuid})


async def test_leases_on_workloads(store):
    template = builders.template()
    cluster = builders.cluster(template)
    workload = builders.workload(cluster)
    await put(store, "templates", template)
    await put(store, "clusters", cluster)
    await put(store, "bay_containers", workload)
    async with store.write() as tx:
        lease = await tx.leases("workload").claim(workload.uuid, "a", 30)
        assert await tx.leases("workload").claim(workload.uuid, "b", 30) is None
        assert await tx.leases("cluster").claim(cluster.uuid, "b", 30) is not None
        assert await tx.leases("workload").release(lease)


async def test_a_block_that_raises_leaves_nothing_and_tells_nobody(store, bus):
    hints = bus.subscribe("cluster")
    with pytest.raises(RuntimeError):
        async with store.write() as tx:
            await tx.templates.insert(builders.template())
            tx.hint("cluster", "lost")
            raise RuntimeError
    async with store.write() as tx:
        assert await tx.templates.count() == 0
        tx.hint("cluster", "kept")
    assert await anext(hints) == "kept"


async def test_hints_leave_after_the_commit(store, bus):
    hints = bus.subscribe("cluster")
    template = builders.template()
    async with store.write() as tx:
        await tx.templates.insert(template)
        tx.hint("cluster", template.uuid)
        waiting = asyncio.ensure_future(anext(hints))
        await asyncio.sleep(0)
        assert not waiting.done()
    async with store.read() as tx:
        assert await tx.templates.get(await waiting) == template


async def test_the_same_uuid_twice_is_a_conflict(store):
    template = builders.template()
    await put(store, "templates", template)
    with pytest.raises(Conflict):
        await put(store, "templates", template)


@pytest.mark.parametrize("key", sort_keys(Template))
@pytest.mark.parametrize("descending", [False, True])
async def test_pages_meet_every_object_once_in_order(store, key, descending):
    templates = [builders.template(name=f"n{number % 3}") for number in range(7)]
    some = [
        replace(t, public=True, spec=replace(t.spec, keypair_id=f"k{i}")) if i % 2 else t
        for i, t in enumerate(templates)
    ]
    await put(store, "templates", *some)
    seen, marker = [], None
    async with store.read() as tx:
        whole = await tx.templates.page(Page(sort_key=key, descending=descending))
        while True:
            page = await tx.templates.page(Page(limit=2, marker=marker, sort_key=key, descending=descending))
            if not page:
                break
            assert len(page) <= 2
            seen += page
            marker = page[-1].uuid
    assert seen == whole
    assert sorted(t.uuid for t in seen) == sorted(t.uuid for t in some)


async def test_every_object_can_be_paged_by_each_of_its_keys(store):
    template = builders.template()
    clusters = [builders.cluster(template) for _ in range(2)]
    await put(store, "templates", template)
    await put(store, "clusters", *clusters)
    await put(store, "nodegroups", *builders.groups(clusters[0]))
    await put(store, "containers", *(builders.container() for _ in range(2)))
    async with store.read() as tx:
        for rows, kind in ((tx.clusters, Cluster), (tx.nodegroups, NodeGroup), (tx.containers, Container)):
            for key in sort_keys(kind):
                first, second = await rows.page(Page(sort_key=key))
                assert await rows.page(Page(sort_key=key, marker=first.uuid)) == [second], key


async def test_bad_pages_are_refused_by_name(store):
    async with store.read() as tx:
        with pytest.raises(Invalid, match="nonsense") as bad:
            await tx.templates.page(Page(sort_key="nonsense"))
        assert bad.value.field == "sort_key"
        with pytest.raises(NotFound) as unknown:
            await tx.templates.page(Page(marker=builders.new_uuid()))
        assert unknown.value.field == "marker"


async def test_a_marker_outside_the_callers_sight_is_unknown(store):
    other = builders.template(project_id="p2")
    await put(store, "templates", other)
    async with store.read() as tx:
        with pytest.raises(NotFound):
            await tx.templates.list_visible(Page(marker=other.uuid), "p1", with_hidden=False)


async def test_who_sees_which_template(store):
    own, public = builders.template(name="own"), builders.template(name="public", project_id="p2", public=True)
    hidden = builders.template(name="hidden", project_id="p2", public=True, hidden=True)
    private = builders.template(name="private", project_id="p2")
    await put(store, "templates", own, public, hidden, private)
    async with store.read() as tx:
        assert [t.name for t in await tx.templates.list_visible(Page(), "p1", with_hidden=False)] == ["own", "public"]
        assert [t.name for t in await tx.templates.list_visible(Page(), "p1", with_hidden=True)] == [
            "own",
            "public",
            "hidden",
        ]
        assert len(await tx.templates.list_visible(Page(), None, with_hidden=True)) == 4
        assert await tx.templates.find_visible("private", "p1", with_hidden=False) == []
        assert await tx.templates.find_visible(public.uuid, "p1", with_hidden=False) == [public]


async def test_found_by_uuid_in_any_spelling_and_by_name(store):
    template = builders.template(name="mine")
    await put(store, "templates", template)
    async with store.read() as tx:
        for ident in (template.uuid, template.uuid.upper(), template.uuid.replace("-", ""), "mine"):
            assert await tx.templates.find(ident) == [template]
        assert await tx.templates.find("min") == []


async def test_fifty_writers_at_a_limit_of_ten_leave_ten(store):
    async def create() -> bool:
        async with store.write() as tx:
            await tx.serialise("p1", "containers")
            if (await tx.containers.use_of_project("p1")).containers >= 10:
                return False
            await tx.containers.insert(builders.container())
            return True

    created = await asyncio.gather(*[create() for _ in range(50)])
    assert sum(created) == 10
    async with store.read() as tx:
        assert (await tx.containers.use_of_project("p1")).containers == 10


async def test_use_is_summed_by_project_and_by_host(store):
    spec = ContainerSpec(image="busybox", cpu=0.5, memory=100, disk=3)
    await put(
        store,
        "containers",
        builders.container(spec=spec, host_id="h1"),
        builders.container(spec=spec, host_id="h1"),
        builders.container(spec=spec, project_id="p2"),
        builders.container(spec=spec, status=Status.DELETED),
    )
    async with store.read() as tx:
        used = await tx.containers.use_of_project("p1")
        assert (used.containers, used.memory, used.cpu, used.disk) == (2, 200, 1.0, 6)
        assert {host: use.memory for host, use in (await tx.containers.use_by_host()).items()} == {"h1": 200}


async def test_a_lease_fences_off_whoever_held_it_before(store):
    template = builders.template()
    cluster = builders.cluster(template)
    await put(store, "templates", template)
    await put(store, "clusters", cluster)
    async with store.write() as tx:
        first = await tx.leases("cluster").claim(cluster.uuid, "a", 30)
    async with store.write() as tx:
        assert await tx.leases("cluster").claim(cluster.uuid, "b", 30) is None
        assert await tx.leases("cluster").is_held(first)
    async with store.write() as tx:
        assert await tx.leases("cluster").release(first)
        second = await tx.leases("cluster").claim(cluster.uuid, "b", 30)
    assert second.token > first.token
    async with store.write() as tx:
        assert not await tx.leases("cluster").renew(first, 30)
        assert not await tx.leases("cluster").is_held(first)
        assert await tx.leases("cluster").claim(builders.new_uuid(), "b", 30) is None


async def test_a_lease_that_ran_out_is_free(store):
    template = builders.template()
    cluster = builders.cluster(template)
    await put(store, "templates", template)
    await put(store, "clusters", cluster)
    async with store.write() as tx:
        await tx.leases("cluster").claim(cluster.uuid, "a", -1)
    async with store.write() as tx:
        assert await tx.leases("cluster").claim(cluster.uuid, "b", 30) is not None


async def test_notifications_stay_until_they_left(store):
    async with store.write() as tx:
        for number in range(3):
            await tx.notify("cluster.create", f"c{number}", {"status": "CREATE_COMPLETE"})
    async with store.read() as tx:
        batch = await tx.list_outgoing(2)
    assert [note.key for note in batch] == ["c0", "c1"]
    async with store.write() as tx:
        await tx.mark_sent(batch)
    async with store.read() as tx:
        assert [note.key for note in await tx.list_outgoing(10)] == ["c2"]


async def test_heartbeats_are_counted(store):
    for _ in range(2):
        async with store.write() as tx:
            await tx.beat("h1", "jeroboam-conductor")
    async with store.read() as tx:
        (service,) = await tx.services.select()
    assert (service.id, service.report_count) == (1, 2)


async def test_an_upgrade_twice_is_an_upgrade_once(store):
    assert await current(store.engine) == newest()
    await upgrade(store.engine)
    assert await current(store.engine) == newest()


async def test_totals_count_clusters_and_wished_nodes(store):
    template = builders.template()
    mine, other = builders.cluster(template), builders.cluster(template, project_id="p2")
    await put(store, "templates", template)
    await put(store, "clusters", mine, other)
    await put(store, "nodegroups", *builders.groups(mine, workers=4), *builders.groups(other))
    async with store.read() as tx:
        assert await tx.clusters.totals("p1") == (1, 5)
        assert await tx.clusters.totals(None) == (2, 7)
        assert await tx.clusters.totals("p3") == (0, 0)
