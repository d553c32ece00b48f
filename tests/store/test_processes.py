"""What several processes on one store need: leases by name, and sums of what containers use."""

from dataclasses import replace

import msgspec
import sqlalchemy as sa

from jeroboam.domain.clusters import ClusterObserved
from jeroboam.domain.containers import ContainerSpec, Status
from jeroboam.domain.quotas import ContainerUse
from jeroboam.kit.bus import MemoryBus
from jeroboam.store import Store, tables
from jeroboam.store.migrations import upgrade
from tests import builders
from tests.clock import ManualClock


async def test_one_process_holds_a_lease_until_it_runs_out_or_is_released(store_url):
    clock = ManualClock()
    store = Store(store_url, clock=clock, bus=MemoryBus())
    await upgrade(store.engine)

    async def claim(holder: str) -> bool:
        async with store.write() as tx:
            return await tx.named_leases.claim("duty/x", holder, 15)

    async def holders() -> dict[str, str]:
        async with store.read() as tx:
            return await tx.named_leases.select("duty/")

    assert [await claim("a"), await claim("b"), await claim("a")] == [True, False, True]
    assert await holders() == {"x": "a"}
    await clock.advance(15)
    assert await holders() == {}
    assert [await claim("b"), await claim("a")] == [True, False]
    async with store.write() as tx:
        await tx.named_leases.release("duty/x", "a")
    assert await holders() == {"x": "b"}, "only its holder can release it"
    async with store.write() as tx:
        await tx.named_leases.release("duty/x", "b")
    assert await claim("a")
    async with store.write() as tx:
        await tx.named_leases.claim("duty_x", "a", 15)
    assert await holders() == {"x": "a"}, "the prefix is no pattern"
    await store.close()


async def test_the_use_of_hosts_and_projects_follows_every_change(store):
    container = builders.container(host_id="h", spec=ContainerSpec(image="i", cpu=0.5, memory=64, disk=3))
    unlimited = builders.container(host_id="h", spec=ContainerSpec(image="i", cpu=1.5, memory=1 << 33))
    unplaced = builders.container(project_id="p2", spec=ContainerSpec(image="i", cpu=1, memory=1))
    async with store.write() as tx:
        for row in (container, unlimited, unplaced):
            await tx.containers.insert(row)
    async with store.read() as tx:
        both = ContainerUse(containers=2, memory=64 + (1 << 33), cpu=2.0, disk=3)
        assert await tx.containers.use_by_host() == {"h": both}
        assert await tx.containers.use_of_project("p1") == both
        assert await tx.containers.use_of_project("nobody") == ContainerUse()
    async with store.write() as tx:
        await tx.containers.update(replace(container, spec=replace(container.spec, memory=128, disk=None)))
        await tx.containers.update(replace(unlimited, status=Status.DELETED))
    async with store.read() as tx:
        assert (await tx.containers.use_by_host())["h"] == ContainerUse(
            containers=2, memory=128 + (1 << 33), cpu=2.0, disk=0
        )
        assert await tx.containers.use_of_project("p1") == ContainerUse(containers=1, memory=128, cpu=0.5, disk=0)


# A column that came later has a default in the database, and none in an insert that does not name it.
OLD_ROW = {
    **dict.fromkeys(("name", "project_id", "user_id", "host_id"), "x"),
    "ops": [],
    "observed": {},
    "generation": 1,
    "given_up": 0,
    "status": "Running",
    "created_at": builders.NOW,
}


async def test_containers_of_an_older_database_count(store_url):
    store = Store(store_url, clock=ManualClock(), bus=MemoryBus())
    await upgrade(store.engine, to="0004")
    async with store.engine.begin() as connection:
        for spec in ({"cpu": 0.5, "memory": 64, "disk": None}, {"cpu": 2, "memory": 32, "disk": 7}):
            row = OLD_ROW | {"uuid": str(spec["cpu"]), "spec": spec}
            await connection.execute(sa.insert(tables.container).values(row))
    await upgrade(store.engine)
    async with store.read() as tx:
        assert await tx.containers.use_by_host() == {"x": ContainerUse(containers=2, memory=96, cpu=2.5, disk=7)}
    await store.close()


async def test_sums_of_cores_are_those_that_users_wrote(store):
    async with store.write() as tx:
        for _ in range(30):
            spec = ContainerSpec(image="busybox", cpu=0.1, memory=64)
            await tx.containers.insert(builders.container(spec=spec, host_id="h"))
    async with store.read() as tx:
        assert (await tx.containers.use_of_project("p1")).cpu == 3.0
        assert (await tx.containers.use_by_host())["h"].cpu == 3.0


async def test_a_failure_in_an_older_database_stands_until_the_next_wish(store_url):
    store = Store(store_url, clock=ManualClock(), bus=MemoryBus())
    await upgrade(store.engine, to="0004")
    template = OLD_ROW | {"uuid": "t", "spec": {}, "public": False, "hidden": False}
    cluster = OLD_ROW | {"spec": {}, "template_id": "t", "operation": "UPDATE", "generation": 4}
    async with store.engine.begin() as connection:
        for table, rows in (
            (tables.template, [template]),
            (
                tables.cluster,
                [
                    cluster | {"uuid": "c1", "observed": {"generation": 3, "failure": "no room"}},
                    cluster | {"uuid": "c2", "observed": {"generation": 4, "failure": None}},
                ],
            ),
        ):
            for row in rows:
                values = {name: value for name, value in row.items() if name in table.c}
                await connection.execute(sa.insert(table).values(values))
    await upgrade(store.engine)
    async with store.engine.connect() as connection:
        query = sa.select(sa.type_coerce(tables.cluster.c.observed, sa.Text)).order_by(tables.cluster.c.uuid)
        observed = [
            msgspec.json.decode(text, type=ClusterObserved) for text in (await connection.execute(query)).scalars()
        ]
    assert [(each.failure, each.failed_generation) for each in observed] == [("no room", 4), (None, 0)]
    await store.close()
