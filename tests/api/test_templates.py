"""Cluster templates: their fields, their patches, who may see and change them."""

import json

import pytest

from tests.api.loops import settle
from tests.builders import new_uuid

FULL = set(
    "uuid name coe image_id flavor_id master_flavor_id keypair_id external_network_id fixed_network fixed_subnet "
    "network_driver volume_driver dns_nameserver apiserver_port docker_volume_size docker_storage_driver "
    "cluster_distro http_proxy https_proxy no_proxy insecure_registry labels "
    "registry_enabled tls_disabled "
    "public hidden master_lb_enabled floating_ip_enabled server_type tags driver project_id user_id links created_at "
    "updated_at".split()
)


def change(op: str, path: str, value=None) -> dict:
    return {"op": op, "path": path} | ({} if value is None else {"value": value})


@pytest.mark.parametrize("version", ["1.1", "latest"])
async def test_happy_path_at_the_first_and_the_last_version(infra, version):
    client = infra.at(version)
    created = await client.post("/v1/clustertemplates", {"name": "t", "coe": "swarm", "image_id": "i", "labels": {}})
    assert created.status == 201
    shown = created.json()
    assert set(shown) == FULL
    assert created.headers["location"] == shown["links"][0]["href"]
    assert (shown["cluster_distro"], shown["floating_ip_enabled"], shown["server_type"]) == ("busybox", True, "vm")
    for path in ("/v1/clustertemplates", "/v1/clustertemplates/detail?limit=5"):
        assert (await client.get(path)).json() == {"clustertemplates": [shown]}
    for ident in ("t", shown["uuid"], shown["uuid"].replace("-", "")):
        assert (await client.get(f"/v1/clustertemplates/{ident}")).json() == shown
    changed = await client.patch("/v1/clustertemplates/t", [change("replace", "/name", "t2")])
    assert (changed.status, changed.json()["name"]) == (200, "t2")
    assert changed.json()["updated_at"] is not None
    assert (await client.delete("/v1/clustertemplates/t2")).status == 204
    assert (await client.get("/v1/clustertemplates/t2")).status == 404


async def test_a_client_may_send_everything_and_choose_the_uuid(infra):
    nulls = dict.fromkeys(
        "master_flavor_id keypair_id fixed_network fixed_subnet network_driver volume_driver driver "
        "docker_volume_size http_proxy https_proxy no_proxy insecure_registry".split()
    )
    uuid = new_uuid()
    body = nulls | {
        "uuid": uuid,
        "name": None,
        "coe": "swarm",
        "image_id": "node",
        "external_network_id": "public",
        "dns_nameserver": "8.8.8.8,8.8.4.4",
        "flavor_id": "m1.medium",
        "docker_storage_driver": "overlay2",
        "labels": {},
        "tls_disabled": "no",
        "public": False,
        "registry_enabled": "false",
        "server_type": "vm",
        "master_lb_enabled": 0,
        "floating_ip_enabled": "on",
        "hidden": False,
        "tags": "",
        "apiserver_port": "6443",
    }
    created = await infra.post("/v1/clustertemplates", body)
    assert created.status == 201, created.body
    assert (created.json()["uuid"], created.json()["apiserver_port"]) == (uuid, 6443)
    assert created.json()["name"].endswith("-template")
    assert (await infra.post("/v1/clustertemplates", body)).status == 409


@pytest.mark.parametrize("field", ["http_proxy", "https_proxy"])
@pytest.mark.parametrize("value", ["http://u:hunter2@" + "p" * 300, ["http://u:hunter2@proxy"]])
async def test_a_proxy_that_is_refused_is_not_repeated(infra, field, value):
    refused = await infra.post("/v1/clustertemplates", {"name": "t", "coe": "swarm", "image_id": "i", field: value})
    assert refused.status == 400
    said = json.dumps(refused.json())
    assert f"field '{field}'" in said
    assert "hunter2" not in said


