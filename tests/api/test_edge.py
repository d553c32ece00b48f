"""What holds for every request: versions, tokens, paths, headers, error bodies, ids, metrics."""

import re
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from jeroboam.api.app import create_app
from jeroboam.domain.caller import AccessRule
from jeroboam.domain.errors import Forbidden
from tests.api.client import Client
from tests.ports import caller

FAMILIES = {"/container-infra": ("container-infrastructure-management", "1.14"), "/container": ("container", "1.40")}
BOTH = pytest.mark.parametrize("prefix", FAMILIES)


@pytest.fixture
def client(app, prefix):
    return Client(app, prefix)


@BOTH
async def test_discovery_needs_no_token(client, prefix):
    for path in ("", "/", "/v1", "/v1/"):
        answer = await client.as_(None).get(path)
        assert answer.status == 200, path
    root = (await client.as_(None).get("/")).json()
    [version] = root["versions"]
    assert version["id"] == "v1"
    assert (version["min_version"], version["max_version"]) == ("1.1", FAMILIES[prefix][1])
    assert version["links"] == [{"href": f"http://cloud:9511{prefix}/v1/", "rel": "self"}]


@BOTH
async def test_the_description_of_v1_links_its_resources(client, prefix):
    about = (await client.get("/v1")).json()
    name = "clusters" if prefix == "/container-infra" else "containers"
    assert about[name] == [
        {"href": f"http://cloud:9511{prefix}/v1/{name}/", "rel": "self"},
        {"href": f"http://cloud:9511{prefix}/{name}/", "rel": "bookmark"},
    ]


@BOTH
@pytest.mark.parametrize(
    ("asked", "used"), [(None, "1.1"), ("1.1", "1.1"), ("1.7", "1.7"), ("latest", None), ("LATEST", None)]
)
async def test_versions_are_negotiated(client, prefix, asked, used):
    word, newest = FAMILIES[prefix]
    name = "clusters" if prefix == "/container-infra" else "containers"
    answer = await client.at(asked).get(f"/v1/{name}")
    assert answer.status == 200
    assert answer.headers["openstack-api-version"] == f"{word} {used or newest}"
    assert answer.headers["openstack-api-minimum-version"] == f"{word} 1.1"
    assert answer.headers["openstack-api-maximum-version"] == f"{word} {newest}"
    assert answer.headers["vary"] == "OpenStack-API-Version"


@BOTH
@pytest.mark.parametrize("header", ["compute 1.1", "1.1", "container", "container x", "container 1", "container 1.1 2"])
async def test_a_version_that_makes_no_sense_is_406(client, prefix, header):
    answer = await client.get("/v1/quotas/p1", headers={"openstack-api-version": header})
    assert answer.status == 406
    assert answer.error["status"] == 406
    assert "openstack-api-version" not in answer.headers


@BOTH
@pytest.mark.parametrize("asked", ["1.0", "1.41", "2.0", "0.1", "1.999999999"])
async def test_a_version_out_of_range_is_406(client, prefix, asked):
    answer = await client.at(asked).get("/v1")
    assert answer.status == 406
    assert answer.error["code"].endswith(".microversion-unsupported")
    assert (answer.error["min_version"], answer.error["max_version"]) == ("1.1", FAMILIES[prefix][1])
    assert answer.error["links"][0]["rel"] == "help"


@BOTH
@pytest.mark.parametrize("token", [None, "", "unknown", "x" * 5000])
async def test_without_a_good_token_there_is_nothing(client, prefix, token):
    for path in ("/v1/quotas/p1", "/v1/nonsense"):
        answer = await client.as_(token).get(path)
        assert answer.status == 401
        assert answer.json()["error"]["code"] == 401
        assert answer.headers["www-authenticate"].startswith('Keystone uri="http')


@BOTH
async def test_an_identity_service_that_is_away_is_503(client, parts, prefix):
    parts.tokens.away = True
    answer = await client.get("/v1/quotas/p1")
    assert answer.status == 503
    assert "identity" in answer.error["detail"]


@BOTH
async def test_every_answer_has_a_request_id_of_its_own(client, prefix):
    seen = set()
    for path in ("/", "/v1", "/v1/nonsense", "/v1/quotas/p1"):
        for token in ("member", None):
            answer = await client.as_(token).get(path)
            seen.add(answer.headers["x-openstack-request-id"])
    assert len(seen) == 8
    assert all(re.fullmatch(r"req-[0-9a-f-]{36}", one) for one in seen)


@BOTH
@pytest.mark.parametrize("shape", ["/v1/{}", "/v1/{}/", "/v1//{}", "//v1/{}//", "/{}", "/{}/", "/v1{prefix}/v1/{}"])
async def test_slashes_and_a_missing_version_mean_nothing(client, prefix, shape):
    name = "clusters" if prefix == "/container-infra" else "containers"
    answer = await client.get(shape.format(name, prefix=prefix))
    assert answer.status == 200
    assert name in answer.json()


