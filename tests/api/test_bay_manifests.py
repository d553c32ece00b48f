"""Pods, services and replication controllers of a bay, as users ask for them: wishes, stored or refused at once."""

import json
from dataclasses import replace

import pytest

from jeroboam.domain.bay_manifests import (
    BayManifestKind,
    BayManifestStatus,
    ManifestFacts,
    ManifestState,
    project_bay_manifest,
)
from jeroboam.domain.clusters import Operation
from jeroboam.domain.errors import Invalid
from tests.api.client import Client
from tests.api.loops import settle
from tests.builders import manifest

BOTH = pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
POD, SERVICE, RC = BayManifestKind
MANY = {POD: "pods", SERVICE: "services", RC: "rcs"}
ALL = pytest.mark.parametrize("kind", BayManifestKind)


@pytest.fixture
def old(app):
    return Client(app, "/container-infra")


@pytest.fixture
async def bay(make, store):
    uuid = await make.cluster(name="k", cluster_template_id=(await make.template(coe="kubernetes"))["uuid"])
    await settle(store, uuid)
    return uuid


@pytest.fixture
def made(old, bay):
    async def make(kind=POD, name="it", **fields):
        wish = {"bay_uuid": "k", "manifest": json.dumps(manifest(kind, name))} | fields
        answer = await old.post(f"/v1/{MANY[kind]}", wish)
        assert answer.status == 201, answer.body
        return answer.json()

    return make


@pytest.fixture
def loop(store):
    """What the orchestration loop writes once it has had a look."""

    async def run(uuid: str, status: BayManifestStatus | None, reason: str | None = None, **facts) -> None:
        async with store.write() as tx:
            it = await tx.bay_manifests.get(uuid)
            seen = None if status is None else ManifestState(status=status, reason=reason, facts=ManifestFacts(**facts))
            observed = replace(it.observed, generation=it.generation, touched=True, seen=seen)
            await tx.bay_manifests.update(project_bay_manifest(replace(it, observed=observed)))

    return run


def said(answer) -> str:
    return json.loads(answer.json()["error_message"])["faultstring"]


def patch(value: str, path: str = "/manifest", op: str = "replace") -> list[dict]:
    return [{"op": op, "path": path, "value": value}]


@BOTH
@ALL
async def test_it_is_stored_with_its_wish(old, bay, made, store, parts, kind):
    shown = await made(kind)
    assert (shown["name"], shown["bay_uuid"], shown["labels"]) == ("it", bay, {"a": "b"})
    assert (shown["status"], shown["status_reason"]) == ("Pending", "Its manifest is being applied.")
    assert json.loads(shown["manifest"]) == manifest(kind)
    assert shown["manifest_url"] is None
    async with store.read() as tx:
        stored = await tx.bay_manifests.get(shown["uuid"])
    assert (stored.project_id, stored.user_id, stored.cluster_id, stored.kind) == ("p1", "u1", bay, kind)
    assert stored.spec.manifest == manifest(kind)
    assert parts.conductor.asked == [("check", bay, shown["uuid"], manifest(kind))]
    for ident in ("it", shown["uuid"]):
        assert (await old.get(f"/v1/{MANY[kind]}/{ident}?bay_ident=k")).json() == shown
        # As the client of the time writes it.
        assert (await old.get(f"/v1/{MANY[kind]}/{ident}/?bay_ident={bay}")).json() == shown
    [short] = (await old.get(f"/v1/{MANY[kind]}/?bay_ident=k")).json()[MANY[kind]]
    assert short == {key: shown[key] for key in ("uuid", "name", "bay_uuid", "status", "links")}
    [whole] = (await old.get(f"/v1/{MANY[kind]}/detail")).json()[MANY[kind]]
    assert whole == shown | {"manifest": None}


async def test_what_each_shows_before_the_bay_has_said_anything(made):
    assert (await made(POD))["images"] == (await made(RC))["images"] == ["busybox"]
    assert (await made(RC, "other"))["replicas"] == 2
    service = await made(SERVICE)
    assert (service["selector"], service["port"], service["ip"]) == ({"app": "x"}, 80, None)
    assert service["ports"] == [{"port": 80, "targetPort": "web"}]


