"""Registries with a login, from the POST to the DELETE, and containers that get their images from there."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from jeroboam.api.app import create_app
from jeroboam.domain.registries import RegistryLogin
from tests.api.client import Client
from tests.builders import new_uuid

KEYS = set("uuid name domain username password project_id user_id links".split())
PASSWORD = "geheim-Wort!7"
BODY = {"name": "ours", "domain": "registry.example.org:5000", "username": "anna", "password": PASSWORD}


@pytest.fixture
def add(zun):
    async def run(client=zun, **changes):
        answer = await client.post("/v1/registries", {"registry": BODY | changes})
        assert answer.status == 201, answer.body
        return answer.json()["registry"]

    return run


async def test_a_registry_from_its_begin_to_its_end(zun, store):
    answer = await zun.post("/v1/registries", {"registry": BODY})
    assert answer.status == 201
    shown = answer.json()["registry"]
    assert set(shown) == KEYS
    assert answer.headers["location"] == shown["links"][0]["href"]
    assert (shown["password"], shown["username"], shown["domain"]) == ("***", "anna", BODY["domain"])
    assert (shown["project_id"], shown["user_id"]) == ("p1", "u1")
    for ident in (shown["uuid"], "ours"):
        assert (await zun.get(f"/v1/registries/{ident}")).json() == {"registry": shown}
    assert (await zun.get("/v1/registries")).json() == {"registries": [shown], "next": None}
    async with store.read() as tx:
        stored = await tx.registries.get(shown["uuid"])
    assert stored.login == RegistryLogin(registry_username="anna", registry_password=PASSWORD)
    changes = {"name": "other", "domain": "r.example", "username": "bert", "password": "x"}
    answer = await zun.patch("/v1/registries/ours", {"registry": changes})
    assert answer.status == 200
    assert answer.json()["registry"] == shown | changes | {"password": "***"}
    answer = await zun.delete("/v1/registries/other")
    assert (answer.status, answer.body) == (204, b"")
    answer = await zun.get(f"/v1/registries/{shown['uuid']}")
    assert (answer.status, answer.error["code"]) == (404, "container.registry-not-found")


async def test_a_registry_needs_a_domain_only(zun, add):
    answer = await zun.post("/v1/registries", {"registry": {"domain": "docker.io"}})
    assert answer.status == 201
    shown = answer.json()["registry"]
    assert (shown["name"], shown["username"], shown["password"]) == (None, None, "***")
    # Nulls are what clients send for what was not given; in a change they take a value away.
    named = await add(name="bb", username=None, password=None)
    assert named["username"] is None
    await zun.patch("/v1/registries/bb", {"registry": {"username": "u", "password": "p"}})
    answer = await zun.patch("/v1/registries/bb", {"registry": {"password": None, "name": None}})
    assert (answer.json()["registry"]["username"], answer.json()["registry"]["name"]) == ("u", None)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"domain": "http://registry.example"}, "domain"),
        ({"domain": "registry"}, "domain"),
        ({"domain": "r.example:99999"}, "domain"),
        ({"domain": "r.example/team"}, "domain"),
        ({"domain": None}, "domain"),
        ({"name": "-"}, "name"),
        ({"username": "a:b"}, "username"),
        ({"username": None}, "username"),
        ({"password": f"{PASSWORD}\n"}, "password"),
        ({"password": PASSWORD * 30}, "password"),
        ({"password": [PASSWORD]}, "password"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_bad_fields_are_named_and_no_password_is_repeated(zun, add, change, field):
    await add()
    for method, path in (("POST", "/v1/registries"), ("PATCH", "/v1/registries/ours")):
        answer = await zun.request(method, path, {"registry": BODY | change})
        assert answer.status == 400, answer.body
        assert field in answer.error["detail"]
        assert PASSWORD.encode() not in answer.body


@pytest.mark.parametrize("body", [{}, {"registry": None}, {"registry": []}, {"registry": {}}, BODY])
async def test_a_body_without_a_registry(zun, body):
    answer = await zun.post("/v1/registries", body)
    assert (answer.status, answer.error["code"]) == (400, "container.schema-validation-error")


async def test_lists_have_filters_and_pages(zun, add):
    made = [await add(name=name, username=user) for name, user in (("r1", "x"), ("r2", "y"), ("r3", "x"))]
    await add(zun.as_("stranger"), name="r4", username="x")

    async def names(query, client=zun):
        answer = await client.get(f"/v1/registries?{query}")
        assert answer.status == 200, answer.body
        return [shown["name"] for shown in answer.json()["registries"]]

    assert await names("sort_key=name&sort_dir=desc") == ["r3", "r2", "r1"]
    assert await names("name=r2") == ["r2"]
    assert await names("username=x") == ["r1", "r3"]
    assert await names("username=x&limit=1") == ["r1"]
    assert await names(f"username=x&limit=1&marker={made[0]['uuid']}") == ["r3"]
    assert await names("domain=nowhere.example") == []
    assert await names("project_id=p2") == []
    assert await names("user_id=u1") == ["r1", "r2", "r3"]
    page = (await zun.get("/v1/registries?limit=2")).json()
    assert [shown["name"] for shown in page["registries"]] == ["r1", "r2"]
    assert page["next"].endswith(f"marker={made[1]['uuid']}")
    assert await names("all_projects=true&username=x", zun.as_("admin")) == ["r1", "r3", "r4"]
    assert (await zun.get("/v1/registries?all_projects=true")).status == 403
    assert (await zun.get(f"/v1/registries?marker={new_uuid()}")).status == 404
    assert (await zun.get("/v1/registries?sort_key=username")).status == 400


async def test_names_may_be_there_twice(zun, add):
    await add()
    second = await add()
    for method, body in (("GET", None), ("PATCH", {"registry": {"name": "x1"}}), ("DELETE", None)):
        assert (await zun.request(method, "/v1/registries/ours", body)).status == 409
    assert (await zun.get(f"/v1/registries/{second['uuid']}")).status == 200


async def test_strangers_see_no_registry(zun, add):
    shown = await add()
    stranger = zun.as_("stranger")
    for ident in (shown["uuid"], "ours"):
        for method, body in (("GET", None), ("PATCH", {"registry": {"name": "mine"}}), ("DELETE", None)):
            assert (await stranger.request(method, f"/v1/registries/{ident}", body)).status == 404
        answer = await stranger.post("/v1/containers", {"image": "app", "registry": ident})
        assert (answer.status, answer.error["code"]) == (404, "container.registry-not-found")
    admin = zun.as_("admin")
    assert (await admin.get("/v1/registries/ours")).status == 404
    assert (await admin.get(f"/v1/registries/{shown['uuid']}")).json()["registry"]["password"] == "***"
    assert (await zun.as_("reader").get("/v1/registries/ours")).status == 200


async def test_a_container_names_its_registry(zun, store, add):
    registry = await add()
    for ident in (registry["uuid"], "ours"):
        answer = await zun.post("/v1/containers", {"name": "box", "image": "team/app:1", "registry": ident})
        assert answer.status == 202, answer.body
        shown = answer.json()
        assert (shown["registry_id"], shown["image"]) == (registry["uuid"], "team/app:1")
    async with store.read() as tx:
        stored = await tx.containers.get(shown["uuid"])
    assert stored.spec.full_image == "registry.example.org:5000/team/app:1"
    answer = await zun.at("1.30").post("/v1/containers", {"image": "app", "registry": "ours"})
    assert (answer.status, answer.error["code"]) == (400, "container.invalid-param-in-version")


@pytest.mark.parametrize(
    ("domain", "image", "status"),
    [
        ("registry.example.org:5000", "registry.example.org:5000/app", 202),
        ("registry.example.org:5000", "Registry.Example.org:5000/app", 202),
        ("registry.example.org:5000", "registry.example.org/app", 400),
        ("registry.example.org:5000", "docker.io/app", 400),
        ("docker.io", "index.docker.io/team/app", 202),
        ("docker.io", "busybox", 202),
    ],
)
async def test_a_login_goes_to_its_own_registry_only(zun, add, domain, image, status):
    await add(domain=domain)
    answer = await zun.post("/v1/containers", {"image": image, "registry": "ours"})
    assert answer.status == status, answer.body
    if status == 400:
        assert "its domain is registry.example.org:5000" in answer.error["detail"]


async def test_a_registry_that_containers_use_stays(zun, add, store):
    await add()
    uuid = (await zun.post("/v1/containers", {"image": "app", "registry": "ours"})).json()["uuid"]
    answer = await zun.delete("/v1/registries/ours")
    assert (answer.status, answer.error["code"]) == (409, "container.conflict")
    assert uuid in answer.error["detail"]
    async with store.write() as tx:
        await tx.containers.remove({"uuid": uuid})
    assert (await zun.delete("/v1/registries/ours")).status == 204


async def test_no_password_is_in_a_log_or_in_the_audit(parts):
    records = []
    zun = Client(create_app(replace(parts, audit=records.append)), "/container", version="latest")
    with capture_logs() as logs:
        await zun.post("/v1/registries", {"registry": BODY})
        await zun.post("/v1/registries", {"registry": BODY | {"password": f"{PASSWORD}\n"}})
        await zun.patch("/v1/registries/ours", {"registry": {"password": f"{PASSWORD}2"}})
        await zun.post("/v1/containers", {"image": "app", "registry": "ours"})
        await zun.delete("/v1/registries/ours")
    assert [record.action for record in records][:3] == ["registry:create", "registry:create", "registry:update"]
    assert records[0].object_name == "ours"
    assert PASSWORD not in repr(records)
    assert PASSWORD not in repr(logs)


async def test_a_stored_password_goes_to_no_other_domain(zun, add):
    await add()
    answer = await zun.patch("/v1/registries/ours", {"registry": {"domain": "evil.example"}})
    assert (answer.status, "domain" in answer.error["detail"]) == (400, True)
    same = await zun.patch("/v1/registries/ours", {"registry": {"domain": BODY["domain"], "name": "ours"}})
    assert same.status == 200
    moved = await zun.patch("/v1/registries/ours", {"registry": {"domain": "r.example", "password": "new"}})
    assert moved.json()["registry"]["domain"] == "r.example"


async def test_the_mask_of_a_password_is_none(zun, add):
    await add()
    for answer in (
        await zun.patch("/v1/registries/ours", {"registry": {"password": "***"}}),
        await zun.post("/v1/registries", {"registry": {**BODY, "password": "***"}}),
    ):
        assert (answer.status, "password" in answer.error["detail"]) == (400, True)