PATCHES = [
    (change("replace", "/labels", '{"a": "b", "n": 1}'), 200),
    (change("replace", "/labels", "{'a': 'b'}"), 200),
    (change("add", "/labels/x", "y"), 200),
    (change("replace", "/labels/old", 5), 200),
    (change("remove", "/labels/old"), 200),
    (change("remove", "/labels"), 200),
    (change("add", "/keypair_id", "k"), 200),
    (change("replace", "/keypair_id", "k"), 200),
    (change("remove", "/flavor_id"), 200),
    (change("replace", "/floating_ip_enabled", False), 200),
    (change("replace", "/docker_volume_size", "5"), 200),
    (change("replace", "/tags", "a,b"), 200),
    (change("replace", "/labels/new", "y"), 400),
    (change("remove", "/labels/new"), 400),
    (change("replace", "/labels", "nonsense"), 400),
    (change("replace", "/labels", '{"a": {"b": "c"}}'), 400),
    (change("add", "/flavor_id", "x"), 400),
    (change("add", "/foo", "x"), 400),
    (change("replace", "/foo", "x"), 400),
    (change("remove", "/foo"), 400),
    (change("replace", "/name"), 400),
    (change("add", "/name"), 400),
    (change("test", "/name", "t"), 400),
    (change("move", "/name", "t"), 400),
    (change("copy", "/name", "t"), 400),
    (change("replace", "name", "t"), 400),
    (change("replace", "/", "t"), 400),
    (change("replace", "/labels/a/b", "t"), 400),
    (change("add", "/labels/a.b", "t"), 200),
    (change("add", "/labels/example.com~1a~0b", "t"), 200),
    (change("add", "/labels/with space", "t"), 200),
    (change("replace", "/labels/a.b", "t"), 400),
    (change("add", "/labels/a~2", "t"), 400),
    (change("add", "/labels/a~", "t"), 400),
    (change("add", "/labels/", "t"), 400),
    (change("add", "/labels/ a", "t"), 400),
    (change("add", "/labels/a ", "t"), 400),
    (change("remove", "/name"), 200),
    (change("replace", "/flavor_id/x", "t"), 400),
    (change("replace", "/labels", {"a": "b"}), 400),
    (change("replace", "/name", ["t"]), 400),
    (change("replace", "/docker_volume_size", 1.5), 400),
    (change("replace", "/docker_volume_size", 0), 400),
    (change("replace", "/dns_nameserver", "nope"), 400),
    (change("replace", "/public", True), 403),
    (change("replace", "/hidden", True), 403),
    *((change("replace", f"/{name}", "x"), 400) for name in ("uuid", "id", "links", "created_at", "updated_at")),
    *((change("replace", f"/{name}", "x"), 400) for name in ("project_id", "user_id")),
    *((change("remove", f"/{name}"), 400) for name in ("image_id", "coe", "public", "hidden", "server_type")),
    *((change("remove", f"/{name}"), 400) for name in ("tls_disabled", "registry_enabled", "cluster_distro")),
    *((step, 400) for step in (5, "x", None, [], {}, {"op": "replace"}, {"path": "/name"}, {"op": 5, "path": 5})),
    (change("replace", "/name", "x") | {"from": "/labels"}, 400),
]


@pytest.mark.parametrize(("step", "status"), PATCHES)
async def test_patches(infra, make, step, status):
    before = await make.template(labels={"old": "1"})
    answer = await infra.patch("/v1/clustertemplates/t", [step])
    assert answer.status == status, answer.body
    after = (await infra.get(f"/v1/clustertemplates/{before['uuid']}")).json()
    assert (after == before) is (status != 200)


ODD_OBJECTS = [
    r"""{"a":"\ud800"}""",
    r"""{'a':'\ud800'}""",
    r"""{"\udfff":"x"}""",
    "{(1,2):3}",
    "{'a':" + "0x" + "f" * 5000 + "}",
    "{'a':1e999}",
    "{'a':{1,2}}",
    r"""{'a':'\x00'}""",
    r"""{'a':'\x1b[31m'}""",
    '{"a":"\\u009b"}',
    json.dumps({"a" * 256: "1"}),
    json.dumps({"a": "1" * (1 << 18)}),
    "{" * 300,
]


@pytest.mark.parametrize("text", ODD_OBJECTS, ids=range(len(ODD_OBJECTS)))
@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/clustertemplates/t", "labels"),
        ("/v1/baymodels/t", "labels"),
        ("/v1/clusters/c", "labels"),
        ("/v1/clusters/c", "health_status_reason"),
        ("/v1/clusters/c/nodegroups/default-worker", "labels"),
    ],
)
async def test_an_object_as_text_is_one_that_json_can_express(infra, make, store, path, field, text):
    await settle(store, await make.cluster())
    answer = await infra.patch(path, [change("replace", f"/{field}", text)])
    assert (answer.status, field in answer.error["title"]) == (400, True), answer.body
    assert len(json.dumps(answer.error)) < 3000


async def test_labels_with_dots_and_slashes_are_changed_and_removed_by_pointers(infra, make):
    await make.template(labels={"example.com/a": "1", "b.c": "1", "d~e": "1", "f~1": "1"})

    async def labels_after(*steps):
        answer = await infra.patch("/v1/clustertemplates/t", list(steps))
        assert answer.status == 200, answer.body
        return answer.json()["labels"]

    assert await labels_after(change("replace", "/labels/example.com~1a", "2"), change("remove", "/labels/d~0e")) == {
        "example.com/a": "2",
        "b.c": "1",
        "f~1": "1",
    }
    removals = [change("remove", f"/labels/{key}") for key in ("example.com~1a", "b.c", "f~01")]
    assert await labels_after(*removals) == {}
    refused = await infra.patch("/v1/clustertemplates/t", [change("add", "/labels/a/b", "x")])
    assert refused.status == 400
    assert "value '/labels/a/b': it has to be /FIELD or /FIELD/KEY" in refused.error["title"]
    assert "a slash within KEY is written ~1" in refused.error["title"]


