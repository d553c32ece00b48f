"""Limits that hold when many ask at once, and how many modules a request passes."""

import asyncio
import sys
from dataclasses import replace

import pytest

from jeroboam.api.app import create_app
from jeroboam.domain.quotas import Quota
from tests.api.client import Client
from tests.builders import NOW

BOTH = pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)


@pytest.fixture
def limited(parts):
    options = replace(
        parts.options,
        max_clusters_per_project=10,
        container_quota={"containers": 10, "memory": 51200, "cpu": 20, "disk": 100},
    )
    return create_app(replace(parts, options=options))


@BOTH
async def test_fifty_clusters_at_once_leave_ten(limited, make):
    template = await make.template()
    client = Client(limited, "/container-infra", version="latest")
    body = {"cluster_template_id": template["uuid"]}
    answers = await asyncio.gather(*[client.post("/v1/clusters", body) for _ in range(50)])
    assert sorted(answer.status for answer in answers) == [202] * 10 + [403] * 40
    refused = next(answer for answer in answers if answer.status == 403)
    assert refused.error["detail"].startswith(
        "Resource limit exceeded: You have reached the maximum clusters per project, 10."
    )
    assert len((await client.get("/v1/clusters")).json()["clusters"]) == 10
    assert (await client.as_("stranger").get("/v1/clusters")).json() == {"clusters": []}


@BOTH
async def test_fifty_containers_at_once_leave_ten(limited):
    client = Client(limited, "/container", version="latest")
    answers = await asyncio.gather(*[client.post("/v1/containers", {"image": "busybox"}) for _ in range(50)])
    assert sorted(answer.status for answer in answers) == [202] * 10 + [403] * 40
    refused = next(answer for answer in answers if answer.status == 403)
    assert (refused.error["code"], refused.error["detail"]) == (
        "container.over-quota",
        "Quota exceeded for resources: ['containers']",
    )
    assert len((await client.get("/v1/containers")).json()["containers"]) == 10


async def test_defaults_count_and_a_set_limit_wins(limited, store, infra):
    async with store.write() as tx:
        for number, (resource, limit) in enumerate((("memory", 1000), ("cpu", 1), ("Cluster", 0)), start=1):
            quota = Quota(id=number, project_id="p1", resource=resource, hard_limit=limit, created_at=NOW)
            await tx.quotas.insert(quota)
    client = Client(limited, "/container", version="latest")
    assert (await client.post("/v1/containers", {"image": "busybox"})).status == 202
    answer = await client.post("/v1/containers", {"image": "busybox"})
    assert answer.error["detail"] == "Quota exceeded for resources: ['memory', 'cpu']"
    infra = Client(limited, "/container-infra", version="latest")
    template = (await infra.post("/v1/clustertemplates", {"coe": "swarm", "image_id": "i"})).json()["uuid"]
    assert (await infra.post("/v1/clusters", {"cluster_template_id": template})).status == 403
    assert (await infra.get("/v1/quotas/p1/Cluster")).json()["hard_limit"] == 0
    listed = (await infra.as_("admin").get("/v1/quotas?all_tenants=true")).json()["quotas"]
    assert [(quota["project_id"], quota["resource"], quota["hard_limit"]) for quota in listed] == [("p1", "Cluster", 0)]


PASSED = ("jeroboam.api.", "jeroboam.store.")


async def test_the_row_is_there_at_the_202_and_the_way_is_short(infra, make, store):
    """POST /v1/clusters passes at most five of our modules on its way from the edge to the commit.

    Counted is the call chain, as a profiler sees it during the whole request: the distinct modules of `jeroboam` on
    the stack at the deepest moment there is, be it a check, a read, an insert or the commit. Modules of `domain`
    and `kit` are left out: they are data and pure functions, which return to where they were called from and hand
    the request to nobody. Test doubles are not ours. No other part than the API and the store may be entered at all.
    It is not the process's first cluster: with that one the database library prepares its statements.
    """
    template = await make.template()
    await make.cluster(cluster_template_id=template["uuid"])
    longest: list[str] = []
    entered: set[str] = set()

    def profile(frame, event, argument):
        here = frame.f_globals.get("__name__", "")
        if event != "call" or not here.startswith("jeroboam."):
            return
        entered.add(here)
        chain: list[str] = []
        while frame is not None:
            name = frame.f_globals.get("__name__", "")
            if name.startswith(PASSED) and name not in chain:
                chain.append(name)
            frame = frame.f_back
        if len(chain) > len(longest):
            longest[:] = chain

    sys.setprofile(profile)
    try:
        answer = await infra.post("/v1/clusters", {"name": "c", "cluster_template_id": template["uuid"]})
    finally:
        sys.setprofile(None)
    assert answer.status == 202
    assert "jeroboam.api.container_infra.clusters.clusters" in entered
    assert "jeroboam.store.transaction" in entered
    assert 3 <= len(longest) <= 5, longest
    assert {name.split(".")[1] for name in entered} == {"api", "store", "domain", "kit"}
    async with store.read() as tx:
        assert await tx.clusters.get(answer.json()["uuid"]) is not None