@BOTH
async def test_what_each_shows_is_what_was_seen(old, made, loop):
    pod, service, rc = [(await made(kind))["uuid"] for kind in BayManifestKind]
    await loop(pod, BayManifestStatus.RUNNING, labels={"x": "y"}, images=("seen:1",), host="node-1")
    await loop(service, BayManifestStatus.PENDING, "no address", ip="10.254.0.9", ports=({"port": 81},))
    await loop(rc, BayManifestStatus.RUNNING, replicas=5, selector={"app": "z"})
    shown = (await old.get("/v1/pods/it")).json()
    assert (shown["status"], shown["status_reason"], shown["host"]) == ("Running", None, "node-1")
    assert (shown["labels"], shown["images"]) == ({"x": "y"}, ["seen:1"])
    shown = (await old.get("/v1/services/it")).json()
    assert (shown["status"], shown["status_reason"]) == ("Pending", "no address")
    assert (shown["ip"], shown["ports"], shown["port"]) == ("10.254.0.9", [{"port": 81}], 81)
    shown = (await old.get("/v1/rcs/it")).json()
    assert (shown["replicas"], shown["selector"]) == (5, {"app": "z"})
    await loop(pod, None)
    shown = (await old.get("/v1/pods/it")).json()
    assert (shown["status"], shown["status_reason"]) == ("Error", "The Pod is gone from its bay.")


async def test_a_manifest_of_yaml(old, made):
    text = "# mine\napiVersion: v1\nkind: Pod\nmetadata:\n  name: y\nspec:\n  containers: [{name: a, image: b}]\n"
    shown = await made(manifest=text)
    assert (shown["name"], shown["images"], shown["manifest"]) == ("y", ["b"], text)


async def test_a_manifest_from_elsewhere(old, bay, parts):
    url = "http://files.example/pod.json"
    parts.conductor.manifests[url] = json.dumps(manifest()).encode()
    answer = await old.post("/v1/pods", {"bay_uuid": "k", "manifest_url": url, "manifest": None})
    assert answer.status == 201, answer.body
    shown = answer.json()
    assert (shown["manifest_url"], json.loads(shown["manifest"])) == (url, manifest())
    parts.conductor.manifests[url] = json.dumps(manifest(image="other")).encode()
    changed = await old.patch("/v1/pods/it", patch(url, "/manifest_url"))
    assert (changed.status, changed.json()["images"]) == (200, ["other"])
    for odd in (b"\xff\xfe", b"nothing", b"x" * 70_000):
        parts.conductor.manifests[url] = odd
        answer = await old.post("/v1/pods", {"bay_uuid": "k", "manifest_url": url})
        assert (answer.status, "manifest_url" in said(answer)) == (400, True)
    answer = await old.post("/v1/pods", {"bay_uuid": "k", "manifest_url": "http://nobody/"})
    assert (answer.status, "cannot be resolved" in said(answer)) == (400, True)


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"bay_uuid": None}, 400, "bay_uuid"),
        ({"bay_uuid": 5}, 400, "bay_uuid"),
        ({"bay_uuid": "nothing"}, 404, "bay_uuid"),
        ({"bay_uuid": "s"}, 400, "expecting a kubernetes bay"),
        ({"manifest": None}, 400, "manifest or manifest_url"),
        ({"manifest": 5}, 400, "manifest"),
        ({"manifest": ""}, 400, "manifest"),
        ({"manifest": "x" * 65_537}, 400, "manifest"),
        ({"manifest": "é" * 40_000}, 400, "octets"),
        ({"manifest": "a: b: c"}, 400, "not YAML"),
        ({"manifest": "just words"}, 400, "apiVersion, kind, metadata and spec"),
        ({"manifest": "{}"}, 400, "its kind is missing, and has to be Pod"),
        ({"manifest": json.dumps(manifest(RC))}, 400, "its kind is 'ReplicationController'"),
        ({"manifest": json.dumps(manifest() | {"metadata": {}})}, 400, "Field metadata['name'] can't be empty"),
        ({"manifest_url": "http://x/"}, 400, "cannot both be given"),
        ({"manifest_url": 5, "manifest": None}, 400, "manifest_url"),
        ({"uuid": "3c2f1a94-2b5c-4d39-a3b0-8d2e0d6d0a11"}, 400, "uuid"),
        ({"bogus": 1}, 400, "bogus"),
    ],
)
async def test_bad_wishes(old, bay, make, body, status, word):
    await make.cluster(name="s")
    answer = await old.post("/v1/pods", {"bay_uuid": "k", "manifest": json.dumps(manifest())} | body)
    assert answer.status == status, answer.body
    assert word in said(answer)
    assert (await old.get("/v1/pods")).json() == {"pods": []}


