"""Bad input of every kind: always a 4xx in the family's shape, never half an object."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jeroboam.api.container.family import ContainerFamily
from jeroboam.api.container_infra.family import ContainerInfraFamily
from tests.api.client import Client
from tests.api.loops import run_on_host, settle

NOT_TEXT = [5, True, [], {}, [""], ""]
LONG = "x" * 256
NOT_WHOLE = ["x", "", "1.5", 1.5, [], {}, True, -1, 10**30, "9" * 40, " 1"]
NOT_FLAG = ["maybe", 2, [], {}, 1.5, "tru e"]
NOT_LABELS = [None, 5, "a=b", [], {"a": {}}, {"a": None}, {"a": []}, {"": "b"}, {"boot_volume_size": "big"}]

TEMPLATE = {
    **{name: [*NOT_TEXT, LONG] for name in ("name", "flavor_id", "keypair_id", "fixed_network", "driver")},
    **{name: [*NOT_TEXT, LONG, None] for name in ("coe", "image_id")},
    **dict.fromkeys(("tls_disabled", "public", "hidden", "floating_ip_enabled", "registry_enabled"), NOT_FLAG),
    "labels": NOT_LABELS,
    "apiserver_port": [*NOT_WHOLE, 1023, 65536],
    "docker_volume_size": [*NOT_WHOLE, 0],
    "dns_nameserver": ["8.8.8", "::1", "8.8.8.8,", "x", 8],
    "server_type": ["lxc", 5, None],
    "tags": [5, LONG],
    "uuid": ["x", 5, [], {}],
    "links": [[]],
    "project_id": ["p2"],
    "created_at": ["2026"],
    "bogus": [1],
}
CLUSTER = {
    "name": [*NOT_TEXT, "1abc", "-x", "a b", "a/b", "x" * 243, "ä", "a\n"],
    "cluster_template_id": [*NOT_TEXT, LONG, None, "nothing"],
    "node_count": NOT_WHOLE,
    "master_count": [*NOT_WHOLE, 0, 2, 3],
    "create_timeout": NOT_WHOLE,
    "docker_volume_size": [*NOT_WHOLE, 0],
    "labels": [*NOT_LABELS[1:], {"min_node_count": "5"}, {"min_node_count": "-1"}, {"max_node_count": "x"}],
    "merge_labels": NOT_FLAG,
    "floating_ip_enabled": NOT_FLAG,
    "master_lb_enabled": NOT_FLAG,
    **{name: [*NOT_TEXT, LONG] for name in ("keypair", "flavor_id", "master_flavor_id", "discovery_url")},
    "uuid": ["x", 5],
    "api_address": ["x"],
    "bogus": [None],
}
RESIZE = {
    "node_count": [*NOT_WHOLE, None],
    "nodes_to_remove": [5, "x", {}, [5], [""], [None], ["nobody"]],
    "nodegroup": [5, [], {}, "nothing"],
    "bogus": [1],
}
GROUP = {
    "name": [5, [], {}, "", LONG, None, "default-worker"],
    **{name: [5, [], {}, "", LONG] for name in ("flavor_id", "image_id", "role")},
    **{name: [*NOT_WHOLE, 10_001] for name in ("node_count", "min_node_count")},
    "max_node_count": [*NOT_WHOLE, 0, 10_001],
    "docker_volume_size": [*NOT_WHOLE, 0],
    "labels": NOT_LABELS[1:],
    "merge_labels": NOT_FLAG,
    "node_labels": [
        *(5, "a=b", [], {"a": {}}, {"": "x"}, {"-a": "b"}, {"a" * 64: "b"}, {"a/b/c": "d"}, {"a": "b c"}, {"/a": "b"}),
        *({key: "x"} for key in ("kubernetes.io/role", "node-role.kubernetes.io/master", "x.k8s.io/y", "A.b/c")),
    ],
    "node_taints": [
        *(5, "a", {}, [5], [{}], [{"key": "a"}], [{"effect": "NoSchedule"}], [{"key": "a", "effect": "Never"}]),
        *([{"key": "a", "effect": "NoSchedule", name: value}] for name, value in (("value", 5), ("bogus", "x"))),
        [{"key": "a b", "effect": "NoSchedule"}],
        [{"key": "a", "value": "b c", "effect": "NoSchedule"}],
    ],
    "uuid": ["x", 5],
    "is_default": [True],
    "bogus": [1],
}
CONTAINER = {
    "name": [5, True, [], {}, "", "x", "-x", "a b", "a/b", LONG, "ab\n", "ä" * 5],
    "image": [
        *(*NOT_TEXT, None, "x", "//", LONG, "../etc", "busybox?x=1", "busybox#x", "busybox%2f..", "/etc/passwd"),
        *("-busybox", "user:pw@127.0.0.1:18080/x", "127.0.0.1:99999/x", "Busybox", "a b", "busybox:"),
    ],
    "command": ["sh", 5, {}, [5], [None], [[]]],
    "entrypoint": ["sh", 5, {}, [5]],
    "cpu": ["x", "", ".", "1.", -1, 0, 0.05, 17, "1e1", True, [], {}, 10**30, "9" * 40],
    "cpu_policy": ["fast", 5, [], {}],
    "memory": [*NOT_WHOLE, 3, 8193, "512m"],
    "disk": [*NOT_WHOLE, 0, 161],
    "workdir": [5, [], {}, LONG, "here", "./here"],
    "auto_remove": ["true", 1, [], {}],
    "image_pull_policy": ["sometimes", 5, [], {}],
    "image_driver": ["glance", "rkt", 5, [], {}],
    "labels": [5, "x", [], {"a": 1}, {"a": None}, {"": "b"}, {"a\nb": "c"}, {"a": "\x1b[2J"}],
    "hints": [5, "x", []],
    "environment": [5, "x", [], {"A": 1}, {"A": None}, {"A": []}, {"A=B": "c"}, {"=": "c"}, {"A\nB": "c"}],
    "restart_policy": [
        *(5, "always", [], {}, {"Name": "sometimes"}, {"Name": 5}, {"Name": "always", "MaximumRetryCount": 1}),
        *({"Name": "on-failure", "MaximumRetryCount": value} for value in ("x", -1, [], 1.5)),
        {"Name": "no", "bogus": 1},
    ],
    "interactive": NOT_FLAG,
    "tty": NOT_FLAG,
    "security_groups": [5, "x", {}, [5], [""], [LONG]],
    "exposed_ports": [5, [], "80", {"x": {}}, {"80/sctp": {}}, {"0": {}}, {"65536": {}}, {"80": 5}, {"²": {}}],
    "nets": [5, "x", {}, [5], [{}], [{"network": "a", "port": "b"}], [{"net": "a"}], [{"network": []}]],
    "mounts": [
        *(5, "x", {}, [5], [{}], [{"source": "a"}], [{"destination": "/d"}], [{"bogus": 1}]),
        [{"type": "tmpfs", "source": "a", "destination": "/d"}],
        [{"size": "x", "destination": "/d"}],
    ],
    "runtime": [5, [], "", LONG],
    "hostname": [*NOT_TEXT, "a b", "x" * 64, "a/b"],
    "availability_zone": [5, [], "", LONG],
    "auto_heal": NOT_FLAG,
    "privileged": [*NOT_FLAG, True],
    "healthcheck": [5, "x", [], {}, {"cmd": 5}, {"cmd": "x", "interval": "y"}, {"cmd": "x", "bogus": 1}],
    "registry": [5, [], "", "x", "nothing"],
    "host": [5, [], "", "nothing"],
    "bogus": [1, None],
}


def rows(table):
    return [pytest.param(name, value, id=f"{name}-{str(value)[:20]!a}") for name in table for value in table[name]]


def refused(answer, *fields: str) -> None:
    assert 400 <= answer.status < 500, answer.body
    error = answer.error
    assert error["status"] == answer.status
    assert error["detail"]
    for field in fields:
        assert field in error["detail"], error["detail"]


@pytest.mark.parametrize(("name", "value"), rows(TEMPLATE))
async def test_templates(infra, name, value):
    body = {"name": "t", "coe": "swarm", "image_id": "node"} | {name: value}
    refused(await infra.post("/v1/clustertemplates", body))
    assert (await infra.get("/v1/clustertemplates")).json() == {"clustertemplates": []}


@pytest.mark.parametrize(("name", "value"), rows(CLUSTER))
async def test_clusters(infra, make, name, value):
    template = await make.template()
    body = {"name": "c", "cluster_template_id": template["uuid"]} | {name: value}
    refused(await infra.post("/v1/clusters", body))
    assert (await infra.get("/v1/clusters")).json() == {"clusters": []}


@pytest.mark.parametrize(("name", "value"), rows(RESIZE))
async def test_resizes(infra, make, store, name, value):
    await settle(store, await make.cluster())
    refused(await infra.post("/v1/clusters/c/actions/resize", {"node_count": 1} | {name: value}))
    assert (await infra.get("/v1/clusters/c")).json()["status"] == "CREATE_COMPLETE"


@pytest.mark.parametrize(("name", "value"), rows(GROUP))
async def test_node_groups(infra, make, store, name, value):
    await settle(store, await make.cluster())
    refused(await infra.post("/v1/clusters/c/nodegroups", {"name": "g"} | {name: value}))
    assert len((await infra.get("/v1/clusters/c/nodegroups")).json()["nodegroups"]) == 2
    assert (await infra.get("/v1/clusters/c")).json()["status"] == "CREATE_COMPLETE"


GROUP_PATCHES = [
    *(("min_node_count", value) for value in ("x", -1, 2, 3.5, [], {}, None)),
    *(("max_node_count", value) for value in ("x", -1, 0, 3.5, None)),
    *(("node_labels", value) for value in ("x", "[1]", "{'a': [1]}", "{'kubernetes.io/x': 'y'}", 5, {"a": "b"}, None)),
    *(("node_taints", value) for value in ("x", "{}", "[{'key': 'a'}]", "[1]", 5, [], None)),
    *((name, "x") for name in ("name", "node_count", "role", "image_id", "uuid", "labels", "bogus")),
    *(("flavor_id", value) for value in ("", "x" * 256, 5, [], {}, None)),
    *(("labels", value) for value in ("[1]", 5, "{'a': [1]}")),
    ("min_node_count/x", 1),
    ("flavor_id/x", "y"),
]


@pytest.mark.parametrize(("name", "value"), GROUP_PATCHES)
async def test_node_group_patches(infra, make, store, name, value):
    await settle(store, await make.cluster())
    step = {"op": "replace", "path": f"/{name}", "value": value}
    refused(await infra.patch("/v1/clusters/c/nodegroups/default-worker", [step]))
    assert (await infra.get("/v1/clusters/c")).json()["status"] == "CREATE_COMPLETE"


@pytest.mark.parametrize("value", ["3", 3.5, True, -1, [], {}, "x", 10**12])
async def test_cluster_patches(infra, make, store, value):
    await settle(store, await make.cluster())
    refused(await infra.patch("/v1/clusters/c", [{"op": "replace", "path": "/node_count", "value": value}]))
    assert (await infra.get("/v1/clusters/c")).json()["node_count"] == 1


@pytest.mark.parametrize(("name", "value"), rows(CONTAINER))
async def test_containers(zun, name, value):
    refused(await zun.post("/v1/containers", {"image": "busybox"} | {name: value}))
    assert (await zun.get("/v1/containers")).json()["containers"] == []


PATCH = {name: [*CONTAINER[name], None] for name in ("cpu", "memory", "name", "auto_heal")} | {"image": ["other"]}


@pytest.mark.parametrize(("name", "value"), rows(PATCH))
async def test_container_patches(zun, make, store, name, value):
    created = await make.container()
    await run_on_host(store, created["uuid"])
    before = (await zun.get("/v1/containers/box")).json()
    refused(await zun.patch("/v1/containers/box", {name: value}), name)
    after = (await zun.get("/v1/containers/box")).json()
    assert after["updated_at"] == before["updated_at"]


ACTIONS = [
    ("POST", "stop?timeout=-1"),
    ("POST", "stop?timeout=x"),
    ("POST", "stop?timeout=99999999999"),
    ("POST", "reboot?timeout=1.5"),
    ("POST", "stop?bogus=1"),
    ("POST", "kill?signal=SIGNOTHING"),
    ("POST", "kill?signal=99"),
    ("POST", "kill?signal=%00"),
    ("POST", "execute"),
    ("POST", "execute?command="),
    ("POST", "execute?command=%20"),
    ("POST", "execute?command=sh%20%27"),
    ("POST", "execute?command=sh&run=maybe"),
    ("GET", "logs?tail=x"),
    ("GET", "logs?tail=-5"),
    ("GET", "logs?since=yesterday"),
    ("GET", "logs?since=2026-13-45 00:00:00"),
    ("GET", "logs?stdout=maybe"),
    ("GET", "logs?bogus=1"),
    ("GET", "stats?bogus=1"),
    ("GET", "top?ps_args=" + "x" * 2000),
    ("POST", "nothing"),
    ("GET", "start"),
    ("DELETE", "logs"),
]


@pytest.mark.parametrize(("method", "action"), ACTIONS)
async def test_actions(zun, make, store, method, action):
    created = await make.container()
    await run_on_host(store, created["uuid"])
    refused(await zun.request(method, f"/v1/containers/box/{action}"))
    assert (await zun.get("/v1/containers/box")).json()["task_state"] is None


@pytest.mark.parametrize("body", [{"timeout": []}, {"timeout": {}}, {"signal": {}}, {"bogus": 1}, [], 5, "x"])
@pytest.mark.parametrize("action", ["stop", "kill", "start", "execute"])
async def test_bodies_of_actions(zun, make, store, action, body):
    created = await make.container()
    await run_on_host(store, created["uuid"])
    refused(await zun.post(f"/v1/containers/box/{action}", body))


QUERIES = [
    *("limit=0", "limit=-1", "limit=x", "limit=", "limit=1.5", "limit=%C2%B2", "limit=" + "9" * 30),
    *(
        "marker=x",
        "marker=",
        "marker=1937d59e-ba03-40fa-aed6-826a89f5b3e1",
        "marker=%00",
        "sort_key=nothing",
        "sort_key=",
        "sort_key=spec",
    ),
    *("sort_dir=up", "sort_dir=", "bogus=1", "=", "%00=1", "limit=1&bogus"),
]
LISTS = [
    *("/v1/clusters", "/v1/clusters/detail", "/v1/clustertemplates", "/v1/clustertemplates/detail"),
    *("/v1/quotas", "/v1/clusters/c/nodegroups"),
]


@pytest.mark.parametrize("query", QUERIES)
async def test_queries_of_lists(infra, zun, make, query):
    await make.cluster()
    for path in LISTS:
        refused(await infra.as_("admin").get(f"{path}?{query}"))
    for path in ("/v1/containers", "/v1/hosts", "/v1/availability_zones"):
        refused(await zun.as_("admin").get(f"{path}?{query}"))


@pytest.mark.parametrize("query", ["all_projects=maybe", "auto_remove=maybe", "memory=x", "memory=-1", "cpu=1"])
async def test_filters_of_containers(zun, query):
    refused(await zun.as_("admin").get(f"/v1/containers?{query}"))


BODIES = {
    "none": b"",
    "cut": b'{"name": ',
    "no utf-8": b'{"name": "\xff\xfe"}',
    "nul": b'{"name": "a\\u0000b", "image": "busybox", "coe": "swarm", "image_id": "a\\u0000b"}',
    "surrogate": b'{"name": "\\ud800", "image": "\\ud800\\ud800", "coe": "swarm", "image_id": "\\ud800"}',
    "deep": b"[" * 100_000,
    "deep object": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "trailing": b"{} {}",
    "number": b"5",
    "big number": b'{"node_count": 1e999}',
    "not a number": b"NaN",
    "text": b'"text"',
    "null": b"null",
    "list": b"[]",
    "xml": b"<x/>",
}
WRITES = [
    ("infra", "POST", "/v1/clustertemplates"),
    ("infra", "POST", "/v1/clusters"),
    ("infra", "POST", "/v1/clusters/c/actions/resize"),
    ("infra", "PATCH", "/v1/clusters/c"),
    ("infra", "PATCH", "/v1/clustertemplates/t"),
    ("infra", "POST", "/v1/clusters/c/nodegroups"),
    ("infra", "PATCH", "/v1/clusters/c/nodegroups/default-worker"),
    ("infra", "POST", "/v1/certificates"),
    ("infra", "POST", "/v1/baymodels"),
    ("infra", "PATCH", "/v1/baymodels/t"),
    ("infra", "POST", "/v1/bays"),
    ("infra", "PATCH", "/v1/bays/c"),
    ("infra", "POST", "/v1/containers"),
    ("infra", "PATCH", "/v1/containers/box"),
    ("infra", "POST", "/v1/pods"),
    ("infra", "PATCH", "/v1/pods/it"),
    ("zun", "POST", "/v1/containers"),
    ("zun", "PATCH", "/v1/containers/box"),
]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(("family", "method", "path"), WRITES)
async def test_bodies(filled, family, method, path, body):
    answer = await filled[family].request(method, path, raw=body)
    if body == b"[]" and method == "PATCH" and family == "infra":
        assert answer.status in {200, 202}  # a patch without steps is a good one
    else:
        refused(answer)


IDENTS = ["%00", "%20", "a%00b", "..", "%ED%A0%80", "%FF", "'", '"', "%", "x" * 3000, "detail", "{x}", "🍾"]


@pytest.mark.parametrize("ident", IDENTS)
@pytest.mark.parametrize("family", [ContainerInfraFamily(), ContainerFamily()], ids=["infra", "zun"])
async def test_odd_names_in_paths(app, family, ident):
    client = Client(app, f"/{family.prefix}", "admin", "latest")
    for route in family.routes:
        if "{" not in route.path or route.path.startswith("/quota") or route.status == 501:
            continue
        path = "/v1" + "/".join(ident if part.startswith("{") else part for part in route.path.split("/"))
        answer = await client.request(route.method, path, {} if route.method in {"POST", "PATCH"} else None)
        if answer.status != 200:  # `detail` is a list where there is one
            refused(answer)
        else:
            assert ident == "detail"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
OLD = ["bay_uuid", "baymodel_id", "bay_create_timeout", "manifest", "manifest_url", "ssh_authorized_key"]
FIELDS = st.sampled_from(
    [*TEMPLATE, *CLUSTER, *CONTAINER, *RESIZE, *GROUP, *OLD, "op", "path", "value", "csr", "cluster_uuid"]
)
ANY_BODY = st.dictionaries(FIELDS, JSON, max_size=6) | st.lists(st.dictionaries(FIELDS, JSON, max_size=3), max_size=3)


@given(body=ANY_BODY, write=st.sampled_from(WRITES))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_is_a_bug(body, write, bad_input_loop):
    family, method, path = write
    raw = json.dumps(body).encode()
    answer = bad_input_loop.ask(family, method, path, raw)
    assert answer.status < 500, (body, answer.body)


HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)
NAMES = [
    "accept",
    "content-type",
    "openstack-api-version",
    "x-forwarded-host",
    "x-forwarded-proto",
    "host",
    "x-auth-token",
]


@given(headers=st.dictionaries(st.sampled_from(NAMES), HEADER, max_size=4), query=HEADER, write=st.sampled_from(WRITES))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_header_and_no_query_is_a_bug(headers, query, write, bad_input_loop):
    family, method, path = write
    answer = bad_input_loop.ask(family, method, f"{path}?{query}", b"{}", headers)
    assert answer.status < 500, answer.body
