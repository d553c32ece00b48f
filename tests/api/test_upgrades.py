"""Another template, other labels and other flavours for a cluster that is there: what is stored, what is refused."""

from dataclasses import replace

import pytest

from jeroboam.domain.clusters import NodeObserved, NodeState
from tests.api.loops import settle

UP = "/v1/clusters/c/actions/upgrade"


async def whole(store, uuid):
    async with store.read() as tx:
        return await tx.clusters.get(uuid), (await tx.nodegroups.groups_of(uuid))[uuid]


async def done(store, uuid, status="UPDATE_COMPLETE", *, build=None) -> None:
    """What the loop writes at the end: every node of the wanted build (or of that one)."""
    async with store.write() as tx:
        cluster = await tx.clusters.get(uuid)
        seen = replace(cluster.observed, generation=cluster.generation)
        await tx.clusters.update(replace(cluster, observed=seen, status=status, deadline_at=None))
        for group in (await tx.nodegroups.groups_of(uuid))[uuid]:
            of = group.spec.build if build is None else build
            node = NodeObserved(uuid=group.uuid, name="n", state=NodeState.RUNNING, build=of)
            await tx.nodegroups.update(replace(group, status=status, observed=(node,)))


@pytest.fixture
async def ready(make, store):
    template = await make.template(name="old", labels={"a": "1", "b": "2", "c": "3"})
    uuid = await make.cluster(
        cluster_template_id=template["uuid"], labels={"b": "own", "d": "4"}, merge_labels=True, flavor_id="big"
    )
    await settle(store, uuid)
    await done(store, uuid, "CREATE_COMPLETE")
    return uuid


async def test_an_upgrade_is_a_wish_in_progress_at_once(infra, make, store, ready):
    new = await make.template(name="new", image_id="node2", labels={"a": "9", "b": "2", "e": "5"})
    answer = await infra.post(UP, {"cluster_template": "new", "max_batch_size": 3})
    assert (answer.status, answer.json()) == (202, {"uuid": ready})
    shown = (await infra.get("/v1/clusters/c")).json()
    assert (shown["status"], shown["cluster_template_id"]) == ("UPDATE_IN_PROGRESS", new["uuid"])
    # What the template changed counts, what the cluster had of its own stays.
    assert shown["labels"] == {"a": "9", "b": "own", "d": "4", "e": "5"}
    assert (shown["flavor_id"], shown["node_count"]) == ("big", 1)
    cluster, groups = await whole(store, ready)
    assert (cluster.spec.max_batch_size, cluster.spec.template.image_id) == (3, "node2")
    for group in groups:
        assert (group.spec.image_id, group.spec.build, group.spec.labels) == ("node2", 1, shown["labels"])
        assert group.status == "UPDATE_IN_PROGRESS"


async def test_the_batch_is_one_where_nobody_says(infra, store, ready):
    assert (await infra.post(UP, {"cluster_template": "old"})).status == 202
    assert (await whole(store, ready))[0].spec.max_batch_size == 1


@pytest.mark.parametrize("failed", ["UPDATE_FAILED", "UPDATE_IN_PROGRESS"])
async def test_asking_again_goes_on_where_it_stopped_and_asking_after_the_end_begins_anew(
    infra, make, store, ready, failed
):
    await make.template(name="new", image_id="node2")
    assert (await infra.post(UP, {"cluster_template": "new"})).status == 202
    await done(store, ready, failed, build=0)
    assert (await infra.post(UP, {"cluster_template": "new"})).status == 202
    cluster, groups = await whole(store, ready)
    assert (cluster.status, [group.spec.build for group in groups]) == ("UPDATE_IN_PROGRESS", [1, 1])
    await done(store, ready)
    assert (await infra.post(UP, {"cluster_template": "new"})).status == 202
    assert [group.spec.build for group in (await whole(store, ready))[1]] == [2, 2]