async def test_a_name_that_is_taken_away_is_made_up_anew(infra, make, store):
    template = await make.template()
    changed = await infra.patch(f"/v1/clustertemplates/{template['uuid']}", [change("remove", "/name")])
    assert changed.json()["name"].endswith("-template")
    uuid = await make.cluster(cluster_template_id=template["uuid"])
    await settle(store, uuid)
    assert (await infra.patch("/v1/clusters/c", [change("remove", "/name")])).status == 202
    assert (await infra.get(f"/v1/clusters/{uuid}")).json()["name"].endswith("-cluster")


@pytest.mark.parametrize("value", ["a. b", "v1. 36", "x.", ". "])
async def test_a_title_goes_on_behind_a_quoted_value(infra, value):
    body = {"name": "t", "coe": "swarm", "image_id": "i", "server_type": value}
    refused = await infra.post("/v1/clustertemplates", body)
    assert refused.status == 400
    assert (
        refused.error["title"] == f"Invalid input for field 'server_type', value '{value}': it has to be one of: vm, bm"
    )


async def test_an_empty_patch_changes_nothing(infra, make):
    before = await make.template()
    assert (await infra.patch("/v1/clustertemplates/t", [])).json() == before


async def test_a_template_in_use(infra, make):
    template = await make.template()
    await make.cluster(cluster_template_id=template["uuid"])
    path = f"/v1/clustertemplates/{template['uuid']}"
    answer = await infra.delete(path)
    assert (answer.status, answer.error["title"]) == (
        400,
        f"ClusterTemplate {template['uuid']} is referenced by one or multiple clusters",
    )
    assert (await infra.patch(path, [change("replace", "/image_id", "other")])).status == 400
    both = [change("replace", "/tags", "a"), change("replace", "/image_id", "other")]
    assert (await infra.patch(path, both)).status == 400
    assert (await infra.patch(path, [change("replace", "/name", "renamed")])).status == 200
    assert (await infra.patch(path, [change("replace", "/tags", "a")])).status == 200
    assert (await infra.as_("admin").patch(path, [change("replace", "/public", True)])).status == 200
    assert (await infra.as_("admin").patch(path, [change("replace", "/public", False)])).status == 400


async def test_public_and_hidden_ones(infra, make):
    admin, stranger = infra.as_("admin"), infra.as_("stranger")
    assert (await infra.post("/v1/clustertemplates", {"coe": "swarm", "image_id": "i", "public": True})).status == 403
    await make.template(admin, name="shared", public=True)
    await make.template(admin, name="secret", public=True, hidden=True)
    await make.template(name="own")

    async def names(client) -> list[str]:
        return [shown["name"] for shown in (await client.get("/v1/clustertemplates")).json()["clustertemplates"]]

    assert await names(infra) == ["shared", "own"]
    assert await names(stranger) == ["shared"]
    assert await names(admin) == ["shared", "secret", "own"]
    assert (await stranger.get("/v1/clustertemplates/shared")).status == 200
    assert (await stranger.get("/v1/clustertemplates/secret")).status == 404
    assert (await stranger.get("/v1/clustertemplates/own")).status == 404
    for client, name, status in ((stranger, "shared", 403), (stranger, "own", 404), (infra, "shared", 403)):
        path = f"/v1/clustertemplates/{name}"
        assert (await client.patch(path, [change("replace", "/name", "mine")])).status == status
        assert (await client.delete(path)).status == status
    assert (await stranger.post("/v1/clusters", {"cluster_template_id": "shared"})).status == 202
    assert (await stranger.post("/v1/clusters", {"cluster_template_id": "secret"})).status == 404
    assert (await infra.as_("colleague").delete("/v1/clustertemplates/own")).status == 204


async def test_admission_fills_in_and_refuses(infra, parts, make):
    parts.conductor.refused = "nope"
    answer = await infra.post("/v1/clustertemplates", {"coe": "swarm", "image_id": "nope"})
    assert (answer.status, answer.error["detail"]) == (400, "Unable to find image nope.")
    await make.template()
    answer = await infra.patch("/v1/clustertemplates/t", [change("replace", "/image_id", "nope")])
    assert answer.status == 400


async def test_an_id_of_ones_own_counts_in_any_spelling(infra, make):
    hyphens = "0b5ee85a-7c06-4f6d-9a4e-2f1b1c6d2a11"
    made = await make.template(uuid=hyphens.replace("-", "").upper())
    assert made["uuid"] == hyphens
    assert (await infra.get(f"/v1/clustertemplates/{hyphens}")).status == 200
    page = await infra.get(f"/v1/clustertemplates?marker={hyphens.upper()}")
    assert (page.status, page.json()["clustertemplates"]) == (200, [])