@BOTH
@pytest.mark.parametrize(
    "path", ["/v1/x509keypairs", "/v1/nothing", "/v1/clusters/a/b/c/d", "/v2/clusters", "/v1/containers/a/b/c"]
)
async def test_a_path_that_leads_nowhere_is_404(client, prefix, path):
    answer = await client.get(path)
    assert answer.status == 404
    assert answer.error["code"] == ("" if prefix == "/container-infra" else "container.")
    assert answer.error["request_id"] == ""


async def test_wrong_methods_are_405(infra, zun):
    for method in ("PUT", "DELETE"):
        answer = await infra.request(method, "/v1/clusters")
        assert answer.status == 405
        assert answer.headers["allow"] == "GET, POST"
    answer = await zun.put("/v1/containers")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")
    answer = await infra.request("HEAD", "/v1/clusters")
    assert (answer.status, answer.body) == (405, b"")
    assert (await infra.get("/v1/certificates")).status == 405
    assert (await infra.get("/v1/clusters/x/actions/resize")).status == 405


@BOTH
async def test_options_is_answered(client, prefix):
    assert (await client.as_(None).request("OPTIONS", "/v1/quotas")).status == 200


async def test_a_method_of_a_later_version_is_406(infra, zun):
    refused = await infra.at("1.8").get("/v1/clusters/x/nodegroups")
    assert refused.status == 406
    assert "GET /clusters/{cluster}/nodegroups is available from version 1.9 on" in refused.error["title"]
    assert "the request asks for version 1.8" in refused.error["title"]
    gone = await zun.at("1.14").post("/v1/containers/x/rename?name=other")
    assert "up to version 1.13" in gone.error["title"]
    assert (await infra.at("1.6").post("/v1/clusters/x/actions/resize", {"node_count": 1})).status == 406
    assert (await zun.as_("admin").at("1.3").get("/v1/hosts")).status == 406
    assert (await zun.at("1.14").post("/v1/containers/x/rename?name=other")).status == 406
    assert (await zun.at("1.13").post("/v1/containers/x/rename?name=other")).status == 404


@pytest.mark.parametrize(
    ("accept", "status"),
    [("application/json", 200), ("*/*", 200), ("", 200), ("text/html, */*;q=0.1", 200), ("application/xml", 406)],
)
async def test_accept(infra, accept, status):
    assert (await infra.get("/v1/clusters", headers={"accept": accept})).status == status


@pytest.mark.parametrize(
    ("media", "status"),
    [
        (None, 400),
        ("application/x-www-form-urlencoded", 400),
        ("text/plain", 415),
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
    ],
)
async def test_content_type(infra, media, status):
    body = {"coe": "swarm", "image_id": "node"}
    answer = await infra.post("/v1/clustertemplates", body, headers={"content-type": media})
    assert answer.status == status


async def test_content_type_of_the_other_family(zun):
    answer = await zun.post("/v1/containers", {"image": "busybox"}, headers={"content-type": "text/plain"})
    assert answer.status == 415
    assert answer.error["code"].startswith("container.")


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ({"host": "example.org"}, "http://example.org"),
        ({"host": "[::1]:9511"}, "http://[::1]:9511"),
        ({"x-forwarded-proto": "https", "x-forwarded-host": "cloud.example"}, "https://cloud.example"),
        ({"x-forwarded-prefix": "/jeroboam"}, "http://cloud:9511/jeroboam"),
        ({"host": 'bad"host'}, "http://127.0.0.1:80"),
        ({"host": None}, "http://127.0.0.1:80"),
        ({"x-forwarded-proto": "javascript"}, "http://cloud:9511"),
        ({"forwarded": "for=1.2.3.4;proto=https;host=cloud.example, for=5.6.7.8"}, "https://cloud.example"),
        ({"forwarded": 'host="[::1]:8443";Proto=HTTPS'}, "https://[::1]:8443"),
        ({"forwarded": "proto=https", "x-forwarded-proto": "http", "host": "a"}, "https://a"),
        ({"forwarded": "host=bad host;proto=x", "host": "a"}, "http://127.0.0.1:80"),
        ({"host": "a", "x-forwarded-port": "8443", "x-forwarded-proto": "https"}, "https://a:8443"),
        ({"host": "a", "x-forwarded-port": "443", "x-forwarded-proto": "https"}, "https://a"),
        ({"host": "a:1", "x-forwarded-port": "8443"}, "http://a:1"),
        ({"host": "[::1]", "x-forwarded-port": "8443"}, "http://[::1]:8443"),
        ({"host": "a", "x-forwarded-port": "99999"}, "http://a"),
    ],
)
async def test_links_start_where_the_client_does(infra, headers, origin):
    [version] = (await infra.get("/", headers=headers)).json()["versions"]
    assert version["links"][0]["href"] == f"{origin}/container-infra/v1/"


async def test_a_body_beyond_the_limit_is_413(infra, zun):
    big = b"{" + b" " * (1 << 20) + b"}"
    for client, path in ((infra, "/v1/clusters"), (zun, "/v1/containers")):
        answer = await client.post(path, raw=big)
        assert answer.status == 413
        answer = await client.post(path, raw=b"{}", headers={"content-length": "99999999999"})
        assert answer.status == 413


