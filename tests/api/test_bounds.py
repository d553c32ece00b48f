"""An operator's limits on requests: refused with 403, by the limit's name, before anything is stored."""

import asyncio
from dataclasses import replace

import pytest

from jeroboam.api.app import create_app
from jeroboam.domain.limits import parse_limits
from tests.api.client import Client
from tests.api.loops import settle


@pytest.fixture
def limits():
    """What the test writes into the operator's file."""
    return []


@pytest.fixture
def app(parts, limits):
    """Limits are read at the start: the application is made at its first request."""
    made = []

    async def app(scope, receive, send):
        if not made:
            made.append(create_app(replace(parts, limits=parse_limits({"limits": limits}))))
        await made[0](scope, receive, send)

    return app


def allow(limits, **bounds) -> None:
    limits.append({"name": "campus"} | bounds)


def refusal(answer) -> str:
    assert answer.status == 403, answer.body
    assert answer.error["detail"].startswith("Limit campus: ")
    return answer.error["detail"].removeprefix("Limit campus: ")


@pytest.mark.parametrize(
    ("bounds", "wish", "said"),
    [
        (
            {"allowed_flavors": ["m1.small"]},
            {"flavor_id": "m1.large"},
            "a flavor may be m1.small; the request has m1.large",
        ),
        ({"allowed_templates": ["other"]}, {}, "the cluster template may be other"),
        ({"allowed_coes": ["kubernetes"]}, {}, "the COE may be kubernetes; the request has swarm"),
        ({"allowed_providers": ["local"]}, {}, "the provider (driver) may be local; the request has fake"),
        ({"max_nodes_per_cluster": 3}, {"node_count": 3}, "a cluster may have 3 nodes, masters included"),
        ({"max_nodes_per_project": 3}, {"node_count": 3}, "a project may have 3 nodes, masters included"),
        ({"required_labels": {"team": "[a-z]+"}}, {}, "a cluster has to have a label team"),
        ({"required_labels": {"team": "[a-z]+"}}, {"labels": {"team": "7"}}, "the request has 7"),
        ({"forbidden_labels": ["x*"]}, {"labels": {"xy": "7"}}, "the label x* is not allowed; the request has xy"),
        ({"cluster_name": "[a-z]+-prod"}, {}, "a cluster's name has to match [a-z]+-prod; the request has c"),
    ],
)
async def test_a_create_beyond_a_limit(infra, make, parts, limits, store, bounds, wish, said):
    free = Client(create_app(parts), "/container-infra", version="latest")
    template = (await make.template(free))["uuid"]
    allow(limits, **bounds)
    answer = await infra.post(
        "/v1/clusters", {"name": "c", "cluster_template_id": template, "flavor_id": "m1.small"} | wish
    )
    assert said in refusal(answer)
    async with store.read() as tx:
        assert (await tx.clusters.count(), await tx.events.count()) == (0, 0)


async def test_what_is_within_passes(infra, make, limits):
    allow(
        limits,
        allowed_flavors=["m1.*"],
        allowed_templates=["t"],
        required_labels={"team": ".*"},
        cluster_name="c+",
        max_nodes_per_cluster=3,
        max_nodes_per_project=6,
    )
    for name in ("c", "cc"):
        await make.cluster(name=name, flavor_id="m1.small", labels={"team": "a"}, node_count=2)


@pytest.mark.parametrize("selector", [{"projects": ["demo"]}, {"projects": ["p1"]}, {"domains": ["d-p1"]}])
async def test_a_limit_holds_for_its_project_whoever_asks(infra, make, parts, limits, store, selector):
    """By the admin's token nothing is known of the member's project: it has to be asked for."""
    known = parts.tokens.known
    known["member"] = replace(known["member"], project_name="demo", project_domain_id="d-p1")
    allow(limits, max_nodes_per_cluster=2, **selector)
    uuid = await make.cluster()
    await settle(store, uuid)
    for token in ("member", "admin"):
        refusal(await infra.as_(token).post(f"/v1/clusters/{uuid}/actions/resize", {"node_count": 2}))
    stranger = infra.as_("stranger")
    template = (await make.template(stranger, name="theirs"))["uuid"]
    await make.cluster(stranger, cluster_template_id=template, node_count=7)


async def test_growth_is_refused_wherever_it_is_asked_for(infra, make, limits, store):
    allow(limits, max_nodes_per_cluster=4)
    await settle(store, await make.cluster(node_count=2))
    refusal(await infra.post("/v1/clusters/c/actions/resize", {"node_count": 4}))
    refusal(await infra.patch("/v1/clusters/c", [{"op": "replace", "path": "/node_count", "value": 4}]))
    refusal(await infra.post("/v1/clusters/c/nodegroups", {"name": "fast", "node_count": 2}))
    patch = [{"op": "replace", "path": "/max_node_count", "value": 9}]
    refusal(await infra.patch("/v1/clusters/c/nodegroups/default-worker", patch))
    assert (await infra.post("/v1/clusters/c/nodegroups", {"name": "fast", "node_count": 1})).status == 202
    refusal(await infra.post("/v1/clusters/c/actions/resize", {"node_count": 3}))
    assert (await infra.get("/v1/clusters/c")).json()["node_count"] == 3


