"""Clusters, their node groups and certificates, from the POST to the DELETE."""

import datetime as dt
from dataclasses import replace

import pytest
from cryptography import x509

from tests.api.loops import csr, settle
from tests.builders import new_uuid

FULL = set(
    "uuid name cluster_template_id keypair node_count master_count docker_volume_size labels master_flavor_id "
    "flavor_id create_timeout links cluster_id stack_id status status_reason health_status health_status_reason "
    "discovery_url api_address coe_version container_version project_id user_id node_addresses master_addresses "
    "fixed_network fixed_subnet floating_ip_enabled master_lb_enabled merge_labels labels_overridden labels_added "
    "labels_skipped created_at updated_at".split()
)
SHORT = set(
    "uuid name cluster_template_id keypair node_count master_count docker_volume_size labels master_flavor_id "
    "flavor_id create_timeout links cluster_id stack_id status health_status merge_labels".split()
)
GROUP = set(
    "id uuid name cluster_id project_id docker_volume_size labels labels_overridden labels_added labels_skipped "
    "merge_labels links flavor_id image_id node_addresses node_count role min_node_count max_node_count is_default "
    "stack_id status status_reason version node_labels node_taints nodes created_at updated_at".split()
)


async def test_the_row_is_there_when_the_202_is(infra, make):
    for number in range(20):
        uuid = await make.cluster(name=f"c{number}")
        answer = await infra.get(f"/v1/clusters/{uuid}")
        assert answer.status == 200
        assert answer.json()["status"] == "CREATE_IN_PROGRESS"


async def test_the_full_object(infra, make):
    uuid = await make.cluster(node_count=2)
    shown = (await infra.get("/v1/clusters/c")).json()
    assert set(shown) == FULL
    assert shown["uuid"] == shown["cluster_id"] == uuid
    assert (shown["node_count"], shown["master_count"], shown["create_timeout"]) == (2, 1, 60)
    assert shown["links"][0] == {"href": f"http://cloud:9511/container-infra/v1/clusters/{uuid}", "rel": "self"}
    assert shown["links"][1] == {"href": f"http://cloud:9511/container-infra/clusters/{uuid}", "rel": "bookmark"}
    assert dt.datetime.fromisoformat(shown["created_at"]).utcoffset() == dt.timedelta(0)
    assert shown["updated_at"] is None
    assert shown["merge_labels"] is False


async def test_the_id_of_the_whole_has_both_names_from_the_version_that_changed_it(infra, make):
    uuid = await make.cluster()
    for path in ("/v1/clusters", "/v1/clusters/detail"):
        [shown] = (await infra.at("1.12").get(path)).json()["clusters"]
        assert (shown["stack_id"], shown.get("cluster_id")) == (uuid, None)
        for version in ("1.13", "latest"):
            [shown] = (await infra.at(version).get(path)).json()["clusters"]
            assert (shown["stack_id"], shown["cluster_id"]) == (uuid, uuid)


async def test_lists_are_short_and_detail_is_full(infra, make):
    await make.cluster()
    assert set((await infra.get("/v1/clusters")).json()["clusters"][0]) == SHORT
    assert set((await infra.get("/v1/clusters/detail")).json()["clusters"][0]) == FULL
    assert "next" not in (await infra.get("/v1/clusters")).json()


@pytest.mark.parametrize("version", ["1.1", "latest"])
async def test_happy_path_at_the_first_and_the_last_version(infra, make, store, version):
    client = infra.at(version)
    template = (await client.post("/v1/clustertemplates", {"coe": "swarm", "image_id": "i"})).json()
    created = await client.post("/v1/clusters", {"name": "c", "cluster_template_id": template["uuid"]})
    assert (created.status, list(created.json())) == (202, ["uuid"])
    assert "location" not in created.headers
    uuid = created.json()["uuid"]
    await settle(store, uuid)
    change = [{"op": "replace", "path": "/node_count", "value": 3}]
    changed = await client.patch("/v1/clusters/c", change)
    assert (changed.status, changed.json()) == (202, {"uuid": uuid})
    shown = (await client.get(f"/v1/clusters/{uuid}")).json()
    assert (shown["node_count"], shown["status"]) == (3, "UPDATE_IN_PROGRESS")
    for _ in range(2):
        answer = await client.delete("/v1/clusters/c")
        assert (answer.status, answer.body) == (204, b"")
    assert (await client.get("/v1/clusters/c")).json()["status"] == "DELETE_IN_PROGRESS"


