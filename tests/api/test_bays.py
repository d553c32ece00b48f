"""Bays and baymodels: the same clusters and templates, in the words of 2015 and with no version asked for."""

import json
import re
from dataclasses import replace

import pytest

from jeroboam.api.app import create_app
from tests.api.client import Client
from tests.api.loops import csr, settle

BOTH = pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
BAYMODEL = {"name": "m", "coe": "swarm", "image_id": "node", "keypair_id": "mine", "external_network_id": "public"}
SHORT = {
    "uuid",
    "name",
    "baymodel_id",
    "node_count",
    "master_count",
    "bay_create_timeout",
    "stack_id",
    "status",
    "links",
}
FULL = SHORT | {
    "status_reason", "discovery_url", "api_address", "node_addresses", "master_addresses", "created_at", "updated_at",
}  # fmt: skip


@pytest.fixture
def old(app):
    """A member's client that knows nothing of versions."""
    return Client(app, "/container-infra")


@pytest.fixture
def bay(old):
    async def make(**fields):
        if "baymodel_id" not in fields:
            fields["baymodel_id"] = (await old.post("/v1/baymodels", BAYMODEL)).json()["uuid"]
        answer = await old.post("/v1/bays", {"name": "b"} | fields)
        assert answer.status == 201, answer.body
        return answer.json()

    return make


def said(answer) -> str:
    """What python-magnumclient 2.0.0 prints of a refusal."""
    return json.loads(answer.json()["error_message"])["faultstring"]


@pytest.mark.parametrize("version", [None, "1.1", "1.11", "1.14", "latest"])
async def test_the_routes_are_there_whatever_the_version(infra, version):
    for path in ("bays", "baymodels", "nodes", "containers", "pods", "services", "rcs"):
        for of in (path, f"{path}/detail"):
            answer = await infra.at(version).get(f"/v1/{of}")
            assert (answer.status, answer.json()) == (200, {path: []})


async def test_the_description_links_to_them(old):
    shown = (await old.get("/v1")).json()
    for name in ("pods", "rcs", "baymodels", "bays", "containers", "services"):
        assert shown[name] == [
            {"href": f"http://cloud:9511/container-infra/v1/{name}/", "rel": "self"},
            {"href": f"http://cloud:9511/container-infra/{name}/", "rel": "bookmark"},
        ]


async def test_a_baymodel_is_a_template(old, infra):
    answer = await old.post("/v1/baymodels", BAYMODEL | {"labels": {"a": "b"}, "ssh_authorized_key": "ssh-rsa AAAA"})
    assert answer.status == 201
    made = answer.json()
    assert answer.headers["location"] == made["links"][0]["href"].replace("clustertemplates", "baymodels")
    assert made["labels"] == {"a": "b"}
    template = (await infra.get(f"/v1/clustertemplates/{made['uuid']}")).json()
    assert template["keypair_id"] == "mine"
    for field in made.keys() - {"links", "ssh_authorized_key"}:
        assert template[field] == made[field], field
    assert (await old.get("/v1/baymodels/m")).json() == made


async def test_a_template_is_a_baymodel(old, infra, make):
    template = await make.template(name="t", hidden=False, floating_ip_enabled=False)
    assert (await old.get("/v1/baymodels/t")).json()["uuid"] == template["uuid"]
    [short] = (await old.get("/v1/baymodels")).json()["baymodels"]
    assert short.keys() == {"uuid", "name", "image_id", "apiserver_port", "coe", "links"}
    [full] = (await old.get("/v1/baymodels/detail")).json()["baymodels"]
    assert full == (await old.get(f"/v1/baymodels/{template['uuid']}")).json()
    patch = [{"op": "replace", "path": "/name", "value": "t2"}, {"op": "add", "path": "/labels/x", "value": "y"}]
    changed = (await old.patch("/v1/baymodels/t", patch)).json()
    assert (changed["name"], changed["labels"]) == ("t2", {"x": "y"})
    assert (await infra.get("/v1/clustertemplates/t2")).json()["floating_ip_enabled"] is False
    assert (await old.delete("/v1/baymodels/t2")).status == 204
    assert (await infra.get("/v1/clustertemplates/t2")).status == 404


