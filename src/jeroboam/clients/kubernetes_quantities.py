"""Kubernetes' way of writing amounts: `100m` of a core, `64Mi` of memory.

Neighbours: all who read them in what the API shows.
"""

import re
from collections.abc import Mapping

_FORM = re.compile(r"([+-]?[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?", re.ASCII)
_UNITS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_BINARY = {f"{letter}i": float(1 << 10 * power) for power, letter in enumerate("KMGTPE", start=1)}
# Numbers with a point are not exact: what is that much too large still fits.
_SLACK = 1e-6


def amount(text: object) -> float:
    """The number; 0 for what is none."""
    match = _FORM.fullmatch(str(text))
    if match is None:
        return 0.0
    unit = match[2] or ""
    if unit.startswith("e"):
        return float(f"{match[1]}{unit}")
    return float(match[1]) * (_UNITS | _BINARY).get(unit, 1.0)


def amounts(texts: Mapping[str, object]) -> dict[str, float]:
    """The same for each of these."""
    return {name: amount(text) for name, text in texts.items()}


def plus(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Both together."""
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {*one, *other}}


def subtract(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """What is left of one when the other is taken from it."""
    return {name: one.get(name, 0.0) - other.get(name, 0.0) for name in {*one, *other}}


def fits(demand: Mapping[str, float], room: Mapping[str, float]) -> bool:
    """Whether there is room for all that is wanted."""
    return all(value <= room.get(name, 0.0) * (1 + _SLACK) for name, value in demand.items() if value > 0)
