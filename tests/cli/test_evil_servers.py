"""A server that is broken or hostile: every command ends, in one line, and no token goes elsewhere."""

import asyncio
import itertools
import json
import threading

import pytest

from jeroboam.cli.clusters.progress import ClusterProgress
from jeroboam.clients import openstack
from jeroboam.clients.container_infra import ContainerInfraClient
from jeroboam.clients.openstack import CONTAINER_INFRA, BadAnswer, open_api
from jeroboam.clients.openstack_transport import BoundedAdapter, build_session
from jeroboam.domain.errors import Temporary
from jeroboam.kit.clock import SystemClock
from tests.cli.evil import respond, serving_evil
from tests.cli.rig import Typist

CLUSTER = {
    "uuid": "u-1",
    "name": "dev",
    "status": "CREATE_COMPLETE",
    "status_reason": None,
    "cluster_template_id": "t-1",
    "api_address": None,
    "coe_version": None,
    "master_count": 1,
    "node_count": 1,
}
EVENT = {"created_at": "2026-01-01T00:00:00Z", "event_type": "cluster.create", "status": "A", "message": "hello"}


async def log_in(evil, folder, monkeypatch, **options) -> ContainerInfraClient:
    environment = evil.environment(folder)
    for name in ("OS_CLIENT_CONFIG_FILE", "OS_CLOUD"):
        monkeypatch.setenv(name, environment[name])
    return ContainerInfraClient(await open_api(CONTAINER_INFRA, clouds=None, **options))


@pytest.mark.parametrize(
    ("line", "answers", "reason"),
    [
        ("cluster list", {"v1_clusters": [1]}, "Expected object, got array"),
        ("cluster list", {"v1_clusters": {"clusters": [1]}}, "Expected object, got int - at $.clusters[0]"),
        ("cluster list", {"v1_clusters": {"clusters": None}}, "Expected array, got null - at $.clusters"),
        (
            "cluster list",
            {"v1_clusters": {"clusters": [CLUSTER | {"name": 1}]}},
            "Expected str, got int - at $.clusters[0].name",
        ),
        ("cluster list", {"v1_clusters": respond(b"[" * 100_000)}, "it is nested too deeply"),
        ("cluster list", {"v1_clusters": respond(b"<html>")}, "it is no JSON"),
        ("cluster list", {"v1_clusters": respond(b"")}, "it is no JSON"),
        ("cluster list", {"v1_clusters": respond(b"", "302 Found", "Location: /v1/clusters")}, "a redirect (302)"),
        (
            "cluster nodes dev",
            {"v1_clusters": {"nodegroups": {"a": 1}}},
            "Expected array, got object - at $.nodegroups",
        ),
        ("cluster scale dev 2", {"v1_clusters": [1]}, "Expected object, got array"),
        ("cluster delete dev", {"v1_clusters": [1]}, "Expected object, got array"),
        ("cluster kubeconfig dev", {"v1_clusters": CLUSTER, "v1_clustert": []}, "Expected object, got array"),
        ("cluster create dev --no-wait", {"v1_clustert": {}}, "Object missing required field clustertemplates"),
        ("ps", {"v1_containers": {"containers": "abc"}}, "Expected array, got str - at $.containers"),
        ("logs box", {"v1_containers": [1]}, "Expected str, got array"),
        ("exec box ls", {"v1_containers": {"output": "", "exit_code": "x"}}, "Expected int, got str - at $.exit_code"),
        ("exec box ls", {"v1_containers": {"output": "", "exit_code": 256}}, "Expected int <= 255 - at $.exit_code"),
        ("run busybox", {"v1_containers": None}, "Expected object, got null"),
    ],
)
async def test_what_the_api_does_not_say_is_one_line(tmp_path, line, answers, reason):
    async with serving_evil(**answers) as evil:
        told = await Typist(evil.environment(tmp_path)).refused(line)
        assert told == f"jeroboam: the answer of {evil.url} is not what the API says: {reason}"


@pytest.mark.parametrize(
    "content",
    [
        [1],
        {"token": []},
        {"token": {}},
        {"token": None},
        {"token": {"catalog": 1}},
        {"token": {"expires_at": "never", "catalog": []}},
        {"token": {"expires_at": "2999-01-01T00:00:00Z", "catalog": [1]}},
        {"token": {"expires_at": "2999-01-01T00:00:00Z", "catalog": [{"type": "container-infra", "endpoints": 1}]}},
        {"token": {"expires_at": "2999-01-01T00:00:00Z"}},
        b"[" * 100_000,
        b"junk",
    ],
)
async def test_junk_of_a_keystone_is_one_line(tmp_path, content):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    async with serving_evil(v3_auth=respond(body, "201 Created", "X-Subject-Token: secret")) as evil:
        assert await Typist(evil.environment(tmp_path, "password")).refused("cluster list")


