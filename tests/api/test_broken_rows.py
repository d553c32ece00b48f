"""Lists of both families with a row in them that cannot be read."""

import pytest
import sqlalchemy as sa

from jeroboam.store import tables
from tests.api.client import Client
from tests.api.conftest import fill_both

ROWS = {
    ("infra", "/v1/clustertemplates", "clustertemplates"): (tables.template, "spec"),
    ("infra", "/v1/clusters", "clusters"): (tables.cluster, "observed"),
    ("infra", "/v1/clusters/detail", "clusters"): (tables.cluster, "observed"),
    ("infra", "/v1/bays", "bays"): (tables.cluster, "observed"),
    ("infra", "/v1/baymodels", "baymodels"): (tables.template, "spec"),
    ("infra", "/v1/containers", "containers"): (tables.workload, "spec"),
    ("infra", "/v1/pods", "pods"): (tables.workload, "spec"),
    ("zun", "/v1/containers", "containers"): (tables.container, "spec"),
    ("zun", "/v1/hosts", "hosts"): (tables.host, "facts"),
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row[:2]))
async def test_a_list_leaves_it_out_and_the_metrics_count_it(app, store, filled, row):
    family, path, key = row
    table, column = ROWS[row]
    admin = filled[family].as_("admin") if path == "/v1/hosts" else filled[family]
    await fill_both(filled)
    before = (await admin.get(path)).json()[key]
    async with store.engine.begin() as connection:
        first = sa.select(sa.func.min(table.c.id)).where(table.c.uuid == before[0]["uuid"]).scalar_subquery()
        await connection.execute(table.update().where(table.c.id == first).values({column: sa.text("'[1]'")}))
    for _ in range(2):
        answer = await admin.get(path)
        assert answer.status == 200, answer.body
        assert [each["uuid"] for each in answer.json()[key]] == [each["uuid"] for each in before[1:]]
    metrics = (await Client(app, "").get("/metrics")).body.decode()
    assert f'jeroboam_store_broken_rows{{table="{table.name}"}} 1.0' in metrics


async def test_the_object_itself_is_a_503_that_names_the_row(store, filled):
    uuid = (await filled["infra"].get("/v1/clusters/c")).json()["uuid"]
    async with store.engine.begin() as connection:
        where = tables.cluster.c.uuid == uuid
        await connection.execute(tables.cluster.update().where(where).values(observed=sa.text("'[1]'")))
    for answer in (
        await filled["infra"].get("/v1/clusters/c"),
        await filled["infra"].get(f"/v1/clusters/{uuid}"),
        await filled["infra"].delete("/v1/clusters/c"),
    ):
        assert answer.status == 503
        assert uuid in answer.error["detail"]
    assert (await filled["infra"].get("/v1/clusters/k")).status == 200


async def test_a_cluster_with_a_broken_group_is_not_changed_and_can_be_deleted(store, filled):
    async with store.engine.begin() as connection:
        await connection.execute(tables.nodegroup.update().values(desired=sa.text("'[1]'")))
    infra = filled["infra"]
    assert (await infra.get("/v1/clusters/c/nodegroups")).json() == {"nodegroups": []}
    assert (await infra.post("/v1/clusters/c/actions/resize", {"node_count": 3})).status == 503
    assert (await infra.delete("/v1/clusters/c")).status == 204