async def test_back_to_the_old_template_from_a_failure(infra, make, store, ready):
    await make.template(name="new", image_id="broken")
    assert (await infra.post(UP, {"cluster_template": "new"})).status == 202
    await done(store, ready, "UPDATE_FAILED", build=0)
    assert (await infra.post(UP, {"cluster_template": "old"})).status == 202
    cluster, groups = await whole(store, ready)
    assert (cluster.status, cluster.spec.template.image_id) == ("UPDATE_IN_PROGRESS", "node")
    assert [(group.spec.image_id, group.spec.build) for group in groups] == [("node", 2)] * 2


async def test_other_groups_go_when_they_are_asked_and_only_to_the_clusters_template(infra, make, store, ready):
    assert (await infra.post("/v1/clusters/c/nodegroups", {"name": "g", "labels": {"x": "1", "a": "1"}})).status == 202
    await done(store, ready)
    await make.template(name="new", image_id="node2", labels={"a": "9"})
    answer = await infra.post(UP, {"cluster_template": "new", "nodegroup": "g"})
    assert answer.status == 409
    assert "Nodegroup g can be upgraded only to match cluster's template" in answer.error["detail"]
    assert (await infra.post(UP, {"cluster_template": "new"})).status == 202
    await done(store, ready)
    group = (await whole(store, ready))[1][2]
    assert (group.name, group.spec.image_id, group.spec.build) == ("g", "node", 0)
    assert (await infra.post(UP, {"cluster_template": "new", "nodegroup": "g"})).status == 202
    master, worker, group = (await whole(store, ready))[1]
    assert (group.spec.image_id, group.spec.build, group.spec.labels) == ("node2", 1, {"x": "1", "a": "9"})
    assert {master.status, worker.status} == {"UPDATE_COMPLETE"}


@pytest.mark.parametrize("group", ["default-worker", "default-master"])
async def test_one_default_group_goes_to_the_same_template_alone(infra, store, ready, group):
    assert (await infra.post(UP, {"cluster_template": "old", "nodegroup": group})).status == 202
    builds = {each.name: each.spec.build for each in (await whole(store, ready))[1]}
    assert builds == {"default-master": 0, "default-worker": 0} | {group: 1}


