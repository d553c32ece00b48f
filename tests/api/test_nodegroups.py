"""Writing node groups: each is a wish that its cluster carries out, and what cannot be is refused at once."""

import asyncio
from dataclasses import replace

import pytest

from tests.api.loops import settle

GROUPS = "/v1/clusters/c/nodegroups"


@pytest.fixture
async def ready(infra, make, store):
    """A cluster that is as it was asked for."""
    uuid = await make.cluster(labels={"a": "1", "b": "2"}, docker_volume_size=5)
    await settle(store, uuid)
    return uuid


def change(name, value, op="replace"):
    return [{"op": op, "path": f"/{name}", "value": value}]


async def finish(store, uuid, name):
    """What the loop writes once the group is as it was asked for."""
    async with store.write() as tx:
        [group] = await tx.nodegroups.select({"cluster_id": uuid, "name": name})
        await tx.nodegroups.update(replace(group, status="CREATE_COMPLETE"))


async def test_a_new_group_is_a_wish_to_its_cluster(infra, store, ready):
    hints = store._bus.subscribe("cluster")
    body = {"name": "fast", "flavor_id": "big", "node_count": 3, "max_node_count": 5, "labels": {"a": "9"}}
    answer = await infra.post(GROUPS, body | {"merge_labels": True, "role": "database"})
    assert answer.status == 202
    shown = answer.json()
    assert (shown["status"], shown["is_default"], shown["role"]) == ("CREATE_IN_PROGRESS", False, "database")
    assert (shown["flavor_id"], shown["image_id"], shown["docker_volume_size"]) == ("big", "node", 5)
    assert (shown["node_count"], shown["min_node_count"], shown["max_node_count"]) == (3, 0, 5)
    assert shown["labels"] == {"a": "9", "b": "2"}
    assert (shown["labels_overridden"], shown["merge_labels"]) == ({"a": "1"}, True)
    assert isinstance(shown["id"], int)
    assert await asyncio.wait_for(anext(hints), 5) == ready
    cluster = (await infra.get("/v1/clusters/c")).json()
    assert (cluster["status"], cluster["node_count"]) == ("UPDATE_IN_PROGRESS", 4)
    assert (await infra.get(f"{GROUPS}/fast")).json() == shown
    others = (await infra.get(GROUPS)).json()["nodegroups"]
    assert [group["name"] for group in others] == ["default-master", "default-worker", "fast"]


@pytest.mark.parametrize("name", ["g$(reboot)", "a/../../b", "-g", "g-", "g h", "ä", "g" * 64, "g\n", ".", "../x"])
async def test_a_name_that_no_node_can_have_is_refused_with_the_rule(infra, ready, name):
    refused = await infra.post(GROUPS, {"name": name})
    assert refused.status == 400
    assert "field 'name'" in refused.error["title"]
    assert "letters, digits and _.-" in refused.error["title"] or "1 to 63 characters" in refused.error["title"]


@pytest.mark.parametrize("name", ["G_1.b", "a", "0", "g" * 63])
async def test_names_that_nodes_can_have(infra, ready, name):
    assert (await infra.post(GROUPS, {"name": name, "uuid": ready})).status == 202


@pytest.mark.parametrize("role", ["master", "load-balancer"])
async def test_a_role_that_the_cluster_has_itself_is_refused(infra, ready, role):
    refused = await infra.post(GROUPS, {"name": "g", "role": role})
    assert (refused.status, role in refused.error["title"]) == (400, True)


async def test_what_is_unset_is_the_clusters(infra, ready):
    shown = (await infra.post(GROUPS, {"name": "g", "flavor_id": None, "labels": None})).json()
    assert (shown["flavor_id"], shown["node_count"], shown["role"]) == ("m1.small", 1, "worker")
    assert shown["labels"] == {"a": "1", "b": "2"}
    assert shown["labels_added"] == shown["labels_overridden"] == shown["labels_skipped"] == {}