async def test_what_the_bay_refuses_is_not_stored(old, bay, made, parts):
    await made(name="first")
    parts.conductor.fault = Invalid("The bay refuses the manifest: it has its reasons", field="manifest")
    answer = await old.post("/v1/pods", {"bay_uuid": "k", "manifest": json.dumps(manifest())})
    assert (answer.status, said(answer)) == (400, "The bay refuses the manifest: it has its reasons")
    answer = await old.patch("/v1/pods/first", patch(json.dumps(manifest(name="first", image="other"))))
    assert (answer.status, said(answer)) == (400, "The bay refuses the manifest: it has its reasons")
    assert (await old.get("/v1/pods/first")).json()["images"] == ["busybox"]
    assert len((await old.get("/v1/pods")).json()["pods"]) == 1


async def test_one_name_is_one_object_of_its_kind_in_its_bay(old, bay, made, make, store, parts):
    await made()
    await made(SERVICE)
    answer = await old.post("/v1/pods", {"bay_uuid": "k", "manifest": json.dumps(manifest())})
    assert (answer.status, said(answer)) == (409, f"A Pod called it exists in bay {bay} already.")
    # The bay knows the first one under another uuid, and would refuse the second as one that was not made here.
    parts.conductor.fault = Invalid("there is another Pod it in the cluster, which was not made here", field="manifest")
    answer = await old.post("/v1/pods", {"bay_uuid": "k", "manifest": json.dumps(manifest())})
    assert (answer.status, said(answer)) == (409, f"A Pod called it exists in bay {bay} already.")
    parts.conductor.fault = None
    template = (await old.get(f"/v1/bays/{bay}")).json()["baymodel_id"]
    other = await make.cluster(name="k2", cluster_template_id=template)
    await settle(store, other)
    await made(bay_uuid="k2")
    answer = await old.get("/v1/pods/it")
    assert (answer.status, "Multiple pods exist" in said(answer)) == (409, True)
    assert (await old.get("/v1/pods/it?bay_ident=k2")).json()["bay_uuid"] == other
    assert (await old.delete("/v1/pods/it?bay_ident=k")).status == 204
    answer = await old.post("/v1/pods", {"bay_uuid": "k", "manifest": json.dumps(manifest())})
    assert (answer.status, "is being deleted" in said(answer)) == (409, True)


@BOTH
async def test_lists_of_one_bay_and_their_pages(old, bay, made):
    uuids = [(await made(name=f"n{number}"))["uuid"] for number in range(3)]
    page = (await old.get("/v1/pods?bay_ident=k&limit=2&sort_key=name&sort_dir=desc")).json()
    assert [each["uuid"] for each in page["pods"]] == uuids[:0:-1]
    rest = (await old.get(page["next"].partition("/container-infra")[2])).json()
    assert [each["uuid"] for each in rest["pods"]] == uuids[:1]
    assert (await old.get("/v1/services")).json() == {"services": []}
    for query in ("bay_ident=nothing", f"marker={bay}"):
        assert (await old.get(f"/v1/pods?{query}")).status == 404
    for query in ("limit=0", "sort_key=manifest", "bogus=1"):
        assert (await old.get(f"/v1/pods?{query}")).status == 400


@BOTH
async def test_another_manifest(old, made, loop, store):
    uuid = (await made())["uuid"]
    await loop(uuid, BayManifestStatus.RUNNING, images=("busybox",))
    answer = await old.patch("/v1/pods/it?bay_ident=k", patch(json.dumps(manifest(image="other"))))
    assert answer.status == 200, answer.body
    shown = answer.json()
    assert (shown["status"], shown["status_reason"]) == ("Running", "Its manifest is being applied.")
    assert shown["images"] == ["busybox"], "what is seen is what is there"
    async with store.read() as tx:
        stored = await tx.bay_manifests.get(uuid)
    assert (stored.generation, stored.spec.manifest["spec"]["containers"][0]["image"]) == (2, "other")
    assert (await old.patch("/v1/pods/it", patch(json.dumps(manifest(image="third")), op="add"))).status == 200
    assert (await old.patch("/v1/pods/it", [])).status == 200


