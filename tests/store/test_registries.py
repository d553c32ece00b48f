"""Registries in the database: sealed at rest, and sent to an agent only while it may have to pull."""

import asyncio
from dataclasses import replace

import pytest
import sqlalchemy as sa

from jeroboam.dispatch.records import DispatchRecords
from jeroboam.dispatch.sessions import RESYNC_SECONDS, Dispatcher
from jeroboam.domain.containers import ContainerObserved, ContainerSpec, Op, OpKind, RuntimeState
from jeroboam.domain.host_images import HostImage, ImageProgress, ImageStatus
from jeroboam.domain.registries import Registry, RegistryLogin
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.ids import RandomIds
from jeroboam.protocol import VERSION, Assignments, ContainerReport, Hello
from jeroboam.protocol.images import ImageReport, ImageWish
from jeroboam.protocol.memory import session_pair
from jeroboam.secrets.keyfile import KeyFileSealer
from jeroboam.store import BrokenRow, Page, Store, tables
from tests import builders
from tests.clock import ManualClock

LOGIN = RegistryLogin(registry_username="anna-Name", registry_password='geheim-"Wort\\!7')
SECONDS = 10.0


def registry(**changes) -> Registry:
    base = Registry(
        uuid=builders.new_uuid(),
        name="ours",
        project_id="p1",
        user_id="u1",
        domain="r.example:5000",
        login=LOGIN,
        created_at=builders.NOW,
    )
    return replace(base, **changes)


@pytest.mark.security
async def test_no_login_lies_plain_in_the_database(store, store_url, bus, tmp_path):
    sealed = Store(store_url, clock=SystemClock(), bus=bus, sealer=KeyFileSealer(tmp_path / "key"))
    other_key = Store(store_url, clock=SystemClock(), bus=bus, sealer=KeyFileSealer(tmp_path / "other"))
    wanted = registry()
    container = builders.container(
        spec=ContainerSpec(image="app", registry_id=wanted.uuid, registry_domain=wanted.domain)
    )
    try:
        async with sealed.write() as tx:
            await tx.registries.insert(wanted)
            await tx.containers.insert(container)
        async with sealed.read() as tx:
            assert await tx.registries.get(wanted.uuid) == wanted
            assert await tx.containers.get(container.uuid) == container
        async with sealed.engine.connect() as connection:
            for column in (tables.registry.c.login, tables.container.c.spec):
                # As text, past what opens it.
                text = "".join((await connection.execute(sa.select(sa.cast(column, sa.Text)))).scalars())
                assert text.startswith("{")
                assert "anna" not in text
                assert "geheim" not in text
        async with other_key.read() as tx:
            with pytest.raises(BrokenRow, match=wanted.uuid):
                await tx.registries.get(wanted.uuid)
    finally:
        await sealed.close()
        await other_key.close()


async def test_pages_by_user_name(store):
    names = ["anna", "bert", "anna", "bert", "anna"]
    rows = [registry(login=RegistryLogin(registry_username=name)) for name in names]
    async with store.write() as tx:
        for row in rows:
            await tx.registries.insert(row)
    wanted = [rows[0], rows[2], rows[4]]
    async with store.read() as tx:
        assert await tx.registries.list_page(Page(), {"project_id": "p1"}, "anna") == wanted
        assert await tx.registries.list_page(Page(limit=2), {}, "anna") == wanted[:2]
        assert await tx.registries.list_page(Page(limit=2, marker=rows[2].uuid), {}, "anna") == wanted[2:]
        assert await tx.registries.list_page(Page(limit=2, descending=True), {}, "anna") == wanted[:0:-1]
        assert await tx.registries.list_page(Page(), {"project_id": "p2"}, "anna") == []


async def test_a_user_name_behind_hundreds_of_others(store):
    rows = [registry(login=RegistryLogin(registry_username="bert")) for _ in range(401)] + [registry()]
    async with store.write() as tx:
        for row in rows:
            await tx.registries.insert(row)
    async with store.read() as tx:
        assert await tx.registries.list_page(Page(limit=1), {}, "anna-Name") == rows[-1:]