@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
async def test_of_many_with_one_name_one_is_made_and_all_others_are(infra, store, ready):
    bodies = [{"name": "same"}] * 5 + [{"name": f"g{number}"} for number in range(5)]
    answers = await asyncio.gather(*(infra.post(GROUPS, body) for body in bodies))
    assert sorted(answer.status for answer in answers[:5]) == [202, 409, 409, 409, 409]
    assert [answer.status for answer in answers[5:]] == [202] * 5
    refused = next(answer for answer in answers if answer.status == 409)
    assert refused.error["detail"] == "A node group with name same already exists in the cluster."
    async with store.read() as tx:
        assert (await tx.clusters.get(ready)).generation == 1 + 6


async def test_a_cluster_without_an_address_takes_no_groups(infra, make):
    await make.cluster()
    answer = await infra.post(GROUPS, {"name": "g"})
    assert answer.status == 409
    assert answer.error["title"].startswith("Cluster API address is not available yet: the cluster's status is")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", {"name": "g"}),
        ("PATCH", "/default-worker", change("max_node_count", 5)),
        ("DELETE", "/fast", None),
    ],
)
async def test_a_cluster_that_goes_takes_no_wishes(infra, store, ready, method, path, body):
    assert (await infra.post(GROUPS, {"name": "fast"})).status == 202
    assert (await infra.delete("/v1/clusters/c")).status == 204
    answer = await infra.request(method, f"{GROUPS}{path}", body)
    assert answer.status == 409
    assert "DELETE_IN_PROGRESS" in answer.error["detail"]


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"role": "master"}, 400, "master"),
        ({"min_node_count": 3, "max_node_count": 2}, 409, "max_node_count for g is invalid"),
        ({"node_count": 3, "max_node_count": 2}, 409, "max_node_count for g is invalid"),
        ({"min_node_count": 2}, 409, "min_node_count for g is invalid"),
        ({"node_labels": {"kubernetes.io/x": "y"}}, 409, "node_labels"),
        ({"node_taints": [{"key": "a", "effect": "Sometimes"}]}, 409, "node_taints"),
        ({"node_taints": ["a"]}, 400, "'node_taints', value 'a': a taint is an object"),
        ({"node_taints": "a"}, 400, "'node_taints', value 'a': it has to be a list"),
    ],
)
async def test_what_no_group_may_be(infra, ready, body, status, text):
    answer = await infra.post(GROUPS, {"name": "g"} | body)
    assert answer.status == status
    assert text in answer.error["detail"]
    assert (await infra.get(f"{GROUPS}/g")).status == 404


@pytest.mark.parametrize("key", ["disk", "example.com/disk", "node.kubernetes.io/x", "topology.kubernetes.io/zone"])
async def test_labels_that_a_node_may_have(infra, ready, key):
    assert (await infra.post(GROUPS, {"name": "g", "node_labels": {key: "ssd"}})).json()["node_labels"] == {key: "ssd"}


@pytest.mark.parametrize("field", ["flavor_id", "image_id"])
async def test_admission_is_asked_of_flavor_and_image(infra, parts, ready, field):
    parts.conductor.refused = "nope"
    assert (await infra.post(GROUPS, {"name": "g", field: "nope"})).status == 400
    assert (await infra.get("/v1/clusters/c")).json()["status"] == "CREATE_COMPLETE"


async def test_what_came_with_which_version(infra, ready):
    assert (await infra.at("1.8").post(GROUPS, {"name": "g"})).status == 406
    assert (await infra.at("1.9").post(GROUPS, {"name": "g", "node_count": 0})).status == 400
    assert (await infra.at("1.13").post(GROUPS, {"name": "g", "node_labels": {"a": "b"}})).status == 400
    assert (await infra.at("1.13").patch(f"{GROUPS}/default-worker", change("node_labels", "{}"))).status == 400
    assert (await infra.at("1.10").post(GROUPS, {"name": "g", "node_count": 0})).status == 202
    assert (await infra.at("1.8").delete(f"{GROUPS}/g")).status == 406


