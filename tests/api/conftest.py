"""The application with a real store and stand-ins for everything else."""

from types import SimpleNamespace

import pytest

from jeroboam.api.app import create_app
from jeroboam.api.options import ApiOptions
from jeroboam.api.parts import ApiParts
from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.ids import RandomIds
from jeroboam.store import Store
from jeroboam.store.migrations import upgrade
from tests.api.client import Client
from tests.api.loops import run_on_host
from tests.ports import AllProjects, EasyAdmission, FakeGateway, KnownTokens, PlainSealer


@pytest.fixture
async def store(tmp_path):
    store = Store(f"sqlite+aiosqlite:///{tmp_path}/store.db", clock=SystemClock(), bus=MemoryBus())
    await upgrade(store.engine)
    yield store
    await store.close()


@pytest.fixture
def parts(store):
    return ApiParts(
        store=store,
        tokens=KnownTokens(),
        projects=AllProjects(),
        admission=EasyAdmission(),
        gateway=FakeGateway(),
        sealer=PlainSealer(),
        clock=SystemClock(),
        ids=RandomIds(),
        options=ApiOptions(max_clusters_per_project=1000, container_quota=UNLIMITED),
    )


UNLIMITED = {"containers": -1, "memory": -1, "cpu": -1, "disk": -1}


@pytest.fixture
def app(parts):
    return create_app(parts)


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