async def test_what_is_unset_comes_from_the_template(infra, make, store):
    template = await make.template(
        master_flavor_id="big", keypair_id="k", docker_volume_size=7, fixed_network="n", floating_ip_enabled=False
    )
    await make.cluster(cluster_template_id=template["uuid"], flavor_id=None)
    shown = (await infra.get("/v1/clusters/c")).json()
    assert (shown["flavor_id"], shown["master_flavor_id"], shown["keypair"]) == ("m1.small", "big", "k")
    assert (shown["docker_volume_size"], shown["fixed_network"], shown["floating_ip_enabled"]) == (7, "n", False)
    groups = (await infra.get("/v1/clusters/c/nodegroups")).json()["nodegroups"]
    assert [(g["name"], g["role"], g["flavor_id"], g["is_default"]) for g in groups] == [
        ("default-master", "master", "big", True),
        ("default-worker", "worker", "m1.small", True),
    ]


async def test_labels_replace_or_merge(infra, make):
    template = await make.template(labels={"a": "1", "b": True, "n": 5})
    assert template["labels"] == {"a": "1", "b": "True", "n": "5"}
    await make.cluster(name="replaced", cluster_template_id=template["uuid"], labels={"a": "2", "c": "3"})
    shown = (await infra.get("/v1/clusters/replaced")).json()
    assert shown["labels"] == {"a": "2", "c": "3"}
    assert (shown["labels_added"], shown["labels_overridden"]) == ({"c": "3"}, {"a": "1"})
    assert shown["labels_skipped"] == {"b": "True", "n": "5"}
    await make.cluster(
        name="merged", cluster_template_id=template["uuid"], labels={"a": "2", "c": "3"}, merge_labels=True
    )
    shown = (await infra.get("/v1/clusters/merged")).json()
    assert shown["labels"] == {"a": "2", "b": "True", "n": "5", "c": "3"}
    assert shown["labels_skipped"] == {}


async def test_a_name_is_made_up_and_need_not_be_unique(infra, make):
    template = await make.template()
    for _ in range(2):
        await make.cluster(name="twin", cluster_template_id="t")
    answer = await infra.get("/v1/clusters/twin")
    assert answer.status == 409
    assert answer.error["title"].startswith("Multiple clusters exist with same name, please use")
    created = await infra.post("/v1/clusters", {"cluster_template_id": template["uuid"]})
    shown = (await infra.get(f"/v1/clusters/{created.json()['uuid']}")).json()
    letter, number, word = shown["name"].split("-")
    assert letter.isalpha()
    assert 1 <= int(number) <= 24
    assert word == "cluster"


@pytest.mark.parametrize(("version", "status"), [("1.9", 400), ("1.10", 404)])
async def test_an_unknown_template(infra, version, status):
    answer = await infra.at(version).post("/v1/clusters", {"cluster_template_id": new_uuid()})
    assert answer.status == status


async def test_no_nodes_came_with_a_later_version(infra, make, store):
    template = await make.template()
    body = {"name": "empty", "cluster_template_id": template["uuid"], "node_count": 0}
    assert (await infra.at("1.9").post("/v1/clusters", body)).status == 400
    created = await infra.at("1.10").post("/v1/clusters", body)
    assert created.status == 202
    uuid = await make.cluster(cluster_template_id=template["uuid"])
    await settle(store, uuid)
    for version, status in (("1.9", 400), ("1.10", 202)):
        client = infra.at(version)
        assert (await client.post("/v1/clusters/c/actions/resize", {"node_count": 0})).status == status
        change = [{"op": "replace", "path": "/node_count", "value": 0}]
        assert (await client.patch("/v1/clusters/c", change)).status == status


async def test_the_title_that_clients_show_is_the_first_sentence_and_names_the_field(infra, make, parts):
    await make.template()
    parts.conductor.refused = "m1.tiny"
    answer = await infra.post("/v1/clusters", {"cluster_template_id": "t", "flavor_id": "m1.tiny"})
    assert (answer.error["title"], answer.error["detail"]) == (
        "Unable to find flavor m1.tiny (flavor_id)",
        "Unable to find flavor m1.tiny.",
    )


