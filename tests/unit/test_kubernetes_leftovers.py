"""What a Kubernetes cluster has of nodes that are gone: an API with volumes and pods, and what is done about them."""

import ssl

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from jeroboam.clients.kubernetes import KubernetesApi
from jeroboam.coes.kubernetes.leftovers import GoneNodeObjects, find_gone_objects, remove_gone_objects

PRESENT = {"m0", "w0"}


def volume(name: str, node: str, phase: str, *, policy: str = "Delete", by: str = "rancher.io/local-path") -> dict:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    spec = {
        "persistentVolumeReclaimPolicy": policy,
        "claimRef": {"namespace": "default", "name": f"claim-{name}"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
    }
    meta = {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": by}}
    return {"metadata": meta, "spec": spec, "status": {"phase": phase}}


def pod(name: str, claim: str, node: str | None = None, phase: str = "Pending", namespace: str = "default") -> dict:
    mounted = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
    spec = {"volumes": [mounted], **({"nodeName": node} if node else {})}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec, "status": {"phase": phase}}


class Cluster:
    """An API that holds these objects."""

    def __init__(self) -> None:
        self.volumes: list[dict] = []
        self.pods: list[dict] = []
        self.asked: list[str] = []
        self.changed: list[tuple[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        if request.method != "GET":
            self.changed.append((request.method, request.path.rpartition("/")[2]))
            return web.json_response({})
        self.asked.append(request.path)
        if request.path.endswith("/persistentvolumes"):
            return web.json_response({"items": self.volumes})
        own = "local-path-storage" in request.path
        items = [each for each in self.pods if not own or each["metadata"]["namespace"] == "local-path-storage"]
        return web.json_response({"items": items})


@pytest.fixture
async def cluster():
    server, app = Cluster(), web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with (
        TestServer(app) as running,
        KubernetesApi(str(running.make_url("/"))[:-1], ssl.create_default_context()) as api,
    ):
        server.api = api
        yield server


async def test_where_every_node_is_there_pods_are_not_even_asked_for(cluster):
    cluster.volumes = [volume("a", "w0", "Released"), volume("b", "w0", "Bound")]
    assert await find_gone_objects(cluster.api, PRESENT) == GoneNodeObjects()
    assert cluster.asked == ["/api/v1/persistentvolumes"]


async def test_who_waits_for_what_lay_on_a_node_that_is_gone_is_named(cluster):
    cluster.volumes = [volume("a", "w7", "Bound"), volume("b", "w0", "Bound"), volume("c", "w7", "Bound", by="other")]
    cluster.pods = [
        pod("waits", "claim-a"),
        pod("elsewhere", "claim-b"),
        pod("others", "claim-c"),
        pod("runs", "claim-a", node="w0", phase="Running"),
        pod("ended", "claim-a", phase="Succeeded"),
    ]
    seen = await find_gone_objects(cluster.api, PRESENT)
    assert set(seen.waiting_pods) == {"default/waits", "default/others"}
    assert seen.nodes == frozenset(), "what is claimed is its user's to give up"
    told = "pod default/waits waits for volume a of claim default/claim-a, which lay on node w7 that is gone"
    assert told in seen.reason()


async def test_a_health_names_a_few_and_counts_the_others(cluster):
    cluster.volumes = [volume("a", "w7", "Bound")]
    cluster.pods = [pod(f"p{number}", "claim-a") for number in range(9)]
    assert (await find_gone_objects(cluster.api, PRESENT)).reason().endswith("; and 4 more")


async def test_what_nobody_claims_goes_with_its_node(cluster):
    cluster.volumes = [
        volume("gone", "w7", "Released"),
        volume("failed", "w7", "Failed"),
        volume("claimed", "w7", "Bound"),
        volume("kept", "w7", "Released", policy="Retain"),
        volume("theirs", "w7", "Released", by="somebody.example/disk"),
        volume("there", "w0", "Released"),
        volume("later", "w8", "Released"),
    ]
    cluster.pods = [
        pod("helper", "none", node="w7", namespace="local-path-storage"),
        pod("provisioner", "none", node="m0", namespace="local-path-storage"),
    ]
    assert (await find_gone_objects(cluster.api, PRESENT)).nodes == {"w7", "w8"}
    await remove_gone_objects(cluster.api, ["w7"], PRESENT)
    assert {name for method, name in cluster.changed if method == "DELETE"} == {"gone", "failed", "helper"}
    # Its provisioner holds a volume until it has cleared the folder, which it never will.
    assert {name for method, name in cluster.changed if method == "PATCH"} == {"gone", "failed"}


async def test_a_node_that_is_there_loses_nothing(cluster):
    cluster.volumes = [volume("a", "w0", "Released")]
    await remove_gone_objects(cluster.api, ["w0"], PRESENT)
    assert cluster.changed == []