async def test_a_bug_is_a_500_that_says_nothing(zun, make, parts, store, on_host):
    container = await on_host(await make.container())
    parts.gateway.fault = RuntimeError("the secret is s3cr3t")
    answer = await zun.get(f"/v1/containers/{container.uuid}/logs")
    assert answer.status == 500
    assert b"s3cr3t" not in answer.body
    assert answer.headers["x-openstack-request-id"] in answer.error["detail"]
    assert answer.error["title"] == "Internal Server Error"


async def test_what_belongs_to_no_family(app):
    plain = Client(app, "", token=None)
    page = await plain.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert b"container-infra" in page.body
    assert (await plain.get("/healthcheck")).json() == {"detailed": False, "reasons": []}
    assert (await plain.get("/container-infra/healthcheck")).json() == {"detailed": False, "reasons": []}
    assert (await plain.get("/container/healthcheck")).body == b"OK"
    assert (await plain.get("/elsewhere")).status == 404
    assert (await plain.post("/metrics")).status == 405


async def test_metrics_count_by_route(app, infra):
    await infra.get("/v1/clusters")
    await infra.get("/v1/clusters/nothing")
    text = (await Client(app, "", token=None).get("/metrics")).body.decode()
    labels = 'family="container-infra",method="GET",route="/clusters/{cluster}",status="404"'
    assert f"jeroboam_api_requests_total{{{labels}}} 1.0" in text
    assert "nothing" not in text


async def test_health_says_what_is_wrong(parts):
    from dataclasses import replace

    async def wrong():
        return "the conductor stands still"

    app = create_app(replace(parts, health=(wrong,)))
    answer = await Client(app, "", token=None).get("/healthcheck")
    assert answer.status == 503
    assert answer.json() == {"detailed": True, "reasons": ["the conductor stands still"]}
    assert (await Client(app, "/container", token=None).get("/healthcheck")).status == 503


async def test_a_body_that_is_cut_off_asks_for_nothing(zun, make, on_host):
    await on_host(await make.container())
    answer = await zun.post("/v1/containers/box/stop", raw=b"", cut=True)
    assert answer.status == 400
    assert (await zun.get("/v1/containers/box")).json()["task_state"] is None


@BOTH
async def test_a_bug_before_the_route_is_known_is_a_500_too(client, parts, prefix):
    parts.tokens.known = None
    answer = await client.get("/v1/quotas/p1")
    assert answer.status == 500
    assert answer.headers["x-openstack-request-id"] in answer.error["detail"]


ONLY_LISTS = (
    AccessRule(service="container", method="GET", path="/v1/containers"),
    AccessRule(service="container-infra", method="GET", path="/container-infra/v1/clusters"),
)


@pytest.mark.security
@pytest.mark.parametrize(
    ("prefix", "method", "path", "status"),
    [
        ("/container", "GET", "/v1/containers", 200),
        ("/container", "GET", "//v1//containers/", 200),
        ("/container", "GET", "/containers", 200),
        ("/container", "POST", "/v1/containers", 401),
        ("/container", "GET", "/v1/containers/x", 401),
        ("/container", "GET", "/v1/hosts", 401),
        ("/container-infra", "GET", "/v1/clusters", 200),
        ("/container-infra", "GET", "/v1/clusters/detail", 401),
        ("/container-infra", "GET", "/v1/containers", 401),
        ("/container-infra", "GET", "/v1", 200),
    ],
)
async def test_access_rules_of_application_credentials_hold(app, parts, prefix, method, path, status):
    parts.tokens.known["limited"] = replace(caller(), access_rules=ONLY_LISTS)
    assert (await Client(app, prefix, "limited").request(method, path)).status == status


@BOTH
async def test_a_token_of_another_scope_is_a_403_that_says_so(app, parts, prefix):
    async def refuse(_):
        raise Forbidden("This token is scoped to the system.")

    parts.tokens.caller = refuse
    answer = await Client(app, prefix, "system").get("/v1/services")
    assert answer.status == 403
    assert "scoped to the system" in answer.error["detail"]


async def test_a_limit_that_is_too_large_is_called_so(infra, zun):
    for client, path in ((infra, "/v1/clusters"), (zun, "/v1/containers")):
        for digits in (20, 5000):
            answer = await client.get(f"{path}?limit={'9' * digits}")
            assert (answer.status, "too large" in answer.error["detail"]) == (400, True)
            assert len(answer.error["detail"]) < 200
        assert (await client.get(f"{path}?limit={'0' * 30}7")).status == 200
        answer = await client.get(f"{path}?limit=0")
        assert (answer.status, "is no positive number" in answer.error["detail"]) == (400, True)


async def test_the_log_has_statuses_as_plain_numbers(infra):
    with capture_logs() as logs:
        assert (await infra.at("1.1").get("/v1/clusters/c/nodegroups")).status == 406
    [line] = [line for line in logs if line["event"] == "request"]
    assert repr(line["status"]) == "406"