@pytest.mark.parametrize(
    ("version", "body", "status", "text"),
    [
        ("1.7", {"cluster_template": "old"}, 400, "not supported in the provided microversion"),
        ("1.14", {}, 400, "cluster_template"),
        ("1.14", {"cluster_template": None}, 400, "cluster_template"),
        ("1.14", {"cluster_template": 5}, 400, "cluster_template"),
        ("1.14", {"cluster_template": "nope"}, 404, "ClusterTemplate nope"),
        ("1.14", {"cluster_template": "old", "max_batch_size": 0}, 400, "max_batch_size"),
        ("1.14", {"cluster_template": "old", "max_batch_size": "x"}, 400, "max_batch_size"),
        ("1.14", {"cluster_template": "old", "nodegroup": "nope"}, 404, "Nodegroup nope"),
        ("1.14", {"cluster_template": "old", "nodegroup": []}, 400, "nodegroup"),
        ("1.14", {"cluster_template": "old", "bogus": 1}, 400, "Unknown attribute for argument cluster_upgrade_req"),
        ("1.14", [], 400, "object"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(infra, store, ready, version, body, status, text):
    answer = await infra.at(version).post(UP, body)
    assert answer.status == status
    assert text in answer.error["detail"]
    assert (await whole(store, ready))[0].generation == 1


async def test_it_is_a_406_before_it_was_there(infra, ready):
    assert (await infra.at("1.6").post(UP, {"cluster_template": "old"})).status == 406


@pytest.mark.parametrize("status", ["CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS"])
async def test_a_state_that_forbids_it_is_told_at_once(infra, store, ready, status):
    async with store.write() as tx:
        await tx.clusters.update(replace(await tx.clusters.get(ready), status=status))
    for answer in (
        await infra.post(UP, {"cluster_template": "old"}),
        await infra.patch("/v1/clusters/c", [{"op": "add", "path": "/labels/x", "value": "1"}]),
    ):
        assert answer.status == 409
        assert status in answer.error["detail"]


async def test_strangers_readers_and_hidden_templates(infra, make, store, ready):
    assert (await infra.as_("stranger").post(UP, {"cluster_template": "old"})).status == 404
    assert (await infra.as_("reader").post(UP, {"cluster_template": "old"})).status == 403
    await make.template(name="hidden", client=infra.as_("admin"), public=True, hidden=True)
    assert (await infra.post(UP, {"cluster_template": "hidden"})).status == 404
    assert (await infra.as_("admin").post(UP, {"cluster_template": "hidden"})).status == 202


async def test_what_the_drivers_cannot_do_is_refused_before_it_is_stored(infra, parts, make, store, ready):
    await make.template(name="new", image_id="node2")
    parts.conductor.refused = "node2"
    answer = await infra.post(UP, {"cluster_template": "new"})
    assert (answer.status, answer.error["detail"]) == (400, "Unable to find node2.")
    assert (await whole(store, ready))[0].generation == 1


async def test_a_group_shows_its_nodes_and_how_far_a_roll_out_is(infra, store, ready):
    assert (await infra.post(UP, {"cluster_template": "old", "nodegroup": "default-worker"})).status == 202
    [master, worker] = [
        (await infra.get(f"/v1/clusters/c/nodegroups/{name}")).json()["nodes"]
        for name in ("default-master", "default-worker")
    ]
    assert [node["up_to_date"] for node in master + worker] == [True, False]
    _, [_, group] = await whole(store, ready)
    assert worker == [
        {
            "uuid": group.uuid,
            "name": "n",
            "address": None,
            "server_id": None,
            "state": "running",
            "ready": False,
            "reason": "",
            "up_to_date": False,
        }
    ]


# ------------------------------------------------------------------------------------------- labels and flavours


async def patched(infra, *steps, path="/v1/clusters/c", **query):
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    body = [dict(zip(("op", "path", "value"), step, strict=False)) for step in steps]
    return await infra.patch(f"{path}?{asked}", body)


async def test_labels_change_in_place_and_nodes_follow_only_where_they_are_made_from_them(infra, store, ready):
    assert (await patched(infra, ("add", "/labels/x", "1"), ("remove", "/labels/d"))).status == 202
    cluster, groups = await whole(store, ready)
    assert cluster.spec.labels == {"a": "1", "b": "own", "c": "3", "x": "1"}
    assert cluster.status == "UPDATE_IN_PROGRESS"
    assert [(group.spec.labels, group.spec.build) for group in groups] == [(cluster.spec.labels, 0)] * 2
    assert (await patched(infra, ("add", "/labels/fake_setting", "on"), max_batch_size=2)).status == 202
    cluster, groups = await whole(store, ready)
    assert [group.spec.build for group in groups] == [1, 1]
    assert cluster.spec.max_batch_size == 2
    assert (await patched(infra, ("add", "/labels/fake_master_setting", "on"))).status == 202
    cluster, groups = await whole(store, ready)
    assert [group.spec.build for group in groups] == [2, 1], "workers are not made from it"


async def test_labels_as_a_whole_and_a_group_that_has_its_own(infra, store, ready):
    await infra.post("/v1/clusters/c/nodegroups", {"name": "g", "labels": {"a": "mine", "b": "own"}})
    await done(store, ready)
    assert (await patched(infra, ("replace", "/labels", "{'a': 'new', 'b': 'new'}"))).status == 202
    cluster, groups = await whole(store, ready)
    assert cluster.spec.labels == {"a": "new", "b": "new"}
    assert groups[2].spec.labels == {"a": "mine", "b": "new"}, "what was the cluster's follows, its own stays"


async def test_a_change_that_changes_nothing_is_no_wish(infra, store, ready):
    assert (await patched(infra, ("add", "/labels/a", "1"), ("replace", "/flavor_id", "big"))).status == 202
    cluster, _ = await whole(store, ready)
    assert (cluster.generation, cluster.status) == (1, "CREATE_COMPLETE")


async def test_a_new_name_is_no_work(infra, store, ready):
    assert (await patched(infra, ("replace", "/name", "other"))).status == 202
    shown = (await infra.get("/v1/clusters/other")).json()
    assert (shown["uuid"], shown["status"]) == (ready, "CREATE_COMPLETE")
    assert shown["updated_at"] is not None


async def test_flavours_change_in_place(infra, store, ready):
    wish = [("replace", "/flavor_id", "huge"), ("add", "/master_flavor_id", "m1.large"), ("replace", "/node_count", 4)]
    assert (await patched(infra, *wish, rollback="true")).status == 202
    cluster, [master, worker] = await whole(store, ready)
    assert (master.spec.flavor_id, master.spec.build) == ("m1.large", 1)
    assert (worker.spec.flavor_id, worker.spec.build, worker.spec.node_count) == ("huge", 1, 4)
    former = cluster.spec.former
    assert (former.flavor_id, former.master_flavor_id) == ("big", None)
    assert former.groups[worker.uuid].flavor_id == "big"
    assert (await patched(infra, ("remove", "/flavor_id"))).status == 202
    assert (await whole(store, ready))[0].spec.flavor_id == "m1.small", "the template's again"


async def test_a_groups_own_labels_and_flavour(infra, store, ready):
    path = "/v1/clusters/c/nodegroups/default-worker"
    assert (await patched(infra, ("add", "/labels/x", "1"), path=path)).status == 202
    master, worker = (await whole(store, ready))[1]
    assert (worker.spec.labels["x"], worker.spec.build, "x" in master.spec.labels) == ("1", 0, False)
    answer = await patched(infra, ("replace", "/flavor_id", "huge"), path=path, max_batch_size=5)
    assert (answer.status, answer.json()["flavor_id"]) == (202, "huge")
    cluster, [master, worker] = await whole(store, ready)
    assert (worker.spec.build, master.spec.build, cluster.spec.max_batch_size) == (1, 0, 5)
    assert (await patched(infra, ("add", "/labels/fake_setting", "x"), path=path)).status == 202
    assert (await whole(store, ready))[1][1].spec.build == 2


@pytest.mark.parametrize(
    "step",
    [
        ("replace", "/labels", "[1]"),
        ("replace", "/labels", "{'a': [1]}"),
        ("add", "/labels/x/y", "1"),
        ("replace", "/labels/nope", "1"),
        ("remove", "/labels/nope"),
        ("add", "/labels/min_node_count", "x"),
        ("replace", "/flavor_id", ""),
        ("replace", "/flavor_id", 5),
        ("replace", "/name", "1bad"),
        ("replace", "/master_count", 3),
        ("replace", "/name/x", "y"),
    ],
)
async def test_bad_patches_are_refused_and_change_nothing(infra, store, ready, step):
    answer = await patched(infra, step)
    assert answer.status == 400, answer.body
    cluster, _ = await whole(store, ready)
    assert (cluster.generation, cluster.name) == (1, "c")


@pytest.mark.parametrize("batch", ["0", "x", "", "-1"])
@pytest.mark.parametrize("path", ["/v1/clusters/c", "/v1/clusters/c/nodegroups/default-worker"])
async def test_a_batch_is_a_number(infra, ready, batch, path):
    answer = await patched(infra, ("add", "/labels/x", "1"), path=path, max_batch_size=batch)
    assert answer.status == 400
    assert "max_batch_size" in answer.error["detail"]


async def test_a_flavour_that_is_not_there(infra, parts, store, ready):
    parts.conductor.refused = "nope"
    for path in ("/v1/clusters/c", "/v1/clusters/c/nodegroups/default-worker"):
        answer = await patched(infra, ("replace", "/flavor_id", "nope"), path=path)
        assert (answer.status, "nope" in answer.error["detail"]) == (400, True)
    assert (await whole(store, ready))[0].generation == 1
