"""Who may do what: projects see only their own, readers change nothing, operators may say otherwise."""

from dataclasses import replace

import pytest

from jeroboam.api.app import create_app
from jeroboam.api.call import SOCKET, Route
from jeroboam.api.container.family import ContainerFamily
from jeroboam.api.container_infra.family import ContainerInfraFamily
from jeroboam.api.policy import Policy
from tests.api.client import Client
from tests.api.loops import csr, run_on_host, settle
from tests.ports import caller

CLUSTER = [
    ("GET", "/v1/clusters/{}", None),
    ("PATCH", "/v1/clusters/{}", [{"op": "replace", "path": "/node_count", "value": 2}]),
    ("DELETE", "/v1/clusters/{}", None),
    ("POST", "/v1/clusters/{}/actions/resize", {"node_count": 2}),
    ("GET", "/v1/clusters/{}/nodegroups", None),
    ("GET", "/v1/clusters/{}/nodegroups/default-worker", None),
    ("POST", "/v1/clusters/{}/nodegroups", {"name": "g"}),
    (
        "PATCH",
        "/v1/clusters/{}/nodegroups/default-worker",
        [{"op": "replace", "path": "/max_node_count", "value": 9}],
    ),
    ("GET", "/v1/certificates/{}", None),
]
CONTAINER = [
    ("GET", "/v1/containers/{}", None),
    ("PATCH", "/v1/containers/{}", {"name": "mine"}),
    ("DELETE", "/v1/containers/{}", None),
    ("DELETE", "/v1/containers/{}?stop=true", None),
    *(
        ("POST", f"/v1/containers/{{}}/{name}", None)
        for name in ("start", "stop", "reboot", "pause", "unpause", "kill")
    ),
    ("POST", "/v1/containers/{}/execute?command=true", None),
    *(("GET", f"/v1/containers/{{}}/{name}", None) for name in ("logs", "top", "stats")),
]


@pytest.mark.parametrize(("method", "path", "body"), CLUSTER)
async def test_a_stranger_does_not_see_a_cluster(infra, make, store, method, path, body):
    uuid = await make.cluster()
    await settle(store, uuid)
    for ident in (uuid, "c"):
        answer = await infra.as_("stranger").request(method, path.format(ident), body)
        assert answer.status == 404
    assert (await infra.as_("stranger").get("/v1/clusters")).json() == {"clusters": []}
    assert (await infra.request(method, path.format(uuid), body)).status in {200, 202, 204}


@pytest.mark.parametrize(("method", "path", "body"), CONTAINER)
async def test_a_stranger_does_not_see_a_container(zun, make, store, method, path, body):
    uuid = (await make.container())["uuid"]
    await run_on_host(store, uuid)
    stranger = zun.as_("stranger")
    for ident in (uuid, "box"):
        assert (await stranger.request(method, path.format(ident), body)).status == 404
    assert (await stranger.get(f"/v1/containers/{uuid}?all_projects=true")).status == 403
    assert (await stranger.get("/v1/containers")).json()["containers"] == []
    assert (await stranger.get("/v1/containers?all_projects=true")).status == 403


@pytest.mark.parametrize(("method", "path", "body"), CLUSTER)
async def test_a_reader_changes_no_cluster(infra, make, store, method, path, body):
    uuid = await make.cluster()
    await settle(store, uuid)
    status = (await infra.as_("reader").request(method, path.format(uuid), body)).status
    assert status == (200 if method == "GET" else 403)


async def test_an_admin_reaches_every_project(infra, zun, make, store):
    uuid = await make.cluster()
    await settle(store, uuid)
    admin = infra.as_("admin")
    assert len((await admin.get("/v1/clusters")).json()["clusters"]) == 1
    assert (await admin.get(f"/v1/clusters/{uuid}/nodegroups")).status == 200
    assert (await admin.get(f"/v1/certificates/{uuid}")).status == 200
    signed = await admin.post("/v1/certificates", {"cluster_uuid": "c", "csr": csr()})
    assert (signed.status, signed.json()["cluster_uuid"]) == (201, uuid)
    assert (await admin.get("/v1/clusters/c/events")).json()["events"]
    # There is no credential to rotate, and an admin is told so, not that there is no cluster.
    assert (await admin.patch(f"/v1/credentials/{uuid}")).status == 400
    assert (await admin.post(f"/v1/clusters/{uuid}/actions/resize", {"node_count": 2})).status == 202
    assert (await admin.delete(f"/v1/clusters/{uuid}")).status == 204
    box = (await make.container())["uuid"]
    admin = zun.as_("admin")
    assert (await admin.get("/v1/containers")).json()["containers"] == []
    assert (await admin.get(f"/v1/containers/{box}")).status == 200
    assert (await admin.get("/v1/containers/box")).status == 404
    assert (await admin.get("/v1/containers/box?all_projects=yes")).status == 200


async def test_the_operator_s_file_overrides_defaults(parts, tmp_path, make, store):
    rules = tmp_path / "policy.yaml"
    rules.write_text(
        '"cluster:create": "role:chief"\n'
        '"certificate:get": "role:member and user_id:%(user_id)s"\n'
        '"container:create:privileged": "role:admin"\n'
    )
    app = create_app(replace(parts, options=replace(parts.options, policy_file=str(rules))))
    infra = Client(app, "/container-infra", version="latest")
    uuid = await make.cluster()
    await settle(store, uuid)
    refused = await infra.post("/v1/clusters", {"cluster_template_id": "t"})
    assert (refused.status, refused.error["detail"]) == (403, "Policy doesn't allow cluster:create to be performed.")
    assert (await infra.get("/v1/certificates/c")).status == 200
    assert (await infra.as_("colleague").get("/v1/certificates/c")).status == 403
    zun = Client(app, "/container", "admin", "latest")
    assert (await zun.post("/v1/containers", {"image": "busybox", "privileged": True})).status == 202


def test_a_policy_file_that_is_not_there_stops_the_start():
    with pytest.raises(ValueError, match="there is no policy file /nowhere"):
        Policy({}, "/nowhere/policy.yaml")


def test_unknown_rules_allow_nobody():
    policy = Policy({"a": "role:admin"}, None)
    assert not policy.allows("b", caller("u", "p", "admin"))
    assert policy.allows("a", caller("u", "p", "admin"))


@pytest.mark.parametrize("family", [ContainerFamily(), ContainerInfraFamily()])
def test_every_route_has_a_rule(family):
    for route in family.routes:
        # A WebSocket whose URL is the secret has no caller to have a rule for.
        assert route.rule in family.rules or (route.is_open and route.method == SOCKET), route


def test_a_route_with_an_unknown_rule_stops_the_start(parts, monkeypatch):
    async def handler(call):
        raise AssertionError

    bad = Route(method="GET", path="/x", handler=handler, rule="nobody:wrote")
    monkeypatch.setattr(ContainerFamily, "routes", (bad,))
    with pytest.raises(LookupError, match="nobody:wrote"):
        create_app(parts)
