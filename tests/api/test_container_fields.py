"""Fields and routes of containers that cannot be carried out: refused before anything is stored, and told so."""

from dataclasses import replace
from typing import get_type_hints
from urllib.parse import quote

import pytest

from jeroboam.api.container import absent
from jeroboam.api.container.fields import FIELDS, FILTERS
from jeroboam.domain.containers import Container
from jeroboam.store import ContainerSelector, sort_keys
from tests.builders import host

PARAMETERS = ("container", "request", "image", "network", "registry")


@pytest.mark.parametrize(
    ("fields", "field", "why"),
    [
        ({"mounts": [{"source": "v", "destination": "d"}]}, "mounts/destination", "absolute path"),
        ({"mounts": [{"size": 1, "destination": "/"}]}, "mounts/destination", "a folder of its own"),
        ({"mounts": [{"size": 1, "destination": "/proc/x"}]}, "mounts/destination", "nothing can be mounted there"),
        ({"mounts": [{"size": 1, "source": "v", "destination": "/d"}]}, "mounts/size", "has its size already"),
        ({"mounts": [{"size": "1x", "destination": "/d"}]}, "mounts/size", "integer"),
        ({"mounts": [{"size": 1, "destination": "/d", "read_only": "x"}]}, "mounts/read_only", "true or false"),
        ({"mounts": [{"size": 101, "destination": "/d"}]}, "size", "at most 100 GiB"),
        ({"mounts": [{"type": "bind", "source": "eA==", "destination": "d"}]}, "mounts/destination", "absolute path"),
        ({"mounts": [{"type": "bind", "source": "eA==", "destination": "/a/../b"}]}, "mounts/destination", "absolute"),
        ({"mounts": [{"type": "bind", "source": "eA==", "destination": "/"}]}, "mounts/destination", "absolute path"),
        ({"mounts": [{"type": "bind", "source": "no base64", "destination": "/d"}]}, "mounts/source", "base64"),
        (
            {"mounts": [{"type": "bind", "source": "eA==", "destination": path} for path in ("/x", "/x-y", "/x/y")]},
            "mounts/destination",
            "/x is a file of its own",
        ),
        ({"mounts": [{"type": "bind", "source": "eA==", "destination": "/" + "x" * 256}]}, "mounts/destination", "255"),
        (
            {"mounts": [{"type": "bind", "source": "eA==", "destination": "/proc/x"}]},
            "mounts/destination",
            "nothing can be mounted",
        ),
        ({"mounts": [{"type": "bind", "size": 1, "destination": "/d"}]}, "mounts", "content"),
        ({"security_groups": ["web"]}, "security_groups", "there is no such security group"),
        ({"cpu_policy": "dedicated", "cpu": 1.5}, "cpu", "dedicated cores are whole ones"),
        ({"hints": {"group": "x"}}, "hints/group", "a hint is label:KEY, a label of a host's Engine"),
        ({"hints": {"label:": "x"}}, "hints/label:", "a hint is label:KEY"),
        ({"auto_remove": True, "restart_policy": {"Name": "always"}}, "auto_remove", "restart_policy always starts"),
        ({"auto_remove": True, "restart_policy": {"Name": "unless-stopped"}}, "auto_remove", "starts the container"),
    ],
)
async def test_a_field_that_would_have_no_effect_is_refused_before_anything_is_stored(zun, fields, field, why):
    refused = await zun.post("/v1/containers", {"image": "busybox"} | fields)
    assert refused.status == 400
    assert refused.error["title"].startswith(f"Invalid input for field '{field}', value '")
    assert why in refused.error["title"]
    assert (await zun.get("/v1/containers")).json()["containers"] == []


def test_lists_are_sorted_by_the_fields_of_the_table_that_say_so():
    """And by columns that are not shown, by which lists of former versions were sorted too."""
    sortable = {field.name for field in FIELDS if field.type is not None and field.sortable}
    own_columns = {"id", "deadline_at", "failure", "generation", "given_up", "host_id"}
    assert set(sort_keys(Container)) == sortable | own_columns


def test_queries_select_by_every_filter_of_the_table():
    assert set(FILTERS) <= set(get_type_hints(ContainerSelector))


async def test_empty_lists_ask_for_nothing(zun):
    body = {"image": "busybox", "nets": [], "mounts": [], "security_groups": [], "hints": {}, "auto_remove": True}
    assert (await zun.post("/v1/containers", body | {"restart_policy": {"Name": "on-failure"}})).status == 202