async def placed(store, *, of: Registry | None, **changes):
    host = builders.host()
    spec = ContainerSpec(image="app", registry_id=of.uuid if of else None, registry_domain=of.domain if of else None)
    container = builders.container(host_id=host.uuid, host="h1", spec=spec, **changes)
    async with store.write() as tx:
        await tx.hosts.insert(host)
        if of is not None:
            await tx.registries.insert(of)
        await tx.containers.insert(container)
    return container


@pytest.mark.parametrize("kind", OpKind)
async def test_the_login_goes_with_what_may_pull_only(store, kind):
    container = await placed(store, of=registry(), ops=(Op(seq=1, kind=kind),))
    records = DispatchRecords(store, ids=RandomIds(), dispatcher="d1", heal_seconds=600)
    assignment = await records.assignment(container.host_id, container.uuid)
    assert assignment.spec.full_image == "r.example:5000/app"
    assert assignment.login == (LOGIN if kind in {OpKind.CREATE, OpKind.START, OpKind.REBOOT, OpKind.REBUILD} else None)
    # Once the op has ended there is nothing to pull for.
    observed = ContainerObserved(seq=1, state=RuntimeState.RUNNING)
    await records.report(container.host_id, ContainerReport(uuid=container.uuid, observed=observed))
    [assignment], _ = await records.assignments(container.host_id)
    assert assignment.login is None


@pytest.mark.parametrize("change", [{"domain": "elsewhere.example"}, {"login": RegistryLogin()}])
async def test_a_login_does_not_go_to_another_domain(store, change):
    of = registry()
    container = await placed(store, of=of)
    async with store.write() as tx:
        await tx.registries.update(replace(of, **change))
    records = DispatchRecords(store, ids=RandomIds(), dispatcher="d1", heal_seconds=600)
    assignment = await records.assignment(container.host_id, container.uuid)
    assert (assignment.login, assignment.spec.full_image) == (None, "r.example:5000/app")


async def test_a_login_does_not_go_to_the_registry_of_another_image(store):
    """As a rebuild may name one."""
    container = await placed(store, of=registry())
    async with store.write() as tx:
        await tx.containers.update(replace(container, spec=replace(container.spec, image="other.example/app")))
    records = DispatchRecords(store, ids=RandomIds(), dispatcher="d1", heal_seconds=600)
    assignment = await records.assignment(container.host_id, container.uuid)
    assert (assignment.login, assignment.spec.full_image) == (None, "other.example/app")


async def test_wishes_for_images_reach_the_agent_until_they_are_done(store, bus):
    host, clock = builders.host(), ManualClock()
    image = HostImage(
        uuid=builders.new_uuid(),
        repo="app",
        tag="1",
        host_id=host.uuid,
        host="h1",
        project_id="p0",
        user_id="u0",
        created_at=builders.NOW,
    )
    async with store.write() as tx:
        await tx.hosts.insert(host)
        await tx.host_images.insert(image)
    dispatcher = Dispatcher(
        DispatchRecords(store, ids=RandomIds(), dispatcher="d1", heal_seconds=600), bus=bus, clock=clock
    )
    end, server = session_pair()
    tasks = [asyncio.ensure_future(dispatcher.run()), asyncio.ensure_future(dispatcher.serve(server))]

    async def heard():
        async with asyncio.timeout(SECONDS):
            return await anext(end)

    wanted = ImageWish(uuid=image.uuid, reference="app:1", project_id="p0", status=ImageStatus.PULLING)
    await end.send(Hello(version=VERSION, hostname="h1", facts=None))
    assert isinstance(await heard(), Assignments)
    assert await heard() == wanted
    await clock.advance(RESYNC_SECONDS)
    assert await heard() == wanted
    await end.send(ImageReport(uuid=image.uuid, progress=ImageProgress(status=ImageStatus.AVAILABLE, image_id="i")))
    async with asyncio.timeout(SECONDS):
        while True:
            async with store.read() as tx:
                if (await tx.host_images.get(image.uuid)).status is ImageStatus.AVAILABLE:
                    break
            await asyncio.sleep(0)
    async with store.write() as tx:
        await tx.host_images.update(replace(image, status=ImageStatus.DELETING))
        tx.hint("dispatch", f"{host.uuid}/image/{image.uuid}")
    assert (await heard()).status is ImageStatus.DELETING
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
