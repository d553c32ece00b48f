"""`/metrics`: the metrics of this process, and the number of objects in the store.

The store is read at each scrape, with a constant number of statements. No label holds a project or a user, so neither
the size of the answer nor its cost grows with them.
"""

from collections.abc import Iterable, Mapping

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from jeroboam.store import Census, Store, StoreUnavailable

log = structlog.get_logger("jeroboam.api")


async def render_metrics(counters: Iterable[CollectorRegistry], store: Store) -> bytes:
    """All metrics in Prometheus' text format. A store that cannot be read is a metric too."""
    try:
        async with store.read() as tx:
            census = await tx.census()
            await tx.look_at_broken_rows()
    except StoreUnavailable:
        # The store has logged the error.
        census = None
    except Exception as error:  # noqa: BLE001  (monitoring must see the other metrics all the same)
        log.warning("the store cannot be counted", error=str(error))
        census = None
    return b"".join(
        generate_latest(registry) for registry in (*counters, _registry(census, store.broken.count_by_table()))
    )


def _registry(census: Census | None, broken: Mapping[str, int]) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_StoreCollector(census, broken))
    return registry


class _StoreCollector(Collector):
    def __init__(self, census: Census | None, broken: Mapping[str, int]) -> None:
        self._census = census
        self._broken = broken

    def collect(self) -> Iterable[Metric]:
        census = self._census
        yield GaugeMetricFamily("jeroboam_store_up", "Whether the database answers", value=float(census is not None))
        rows = GaugeMetricFamily("jeroboam_store_broken_rows", "Rows that cannot be read", labels=("table",))
        for table, number in self._broken.items():
            rows.add_metric((table,), number)
        yield rows
        if census is None:
            return
        clusters = GaugeMetricFamily("jeroboam_clusters", "Clusters by status and COE", labels=("status", "coe"))
        for (status, coe), number in census.clusters.items():
            clusters.add_metric((status, coe), number)
        yield clusters
        containers = GaugeMetricFamily("jeroboam_containers", "Containers by status", labels=("status",))
        for status, number in census.containers.items():
            containers.add_metric((status,), number)
        yield containers
        yield GaugeMetricFamily("jeroboam_nodegroups", "Node groups of clusters", value=census.nodegroups)
        yield GaugeMetricFamily("jeroboam_nodes", "Nodes that clusters are to have, masters too", value=census.nodes)
        yield GaugeMetricFamily("jeroboam_events", "Events that are kept", value=census.events)
        yield GaugeMetricFamily("jeroboam_outbox_depth", "Notifications still to be handed on", value=census.outbox)
