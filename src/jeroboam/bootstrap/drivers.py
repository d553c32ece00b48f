"""Drivers by name, through entry points, so that third-party packages can provide them."""

from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Any

from jeroboam.runtimes.base import RuntimeOptions
from jeroboam.settings import Settings, networks


def load(family: str, name: str) -> Any:
    """The driver's class. `family` is `providers`, `coes` or `runtimes`.

    Raises `ValueError` that lists the available drivers.
    """
    drivers = entry_points(group=f"jeroboam.{family}")
    if name not in drivers.names:
        raise ValueError(f"{family}: there is no driver {name!r}; there are: {', '.join(sorted(drivers.names))}")
    return drivers[name].load()


def make_runtime(settings: Settings, installation: str) -> Any:
    """The runtime of this host, with the operator's settings."""
    options = settings.containers
    return load("runtimes", options.runtime)(
        installation=installation,
        url=settings.docker_url,
        options=RuntimeOptions(
            max_processes=options.max_processes,
            log_mib=options.log_mib,
            log_files=options.log_files,
            registry_networks=tuple(networks(options.registry_networks, "[containers] registry_networks")),
        ),
    )


def make(family: str, names: Iterable[str], **arguments: Any) -> dict[str, Any]:
    """One driver of each name."""
    return {name: load(family, name)(**arguments) for name in names}
