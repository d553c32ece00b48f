"""The benchmark of speed and memory; `make bench` prints its table.

The script starts `jeroboam up` with a state folder of its own and measures the service from outside: CPU from the
kernel's accounts of the server process, wall time of whole operations. Each figure is shown with its bound and the
peers' figures. Neighbours: `measure`, the measuring tools; `bench_kubernetes`, the lines of real Kubernetes clusters.
"""

import asyncio
import contextlib
import datetime as dt
import functools
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import aiodocker
from bench_kubernetes import (
    kubernetes,
    kubernetes_hundred,
    kubernetes_masters,
    kubernetes_twenty,
    kubernetes_upgrade,
)
from measure import BIN, Row, RunningService, Units, console, measure_cpu, rss, up
from rich.table import Table

from jeroboam.domain.clusters import Cluster, NodeGroup
from jeroboam.domain.containers import Container, ContainerSpec, RuntimeState, Status
from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.clock import SystemClock
from jeroboam.store import Store

MANY = 100
MOST = 1000
# The pause between two requests for a container in creation. A shorter one would measure the requests.
POLL_SECONDS = 0.01
REQUESTS = 200
LATEST = "container-infra latest"
CONF = """\
[DEFAULT]
log_level = warning
[clusters]
providers = local,fake
coes = swarm,kubernetes,fake
max_per_project = 10000
[containers]
max_containers = -1
max_memory = -1
max_cpu = -1
[conductor]
check_seconds = 3600
resync_seconds = 3600
"""


def clusters(service: RunningService) -> None:
    """Measure POST to CREATE_COMPLETE on real nodes."""
    path = "/container-infra/v1/clusters"
    took = []
    for number in range(3):
        body = {"name": f"bench{number}", "cluster_template_id": "swarm", "master_count": 1, "node_count": 2}
        started = time.monotonic()
        made = service.call("POST", path, body)["uuid"]
        while (seen := service.call("GET", f"{path}/{made}"))["status"] == "CREATE_IN_PROGRESS":
            time.sleep(0.02)
        assert seen["status"] == "CREATE_COMPLETE", seen
        took.append(time.monotonic() - started)
        service.call("DELETE", f"{path}/{made}")
        while service.call("GET", path)["clusters"]:
            time.sleep(0.05)
    peer = "Magnum: 8–18.5 s without nodes; by hand 2.1 s"
    service.rows.append(Row("POST cluster to COMPLETE, 1+2 Swarm nodes", statistics.median(took), "s", 4, peer))


def containers(service: RunningService) -> None:
    """Measure POST to Running, and the Engine's own create and start, alternately, so that both have the same noise."""
    ours, engine = [], []
    for _ in range(10):
        engine.append(asyncio.run(_engine_start()))
        started = time.monotonic()
        body = {"image": "busybox", "command": ["sleep", "60"], "memory": 64}
        made = service.call("POST", "/container/v1/containers?run=true", body, "container 1.40")["uuid"]
        while service.call("GET", f"/container/v1/containers/{made}")["status"] == "Creating":
            time.sleep(POLL_SECONDS)
        ours.append(time.monotonic() - started)
        service.call("DELETE", f"/container/v1/containers/{made}?stop=true", version="container 1.40")
    ratio = statistics.median(ours) / statistics.median(engine)
    spent = f"{statistics.median(ours) * 1000:.0f} ms beside {statistics.median(engine) * 1000:.0f} ms"
    peer = f"{spent}; Zun: 360 ms to the 202 alone"
    service.rows.append(Row("POST container to Running / Engine create+start", ratio, "x", 1.25, peer))


async def _engine_start() -> float:
    docker = aiodocker.Docker()
    try:
        config = {"Image": "busybox", "Cmd": ["sleep", "60"], "HostConfig": {"Memory": 64 << 20}}
        started = time.monotonic()
        container = await docker.containers.create(config)
        await container.start()
        took = time.monotonic() - started
        await container.delete(force=True)
    finally:
        await docker.close()
    return took


def _until_settled(service: RunningService, wanted: int) -> None:
    path = "/container-infra/v1/clusters"
    while True:
        seen = [cluster["status"] for cluster in service.call("GET", path)["clusters"]]
        if seen.count("CREATE_COMPLETE") == wanted:
            return
        time.sleep(0.1)


