"""The audit: every write of somebody known leaves one record, refused ones too, and no read does."""

import json
from dataclasses import replace

import pytest

from jeroboam.api.app import create_app
from jeroboam.bootstrap.audit import audit_into
from jeroboam.kit.clock import SystemClock
from tests.api.client import Client
from tests.api.loops import settle


@pytest.fixture
def records():
    return []


@pytest.fixture
def app(parts, records):
    return create_app(replace(parts, audit=records.append))


async def test_a_write_names_who_what_and_which(infra, make, store, records):
    uuid = await make.cluster()
    template, cluster = records
    assert (template.action, template.object_type, template.object_name) == (
        "clustertemplate:create",
        "clustertemplate",
        "t",
    )
    assert (cluster.user_id, cluster.project_id, cluster.roles) == ("u1", "p1", ("member", "reader"))
    assert (cluster.action, cluster.object, cluster.object_id, cluster.object_name) == (
        "cluster:create",
        None,
        uuid,
        "c",
    )
    assert (cluster.outcome, cluster.status) == ("success", 202)
    await settle(store, uuid)
    answer = await infra.delete("/v1/clusters/c")
    assert (records[-1].object, records[-1].object_id, records[-1].object_name) == ("c", uuid, "c")
    assert records[-1].request_id == answer.headers["x-openstack-request-id"]


async def test_a_refused_write_is_recorded(infra, make, store, records):
    uuid = await make.cluster()
    await infra.as_("reader").delete(f"/v1/clusters/{uuid}")
    assert (records[-1].outcome, records[-1].status, records[-1].object_id) == ("denied", 403, uuid)
    await infra.as_("stranger").delete("/v1/clusters/c")
    assert (records[-1].outcome, records[-1].status, records[-1].object) == ("failed", 404, "c")
    await infra.post("/v1/clusters", raw=b"{")
    assert (records[-1].outcome, records[-1].status, records[-1].object_id) == ("failed", 400, None)


async def test_reads_and_strangers_leave_none(infra, make, records):
    await make.cluster()
    before = len(records)
    for path in ("/v1/clusters", "/v1/clusters/c", "/v1/clustertemplates"):
        await infra.get(path)
    await infra.as_(None).delete("/v1/clusters/c")
    await infra.as_("nobody").delete("/v1/clusters/c")
    await infra.delete("/v1/nothing")
    assert len(records) == before


async def test_groups_certificates_and_containers_are_named(infra, zun, make, store, records):
    uuid = await make.cluster()
    await settle(store, uuid)
    group = (await infra.post("/v1/clusters/c/nodegroups", {"name": "fast"})).json()["uuid"]
    assert (records[-1].object_type, records[-1].object_id, records[-1].object_name) == ("nodegroup", group, "fast")
    await infra.delete("/v1/clusters/c/nodegroups/fast")
    assert (records[-1].object, records[-1].object_id) == ("c/fast", group)
    await infra.as_("admin").delete("/v1/quotas/p1/Cluster")
    assert (records[-1].object, records[-1].status) == ("p1/Cluster", 404)
    await infra.patch(f"/v1/certificates/{uuid}")
    assert (records[-1].action, records[-1].object_id) == ("certificate:rotate_ca", uuid)
    box = (await make.container())["uuid"]
    assert (records[-1].action, records[-1].object_id) == ("container:create", box)
    await zun.patch("/v1/containers/box", {"name": "box2"})
    assert (records[-1].object, records[-1].object_id) == ("box", box)


async def test_nothing_of_a_body_is_recorded(infra, make, records):
    await make.template(labels={"grafana_admin_passwd": "hunter2"}, http_proxy="http://u:hunter3@proxy")
    assert "hunter" not in repr(records)


async def test_records_go_into_a_file_that_may_be_moved(parts, tmp_path):
    file = tmp_path / "audit.json"
    app = create_app(replace(parts, audit=audit_into(str(file), SystemClock())))
    infra = Client(app, "/container-infra", version="latest")
    await infra.post("/v1/clustertemplates", {"name": "t", "coe": "swarm", "image_id": "i"})
    assert file.stat().st_mode & 0o777 == 0o600
    file.rename(tmp_path / "audit.json.1")
    await infra.delete("/v1/clustertemplates/t")
    [first], [second] = ((tmp_path / name).read_text().splitlines() for name in ("audit.json.1", "audit.json"))
    assert json.loads(first)["action"] == "clustertemplate:create"
    said = json.loads(second)
    assert (said["action"], said["object"], said["outcome"]) == ("clustertemplate:delete", "t", "success")
    assert said["timestamp"]
    file.unlink()
    file.mkdir()
    assert (await infra.delete("/v1/clustertemplates/t")).status == 404, "a file that cannot be written stops nobody"


def test_a_file_that_cannot_be_written_stops_the_start(tmp_path):
    with pytest.raises(ValueError, match="audit_file"):
        audit_into(str(tmp_path / "none" / "audit.json"), SystemClock())
