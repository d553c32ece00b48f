"""The published clients against the application: they find their way, and can read what it answers."""

import asyncio

import pytest
from keystoneauth1 import session, token_endpoint
from magnumclient import client as magnum
from openstack.connection import Connection
from zunclient import client as zun

from tests.api.loops import csr, run_on_host, settle
from tests.api.server import serving


@pytest.fixture
async def url(app):
    async with serving(app) as url:
        yield url


def _session(url: str, token: str = "member") -> session.Session:
    return session.Session(auth=token_endpoint.Token(url, token))


@pytest.mark.parametrize("path", ["/container-infra/v1", "/container-infra"])
async def test_magnumclient(url, store, path):
    client = magnum.Client("1", api_version="latest", session=_session(url + path), endpoint_override=url + path)

    admin = magnum.Client(
        "1", api_version="latest", session=_session(url + path, "admin"), endpoint_override=url + path
    )

    def make() -> str:
        client.cluster_templates.create(name="t", coe="swarm", image_id="node", flavor_id="m1.small", labels={})
        assert [t.name for t in client.cluster_templates.list(detail=True)] == ["t"]
        assert client.cluster_templates.update("t", [{"op": "replace", "path": "/name", "value": "t2"}]).name == "t2"
        made = client.clusters.create(name="c", cluster_template_id="t2", node_count=2, master_count=1)
        assert client.clusters.get(made.uuid).status == "CREATE_IN_PROGRESS"
        for number in range(3):
            client.clusters.create(name=f"more{number}", cluster_template_id="t2")
        assert len(client.clusters.list(limit=2)) == 2
        return made.uuid

    uuid = await asyncio.to_thread(make)
    await settle(store, uuid)

    def use() -> None:
        client.clusters.resize("c", 3, [], None)
        assert [g.node_count for g in client.nodegroups.list("c")] == [1, 3]
        assert client.nodegroups.get("c", "default-worker").node_count == 3
        made = client.nodegroups.create("c", name="fast", node_count=2, max_node_count=4, node_labels={"disk": "ssd"})
        assert client.nodegroups.get("c", made.uuid).node_labels == {"disk": "ssd"}
        taints = [{"op": "replace", "path": "/node_taints", "value": "[{'key': 'a', 'effect': 'NoSchedule'}]"}]
        assert client.nodegroups.get("c", "default-worker").node_taints == []
        changed = client.nodegroups.update("c", "default-worker", taints)
        assert changed.node_taints == [{"key": "a", "effect": "NoSchedule"}]
        client.nodegroups.delete("c", "fast")
        assert client.nodegroups.get("c", "fast").status == "DELETE_IN_PROGRESS"
        assert client.certificates.get("c").pem.startswith("-----BEGIN CERTIFICATE")
        signed = client.certificates.create(cluster_uuid="c", csr=csr())
        assert signed.pem.startswith("-----BEGIN CERTIFICATE")
        assert client.stats.list(project_id=None).nodes == 12
        assert client.quotas.get("p1", "Cluster").hard_limit == 1000
        made = admin.quotas.create(project_id="p1", resource="Cluster", hard_limit=7)
        assert (made.hard_limit, client.quotas.get("p1", "Cluster").hard_limit) == (7, 7)
        patch = {"project_id": "p1", "resource": "Cluster", "hard_limit": 9}
        assert admin.quotas.update("p1", "Cluster", patch).hard_limit == 9
        assert [quota.hard_limit for quota in admin.quotas.list(all_tenants=True)] == [9]
        admin.quotas.delete("p1", "Cluster")
        assert client.quotas.get("p1", "Cluster").hard_limit == 1000
        client.clusters.delete("c")
        assert client.clusters.get("c").status == "DELETE_IN_PROGRESS"

    await asyncio.to_thread(use)


async def test_openstacksdk(url, store):
    endpoint = f"{url}/container-infra/v1"
    cloud = Connection(session=_session(endpoint), container_infrastructure_management_endpoint_override=endpoint)

    def make() -> str:
        sdk = cloud.container_infrastructure_management
        template = sdk.create_cluster_template(name="t", coe="swarm", image_id="node", labels={"a": "b"})
        assert sdk.find_cluster_template("t", ignore_missing=False).coe == "swarm"
        cluster = sdk.create_cluster(name="c", cluster_template_id=template.id)
        assert [c.name for c in sdk.clusters()] == ["c"]
        return cluster.id

    uuid = await asyncio.to_thread(make)
    await settle(store, uuid)

    def use() -> None:
        sdk = cloud.container_infrastructure_management
        assert sdk.get_cluster(uuid).api_address == "https://10.0.0.2:2376"
        assert sdk.find_cluster("c", ignore_missing=False).status == "CREATE_COMPLETE"
        assert sdk.get_cluster_certificate(uuid).pem.startswith("-----BEGIN CERTIFICATE")
        assert sdk.create_cluster_certificate(cluster_uuid=uuid, csr=csr()).pem.startswith("-----BEGIN CERTIFICATE")
        sdk.delete_cluster(uuid)

    await asyncio.to_thread(use)


@pytest.mark.parametrize("path", ["/container/v1", "/container"])
async def test_zunclient(url, store, path):
    client = zun.Client("1.40", session=_session(url + path), endpoint_override=url + path)
    admin = zun.Client("1.40", session=_session(url + path, "admin"), endpoint_override=url + path)

    def make() -> str:
        made = client.containers.run(name="box", image="busybox", command=["sh"], cpu=0.5, memory="64")
        assert made.status == "Creating"
        for number in range(3):
            client.containers.create(name=f"more{number}", image="busybox")
        assert len(client.containers.list(limit=3)) == 3
        assert [c.name for c in client.containers.list(name="box")] == ["box"]
        return made.uuid

    uuid = await asyncio.to_thread(make)
    await run_on_host(store, uuid)

    def use() -> None:
        assert client.containers.get("box").status == "Running"
        logs = client.containers.logs("box", stdout=False, stderr=False, timestamps=False, tail="all", since=None)
        assert logs == "one\ntwo\n"
        assert client.containers.execute("box", command="echo hi", run=True, interactive=False)["exit_code"] == 3
        assert client.containers.top("box", ps_args=None)["Titles"] == ["PID", "CMD"]
        assert client.containers.stats("box")["MEM %"] == 12.5
        assert client.containers.update("box", name="box2").name == "box2"
        client.containers.stop("box2", 5)
        assert client.containers.get("box2").task_state == "container_stopping"
        assert client.containers.update("box2", memory="128").memory == "128"
        assert [zone.availability_zone for zone in client.availability_zones.list()] == ["nova"]
        assert client.quotas.get("p1", usages=True).containers["in_use"] == 4
        assert admin.quotas.update("p1", containers=9, memory=-1).containers == 9
        assert client.quotas.defaults("p1").containers == -1
        admin.quotas.delete("p1")
        assert admin.quota_classes.update("default", cpu=3).cpu == 3
        assert (admin.quota_classes.get("default").cpu, client.quotas.get("p1").cpu) == (3, 3)
        assert [h.hostname for h in admin.hosts.list()] == ["h1"]
        assert admin.hosts.get("h1").cpus == 4
        assert [s.state for s in admin.services.list()] == ["up"]
        admin.services.disable("h1", "zun-compute", "broken")
        assert admin.services.list()[0].disabled_reason == "broken"
        assert admin.containers.list(all_projects=True)[0].host == "h1"
        client.containers.delete("box2", stop=True)

    await asyncio.to_thread(use)
