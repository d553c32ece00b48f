"""Volumes that containers mount: made with them, or by themselves."""

from dataclasses import replace

import pytest

from jeroboam.domain.volumes import Volume, VolumeStatus
from tests.api.client import Client
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


@pytest.fixture
def cinder(app):
    return Client(app, "/volume")


def body(**fields) -> dict:
    return {"volume": fields}


async def test_a_volume_from_its_creation_to_its_end(cinder, zun, store):
    created = await cinder.post("/v3/p1/volumes", body(name="data", size=2, description="d", metadata={"a": "b"}))
    assert created.status == 202
    volume = created.json()["volume"]
    assert {key: volume[key] for key in ("name", "size", "status", "volume_type", "multiattach", "attachments")} == {
        "name": "data",
        "size": 2,
        "status": "available",
        "volume_type": "local",
        "multiattach": False,
        "attachments": [],
    }
    container = (await zun.post("/v1/containers", wish({"source": "data"}))).json()["uuid"]
    [listed] = (await cinder.get("/v3/p1/volumes/detail?name=data")).json()["volumes"]
    assert (listed["status"], listed["attachments"][0]["server_id"]) == ("in-use", container)
    refused = await cinder.delete(f"/v3/p1/volumes/{volume['id']}")
    assert (refused.status, container in refused.json()["badRequest"]["message"]) == (400, True)
    async with store.write() as tx:
        await tx.remove_container(await tx.containers.get(container))
    changed = await cinder.put(f"/v3/p1/volumes/{volume['id']}", body(name="other"))
    assert (changed.json()["volume"]["name"], changed.json()["volume"]["metadata"]) == ("other", {"a": "b"})
    assert (await cinder.delete(f"/v3/p1/volumes/{volume['id']}")).status == 202
    gone = await cinder.get(f"/v3/p1/volumes/{volume['id']}")
    assert (gone.status, "itemNotFound" in gone.json()) == (404, True)


async def test_a_volume_with_data_is_removed_by_its_host(cinder, store):
    volume = await make_volume(store, host_id=new_uuid())
    assert (await cinder.delete(f"/v3/p1/volumes/{volume.uuid}")).status == 202
    shown = (await cinder.get(f"/v3/p1/volumes/{volume.uuid}")).json()["volume"]
    assert shown["status"] == "deleting"


async def test_the_type_says_whether_several_may_mount_it(cinder):
    names = [kind["name"] for kind in (await cinder.get("/v3/p1/types")).json()["volume_types"]]
    assert names == ["local", "shared"]
    created = await cinder.post("/v3/p1/volumes", body(size=1, volume_type="shared"))
    assert created.json()["volume"]["multiattach"] is True
    assert (await cinder.get("/v3/p1/types/default")).json()["volume_type"]["name"] == "local"


async def test_projects_do_not_see_each_others_volumes(cinder, store):
    volume = await make_volume(store, project_id="p2")
    assert (await cinder.get("/v3/p1/volumes")).json()["volumes"] == []
    for method, options in (("GET", {}), ("DELETE", {}), ("PUT", {"body": body(name="x")})):
        answer = await cinder.request(method, f"/v3/p1/volumes/{volume.uuid}", **options)
        assert answer.status == 404
    assert (await cinder.get("/v3/p2/volumes")).status == 400
    assert (await cinder.get("/v3/p1/volumes?all_tenants=1")).status == 403
    everything = (await cinder.as_("admin").get("/v3/p0/volumes/detail?all_tenants=1")).json()["volumes"]
    assert [row["id"] for row in everything] == [volume.uuid]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "'size' is a required property"),
        ({"size": 0}, "size"),
        ({"size": 101}, "at most 100 GiB"),
        ({"size": 1, "volume_type": "gold"}, "volume_type"),
        ({"size": 1, "imageRef": "x"}, "volumes are made empty here"),
        ({"size": 1, "nosuch": 1}, "'nosuch' was unexpected"),
        ({"size": 1, "availability_zone": "mars"}, "availability_zone"),
    ],
)
async def test_what_cannot_be_is_refused(cinder, store, fields, why):
    refused = await cinder.post("/v3/p1/volumes", body(**fields))
    assert refused.status == 400
    assert why in refused.json()["badRequest"]["message"]
    assert await volumes_of(store) == []


async def test_pages_lead_to_each_other(cinder, store):
    volumes = [await make_volume(store, name=f"v{number}") for number in range(5)]
    names, path = [], "/v3/p1/volumes?limit=2&sort=name:asc"
    while path:
        page = (await cinder.get(path)).json()
        names += [row["name"] for row in page["volumes"]]
        links = page.get("volumes_links")
        path = "/v3/" + links[0]["href"].partition("/v3/")[2] if links else None
    assert names == [volume.name for volume in volumes]
