"""The health of a Kubernetes node: the time of its last transition, and its resource pressure.

Neighbours: `node_ops`, which reads nodes, and `observe`, which shows this as the cluster's health.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

# Conditions that mean a shortage when they are true.
_SHORTAGES = ("DiskPressure", "MemoryPressure", "PIDPressure")


def ready_transition_time(node: Mapping[str, Any]) -> dt.datetime | None:
    """Return when the node last became ready or not ready; None for a node that has not reported yet."""
    ready = next((condition for condition in _conditions_of(node) if condition["type"] == "Ready"), {})
    timestamp = ready.get("lastTransitionTime")
    return dt.datetime.fromisoformat(timestamp) if timestamp else None


def list_shortages(node: Mapping[str, Any]) -> dict[str, str]:
    """Return the node's shortages by condition type, with the node's message."""
    return {
        condition["type"]: condition.get("message") or condition.get("reason") or "True"
        for condition in _conditions_of(node)
        if condition["type"] in _SHORTAGES and condition["status"] == "True"
    }


def _conditions_of(node: Mapping[str, Any]) -> list[Mapping[str, str]]:
    conditions: list[Mapping[str, str]] = node["status"].get("conditions") or []
    return conditions
