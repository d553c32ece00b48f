"""The OpenAPI documents, and whether the application is what they say."""

import asyncio
import collections
import json
import shutil

import hypothesis
import pytest
from hypothesis import strategies as st
from schemathesis import GenerationMode

from jeroboam.api.call import SOCKET
from jeroboam.api.container.family import ContainerFamily
from jeroboam.api.container_infra.family import ContainerInfraFamily
from jeroboam.api.openapi import build_document
from tests.api.client import Client
from tests.api.fuzz import KNOWN, SETTINGS, TOKENS, Range, versions_of

BOTH = pytest.mark.parametrize("family", [ContainerInfraFamily(), ContainerFamily()], ids=lambda family: family.prefix)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE")
# Two modes a version; about two thousand requests together.
INFRA_EACH, ZUN_EACH = 50, 60


@BOTH
async def test_anyone_gets_the_document(app, family):
    anyone = Client(app, f"/{family.prefix}", token=None)
    answer = await anyone.get("/openapi.json")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == json.loads(json.dumps(build_document(family)))
    assert (await anyone.get("/v1/openapi.json")).json() == answer.json()
    refused = await anyone.post("/openapi.json")
    assert (refused.status, refused.headers["allow"]) == (405, "GET")


@BOTH
def test_every_operation_has_a_name_and_says_what_it_is_for(family):
    operations = [operation for methods in build_document(family)["paths"].values() for operation in methods.values()]
    assert len(operations) == sum(route.method != SOCKET for route in family.routes)
    names = collections.Counter(operation["operationId"] for operation in operations)
    assert names.most_common(1)[0][1] == 1
    assert all(operation["summary"] for operation in operations)


def test_versions_are_told():
    paths = build_document(ContainerInfraFamily())["paths"]
    assert paths["/clusters/{cluster}/nodegroups"]["get"]["x-openstack-min-version"] == "1.9"
    assert "x-openstack-min-version" not in paths["/clusters"]["get"]
    rename = build_document(ContainerFamily())["paths"]["/containers/{container}/rename"]["post"]
    assert rename["x-openstack-max-version"] == "1.13"


def test_a_body_is_the_schema_of_its_checks():
    operation = build_document(ContainerInfraFamily())["paths"]["/clusters"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["cluster_template_id"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["name"] == {
        "type": ["string", "null"],
        "minLength": 1,
        "maxLength": 242,
        "pattern": "^[a-zA-Z][a-zA-Z0-9_.-]*$",
    }


@BOTH
async def test_what_no_route_has_is_405_and_names_what_there_is(app, family):
    client = Client(app, f"/{family.prefix}", token="admin", version="latest")
    by_path = collections.defaultdict(set)
    for route in family.routes:
        by_path[route.path].add(route.method)
    assert by_path.pop("/containers/{container}/websocket", {SOCKET}) == {SOCKET}
    for path, known in by_path.items():
        for method in set(METHODS) - known:
            answer = await client.request(method, f"/v1{path}")
            assert answer.status == 405, (method, path)
            assert answer.headers["allow"] == ", ".join(sorted(known))
            assert answer.error["status"] == 405
        head = await client.request("HEAD", f"/v1{path}")
        assert (head.status, head.body) == (405, b"")
        assert (await client.as_(None).request("OPTIONS", f"/v1{path}")).status == 200


@BOTH
async def test_every_route_refuses_arguments_that_it_does_not_know(app, family):
    for route in family.routes:
        client = Client(app, f"/{family.prefix}", token="admin", version=f"1.{max(route.since, 1)}")
        answer = await client.request(route.method, f"/v1{route.path}?nonsense=1", {})
        if route.tolerates_arguments:
            assert answer.status == route.status, (route.method, route.path)
            continue
        assert answer.status == 400, (route.method, route.path)
        assert "nonsense" in answer.error["detail"]


@BOTH
async def test_a_slash_at_the_end_leads_to_the_same_place(app, filled, family):
    client = Client(app, f"/{family.prefix}", token="admin", version="latest")
    for route in family.routes:
        if route.method == "GET":
            path = f"/v1{route.path}".format_map({name: names[0] for name, names in KNOWN.items()})
            assert (await client.get(path)).status == (await client.get(f"{path}/")).status


@pytest.mark.postgres
@pytest.mark.parametrize("store", ["sqlite", "postgres"], indirect=True)
async def test_no_argument_may_hold_a_nul(infra, zun, make):
    """PostgreSQL cannot even compare with one."""
    cluster = await make.cluster()
    for client, path in (
        (infra, f"/v1/clusters/{cluster}/nodegroups?role=%00"),
        (infra, "/v1/stats?project_id=a%00"),
        (zun, "/v1/containers?name=%00"),
    ):
        answer = await client.get(path)
        assert answer.status == 400
        assert "NUL" in answer.error["detail"]


@pytest.fixture
def shooting_range(tmp_path, empty_database):
    with asyncio.Runner() as runner:
        target = Range(shutil.copy(empty_database, tmp_path / "range.db"), runner.run)
        yield target
        target.close()


def _shoot(target, version, mode, count) -> None:
    @hypothesis.seed(0)
    @hypothesis.settings(SETTINGS, max_examples=count)
    @hypothesis.given(target.strategy(version.partition(" ")[0], mode), st.sampled_from(TOKENS))
    def one(case, token):
        target.send(case, version, token)

    one()


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("version", versions_of("container-infra"))
def test_container_infra_is_as_documented(shooting_range, version, mode):
    _shoot(shooting_range, version, mode, INFRA_EACH)
    assert sum(shooting_range.totals(version).values()) == INFRA_EACH


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("version", ["container 1.1", "container 1.20", "container latest"])
def test_container_is_as_documented(shooting_range, version, mode):
    _shoot(shooting_range, version, mode, ZUN_EACH)
