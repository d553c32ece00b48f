"""Images on hosts, as administrators ask for them; and the search, which everybody may do."""

from dataclasses import replace

import pytest

from jeroboam.dispatch.records import DispatchRecords
from jeroboam.domain.errors import Unavailable
from jeroboam.domain.host_images import ImageProgress, ImageStatus
from jeroboam.kit.ids import RandomIds
from jeroboam.protocol.images import ImageReport
from tests.builders import host, new_uuid

KEYS = set("uuid links image_id repo tag size project_id host status status_reason".split())


@pytest.fixture
async def h1(store):
    made = host(dispatcher="d1")
    async with store.write() as tx:
        await tx.hosts.insert(made)
    return made


@pytest.fixture
def admin(zun):
    return zun.as_("admin")


@pytest.fixture
def report(store, h1):
    """What the agent of the host reports."""
    records = DispatchRecords(store, ids=RandomIds(), dispatcher="d1", heal_seconds=600)

    async def run(uuid, **progress):
        await records.report_image(h1.uuid, ImageReport(uuid=uuid, progress=ImageProgress(**progress)))

    return run


async def test_an_image_from_the_pull_to_its_end(admin, store, h1, report):
    hints = store._bus.subscribe("dispatch")
    answer = await admin.post("/v1/images", {"repo": "registry.example:5000/team/app:1.2", "host": "h1"})
    assert answer.status == 202, answer.body
    shown = answer.json()
    uuid = shown["uuid"]
    assert set(shown) == KEYS
    assert answer.headers["location"] == shown["links"][0]["href"]
    assert (shown["repo"], shown["tag"], shown["host"]) == ("registry.example:5000/team/app", "1.2", "h1")
    assert (shown["status"], shown["image_id"], shown["size"]) == ("Pulling", None, None)
    assert await anext(hints) == f"{h1.uuid}/image/{uuid}"
    await report(uuid, status=ImageStatus.PULLING, reason="3 of 9 MiB are here")
    assert (await admin.get(f"/v1/images/{uuid}")).json()["status_reason"] == "3 of 9 MiB are here"
    await report(uuid, status=ImageStatus.AVAILABLE, image_id="sha256:abc", size=9 << 20)
    [shown] = (await admin.get("/v1/images")).json()["images"]
    assert (shown["status"], shown["status_reason"]) == ("Available", None)
    assert (shown["image_id"], shown["size"]) == ("sha256:abc", str(9 << 20))
    answer = await admin.delete(f"/v1/images/{uuid}")
    assert (answer.status, answer.body) == (204, b"")
    assert await anext(hints) == f"{h1.uuid}/image/{uuid}"
    assert (await admin.get(f"/v1/images/{uuid}")).json()["status"] == "Deleting"
    await report(uuid, status=ImageStatus.AVAILABLE, image_id="sha256:abc", size=1)
    assert (await admin.get(f"/v1/images/{uuid}")).json()["status"] == "Deleting", "a late report of the pull"
    await report(uuid, status=ImageStatus.DELETING, is_removed=True)
    answer = await admin.get(f"/v1/images/{uuid}")
    assert (answer.status, answer.error["code"]) == (404, "container.image-not-found")


async def test_a_failed_pull_says_why_and_may_be_asked_for_again(admin, report):
    body = {"repo": "no/such", "host": "h1"}
    uuid = (await admin.post("/v1/images", body)).json()["uuid"]
    again = await admin.post("/v1/images", body)
    assert (again.status, again.error["code"]) == (409, "container.conflict")
    await report(uuid, status=ImageStatus.ERROR, reason="its registry has no such image")
    shown = (await admin.get(f"/v1/images/{uuid}")).json()
    assert (shown["status"], shown["status_reason"]) == ("Error", "its registry has no such image")
    answer = await admin.post("/v1/images", body)
    assert (answer.status, answer.json()["uuid"], answer.json()["status"]) == (202, uuid, "Pulling")


async def test_an_image_that_is_used_stays_with_the_reason(admin, report):
    uuid = (await admin.post("/v1/images", {"repo": "app", "host": "h1"})).json()["uuid"]
    await report(uuid, status=ImageStatus.AVAILABLE, image_id="sha256:abc", size=1)
    await admin.delete(f"/v1/images/{uuid}")
    await report(uuid, status=ImageStatus.ERROR, reason="a container uses it")
    shown = (await admin.get(f"/v1/images/{uuid}")).json()
    assert (shown["status"], shown["status_reason"], shown["image_id"]) == (
        "Error",
        "a container uses it",
        "sha256:abc",
    )
    assert (await admin.delete(f"/v1/images/{uuid}")).status == 204