@pytest.mark.parametrize(
    ("fields", "field", "why"),
    [
        ({"cpu": 5}, "cpu", "no host has more than 4 cores"),
        ({"disk": 1}, "disk", "no host can limit the disk of a container"),
        ({"runtime": "kata"}, "runtime", "the runtimes of all hosts are: runc"),
        ({"availability_zone": "moon"}, "availability_zone", "the zones of all hosts are: nova"),
        ({"hints": {"label:disk": "tape"}}, "hints/label:disk", "no host's Engine has the label disk"),
    ],
)
async def test_what_no_host_has_is_refused_once_hosts_are_known(zun, store, fields, field, why):
    admin, body = zun.as_("admin"), {"image": "busybox"} | fields
    assert (await admin.post("/v1/containers", body)).status == 202
    async with store.write() as tx:
        known = host()
        facts = replace(known.facts, runtimes=("runc",), labels={"disk": "ssd"})
        await tx.hosts.insert(replace(known, facts=facts))
    refused = await admin.post("/v1/containers", body)
    assert refused.status == 400
    assert f"field '{field}'" in refused.error["title"]
    assert why in refused.error["title"]
    had = {"cpu": 4, "runtime": "runc", "availability_zone": "nova", "hints": {"label:disk": "ssd"}}
    assert (await admin.post("/v1/containers", {"image": "busybox"} | had)).status == 202


async def test_no_more_cores_than_the_host_has(zun, make, on_host):
    await on_host(await make.container(cpu=1))
    refused = await zun.patch("/v1/containers/box", {"cpu": 5})
    assert (refused.status, "the container's host has 4 cores" in refused.error["title"]) == (400, True)
    assert (await zun.patch("/v1/containers/box", {"auto_heal": True})).json()["auto_heal"] is True
    assert (await zun.patch("/v1/containers/box", {"cpu": 4})).status == 200


ABSENT = [(route.method, route.path, max(route.since, 1)) for route in absent.ROUTES]


@pytest.mark.parametrize(("method", "path", "since"), ABSENT)
async def test_what_is_not_there_yet_is_told_so(zun, method, path, since):
    client = zun.as_("admin").at(f"1.{since}")
    answer = await client.request(method, f"/v1{path}".format(**dict.fromkeys(PARAMETERS, "x")))
    assert answer.status == 501
    assert answer.error["code"] == "container.not-offered"
    assert " yet" in answer.error["title"]


async def test_who_may_not_ask_hears_so_first(zun):
    assert (await zun.get("/v1/images")).status == 403
    assert (await zun.get("/v1/capsule")).status == 404


@pytest.mark.parametrize("words", ["aux;ls", "$(id)", "-o pid\n", "'", "a&b", "|"])
async def test_options_of_ps_that_are_none_are_refused(zun, make, on_host, words):
    await on_host(await make.container())
    refused = await zun.get(f"/v1/containers/box/top?ps_args={quote(words)}")
    assert (refused.status, "it has to be options of ps" in refused.error["title"]) == (400, True)
    assert (await zun.get("/v1/containers/box/top?ps_args=-o%20pid,args")).status == 200


async def test_dedicated_cores_need_a_host_that_has_some_and_stay(zun, store):
    facts = replace(host().facts, cpus=4)
    async with store.write() as tx:
        await tx.hosts.insert(host(facts=facts))
    refused = await zun.post("/v1/containers", {"image": "busybox", "cpu_policy": "dedicated"})
    assert (refused.status, "no host has cores for that" in refused.error["title"]) == (400, True)
    async with store.write() as tx:
        [present] = await tx.hosts.select()
        await tx.hosts.update(replace(present, facts=replace(facts, dedicated_cpus=(2, 3))))
    assert (await zun.post("/v1/containers", {"image": "busybox", "cpu": 3})).status == 400
    created = await zun.post("/v1/containers", {"image": "busybox", "cpu_policy": "dedicated", "cpu": 2})
    assert (created.status, created.json()["cpu_policy"]) == (202, "dedicated")
    uuid = created.json()["uuid"]
    async with store.write() as tx:
        container = await tx.containers.get(uuid)
        await tx.containers.update(replace(container, status="Running", ops=()))
    refused = await zun.patch(f"/v1/containers/{uuid}", {"cpu": 1})
    assert (refused.status, "of its own, and keeps them" in refused.error["title"]) == (400, True)
