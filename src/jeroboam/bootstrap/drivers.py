"""Drivers by name, through entry points, so that a package of somebody else's can bring one."""

from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Any


def load(family: str, name: str) -> Any:
    """The driver's class. `family` is `providers`, `coes` or `runtimes`.

    Raises `ValueError` that lists what there is.
    """
    found = entry_points(group=f"jeroboam.{family}")
    if name not in found.names:
        raise ValueError(f"{family}: there is no driver {name!r}; there are: {', '.join(sorted(found.names))}")
    return found[name].load()


def make(family: str, names: Iterable[str], **arguments: Any) -> dict[str, Any]:
    """One driver of each name."""
    return {name: load(family, name)(**arguments) for name in names}
