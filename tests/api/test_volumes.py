"""Volumes that containers mount: made with them, or by themselves."""

from dataclasses import replace

import pytest

from jeroboam.domain.volumes import Volume, VolumeStatus
from tests.builders import NOW, new_uuid


async def volumes_of(store) -> list[Volume]:
    async with store.read() as tx:
        return await tx.volumes.select()


async def make_volume(store, **changes) -> Volume:
    volume = replace(
        Volume(uuid=new_uuid(), name="data", project_id="p1", user_id="u1", size=2, created_at=NOW), **changes
    )
    async with store.write() as tx:
        await tx.volumes.insert(volume)
    return volume


def wish(*mounts) -> dict:
    return {"image": "busybox", "mounts": [{"destination": f"/d{number}", **m} for number, m in enumerate(mounts)]}


async def test_a_volume_of_a_size_is_made_with_the_container_and_goes_with_it(zun, store):
    created = await zun.post("/v1/containers", wish({"size": 3}))
    assert created.status == 202
    [volume] = await volumes_of(store)
    assert (volume.size, volume.status, volume.is_temporary) == (3, VolumeStatus.IN_USE, True)
    async with store.write() as tx:
        container = await tx.containers.get(created.json()["uuid"])
        assert container.spec.mounts[0]["source"] == volume.uuid
        await tx.remove_container(container)
    assert await volumes_of(store) == []


@pytest.mark.parametrize("by", ["name", "uuid"])
async def test_a_volume_that_exists_is_mounted_and_stays(zun, store, by):
    volume = await make_volume(store, host_id=new_uuid())
    created = await zun.post("/v1/containers", wish({"source": getattr(volume, by)}))
    assert created.status == 202
    async with store.write() as tx:
        await tx.remove_container(await tx.containers.get(created.json()["uuid"]))
    [left] = await volumes_of(store)
    assert left.status is VolumeStatus.AVAILABLE


async def test_a_volume_is_exclusive_unless_it_is_one_that_several_may_mount(zun, store):
    await make_volume(store)
    await make_volume(store, name="shared", multiattach=True)
    assert (await zun.post("/v1/containers", wish({"source": "data"}, {"source": "shared"}))).status == 202
    refused = await zun.post("/v1/containers", wish({"source": "data"}))
    assert (refused.status, refused.error["code"]) == (400, "container.volume-in-use")
    assert (await zun.post("/v1/containers", wish({"source": "shared"}))).status == 202
    twice = await zun.post("/v1/containers", wish({"source": "shared"}, {"source": "shared"}))
    assert twice.status == 400
    assert "mounts a volume once" in twice.error["title"]


async def test_a_volume_of_another_project_is_unknown(zun, store):
    volume = await make_volume(store, project_id="p2")
    for source in ("data", volume.uuid, "nosuch"):
        refused = await zun.post("/v1/containers", wish({"source": source}))
        assert (refused.status, refused.error["code"]) == (404, "container.volume-not-found")
    assert (await zun.get("/v1/containers")).json()["containers"] == []


async def test_a_name_that_several_have_is_a_conflict(zun, store):
    await make_volume(store)
    await make_volume(store)
    assert (await zun.post("/v1/containers", wish({"source": "data"}))).status == 409


async def test_what_a_refused_container_wanted_is_not_made(zun, store):
    refused = await zun.post("/v1/containers", wish({"size": 1}, {"source": "nosuch"}))
    assert refused.status == 404
    assert await volumes_of(store) == []


async def test_a_project_has_so_many_gigabytes_and_no_more(zun, store):
    for _ in range(2):
        assert (await zun.post("/v1/containers", wish({"size": 100}))).status == 202
    refused = await zun.post("/v1/containers", wish({"size": 1}))
    assert (refused.status, refused.error["code"]) == (403, "container.over-quota")
    assert "gigabytes" in refused.error["title"]
