"""What a Kubernetes node says of its own health beside that it is ready: since when it is not, what it runs short of.

Neighbours: `fleet`, which asks for nodes, and `seen`, which shows this as the cluster's health.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

# What a node can run short of: a condition of these that is true is bad news.
_SHORTAGES = ("DiskPressure", "MemoryPressure", "PIDPressure")


def changed_at(node: Mapping[str, Any]) -> dt.datetime | None:
    """When the node last became ready, or not ready; None for one that has not said anything yet."""
    ready = next((condition for condition in _conditions(node) if condition["type"] == "Ready"), {})
    timestamp = ready.get("lastTransitionTime")
    return dt.datetime.fromisoformat(timestamp) if timestamp else None


def shortages(node: Mapping[str, Any]) -> dict[str, str]:
    """What the node runs short of, with its word on that."""
    return {
        condition["type"]: condition.get("message") or condition.get("reason") or "True"
        for condition in _conditions(node)
        if condition["type"] in _SHORTAGES and condition["status"] == "True"
    }


def _conditions(node: Mapping[str, Any]) -> list[Mapping[str, str]]:
    conditions: list[Mapping[str, str]] = node["status"].get("conditions") or []
    return conditions