async def test_a_pull_that_no_host_ends_is_given_up(admin, store, h1):
    uuid = (await admin.post("/v1/images", {"repo": "app", "host": "h1"})).json()["uuid"]
    async with store.write() as tx:
        image = await tx.host_images.get(uuid)
        await tx.host_images.give_up(tx.now)
        assert (await tx.host_images.get(uuid)).status is ImageStatus.PULLING
        await tx.host_images.update(replace(image, deadline_at=tx.now.replace(year=2020)))
        await tx.host_images.give_up(tx.now)
    shown = (await admin.get(f"/v1/images/{uuid}")).json()
    assert (shown["status"], shown["status_reason"]) == ("Error", "Timed out: host h1 did not answer")


async def test_an_image_of_a_host_that_is_gone_goes_at_once(admin, store, h1):
    uuid = (await admin.post("/v1/images", {"repo": "app", "host": "h1"})).json()["uuid"]
    async with store.write() as tx:
        await tx.hosts.remove({"uuid": h1.uuid})
    assert (await admin.delete(f"/v1/images/{uuid}")).status == 204
    assert (await admin.get(f"/v1/images/{uuid}")).status == 404


@pytest.mark.parametrize(
    ("repo", "fields", "shown"),
    [
        ("app", {}, ("app", "latest")),
        ("app", {"tag": "2"}, ("app", "2")),
        ("r.example:5000/app", {}, ("r.example:5000/app", "latest")),
        ("r.example:5000/app:2", {"tag": "2"}, ("r.example:5000/app", "2")),
        (f"app@sha256:{'a' * 64}", {}, ("app", f"sha256:{'a' * 64}")),
        (f"app:1@sha256:{'a' * 64}", {}, ("app", f"sha256:{'a' * 64}")),
    ],
)
async def test_repositories_and_tags(admin, store, h1, repo, fields, shown):
    answer = await admin.post("/v1/images", {"repo": repo, "host": "h1"} | fields)
    assert answer.status == 202, answer.body
    assert (answer.json()["repo"], answer.json()["tag"]) == shown
    async with store.read() as tx:
        [image] = await tx.host_images.select()
    assert image.reference == f"{shown[0]}{'@' if 'sha256' in shown[1] else ':'}{shown[1]}"


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"host": "h1"}, 400, "repo"),
        ({"repo": "app"}, 400, "host"),
        ({"repo": "A B", "host": "h1"}, 400, "repo"),
        ({"repo": "app:1", "tag": "2", "host": "h1"}, 400, "tag"),
        ({"repo": "app", "tag": "a/b", "host": "h1"}, 400, "tag"),
        ({"repo": "app", "host": "h1", "colour": "red"}, 400, "colour"),
        ({"repo": "app", "host": "h9"}, 404, "h9"),
    ],
)
async def test_bad_pulls(admin, h1, body, status, word):
    answer = await admin.post("/v1/images", body)
    assert answer.status == status
    assert word in answer.error["detail"]


async def test_images_are_for_administrators(zun, admin, h1):
    uuid = (await admin.post("/v1/images", {"repo": "app", "host": "h1"})).json()["uuid"]
    assert (await zun.get("/v1/images")).status == 403
    assert (await zun.get(f"/v1/images/{uuid}")).status == 403
    assert (await zun.post("/v1/images", {"repo": "app", "host": "h1"})).status == 403
    assert (await zun.delete(f"/v1/images/{uuid}")).status == 403
    assert (await admin.get(f"/v1/images/{new_uuid()}")).status == 404
    assert (await admin.get("/v1/images/app")).status == 404


async def test_a_search_asks_the_hosts(zun, parts, h1):
    answer = await zun.get("/v1/images/app/search?exact_match=true&image_driver=docker")
    assert answer.status == 200
    assert answer.json() == [
        {
            "name": name,
            "description": f"On hosts, with the tags: {tags}",
            "metadata": {"is_official": False, "star_count": 0},
            "tags": tags.split(", "),
        }
        for name, tags in (("busybox", "latest"), ("registry.example:5000/team/app", "1, 2"))
    ]
    assert parts.gateway.asked == [("search_images", h1.uuid, "app", True, "p1")]
    assert (await zun.get("/v1/images/app/search?image_driver=glance")).status == 400
    assert (await zun.get("/v1/images/app/search?exact_match=perhaps")).status == 400
    refused = await zun.get("/v1/images/%7Bapp%7D/search")
    assert (refused.status, "image" in refused.error["detail"]) == (400, True)
    parts.gateway.fault = Unavailable("away")
    assert (await zun.get("/v1/images/app/search")).status == 503


async def test_a_search_without_hosts_finds_nothing(zun, store):
    assert (await zun.get("/v1/images/app/search")).json() == []