async def test_what_is_beyond_already_may_shrink_and_stay(infra, make, parts, limits, store):
    free = Client(create_app(parts), "/container-infra", version="latest")
    await settle(store, await make.cluster(free, node_count=5, flavor_id="m1.large"))
    allow(limits, max_nodes_per_cluster=3, max_nodes_per_project=3, allowed_flavors=["m1.small"], cluster_name="x")
    assert (await infra.post("/v1/clusters/c/actions/resize", {"node_count": 4})).status == 202
    assert (await infra.post("/v1/clusters/c/actions/resize", {"node_count": 4})).status == 202
    refusal(await infra.post("/v1/clusters/c/actions/resize", {"node_count": 5}))
    patch = [{"op": "replace", "path": "/labels", "value": '{"a": "b"}'}]
    assert (await infra.patch("/v1/clusters/c/nodegroups/default-worker", patch)).status == 202
    assert (await infra.delete("/v1/clusters/c")).status == 204


async def test_changes_in_place(infra, make, limits, store):
    allow(
        limits,
        allowed_flavors=["m1.small"],
        required_labels={"team": ".*"},
        forbidden_labels=["x"],
        cluster_name="c|d",
        allowed_templates=["t"],
    )
    await settle(store, await make.cluster(flavor_id="m1.small", labels={"team": "a"}))

    async def patch(path, value, op="replace", at="/v1/clusters/c"):
        return await infra.patch(at, [{"op": op, "path": path, "value": value}])

    refusal(await patch("/name", "e"))
    refusal(await patch("/labels", "{}"))
    refusal(await patch("/labels/x", "1", "add"))
    refusal(await patch("/flavor_id", "m1.large"))
    group = "/v1/clusters/c/nodegroups/default-worker"
    refusal(await patch("/flavor_id", "m1.large", at=group))
    refusal(await infra.post("/v1/clusters/c/nodegroups", {"name": "g", "flavor_id": "m1.large"}))
    refusal(await infra.post("/v1/clusters/c/nodegroups", {"name": "g", "labels": {"x": "1"}}))
    other = (await make.template(name="other"))["uuid"]
    refusal(await infra.post("/v1/clusters/c/actions/upgrade", {"cluster_template": other}))
    assert [event["event_type"] for event in (await infra.get("/v1/events")).json()["events"]] == ["cluster.create"]
    assert (await patch("/labels/team", "b")).status == 202
    assert (await infra.post("/v1/clusters/c/actions/upgrade", {"cluster_template": "t"})).status == 202
    assert (await patch("/name", "d")).status == 202


async def test_templates(infra, make, limits):
    allow(limits, allowed_coes=["swarm"], allowed_flavors=["m1.small"], forbidden_labels=["x"])
    body = {"name": "t", "coe": "swarm", "image_id": "node"}
    refusal(await infra.post("/v1/clustertemplates", body | {"coe": "mesos"}))
    refusal(await infra.post("/v1/clustertemplates", body | {"flavor_id": "m1.large"}))
    refusal(await infra.post("/v1/clustertemplates", body | {"labels": {"x": "1"}}))
    await make.template()
    refusal(await infra.patch("/v1/clustertemplates/t", [{"op": "replace", "path": "/coe", "value": "mesos"}]))


async def test_bays_are_clusters(app, infra, make, limits, store):
    allow(limits, max_nodes_per_cluster=3)
    old = Client(app, "/container-infra")
    await settle(store, await make.cluster(node_count=2))
    patch = [{"op": "replace", "path": "/node_count", "value": 3}]
    wish = {"name": "b", "baymodel_id": "t", "node_count": 3}
    for answer in (await old.patch("/v1/bays/c", patch), await old.post("/v1/bays", wish)):
        assert answer.status == 403
        assert b"Limit campus: a cluster may have 3 nodes" in answer.body
    assert (await old.post("/v1/bays", wish | {"node_count": 2})).status == 201


@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
async def test_parallel_requests_do_not_pass_a_project_s_limit_together(infra, make, limits, store):
    allow(limits, max_nodes_per_project=10)
    template = (await make.template())["uuid"]
    wishes = [infra.post("/v1/clusters", {"cluster_template_id": template, "node_count": 1}) for _ in range(12)]
    statuses = sorted(answer.status for answer in await asyncio.gather(*wishes))
    assert statuses == [202] * 5 + [403] * 7
    async with store.read() as tx:
        assert await tx.clusters.totals("p1") == (5, 10)
