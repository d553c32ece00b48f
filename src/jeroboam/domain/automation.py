"""What a cluster may do by itself, by labels that users of Magnum know: replace nodes, grow and shrink.

Neighbours: admission, which checks the labels; `conductor.clusters.healing` and `.scaling`, which act on them.
"""

import re
from collections.abc import Mapping

from jeroboam.domain.booleans import read_flag
from jeroboam.domain.errors import bad_label

HEALING = "auto_healing_enabled"
"""Nodes that do not work for long are replaced."""
SCALING = "auto_scaling_enabled"
"""Groups of workers grow for pods that find no room, and shrink where nodes have no work."""
MIN_NODE_COUNT = "min_node_count"
MAX_NODE_COUNT = "max_node_count"
"""The bounds of the default workers while they are scaled; other groups have fields of their own."""
LABELS = frozenset({HEALING, SCALING, MIN_NODE_COUNT, MAX_NODE_COUNT})

_COUNT = re.compile(r"[0-9]{1,5}", re.ASCII)


def is_enabled(labels: Mapping[str, str], name: str) -> bool:
    """Whether that label is set and true."""
    return read_flag(labels.get(name, "")) is True


def read_count(labels: Mapping[str, str], name: str) -> int | None:
    """Return the number in the label; None if there is none."""
    value = labels.get(name)
    return int(value) if value is not None and _COUNT.fullmatch(value) else None


def check_labels(labels: Mapping[str, str]) -> None:
    """Raise `Invalid` for one of these labels whose value is not allowed."""
    for name in (HEALING, SCALING):
        if name in labels and read_flag(labels[name]) is None:
            raise bad_label(name, labels[name], "it has to be true or false.")
    for name in (MIN_NODE_COUNT, MAX_NODE_COUNT):
        if name in labels and read_count(labels, name) is None:
            raise bad_label(name, labels[name], "it has to be a number of nodes.")
    min_count, max_count = read_count(labels, MIN_NODE_COUNT), read_count(labels, MAX_NODE_COUNT)
    if min_count is not None and max_count is not None and min_count > max_count:
        raise bad_label(MIN_NODE_COUNT, labels[MIN_NODE_COUNT], f"it is above {MAX_NODE_COUNT} {max_count}.")