async def test_a_token_goes_to_no_other_server(tmp_path):
    async with serving_evil(v1={"clusters": []}) as other:
        redirect = respond(b"", "307 Temporary Redirect", f"Location: {other.url}/v1/clusters")
        async with serving_evil(v1_clusters=redirect) as evil:
            told = await Typist(evil.environment(tmp_path)).refused("cluster list")
        assert told.endswith(f"is not what the API says: it sends to {other.url}, and no token is sent there")
        assert other.requests == []


async def test_a_redirect_on_the_same_server_is_followed(tmp_path):
    redirect = respond(b"", "307 Temporary Redirect", "Location: /v1/moved")
    async with serving_evil(v1_clusters=redirect, v1_moved={"clusters": []}) as evil:
        assert await Typist(evil.environment(tmp_path))("cluster list -o json") == "[]\n"


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"])
async def test_an_answer_that_comes_too_slowly_is_given_up(tmp_path, monkeypatch, start):
    may_end, has_ended = threading.Event(), asyncio.Event()

    async with serving_evil() as evil:

        async def drip(reader, writer):
            writer.write(start)
            await asyncio.to_thread(may_end.wait)
            writer.close()
            has_ended.set()

        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        evil.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        infra = await log_in(evil, tmp_path, monkeypatch, seconds=0.3)
        with pytest.raises(Temporary, match=f"listing clusters: {evil.url} has not answered within 0 s"):
            await infra.list_clusters()
        may_end.set()
        await has_ended.wait()
        server.close()


async def test_an_answer_without_end_is_cut(tmp_path):
    def pour(path):
        del path
        yield b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        yield from itertools.repeat(b"a" * 4096)

    async with serving_evil(v1=pour) as evil:
        session = build_session(BoundedAdapter(max_octets=100_000))
        with pytest.raises(BadAnswer, match=r"it is larger than 100000 octets"):
            await asyncio.to_thread(session.get, f"{evil.url}/v1", authenticated=False)


async def test_a_list_that_never_ends_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(openstack, "MOST_PAGES", 5)
    numbers = itertools.count()

    def build_page(path):
        del path
        return {"clusters": [CLUSTER | {"uuid": f"u-{next(numbers)}"}], "next": "more"}

    async with serving_evil(v1_clusters=build_page) as evil:
        told = await Typist(evil.environment(tmp_path)).refused("cluster list")
        assert told.endswith("the list has more than 5 pages")
        evil.answers["/v1/clusters"] = {"clusters": [CLUSTER], "next": "more"}
        told = await Typist(evil.environment(tmp_path)).refused("cluster list")
        assert told.endswith("the list repeats itself")


async def test_events_that_repeat_themselves_end(tmp_path, monkeypatch, capsys):
    async with serving_evil(v1_events={"events": [EVENT | {"uuid": "e-1"}]}, v1_clusters=CLUSTER) as evil:
        infra = await log_in(evil, tmp_path, monkeypatch)
        progress = ClusterProgress(infra)
        await progress.wait("u-1")
        assert capsys.readouterr().out.count("hello") == 1
        await ClusterProgress(infra).skip_past("u-1")


async def test_events_without_end_do_not_hide_the_cluster(tmp_path, monkeypatch):
    numbers = itertools.count()

    def build_page(path):
        del path
        return {"events": [EVENT | {"uuid": f"e-{next(numbers)}"}]}

    async with serving_evil(v1_events=build_page, v1_clusters=CLUSTER) as evil:
        infra = await log_in(evil, tmp_path, monkeypatch)
        assert (await ClusterProgress(infra).wait("u-1"))["name"] == "dev"


class LeapingClock(SystemClock):
    """A clock on which ten seconds pass between two looks."""

    def __init__(self):
        self.seconds = 0.0

    def monotonic(self) -> float:
        self.seconds += 10
        return self.seconds


async def test_events_that_come_slowly_do_not_hold_up_the_command(tmp_path, monkeypatch):
    numbers = itertools.count()

    def build_page(path):
        del path
        return {"events": [EVENT | {"uuid": f"e-{next(numbers)}"}]}

    async with serving_evil(v1_events=build_page, v1_clusters=CLUSTER) as evil:
        infra = await log_in(evil, tmp_path, monkeypatch)
        await ClusterProgress(infra, clock=LeapingClock()).skip_past("u-1")
        assert next(numbers) < 10


async def test_the_text_of_an_error_has_an_end(tmp_path):
    content = json.dumps({"errors": [{"detail": "a" * 100_000}]}).encode()
    async with serving_evil(v1_clusters=respond(content, "409 Conflict")) as evil:
        assert len(await Typist(evil.environment(tmp_path)).refused("cluster list")) < 5000