async def test_bad_changes(old, made):
    await made()
    good = json.dumps(manifest())
    for steps, word in (
        (patch("{}"), "kind"),
        (patch(json.dumps(manifest(name="other"))), "has to stay it"),
        (patch("x", "/name"), "name"),
        (patch("x", "/uuid"), "uuid"),
        (patch("x", "/manifest/metadata"), "manifest"),
        (patch(good, op="add") + patch("http://x/", "/manifest_url", "add"), "both"),
        ([{"op": "remove", "path": "/manifest"}], "manifest"),
        (patch(5), "manifest"),
        ({}, "patch"),
    ):
        answer = await old.patch("/v1/pods/it", steps)
        assert answer.status == 400, steps
        assert word in said(answer)


@BOTH
@ALL
async def test_a_delete_and_what_follows_it(old, made, store, kind):
    uuid, path = (await made(kind))["uuid"], f"/v1/{MANY[kind]}/it?bay_ident=k"
    assert (await old.delete(path)).status == 204
    assert (await old.delete(path)).status == 204
    assert (await old.get(path)).json()["status_reason"] == "It is being deleted."
    answer = await old.patch(path, patch(json.dumps(manifest(kind))))
    assert (answer.status, "is being deleted" in said(answer)) == (409, True)
    async with store.write() as tx:
        assert (await tx.bay_manifests.get(uuid)).deleting is True
        await tx.bay_manifests.remove({"uuid": uuid})
    assert (await old.get(path)).status == 404


async def test_a_bay_that_goes_or_never_came_takes_none(old, bay, store):
    wish = {"bay_uuid": "k", "manifest": json.dumps(manifest())}
    for operation, status, code in (("DELETE", "DELETE_IN_PROGRESS", 409), ("CREATE", "CREATE_FAILED", 409)):
        async with store.write() as tx:
            cluster = await tx.clusters.get(bay)
            await tx.clusters.update(replace(cluster, operation=Operation(operation), status=status))
        answer = await old.post("/v1/pods", wish)
        assert (answer.status, status in said(answer)) == (code, True)


async def test_kinds_do_not_see_each_other(old, made, make, store, infra):
    """Pods and containers lie in one table: nothing of one shows among the other."""
    await settle(store, await make.cluster(name="s"))
    inside = (await old.post("/v1/containers", {"name": "it", "image": "busybox", "bay_uuid": "s"})).json()
    pod = await made()
    assert [each["uuid"] for each in (await old.get("/v1/containers")).json()["containers"]] == [inside["uuid"]]
    assert (await old.get(f"/v1/containers/{pod['uuid']}")).status == 404
    for path in (f"/v1/pods/{inside['uuid']}", f"/v1/rcs/{pod['uuid']}", "/v1/services/it"):
        assert (await old.get(path)).status == 404
    async with store.read() as tx:
        assert (await tx.bay_containers.uuids(), await tx.bay_manifests.uuids()) == ([inside["uuid"]], [pod["uuid"]])
        assert await tx.bay_containers.get(pod["uuid"]) is None
        assert await tx.bay_containers.uuids_in_cluster(pod["bay_uuid"]) == {pod["uuid"]}


@ALL
async def test_strangers_see_nothing_and_readers_change_nothing(old, bay, made, kind):
    path = f"/v1/{MANY[kind]}"
    uuid = (await made(kind))["uuid"]
    stranger, reader, admin = old.as_("stranger"), old.as_("reader"), old.as_("admin")
    for method, body in (("DELETE", None), ("PATCH", patch(json.dumps(manifest(kind))))):
        assert (await stranger.request(method, f"{path}/{uuid}", body)).status == 404
        assert (await reader.request(method, f"{path}/{uuid}", body)).status == 403
    assert (await stranger.get(f"{path}/{uuid}")).status == 404
    assert (await stranger.get(path)).json() == {MANY[kind]: []}
    wish = {"bay_uuid": "k", "manifest": json.dumps(manifest(kind, "two"))}
    assert (await stranger.post(path, wish)).status == 404
    assert (await reader.post(path, wish)).status == 403
    assert (await reader.get(f"{path}/{uuid}")).status == 200
    assert (await admin.get(path)).json()[MANY[kind]][0]["uuid"] == uuid
    # Whoever makes something in a bay, it is the bay's owner's.
    assert (await admin.post(path, wish)).status == 201
    assert (await reader.get(f"{path}/two")).status == 200
