"""Quantities as Kubernetes writes them: `100m` of a core, `64Mi` of memory.

Neighbours: the readers of quantities in the API's answers.
"""

import re
from collections.abc import Mapping

_FORM = re.compile(r"([+-]?[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?", re.ASCII)
_UNITS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_BINARY = {f"{letter}i": float(1 << 10 * power) for power, letter in enumerate("KMGTPE", start=1)}
# Floating point is not exact: a demand above the room by this factor still fits.
_SLACK = 1e-6


def amount(text: object) -> float:
    """Return the number; 0 for an invalid quantity."""
    match = _FORM.fullmatch(str(text))
    if match is None:
        return 0.0
    unit = match[2] or ""
    if unit.startswith("e"):
        return float(f"{match[1]}{unit}")
    return float(match[1]) * (_UNITS | _BINARY).get(unit, 1.0)


def amounts(texts: Mapping[str, object]) -> dict[str, float]:
    """Return the number of each quantity."""
    return {name: amount(text) for name, text in texts.items()}


def plus(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Return the sums."""
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {*one, *other}}


def subtract(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Return the first quantities minus the others."""
    return {name: one.get(name, 0.0) - other.get(name, 0.0) for name in {*one, *other}}


def fits(demand: Mapping[str, float], room: Mapping[str, float]) -> bool:
    """Whether the room is enough for the whole demand."""
    return all(value <= room.get(name, 0.0) * (1 + _SLACK) for name, value in demand.items() if value > 0)
