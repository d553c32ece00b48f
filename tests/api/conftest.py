"""The application with a real store and stand-ins for everything else."""

import asyncio
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

from jeroboam.api.app import create_app
from jeroboam.api.parts import ApiParts
from jeroboam.bootstrap.api_options import build_api_options
from jeroboam.conductor.clusters.certificates import CertificateSigner
from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.ids import RandomIds
from jeroboam.settings import load
from jeroboam.store import Store
from jeroboam.store.migrations import upgrade
from tests.api.client import Client
from tests.api.loops import run_on_host, settle
from tests.builders import manifest
from tests.ports import AllProjects, FakeConductor, FakeGateway, KnownTokens, PlainSealer
from tests.postgres import database, running_server

UNLIMITED = {"containers": -1, "memory": -1, "cpu": -1, "disk": -1}


def open_store(path) -> Store:
    return Store(f"sqlite+aiosqlite:///{path}", clock=SystemClock(), bus=MemoryBus())


@pytest.fixture(scope="session")
def postgres():
    with running_server() as server:
        yield server.url


@pytest.fixture
async def store(request, tmp_path, empty_database):
    """A store on SQLite, or on what a test asks for as this fixture's parameter."""
    if getattr(request, "param", "sqlite") == "sqlite":
        store = open_store(shutil.copy(empty_database, tmp_path / "store.db"))
        yield store
        await store.close()
        return
    async with database(request.getfixturevalue("postgres")) as url:
        store = Store(url, clock=SystemClock(), bus=MemoryBus())
        await upgrade(store.engine)
        yield store
        await store.close()


def signer_of(store: Store, *, days: int = 365) -> CertificateSigner:
    return CertificateSigner(store=store, sealer=PlainSealer(), clock=SystemClock(), days=days)


def parts_of(store: Store) -> ApiParts:
    """The application's parts, with no limits in the way."""
    options = build_api_options(load(None), auth_uri="http://127.0.0.1:5000/v3")
    return ApiParts(
        store=store,
        tokens=KnownTokens(),
        projects=AllProjects(),
        conductor=FakeConductor(signer_of(store)),
        gateway=FakeGateway(),
        clock=SystemClock(),
        ids=RandomIds(),
        options=replace(options, max_clusters_per_project=1000, container_quota=UNLIMITED),
    )


@pytest.fixture
def parts(store):
    return parts_of(store)


@pytest.fixture
def app(parts):
    return create_app(parts)


@pytest.fixture
def plain(app):
    """A client without a token, of neither family."""
    return Client(app, "", token=None)


@pytest.fixture
def infra(app):
    """A member's client of the container-infra family."""
    return Client(app, "/container-infra", version="latest")


@pytest.fixture
def zun(app):
    """A member's client of the container family."""
    return Client(app, "/container", version="latest")


@pytest.fixture
def make(infra, zun):
    """Makes objects through the API, as a member."""

    async def template(client=infra, **fields):
        body = {"name": "t", "coe": "swarm", "image_id": "node", "flavor_id": "m1.small"} | fields
        answer = await client.post("/v1/clustertemplates", body)
        assert answer.status == 201, answer.body
        return answer.json()

    async def cluster(client=infra, **fields):
        if "cluster_template_id" not in fields:
            fields["cluster_template_id"] = (await template(client))["uuid"]
        answer = await client.post("/v1/clusters", {"name": "c"} | fields)
        assert answer.status == 202, answer.body
        return answer.json()["uuid"]

    async def container(client=zun, **fields):
        answer = await client.post("/v1/containers", {"name": "box", "image": "busybox"} | fields)
        assert answer.status == 202, answer.body
        return answer.json()

    return SimpleNamespace(template=template, cluster=cluster, container=container)


@pytest.fixture
def on_host(store):
    """Lets a container run on a host, as far as the store knows."""

    async def run(shown):
        return await run_on_host(store, shown["uuid"])

    return run


class _Asker:
    """Asks from outside a loop: hypothesis runs plain functions."""

    def __init__(self, run, clients) -> None:
        self._run = run
        self._clients = clients

    def ask(self, family, method, path, raw, headers=None):
        return self._run(self._clients[family].request(method, path, raw=raw, headers=headers))


@pytest.fixture
def bad_input_loop(tmp_path, empty_database):
    """An application with a cluster and a container in it, on a loop of its own."""
    with asyncio.Runner() as runner:
        store = open_store(shutil.copy(empty_database, tmp_path / "own.db"))
        app = create_app(parts_of(store))
        clients = {
            "infra": Client(app, "/container-infra", version="latest"),
            "zun": Client(app, "/container", version="latest"),
        }
        runner.run(_fill(store, clients))
        yield _Asker(runner.run, clients)
        runner.run(store.close())


@pytest.fixture
async def filled(store, infra, zun):
    """Clients of an application with a template, a cluster and a container in it."""
    clients = {"infra": infra, "zun": zun}
    await _fill(store, clients)
    return clients


async def _fill(store, clients) -> None:
    template = await clients["infra"].post("/v1/clustertemplates", {"name": "t", "coe": "swarm", "image_id": "i"})
    body = {"name": "c", "cluster_template_id": template.json()["uuid"]}
    await settle(store, (await clients["infra"].post("/v1/clusters", body)).json()["uuid"])
    inside = {"name": "box", "image": "busybox", "bay_uuid": "c"}
    assert (await clients["infra"].post("/v1/containers", inside)).status == 201
    kubernetes = await clients["infra"].post(
        "/v1/clustertemplates", {"name": "u", "coe": "kubernetes", "image_id": "i"}
    )
    body = {"name": "k", "cluster_template_id": kubernetes.json()["uuid"]}
    await settle(store, (await clients["infra"].post("/v1/clusters", body)).json()["uuid"])
    pod = {"bay_uuid": "k", "manifest": json.dumps(manifest())}
    assert (await clients["infra"].post("/v1/pods", pod)).status == 201
    created = await clients["zun"].post("/v1/containers", {"name": "box", "image": "busybox"})
    await run_on_host(store, created.json()["uuid"])


async def fill_both(clients) -> None:
    """One more of each, so that a list goes on after the first."""
    assert (
        await clients["infra"].post("/v1/pods", {"bay_uuid": "k", "manifest": json.dumps(manifest(name="b"))})
    ).status == 201
    assert (await clients["infra"].post("/v1/containers", {"name": "b", "image": "i", "bay_uuid": "c"})).status == 201
    assert (await clients["zun"].post("/v1/containers", {"name": "b2", "image": "busybox"})).status == 202
