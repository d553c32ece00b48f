"""`/metrics`: what there is, at a price that does not grow, and never by project or user."""

from dataclasses import replace

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from jeroboam.api.app import create_app
from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.clock import SystemClock
from jeroboam.store import Store
from tests.api.client import Client
from tests.api.loops import settle


async def samples(app) -> dict:
    answer = await Client(app, "", token=None).get("/metrics")
    assert answer.status == 200
    families = text_string_to_metric_families(answer.body.decode())
    return {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}


async def test_what_there_is(app, infra, make, store):
    await settle(store, await make.cluster(node_count=3))
    await make.cluster(name="d", cluster_template_id="t")
    await make.container()
    seen = await samples(app)
    assert seen["jeroboam_store_up",] == 1
    assert seen["jeroboam_clusters", "CREATE_COMPLETE", "swarm"] == 1
    assert seen["jeroboam_clusters", "CREATE_IN_PROGRESS", "swarm"] == 1
    assert (seen["jeroboam_nodegroups",], seen["jeroboam_nodes",]) == (4, 6)
    assert (seen["jeroboam_events",], seen["jeroboam_outbox_depth",]) == (2, 2)
    assert seen["jeroboam_containers", "Creating"] == 1


async def test_the_price_does_not_grow(app, infra, make, store):
    asked = []

    def count(*_):
        asked.append(None)

    async def price() -> int:
        asked.clear()
        await samples(app)
        return len(asked)

    engine = store._reader._engine
    sa.event.listen(engine, "before_cursor_execute", count)
    empty = await price()
    template = (await make.template())["uuid"]
    for number in range(20):
        await make.cluster(name=f"c{number}", cluster_template_id=template)
    assert await price() == empty == 4


async def test_other_parts_of_the_process_are_shown(parts):
    registry = CollectorRegistry()
    Counter("jeroboam_elsewhere", "Something", registry=registry).inc(3)
    seen = await samples(create_app(replace(parts, counters=(registry,))))
    assert seen["jeroboam_elsewhere_total",] == 3


async def test_a_store_that_does_not_answer_is_a_metric(parts, tmp_path):
    """A database without tables answers nothing."""
    empty = Store(f"sqlite+aiosqlite:///{tmp_path}/empty.db", clock=SystemClock(), bus=MemoryBus())
    seen = await samples(create_app(replace(parts, store=empty)))
    await empty.close()
    assert seen["jeroboam_store_up",] == 0
    assert ("jeroboam_nodes",) not in seen


@pytest.mark.parametrize("secret", ["p1", "u1", "req-"])
async def test_no_label_is_a_project_s_or_a_user_s(app, infra, make, secret):
    await make.cluster()
    body = (await Client(app, "", token=None).get("/metrics")).body.decode()
    assert f'"{secret}' not in body