@BOTH
async def test_a_bay_is_a_cluster(old, infra, bay, store):
    made = await bay(node_count=2, master_count=3, bay_create_timeout=30, discovery_url="https://d/1")
    assert made.keys() == FULL
    assert (made["node_count"], made["master_count"], made["bay_create_timeout"]) == (2, 3, 30)
    assert made["status"] == "CREATE_IN_PROGRESS"
    cluster = (await infra.get("/v1/clusters/b")).json()
    assert cluster["uuid"] == made["uuid"]
    assert cluster["cluster_template_id"] == made["baymodel_id"]
    assert (cluster["create_timeout"], cluster["master_lb_enabled"]) == (30, True)
    await settle(store, made["uuid"])
    shown = (await old.get("/v1/bays/b")).json()
    assert (shown["status"], shown["api_address"]) == ("CREATE_COMPLETE", "https://10.0.0.2:2376")
    [short] = (await old.get("/v1/bays")).json()["bays"]
    assert short == {key: shown[key] for key in SHORT}
    assert (await old.get("/v1/bays/detail")).json()["bays"] == [shown]


async def test_a_cluster_is_a_bay(old, infra, make, store):
    uuid = await make.cluster(name="c", node_count=1)
    await settle(store, uuid)
    for value in (2, "3"):
        changed = await old.patch("/v1/bays/c", [{"op": "replace", "path": "/node_count", "value": value}])
        assert changed.status == 200
        assert (changed.json()["node_count"], changed.json()["status"]) == (int(value), "UPDATE_IN_PROGRESS")
    assert (await infra.get("/v1/clusters/c")).json()["node_count"] == 3
    assert (await old.patch("/v1/bays/c", [{"op": "remove", "path": "/node_count"}])).json()["node_count"] == 1
    assert (await old.patch("/v1/bays/c", [])).status == 200
    assert (await old.delete(f"/v1/bays/{uuid}")).status == 204
    assert (await old.delete("/v1/bays/c")).status == 204
    assert (await infra.get("/v1/clusters/c")).json()["status"] == "DELETE_IN_PROGRESS"


async def test_a_bay_counts_as_a_cluster(parts, store):
    app = create_app(replace(parts, options=replace(parts.options, max_clusters_per_project=1)))
    old = Client(app, "/container-infra")
    model = (await old.post("/v1/baymodels", BAYMODEL)).json()["uuid"]
    assert (await old.post("/v1/bays", {"baymodel_id": model})).status == 201
    over = await old.post("/v1/bays", {"baymodel_id": model})
    assert over.status == 403
    assert "maximum clusters per project" in said(over)


async def test_a_bay_has_its_baymodels_key_pair_or_none_is_made(old, bay, parts, infra):
    await bay()
    assert (await infra.get("/v1/clusters/b")).json()["keypair"] == "mine"
    parts.conductor.keypairs = False
    assert (await old.post("/v1/bays", {"baymodel_id": "m", "name": "other"})).status == 404
    assert (await infra.post("/v1/clusters", {"cluster_template_id": "m"})).status == 404


async def test_pages_go_on(old, bay):
    model = (await old.post("/v1/baymodels", BAYMODEL)).json()["uuid"]
    for number in range(3):
        await bay(name=f"b{number}", baymodel_id=model)
    first = (await old.get("/v1/bays?limit=2&sort_key=bay_create_timeout&sort_dir=desc")).json()
    assert "sort_key=bay_create_timeout&sort_dir=desc&limit=2" in first["next"]
    path = first["next"].partition("/container-infra")[2]
    second = (await old.get(path)).json()
    assert "next" not in second
    assert {each["name"] for each in first["bays"] + second["bays"]} == {"b0", "b1", "b2"}
    assert (await old.get("/v1/bays?sort_key=create_timeouts")).status == 400