def lists(service: RunningService) -> None:
    """Measure the server's CPU for what clients poll."""
    template = {"name": "fake", "coe": "fake", "driver": "fake", "image_id": "swarm-node", "flavor_id": "m1.small"}
    service.call("POST", "/container-infra/v1/clustertemplates", template)
    path = "/container-infra/v1/clusters"
    spent = time.monotonic()
    for number in range(MANY):
        made = service.call("POST", path, {"name": f"c{number}", "cluster_template_id": "fake"})["uuid"]
    _until_settled(service, MANY)
    console.print(f"{MANY} clusters without nodes made in {time.monotonic() - spent:.1f} s")
    get = service.call
    rows = service.rows
    rows.append(
        Row(
            f"GET {MANY} clusters, CPU",
            service.cpu(lambda: get("GET", path), REQUESTS),
            "ms",
            5,
            "Magnum: 102 ms, 222 statements",
        )
    )
    rows.append(
        Row(
            "GET one cluster, CPU",
            service.cpu(lambda: get("GET", f"{path}/{made}"), REQUESTS * 3),
            "ms",
            1,
            "Magnum: 7.4 ms by name",
        )
    )
    templates = "/container-infra/v1/clustertemplates"
    rows.append(
        Row(
            "GET one template, CPU",
            service.cpu(lambda: get("GET", f"{templates}/fake"), REQUESTS * 3),
            "ms",
            1,
            "Magnum: 3.0 ms",
        )
    )
    asyncio.run(_put_clusters(service, MOST - MANY))
    peer = "Magnum: 1027 ms, 2022 statements"
    spent = service.cpu(lambda: get("GET", path), REQUESTS)
    rows.append(Row(f"GET {MOST} clusters, CPU", spent, "ms", 15, peer))
    asyncio.run(_put_containers(service, MANY))
    path = "/container/v1/containers"
    rows.append(
        Row(f"GET {MANY} containers, CPU", service.cpu(lambda: get("GET", path), REQUESTS), "ms", 5, "Zun: 62 ms")
    )
    one = get("GET", path)["containers"][-1]["uuid"]
    rows.append(Row("GET one container, CPU", service.cpu(lambda: get("GET", f"{path}/{one}"), REQUESTS * 3), "ms", 1))
    posts = iter(range(10**6))
    post = service.cpu(lambda: get("POST", templates, template | {"name": f"t{next(posts)}"}), REQUESTS)
    rows.append(Row("POST template, CPU", post, "ms", None, "Magnum: 36 ms"))


def writes(service: RunningService) -> None:
    """Measure the server's CPU for wishes. Leases stop the cluster loop, except for the work that a create starts."""
    path = "/container-infra/v1/clusters"
    made = [cluster["uuid"] for cluster in service.call("GET", f"{path}?limit={MANY}")["clusters"]]
    size = [{"op": "replace", "path": "/node_count", "value": 2}]
    asyncio.run(_hold(service, made))
    wishes: dict[str, Callable[[str], object]] = {
        "PATCH cluster": lambda each: service.call("PATCH", f"{path}/{each}", size),
        "resize": lambda each: service.call("POST", f"{path}/{each}/actions/resize", {"node_count": 1}, LATEST),
        "POST node group": lambda each: service.call("POST", f"{path}/{each}/nodegroups", {"name": "more"}, LATEST),
        "POST cluster, with what its loop does at once": lambda each: service.call(
            "POST", path, {"name": f"n{each}", "cluster_template_id": "fake"}
        ),
    }
    for what, wish in wishes.items():
        spent = service.cpu_of([functools.partial(wish, each) for each in made])
        service.rows.append(Row(f"{what}, CPU", spent, "ms", None if "loop" in what else 10))


async def _hold(service: RunningService, uuids: Sequence[str]) -> None:
    """Take the clusters' leases for longer than the benchmark takes."""
    async with _store(service) as store, store.write() as tx:
        for each in uuids:
            assert await tx.leases("cluster").claim(each, "bench", 3600)


