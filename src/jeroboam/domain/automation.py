"""What a cluster may be left to do by itself, by labels that users of Magnum know: replace nodes, grow and shrink.

Neighbours: admission, which checks them; the conductor's `healing` and `scaling`, which act on them.
"""

import re
from collections.abc import Mapping

from jeroboam.domain.errors import Invalid

HEALING = "auto_healing_enabled"
"""Nodes that do not work for long are replaced."""
SCALING = "auto_scaling_enabled"
"""Groups of workers grow for pods that find no room, and shrink where nodes have nothing to do."""
LEAST = "min_node_count"
MOST = "max_node_count"
"""Between how many nodes the default workers stay while they are scaled; other groups have fields of their own."""
LABELS = frozenset({HEALING, SCALING, LEAST, MOST})

_TRUE = frozenset({"true", "1", "t", "yes", "on"})
_FALSE = frozenset({"false", "0", "f", "no", "off", ""})
_COUNT = re.compile(r"[0-9]{1,5}", re.ASCII)


def wants(labels: Mapping[str, str], name: str) -> bool:
    """Whether that label is there and says yes."""
    return labels.get(name, "").strip().lower() in _TRUE


def count(labels: Mapping[str, str], name: str) -> int | None:
    """The number that the label says; None where there is none."""
    said = labels.get(name)
    return int(said) if said is not None and _COUNT.fullmatch(said) else None


def check(labels: Mapping[str, str]) -> None:
    """Raise `Invalid` for one of these labels whose value cannot be."""
    for name in (HEALING, SCALING):
        if labels.get(name, "").strip().lower() not in _TRUE | _FALSE:
            raise _bad(name, labels[name], "It has to be true or false.")
    for name in (LEAST, MOST):
        if name in labels and count(labels, name) is None:
            raise _bad(name, labels[name], "It has to be a number of nodes.")
    least, most = count(labels, LEAST), count(labels, MOST)
    if least is not None and most is not None and least > most:
        raise _bad(LEAST, labels[LEAST], f"It is above {MOST} {most}.")


def _bad(name: str, value: str, why: str) -> Invalid:
    return Invalid(f"Invalid input for field 'labels/{name}'. Value: '{value[:80]}'. {why}", field=f"labels/{name}")