async def test_bounds_labels_and_taints_are_patched(infra, store, ready):
    steps = [
        *change("max_node_count", 4),
        *change("min_node_count", 1),
        *change("node_labels", "{'disk': 'ssd'}"),
        *change("node_labels/rack", "7", op="add"),
        *change("node_taints", '[{"key": "a", "value": "", "effect": "NoExecute"}]'),
    ]
    answer = await infra.patch(f"{GROUPS}/default-worker", steps)
    assert answer.status == 202
    shown = answer.json()
    assert (shown["status"], shown["min_node_count"], shown["max_node_count"]) == ("UPDATE_IN_PROGRESS", 1, 4)
    assert shown["node_labels"] == {"disk": "ssd", "rack": "7"}
    assert shown["node_taints"] == [{"key": "a", "value": "", "effect": "NoExecute"}]
    assert (await infra.get("/v1/clusters/c")).json()["status"] == "UPDATE_IN_PROGRESS"
    assert (await infra.post("/v1/clusters/c/actions/resize", {"node_count": 5})).status == 400
    back = [{"op": "remove", "path": f"/{name}"} for name in ("max_node_count", "node_labels", "node_taints")]
    shown = (await infra.patch(f"{GROUPS}/default-worker", back)).json()
    assert (shown["max_node_count"], shown["node_labels"], shown["node_taints"]) == (None, {}, [])
    for name, value, status in (("max_node_count", 0, 400), ("min_node_count", 2, 409)):
        assert (await infra.patch(f"{GROUPS}/default-worker", change(name, value))).status == status


async def test_masters_keep_their_labels(infra, ready):
    for name, value in (("node_labels", "{'a': 'b'}"), ("node_taints", "[{'key': 'a', 'effect': 'NoSchedule'}]")):
        assert (await infra.patch(f"{GROUPS}/default-master", change(name, value))).status == 409
    assert (await infra.patch(f"{GROUPS}/default-master", [])).status == 202
    assert (await infra.get("/v1/clusters/c")).json()["status"] == "CREATE_COMPLETE"


async def test_a_group_in_the_making_waits_with_changes_and_not_with_its_end(infra, store, ready):
    assert (await infra.post(GROUPS, {"name": "g"})).status == 202
    resize = {"node_count": 2, "nodegroup": "g"}
    for answer in (
        await infra.patch(f"{GROUPS}/g", change("max_node_count", 5)),
        await infra.post("/v1/clusters/c/actions/resize", resize),
    ):
        assert (answer.status, answer.error["code"]) == (409, "client")
        assert "CREATE_IN_PROGRESS" in answer.error["detail"]
    await finish(store, ready, "g")
    assert (await infra.post("/v1/clusters/c/actions/resize", resize)).status == 202
    assert (await infra.get(f"{GROUPS}/g")).json()["status"] == "UPDATE_IN_PROGRESS"
    for _ in range(2):
        assert (await infra.delete(f"{GROUPS}/g")).status == 204
    assert (await infra.get(f"{GROUPS}/g")).json()["status"] == "DELETE_IN_PROGRESS"
    async with store.read() as tx:
        assert (await tx.clusters.get(ready)).generation == 4, "asking twice is asking once"
    assert (await infra.post("/v1/clusters/c/actions/resize", resize)).status == 409
    assert (await infra.post(GROUPS, {"name": "g"})).status == 409


async def test_default_groups_stay(infra, ready):
    for name in ("default-master", "default-worker"):
        assert (await infra.delete(f"{GROUPS}/{name}")).status == 400
    assert (await infra.delete(f"{GROUPS}/nothing")).status == 404
    assert (await infra.get("/v1/clusters/c")).json()["status"] == "CREATE_COMPLETE"


async def test_readers_write_no_groups_and_admins_all(infra, ready):
    reader, admin = infra.as_("reader"), infra.as_("admin")
    assert (await reader.post(GROUPS, {"name": "g"})).status == 403
    assert (await reader.delete(f"{GROUPS}/default-worker")).status == 403
    made = await admin.post(GROUPS, {"name": "g"})
    assert (made.status, made.json()["project_id"]) == (202, "p1")
    assert (await admin.patch(f"{GROUPS}/default-worker", change("max_node_count", 7))).status == 202
    assert (await admin.delete(f"{GROUPS}/g")).status == 204
    assert (await admin.post("/v1/clusters/c/actions/resize", {"node_count": 2})).status == 202