async def test_admission_is_asked_before_anything_is_stored(infra, make, parts):
    template = await make.template()
    parts.conductor.refused = "nope"
    body = {"cluster_template_id": template["uuid"], "flavor_id": "nope"}
    answer = await infra.post("/v1/clusters", body)
    assert (answer.status, answer.error["detail"]) == (400, "Unable to find flavor nope.")
    assert (await infra.get("/v1/clusters")).json() == {"clusters": []}
    assert (await infra.get("/v1/stats")).json() == {"clusters": 0, "nodes": 0}


async def test_resize(infra, make, store):
    uuid = await make.cluster()
    early = await infra.post("/v1/clusters/c/actions/resize", {"node_count": 2})
    assert early.status == 409
    await settle(store, uuid)
    assert (await infra.post("/v1/clusters/c/actions/resize", {"node_count": "2"})).status == 202
    # Another size may be asked for while the last one is on its way.
    assert (await infra.post("/v1/clusters/c/actions/resize", {"node_count": 5})).status == 202
    async with store.read() as tx:
        cluster = await tx.clusters.get(uuid)
        _, workers = (await tx.nodegroups.groups_of(uuid))[uuid]
    assert cluster.generation == 3
    assert cluster.deadline_at is not None
    assert (workers.spec.node_count, workers.status) == (5, "UPDATE_IN_PROGRESS")


async def test_more_nodes_than_there_is_room_for_are_refused_and_fewer_are_not(infra, make, parts, store):
    uuid = await make.cluster(node_count=2)
    await settle(store, uuid)
    parts.conductor.refused = "growth"
    for answer in (
        await infra.post("/v1/clusters/c/actions/resize", {"node_count": 5}),
        await infra.patch("/v1/clusters/c", [{"op": "replace", "path": "/node_count", "value": 5}]),
        await infra.patch("/v1/bays/c", [{"op": "replace", "path": "/node_count", "value": 5}]),
    ):
        assert (answer.status, answer.error["detail"]) == (409, "3 nodes have no room.")
    assert (await infra.get("/v1/clusters/c")).json()["node_count"] == 2
    assert (await infra.post("/v1/clusters/c/actions/resize", {"node_count": 1})).status == 202


async def test_resize_keeps_to_its_range_and_knows_its_nodes(infra, make, store):
    uuid = await make.cluster(labels={"min_node_count": "1"})
    await settle(store, uuid)
    answer = await infra.post("/v1/clusters/c/actions/resize", {"node_count": 0})
    assert answer.status == 400
    assert answer.error["detail"] == (
        "Resizing default-worker outside the allowed range: min_node_count = 1, max_node_count = None"
    )
    for body, status in (
        ({"node_count": 1, "nodegroup": "default-master"}, 400),
        ({"node_count": 1, "nodegroup": "nothing"}, 404),
        ({"node_count": 1, "nodes_to_remove": ["10.0.0.9"]}, 400),
        ({"node_count": 1, "nodes_to_remove": []}, 202),
    ):
        assert (await infra.post("/v1/clusters/c/actions/resize", body)).status == status, body


async def test_health_can_be_patched_and_some_fields_cannot(infra, make, store):
    uuid = await make.cluster()
    await settle(store, uuid)
    change = [
        {"op": "replace", "path": "/health_status", "value": "UNHEALTHY"},
        {"op": "replace", "path": "/health_status_reason", "value": "{'api': 'down'}"},
    ]
    assert (await infra.patch("/v1/clusters/c?rollback=True", change)).status == 202
    shown = (await infra.get("/v1/clusters/c")).json()
    assert (shown["health_status"], shown["health_status_reason"]) == ("UNHEALTHY", {"api": "down"})
    assert shown["status"] == "CREATE_COMPLETE"
    assert (await infra.at("1.2").patch("/v1/clusters/c?rollback=True", change[:1])).status == 400
    answer = await infra.patch("/v1/clusters/c", [{"op": "replace", "path": "/master_count", "value": 3}])
    assert answer.error["detail"] == "cannot change cluster property(ies) master_count."
    answer = await infra.patch("/v1/clusters/c", [{"op": "replace", "path": "/api_address", "value": "x"}])
    assert "internal attribute" in answer.error["detail"]


async def test_faults_show_once_it_failed(infra, make, store):
    uuid = await make.cluster()
    async with store.write() as tx:
        cluster = await tx.clusters.get(uuid)
        await tx.clusters.update(replace(cluster, status="CREATE_FAILED", status_reason="no room"))
        [master, _] = (await tx.nodegroups.groups_of(uuid))[uuid]
        await tx.nodegroups.update(replace(master, status="CREATE_FAILED", status_reason="disk full"))
    shown = (await infra.get("/v1/clusters/c")).json()
    assert shown["status_reason"] == "no room"
    assert shown["faults"] == {"default-master": "disk full"}