async def test_a_baymodel_in_use_stays(old, bay):
    made = await bay()
    answer = await old.delete(f"/v1/baymodels/{made['baymodel_id']}")
    assert answer.status == 400
    assert "is referenced by one or multiple" in said(answer)
    assert answer.error["detail"] == said(answer)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "baymodel_id"),
        ({"baymodel_id": None}, 400, "baymodel_id"),
        ({"baymodel_id": "nothing"}, 404, "BayModel nothing could not be found."),
        ({"baymodel_id": "m", "node_count": 0}, 400, "node_count"),
        ({"baymodel_id": "m", "node_count": "many"}, 400, "node_count"),
        ({"baymodel_id": "m", "master_count": 2}, 400, "master"),
        ({"baymodel_id": "m", "bay_create_timeout": -1}, 400, "create_timeout"),
        ({"baymodel_id": "m", "name": "1a"}, 400, "name"),
        ({"baymodel_id": "m", "status": "CREATE_COMPLETE"}, 400, "status"),
        ({"baymodel_id": "m", "cluster_template_id": "m"}, 400, "cluster_template_id"),
        ({"baymodel_id": "m", "labels": {}}, 400, "labels"),
    ],
)
async def test_bad_bays(old, body, status, field):
    await old.post("/v1/baymodels", BAYMODEL)
    answer = await old.post("/v1/bays", body)
    assert answer.status == status, answer.body
    assert field in said(answer)
    assert (await old.get("/v1/bays")).json()["bays"] == []


@pytest.mark.parametrize("path", ["/name", "/master_count", "/baymodel_id", "/uuid", "/status", "/node_count/x"])
async def test_what_of_a_bay_cannot_be_changed(old, bay, store, path):
    await settle(store, (await bay())["uuid"])
    answer = await old.patch("/v1/bays/b", [{"op": "replace", "path": path, "value": 2}])
    assert answer.status == 400
    assert path.split("/")[1] in said(answer)


async def test_a_bay_that_is_being_made_cannot_be_changed(old, bay):
    await bay()
    answer = await old.patch("/v1/bays/b", [{"op": "replace", "path": "/node_count", "value": 2}])
    assert answer.status == 409


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"coe": None}, "COE"), ({"image_id": None}, "image_id"), ({"hidden": True}, "hidden"),
        ({"driver": "fake"}, "driver"), ({"tags": "x"}, "tags"), ({"labels": "a=b"}, "labels"),
        ({"dns_nameserver": "x"}, "dns_nameserver"), ({"ssh_authorized_key": 5}, "ssh_authorized_key"),
        ({"docker_volume_size": 0}, "docker_volume_size"), ({"public": "maybe"}, "public"), ({"uuid": "x"}, "uuid"),
    ],
)  # fmt: skip
async def test_bad_baymodels(old, body, word):
    answer = await old.post("/v1/baymodels", BAYMODEL | body)
    assert answer.status == 400, answer.body
    assert word in said(answer)


@pytest.mark.parametrize(
    "path", ["/hidden", "/driver", "/ssh_authorized_key", "/uuid", "/floating_ip_enabled", "/bogus"]
)
async def test_what_of_a_baymodel_cannot_be_changed(old, path):
    await old.post("/v1/baymodels", BAYMODEL)
    answer = await old.patch("/v1/baymodels/m", [{"op": "replace", "path": path, "value": "true"}])
    assert answer.status == 400
    assert path[1:] in said(answer)


async def test_only_an_admin_publishes(old):
    assert (await old.post("/v1/baymodels", BAYMODEL | {"public": True})).status == 403
    assert (await old.as_("admin").post("/v1/baymodels", BAYMODEL | {"public": True})).status == 201
    assert (await old.as_("stranger").get("/v1/baymodels/m")).json()["public"] is True
    assert (await old.as_("stranger").delete("/v1/baymodels/m")).status == 403