@contextlib.asynccontextmanager
async def _store(service: RunningService) -> AsyncIterator[Store]:
    """Open the service's store from outside the service."""
    store = Store(f"sqlite+aiosqlite:///{service.state}/jeroboam.db", clock=SystemClock(), bus=MemoryBus())
    yield store
    await store.close()


async def _put_clusters(service: RunningService, count: int) -> None:
    """Add copies of the cluster `c0` to the store beside the running service."""
    async with _store(service) as store:
        async with store.read() as tx:
            [like] = await tx.clusters.select({"name": "c0"})
            groups = (await tx.nodegroups.groups_of(like.uuid))[like.uuid]
        async with store.write() as tx:
            for number in range(count):
                cluster: Cluster = replace(like, uuid=str(uuid.uuid4()), name=f"like{number}")
                await tx.clusters.insert(cluster)
                for group in groups:
                    of: NodeGroup = replace(group, uuid=str(uuid.uuid4()), cluster_id=cluster.uuid, id=None)
                    await tx.nodegroups.insert(of)


async def _put_containers(service: RunningService, count: int) -> None:
    """Add rows of stopped containers to the store beside the running service."""
    project = service.call("GET", "/container-infra/v1/clusters/detail?limit=1")["clusters"][0]["project_id"]
    async with _store(service) as store, store.write() as tx:
        for number in range(count):
            item = Container(
                uuid=str(uuid.uuid4()),
                name=f"bench-{number}",
                project_id=project,
                user_id="bench",
                spec=ContainerSpec(image="busybox", command=("sleep", "60"), environment={"A": "b"}),
                host="bench",
                status=Status.STOPPED,
                created_at=dt.datetime.now(dt.UTC),
            )
            assert item.observed.state is RuntimeState.ABSENT
            await tx.containers.insert(item)


def main(*names: str) -> int:
    """Measure these parts, or all but those that take many minutes. Print the table and remove everything."""
    usual = (clusters, containers, kubernetes, kubernetes_masters, kubernetes_twenty, lists, writes)
    parts = {part.__name__: part for part in (*usual, kubernetes_upgrade, kubernetes_hundred)}
    if set(names) - set(parts):
        console.print(f"the parts are {', '.join(parts)}")
        return 2
    # In their own order: the rows that `lists` adds would be in the way of the others.
    chosen = [part for name, part in parts.items() if name in names] or usual
    with tempfile.TemporaryDirectory(prefix="jeroboam-bench-") as temporary:
        folder = pathlib.Path(temporary)
        state, config = folder / "state", folder / "jeroboam.conf"
        config.write_text(CONF)
        rows: list[Row] = []
        starts = [asyncio.run(_engine_start()) for _ in range(5)]
        units = Units(cpu_ms=measure_cpu(), engine_seconds=statistics.median(starts))
        try:
            with up(state, config) as service:
                rows.append(Row("first `up` of all to the first authenticated answer", service.started, "s", None))
            with up(state, config) as service:
                peer = "Magnum 1.4–3.5 s, Zun 1.2–4.0 s, without Keystone"
                rows.append(Row("`up` to the first authenticated answer", service.started, "s", 5, peer))
                time.sleep(5)
                memory = rss(service.process.pid)
                peer = "Magnum 340–493 MiB, and broker, database, Keystone"
                rows.append(Row("RSS of everything, idle", memory, "MiB", 320, peer))
                service.rows = rows
                for measure in chosen:
                    known = len(rows)
                    measure(service)
                    for row in rows[known:]:
                        console.print("  ".join(filter(None, row.cells(units))))
        except urllib.error.HTTPError as error:
            console.print(error.read().decode())
            raise
        finally:
            subprocess.run([BIN / "jeroboam", "down", "--state", state, "--yes"], check=False)
    table = Table(
        "what", "here", "in units", "bound", "", "peers (two cores)", title="speed and memory", title_justify="left"
    )
    for row in rows:
        table.add_row(*row.cells(units))
    console.print(table)
    console.print(
        f"units: cpu is {units.cpu_ms:.1f} ms of hashing and JSON, a start {units.engine_seconds:.3f} s of the Engine"
    )
    console.print(f"load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