async def test_nodegroups(infra, make):
    uuid = await make.cluster(node_count=4)
    shown = (await infra.get("/v1/clusters/c/nodegroups/default-worker")).json()
    assert set(shown) == GROUP
    assert (shown["cluster_id"], shown["stack_id"], shown["node_count"]) == (uuid, uuid, 4)
    [worker] = (await infra.get("/v1/clusters/c/nodegroups?role=worker")).json()["nodegroups"]
    assert worker["name"] == "default-worker"
    assert (await infra.get("/v1/clusters/c/nodegroups?role=nothing")).json() == {"nodegroups": []}
    assert (await infra.get("/v1/clusters/c/nodegroups/nothing")).status == 404
    page = (await infra.get("/v1/clusters/c/nodegroups/?limit=1")).json()
    assert page["next"].startswith(f"http://cloud:9511/container-infra/v1/clusters/{uuid}/nodegroups?sort_key=id")


async def test_certificates(infra, make, store):
    uuid = await make.cluster()
    request = {"cluster_uuid": "c", "csr": csr()}
    for answer in (await infra.get("/v1/certificates/c"), await infra.post("/v1/certificates", request)):
        assert answer.status == 409
        assert "not available yet" in answer.error["detail"]
    await settle(store, uuid)
    authority = (await infra.get(f"/v1/certificates/{uuid}?ca_cert_type=kubernetes")).json()
    signed = await infra.as_("colleague").post("/v1/certificates", request)
    assert signed.status == 201
    leaf = x509.load_pem_x509_certificate(signed.json()["pem"].encode())
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(authority["pem"].encode()))
    assert signed.json()["cluster_uuid"] == uuid
    assert "sealed" not in signed.body.decode()
    assert (await infra.as_("reader").get("/v1/certificates/c")).status == 200
    assert (await infra.as_("reader").post("/v1/certificates", request)).status == 403
    assert (await infra.get("/v1/certificates/c?ca_cert_type=etcd")).status == 404
    assert (await infra.get("/v1/certificates/nothing")).status == 404
    for body in ({}, {"csr": csr()}, {"cluster_uuid": "c"}, request | {"cluster_uuid": "x"}, request | {"csr": "no"}):
        assert (await infra.post("/v1/certificates", body)).status == 400, body


async def test_quotas_stats_and_services(infra, make, store):
    await make.cluster(node_count=3)
    assert (await infra.get("/v1/stats")).json() == {"clusters": 1, "nodes": 4}
    assert (await infra.as_("stranger").get("/v1/stats")).json() == {"clusters": 0, "nodes": 0}
    assert (await infra.as_("admin").get("/v1/stats?type=cluster")).json() == {"clusters": 1, "nodes": 4}
    assert (await infra.as_("admin").get("/v1/stats?project_id=p2")).json() == {"clusters": 0, "nodes": 0}
    assert (await infra.get("/v1/stats?project_id=p2")).status == 403
    assert (await infra.get("/v1/stats?type=nodes")).status == 400
    assert (await infra.get("/v1/quotas/p2/Cluster")).status == 403
    assert (await infra.get("/v1/quotas/p1/Node")).status == 400
    assert (await infra.get("/v1/quotas")).status == 403
    assert (await infra.as_("admin").get("/v1/quotas?all_tenants=True")).json() == {"quotas": []}
    assert (await infra.get("/v1/mservices")).status == 403
    async with store.write() as tx:
        await tx.beat("node", "jeroboam-conductor")
        await tx.beat("node", "jeroboam-agent")
    [service] = (await infra.as_("admin").get("/v1/mservices")).json()["mservices"]
    assert (service["id"], service["binary"], service["state"]) == (1, "magnum-conductor", "up")


async def test_pages_follow_each_other(infra, make):
    template = await make.template()
    uuids = [await make.cluster(name=f"c{n}", cluster_template_id=template["uuid"]) for n in range(5)]
    seen, path = [], "/v1/clusters?limit=2&sort_key=name&sort_dir=desc"
    while path:
        page = (await infra.get(path)).json()
        seen += [cluster["uuid"] for cluster in page["clusters"]]
        path = page.get("next", "").removeprefix("http://cloud:9511/container-infra")
    assert seen == uuids[::-1]