@pytest.mark.parametrize("one", ["bays/b", "baymodels/m"])
async def test_strangers_see_nothing_and_readers_change_nothing(old, bay, one):
    await bay(baymodel_id=(await old.post("/v1/baymodels", BAYMODEL)).json()["uuid"])
    collection = one.partition("/")[0]
    stranger, reader = old.as_("stranger"), old.as_("reader")
    patch = [{"op": "replace", "path": "/name", "value": "x"}]
    for method, body in (("GET", None), ("DELETE", None)):
        assert (await stranger.request(method, f"/v1/{one}", body)).status == 404
    assert (await stranger.get(f"/v1/{collection}")).json() == {collection: []}
    assert (await reader.get(f"/v1/{one}")).status == 200
    assert (await reader.patch(f"/v1/{one}", patch)).status == 403
    assert (await reader.delete(f"/v1/{one}")).status == 403
    assert (await reader.post(f"/v1/{collection}", {})).status == 403


async def test_who_may_not_make_clusters_may_not_make_bays(parts, tmp_path):
    rules = tmp_path / "policy.yaml"
    rules.write_text('"cluster:create": "role:admin"\n"bay:delete": "role:admin"\n')
    app = create_app(replace(parts, options=replace(parts.options, policy_file=str(rules))))
    old = Client(app, "/container-infra")
    await old.post("/v1/baymodels", BAYMODEL)
    assert (await old.post("/v1/bays", {"name": "b", "baymodel_id": "m"})).status == 403
    assert (await old.as_("admin").post("/v1/bays", {"name": "b", "baymodel_id": "nothing"})).status == 404
    assert (await old.delete("/v1/bays/b")).status == 403


@pytest.mark.parametrize("version", [None, "1.10"])
async def test_certificates_of_a_bay(infra, bay, store, version):
    uuid = (await bay())["uuid"]
    await settle(store, uuid)
    client = infra.at(version)
    assert (await client.get(f"/v1/certificates/{uuid}")).json()["bay_uuid"] == uuid
    signed = await client.post("/v1/certificates", {"bay_uuid": uuid, "csr": csr()})
    assert signed.status == 201
    assert signed.json()["bay_uuid"] == signed.json()["cluster_uuid"] == uuid
    assert "bay_uuid" not in (await infra.at("1.11").get(f"/v1/certificates/{uuid}")).json()
    for body in ({"bay_uuid": None, "csr": csr()}, {"bay_uuid": "nothing", "csr": csr()}, {"bay_uuid": uuid}):
        assert (await client.post("/v1/certificates", body)).status == 400


@BOTH
async def test_nodes_are_written_down(old):
    wish = {"type": "virt", "image_id": "fedora", "ironic_node_id": "3c2f1a94-2b5c-4d39-a3b0-8d2e0d6d0a11"}
    answer = await old.post("/v1/nodes", wish)
    assert answer.status == 201
    node = answer.json()
    assert answer.headers["location"].endswith(f"/v1/nodes/{node['uuid']}")
    assert {key: node[key] for key in wish} == wish
    assert (await old.get("/v1/nodes")).json()["nodes"] == [node]
    changed = await old.patch(f"/v1/nodes/{node['uuid']}", [{"op": "replace", "path": "/type", "value": "bare"}])
    assert changed.json()["type"] == "bare"
    gone = await old.patch(f"/v1/nodes/{node['uuid']}", [{"op": "remove", "path": "/ironic_node_id"}])
    assert gone.json()["ironic_node_id"] is None
    assert (await old.as_("stranger").get(f"/v1/nodes/{node['uuid']}")).status == 404
    assert (await old.as_("reader").delete(f"/v1/nodes/{node['uuid']}")).status == 403
    for body in ({"type": 5}, {"ironic_node_id": "x"}, {"uuid": node["uuid"]}, {"bogus": 1}):
        assert (await old.post("/v1/nodes", body)).status == 400
    assert (await old.get("/v1/nodes/virt")).status == 404
    assert (await old.delete(f"/v1/nodes/{node['uuid']}")).status == 204
    assert (await old.delete(f"/v1/nodes/{node['uuid']}")).status == 404


