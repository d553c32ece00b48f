"""Limits that admins set: they hold from the next create on, and are nobody else's to set."""

import asyncio

import pytest

from tests.api.test_bad_input import LONG, NOT_WHOLE, refused, rows

BOTH = pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
CLUSTERS = "/v1/quotas/p1/Cluster"


def limit(value, project="p1"):
    return {"project_id": project, "resource": "Cluster", "hard_limit": value}


async def test_a_limit_of_clusters_from_its_first_to_its_last_day(infra, make):
    admin = infra.as_("admin")
    assert (await admin.patch(CLUSTERS, {"hard_limit": 1})).status == 404
    made = await admin.post("/v1/quotas", limit(1))
    assert made.status == 201
    shown = made.json()
    assert {name: shown[name] for name in limit(1)} == limit(1)
    assert isinstance(shown["id"], int)
    assert (await infra.get(CLUSTERS)).json() == shown
    await make.cluster(name="first")
    assert (await infra.post("/v1/clusters", {"cluster_template_id": "t"})).status == 403
    changed = await admin.patch(CLUSTERS, {"hard_limit": 2})
    assert (changed.status, changed.json()["hard_limit"], changed.json()["id"]) == (202, 2, shown["id"])
    assert (await infra.post("/v1/clusters", {"cluster_template_id": "t"})).status == 202
    assert (await infra.post("/v1/clusters", {"cluster_template_id": "t"})).status == 403
    assert (await admin.delete(CLUSTERS)).status == 204
    assert (await admin.delete(CLUSTERS)).status == 404
    assert (await infra.get(CLUSTERS)).json() == limit(1000)
    assert (await infra.post("/v1/clusters", {"cluster_template_id": "t"})).status == 202


async def test_a_limit_is_one_unless_it_is_said_and_may_be_none_at_all(infra):
    admin = infra.as_("admin")
    made = await admin.post("/v1/quotas", {"project_id": "p1"})
    assert (made.status, made.json()["resource"]) == (201, "Cluster")
    assert made.json()["hard_limit"] == 1
    assert (await admin.patch(CLUSTERS, limit(0))).json()["hard_limit"] == 0
    assert (await infra.post("/v1/clustertemplates", {"name": "t", "coe": "swarm", "image_id": "i"})).status == 201
    assert (await infra.post("/v1/clusters", {"cluster_template_id": "t"})).status == 403


@BOTH
async def test_of_five_first_limits_one_is_kept(infra):
    admin = infra.as_("admin")
    answers = await asyncio.gather(*(admin.post("/v1/quotas", limit(number)) for number in range(5)))
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409, 409]
    refused = next(answer for answer in answers if answer.status == 409)
    assert refused.error["detail"] == "Quota for project p1 already exists with resource Cluster."
    [kept] = (await admin.get("/v1/quotas?all_tenants=True")).json()["quotas"]
    [made] = [answer.json() for answer in answers if answer.status == 201]
    assert kept == made


async def test_a_project_that_is_not_there_gets_no_limit(infra):
    answer = await infra.as_("admin").post("/v1/quotas", limit(1, "nope"))
    assert (answer.status, answer.error["detail"]) == (404, "The project_id nope could not be found.")


async def test_limits_are_listed_by_project(infra):
    admin = infra.as_("admin")
    for number, project in enumerate(("p0", "p1", "p2")):
        assert (await admin.post("/v1/quotas", limit(number, project))).status == 201
    assert [quota["project_id"] for quota in (await admin.get("/v1/quotas")).json()["quotas"]] == ["p0"]
    page = (await admin.get("/v1/quotas?all_tenants=1&limit=2&sort_key=hard_limit&sort_dir=desc")).json()
    assert [quota["project_id"] for quota in page["quotas"]] == ["p2", "p1"]
    assert f"marker={page['quotas'][-1]['id']}" in page["next"]


@pytest.mark.parametrize("token", ["member", "reader", "stranger"])
async def test_only_admins_set_limits(infra, zun, token):
    infra, zun = infra.as_(token), zun.as_(token)
    assert (await infra.post("/v1/quotas", limit(1))).status == 403
    assert (await infra.patch(CLUSTERS, {"hard_limit": 1})).status == 403
    assert (await infra.delete(CLUSTERS)).status == 403
    assert (await zun.put("/v1/quotas/p1", {"cpu": 5})).status == 403
    assert (await zun.delete("/v1/quotas/p1")).status == 403
    assert (await zun.get("/v1/quota_classes/default")).status == 403
    assert (await zun.put("/v1/quota_classes/default", {"cpu": 5})).status == 403


