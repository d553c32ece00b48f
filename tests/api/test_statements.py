"""A list asks the database as often for two hundred objects as for ten."""

import contextlib
from dataclasses import replace

import pytest
import sqlalchemy as sa

from jeroboam.domain.quotas import Quota
from tests import builders
from tests.api.client import Client

FEW, MANY = 10, 200
ENGINES = pytest.mark.parametrize(
    "store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
LISTS = {
    "/container-infra/v1/clusters": 1,
    "/container-infra/v1/clusters?label=a&coe=fake&with_count=true": 2,
    "/container-infra/v1/clusters/detail": 2,
    "/container-infra/v1/events": 1,
    "/container-infra/v1/clusters/many/events?with_count=true": 3,
    "/container-infra/v1/clustertemplates": 1,
    "/container-infra/v1/clustertemplates/detail": 1,
    "/container-infra/v1/clusters/many/nodegroups": 2,
    "/container-infra/v1/quotas?all_tenants=true": 1,
    "/container/v1/containers?all_projects=1": 1,
}


@contextlib.contextmanager
def statements():
    """Every statement of every engine, as long as the context lasts."""
    seen: list[str] = []

    def note(_connection, _cursor, statement, *_rest) -> None:
        seen.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


async def _fill(store, start: int, end: int) -> None:
    async with store.write() as tx:
        [holder] = await tx.clusters.select({"name": "many"})
        for number in range(start, end):
            template, box = builders.template(), builders.container()
            cluster = builders.cluster(template)
            cluster = replace(cluster, spec=replace(cluster.spec, labels={"a": "b"}))
            await tx.templates.insert(template)
            await tx.clusters.insert(cluster)
            for group in builders.groups(cluster, 1, 2):
                await tx.nodegroups.insert(group)
            _, extra = builders.groups(holder, 1, 2)
            await tx.nodegroups.insert(replace(extra, name=f"g{number}"))
            limit = Quota(project_id=f"p{number}", resource="Cluster", hard_limit=number, created_at=tx.now)
            await tx.quotas.insert(limit)
            await tx.containers.insert(box)
            await tx.events.insert(builders.event(holder))


@ENGINES
async def test_lists_ask_a_constant_number_of_times(app, store):
    template = builders.template()
    async with store.write() as tx:
        await tx.templates.insert(template)
        await tx.clusters.insert(builders.cluster(template, name="many"))
    admin = Client(app, "", token="admin")
    counted: dict[str, list[int]] = {path: [] for path in LISTS}
    for start, end in ((0, FEW), (FEW, MANY)):
        await _fill(store, start, end)
        for path, counts in counted.items():
            with statements() as seen:
                answer = await admin.get(path, headers={"openstack-api-version": _version(path)})
            assert answer.status == 200, answer.body
            [found] = [value for value in answer.json().values() if isinstance(value, list)]
            assert len(found) >= end
            counts.append(len(seen))
    assert counted == {path: [count, count] for path, count in LISTS.items()}


def _version(path: str) -> str:
    return "container latest" if path.startswith("/container/") else "container-infra latest"