@pytest.mark.parametrize(
    ("collection", "one"), [("pods", "Pod"), ("services", "Service"), ("rcs", "ReplicationController")]
)
async def test_what_needs_kubernetes_is_refused_with_the_reason(old, bay, collection, one):
    await bay()
    assert (await old.get(f"/v1/{collection}?bay_ident=b")).json() == {collection: []}
    assert (await old.get(f"/v1/{collection}?bay_ident=nothing")).status == 404
    wish = {"bay_uuid": "b", "manifest": "{}"}
    refused = await old.post(f"/v1/{collection}", wish)
    assert refused.status == 400
    assert said(refused) == "Cannot fulfill request with a swarm bay, expecting a kubernetes bay."
    for body in ({"manifest": "{}"}, {"bay_uuid": "b"}, wish | {"bogus": 1}, wish | {"manifest": 5}):
        assert (await old.post(f"/v1/{collection}", body)).status == 400
    assert (await old.post(f"/v1/{collection}", wish | {"bay_uuid": "nothing"})).status == 404
    for method in ("GET", "PATCH", "DELETE"):
        gone = await old.request(method, f"/v1/{collection}/x?bay_ident=b", [] if method == "PATCH" else None)
        assert (gone.status, said(gone)) == (404, f"{one} x could not be found.")


async def test_an_error_of_todays_routes_has_todays_shape(old):
    assert "error_message" not in (await old.get("/v1/clusters/x")).json()
    for path in ("bays/x", "bays?bogus=1", "containers/x/logs"):
        answer = await old.get(f"/v1/{path}")
        assert said(answer) == answer.error["detail"]


NUL = "a\0b"


def field_of(answer) -> str:
    """The field that an error names at the end of its title, or in quotes."""
    title = answer.error["title"]
    match = re.search(r"\((\w+)\)\.?$|field '([^']+)'|missing: (\w+)", title)
    return title if match is None else next(filter(None, match.groups()))


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("certificates", {"bay_uuid": None, "csr": "x"}, "bay_uuid"),
        ("certificates", {"bay_uuid": 5, "csr": "x"}, "bay_uuid"),
        ("certificates", {"bay_uuid": "nothing", "csr": "x"}, "bay_uuid"),
        ("certificates", {"cluster_uuid": "nothing", "csr": "x"}, "cluster_uuid"),
        ("certificates", {"cluster_uuid": None, "csr": "x"}, "cluster_uuid"),
        ("bays", {"name": "x"}, "baymodel_id"),
        ("bays", {"name": "x", "baymodel_id": "nothing"}, "baymodel_id"),
        ("bays", {"name": "x", "baymodel_id": 5}, "baymodel_id"),
        ("containers", {"bay_uuid": "b", "image_id": None}, "image_id"),
        ("containers", {"bay_uuid": "b", "image_id": 5}, "image_id"),
        ("bays", {"name": NUL, "baymodel_id": "m"}, "name"),
        ("baymodels", {"coe": "swarm", "image_id": "i", "labels": {"a": NUL}}, "labels"),
        ("clustertemplates", {"coe": "swarm", "image_id": "i", "tags": NUL}, "tags"),
        ("nodes", {"type": NUL}, "type"),
    ],
)
async def test_a_refusal_names_the_field_as_it_was_written(old, path, body, field):
    answer = await old.post(f"/v1/{path}", body)
    assert (answer.status, field_of(answer)) == (404 if body.get("baymodel_id") == "nothing" else 400, field)


async def test_a_patch_with_a_nul_names_its_field(old, bay):
    await bay()
    answer = await old.patch("/v1/baymodels/m", [{"op": "replace", "path": "/name", "value": NUL}])
    assert (answer.status, field_of(answer)) == (400, "name")
    answer = await old.request("PATCH", "/v1/baymodels/m", NUL)
    assert (answer.status, "NUL" in answer.error["detail"]) == (400, True)


async def test_a_uuid_that_is_taken_is_named(old):
    body = {"uuid": "3c2f1a94-2b5c-4d39-a3b0-8d2e0d6d0a11", "coe": "swarm", "image_id": "i"}
    assert (await old.post("/v1/clustertemplates", body)).status == 201
    answer = await old.post("/v1/clustertemplates", body)
    text = f"A cluster template with the uuid {body['uuid']} exists already."
    assert (answer.status, answer.error["detail"]) == (409, text)