@BOTH
async def test_limits_of_containers_lie_over_the_class_and_the_options(zun):
    admin = zun.as_("admin")
    options = dict.fromkeys(("containers", "memory", "cpu", "disk"), -1)
    assert (await admin.get("/v1/quota_classes/default")).json() == options
    of_class = options | {"containers": 5, "cpu": 8}
    assert (await admin.put("/v1/quota_classes/default", {"containers": 5, "cpu": "8"})).json() == of_class
    assert (await zun.get("/v1/quotas/p1")).json() == of_class
    own = of_class | {"containers": 1, "disk": 7}
    assert (await admin.put("/v1/quotas/p1?disk=7", {"containers": 1})).json() == own
    assert (await admin.put("/v1/quotas/p1", {"containers": 2})).json() == own | {"containers": 2}
    assert (await admin.put("/v1/quotas/p1")).json() == own | {"containers": 2}
    assert (await zun.get("/v1/quotas/p1/defaults")).json() == of_class
    assert (await zun.as_("stranger").get("/v1/quotas/p2")).json() == of_class
    assert (await admin.get("/v1/quota_classes/other")).json() == options
    answers = await asyncio.gather(*(zun.post("/v1/containers", {"image": "busybox"}) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [202, 202, 403, 403]
    used = (await zun.get("/v1/quotas/p1?usages=true")).json()
    assert used["containers"] == {"limit": 2, "in_use": 2}
    deleted = await admin.delete("/v1/quotas/p1")
    assert (deleted.status, deleted.json()) == (200, None)
    assert (await zun.get("/v1/quotas/p1")).json() == of_class
    assert (await zun.post("/v1/containers", {"image": "busybox"})).status == 202


async def test_both_families_keep_their_own_limits(infra, zun):
    for client, method, path, body in (
        (infra, "POST", "/v1/quotas", limit(4)),
        (zun, "PUT", "/v1/quotas/p1", {"cpu": 3}),
        (zun, "PUT", "/v1/quota_classes/default", {"cpu": 9}),
    ):
        assert (await client.as_("admin").request(method, path, body)).status in {200, 201}
    assert len((await infra.as_("admin").get("/v1/quotas?all_tenants=true")).json()["quotas"]) == 1
    await zun.as_("admin").delete("/v1/quotas/p1")
    assert (await infra.get(CLUSTERS)).json()["hard_limit"] == 4


QUOTA = {
    "project_id": [5, [], {}, "", None, LONG, "nothing", "..", "p/1", "p1\n"],
    "resource": [5, [], {}, "", None, "Node", "containers"],
    "hard_limit": [*NOT_WHOLE, None],
    "id": [1],
    "bogus": [1],
}


@pytest.mark.parametrize(("name", "value"), rows(QUOTA))
async def test_quotas(infra, name, value):
    admin = infra.as_("admin")
    body = {"project_id": "p1", "resource": "Cluster", "hard_limit": 3} | {name: value}
    refused(await admin.post("/v1/quotas", body))
    assert (await admin.get("/v1/quotas?all_tenants=true")).json() == {"quotas": []}


@pytest.mark.parametrize(
    ("name", "value"), rows({"hard_limit": [*NOT_WHOLE, None], "project_id": ["p2"], "bogus": [1]})
)
async def test_quota_patches(infra, name, value):
    admin = infra.as_("admin")
    await admin.post("/v1/quotas", {"project_id": "p1", "resource": "Cluster", "hard_limit": 3})
    refused(await admin.patch("/v1/quotas/p1/Cluster", {"hard_limit": 4} | {name: value}))
    assert (await admin.get("/v1/quotas/p1/Cluster")).json()["hard_limit"] == 3


@pytest.mark.parametrize(("name", "value"), rows({"cpu": ["x", "", -2, 1.5, [], {}, True, None, 10**12], "bogus": [1]}))
@pytest.mark.parametrize("path", ["/v1/quotas/p1", "/v1/quota_classes/default"])
async def test_container_quotas(zun, path, name, value):
    admin = zun.as_("admin")
    before = (await admin.get(path)).json()
    refused(await admin.put(path, {"memory": 5} | {name: value}))
    assert (await admin.get(path)).json() == before