async def test_a_removed_size_is_the_default_again(infra, make, store):
    uuid = await make.cluster(node_count=4)
    await settle(store, uuid)
    assert (await infra.patch("/v1/clusters/c", [{"op": "remove", "path": "/node_count"}])).status == 202
    assert (await infra.get("/v1/clusters/c")).json()["node_count"] == 1


async def test_a_reported_health_is_stored_beside_what_was_observed(infra, make, store):
    uuid = await make.cluster()
    await settle(store, uuid)
    async with store.read() as tx:
        before = await tx.clusters.get(uuid)
    change = [{"op": "replace", "path": "/health_status", "value": "UNHEALTHY"}]
    assert (await infra.patch("/v1/clusters/c", change)).status == 202
    async with store.read() as tx:
        after = await tx.clusters.get(uuid)
    assert (after.observed, after.reported_health.health_status) == (before.observed, "UNHEALTHY")
    for path in ("/v1/clusters", "/v1/clusters/detail"):
        [shown] = (await infra.get(f"{path}?health_status=UNHEALTHY&sort_key=health_status")).json()["clusters"]
        assert shown["health_status"] == "UNHEALTHY"
    # Another field of the same cluster is no report.
    assert (await infra.patch("/v1/clusters/c", [{"op": "replace", "path": "/name", "value": "d"}])).status == 202
    async with store.read() as tx:
        assert (await tx.clusters.get(uuid)).reported_health == after.reported_health


async def test_health_can_be_taken_back(infra, make, store):
    await settle(store, await make.cluster())
    said = [
        {"op": "replace", "path": "/health_status", "value": "UNHEALTHY"},
        {"op": "replace", "path": "/health_status_reason", "value": '{"api": "down"}'},
    ]
    assert (await infra.patch("/v1/clusters/c", said)).status == 202
    back = [{"op": "remove", "path": "/health_status"}, {"op": "remove", "path": "/health_status_reason"}]
    assert (await infra.patch("/v1/clusters/c", back)).status == 202
    shown = (await infra.get("/v1/clusters/c")).json()
    assert (shown["health_status"], shown["health_status_reason"]) == (None, {})


@pytest.mark.parametrize(("asked", "kept"), [("?rollback=True", 1), ("?rollback=false", 0), ("", 0)])
async def test_the_way_back_is_kept_where_it_was_asked_for(infra, make, store, asked, kept):
    uuid = await make.cluster(node_count=2)
    await settle(store, uuid)
    change = [{"op": "replace", "path": "/node_count", "value": 5}]
    assert (await infra.patch(f"/v1/clusters/c{asked}", change)).status == 202
    async with store.read() as tx:
        former = (await tx.clusters.get(uuid)).spec.former
    assert [group.node_count for group in former.groups.values()] == [2] if kept else former is None
    assert (await infra.post("/v1/clusters/c/actions/resize", {"node_count": 3})).status == 202
    async with store.read() as tx:
        assert (await tx.clusters.get(uuid)).spec.former is None
    assert (await infra.patch("/v1/clusters/c?rollback=maybe", change)).status == 400


async def test_there_are_no_credentials_to_rotate(infra, make):
    await make.cluster()
    answer = await infra.patch("/v1/credentials/c")
    assert (answer.status, answer.error["detail"]) == (
        400,
        "Rotating the credential is not supported by driver fake: its clusters hold none.",
    )
    assert (await infra.patch("/v1/credentials/nothing")).status == 404
    assert (await infra.at("1.11").patch("/v1/credentials/c")).status == 406
    assert (await infra.as_("reader").patch("/v1/credentials/c")).status == 403


async def test_federations_are_not_offered(infra):
    for path in ("/v1/federations", "/v1/federations/detail"):
        assert (await infra.get(path)).json() == {"federations": []}
    assert (await infra.get("/v1/federations/f")).status == 404
    for method, path, body in (
        ("POST", "/v1/federations", {"name": "f"}),
        ("PATCH", "/v1/federations/f", []),
        ("DELETE", "/v1/federations/f", None),
    ):
        answer = await infra.request(method, path, body)
        assert (answer.status, answer.error["code"]) == (501, "server")
        assert "not offered" in answer.error["detail"]
        assert (await infra.as_("reader").request(method, path, body)).status == 403
