"""Loads drivers by name through entry points, so that another package can add a driver.

Each loader returns a class that names its contract as a base, so that the type checker compares both.
"""

import os
from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import cast

from jeroboam.coes.base import Coe, CoeSettings
from jeroboam.kit.clock import Clock
from jeroboam.providers.base import Provider, ProviderSettings
from jeroboam.runtimes.base import Runtime, RuntimeOptions, RuntimeSettings
from jeroboam.settings import Settings, parse_networks
from jeroboam.storage.base import Storage, StorageSettings


def load_provider(name: str) -> type[Provider]:
    """Return the provider of that name. Raises `ValueError` that lists those that exist."""
    return cast("type[Provider]", _load("providers", name, Provider))


def load_coe(name: str) -> type[Coe]:
    """Return the COE of that name. Raises `ValueError` that lists those that exist."""
    return cast("type[Coe]", _load("coes", name, Coe))


def load_runtime(name: str) -> type[Runtime]:
    """Return the runtime of that name. Raises `ValueError` that lists those that exist."""
    return cast("type[Runtime]", _load("runtimes", name, Runtime))


def load_storage(name: str) -> type[Storage]:
    """Return the storage of that name. Raises `ValueError` that lists those that exist."""
    return cast("type[Storage]", _load("storage", name, Storage))


def _load(family: str, name: str, contract: object) -> object:
    candidates = entry_points(group=f"jeroboam.{family}")
    if name not in candidates.names:
        names = ", ".join(select_offered(sorted(candidates.names)))
        raise ValueError(f"{family}: there is no driver {name!r}; there are: {names}")
    driver = candidates[name].load()
    if not isinstance(driver, type) or contract not in driver.__mro__:
        raise ValueError(f"{family}: the driver {name!r} does not name its contract as a base")
    return driver


def list_driver_names(family: str) -> list[str]:
    """Return the names of the drivers of a family: `providers`, `coes` or `runtimes`."""
    return sorted(entry_points(group=f"jeroboam.{family}").names)


def select_offered(names: Iterable[str]) -> list[str]:
    """Return the drivers to offer to users: a fake makes nothing, and is for tests."""
    return [name for name in names if name != "fake"]


def make_providers(settings: Settings, installation: str, clock: Clock) -> dict[str, Provider]:
    """Return the providers that the operator chose, by name."""
    provider_settings = ProviderSettings(installation=installation, clock=clock, docker_url=settings.docker_url)
    return {name: load_provider(name).from_settings(provider_settings) for name in settings.clusters.providers}


def make_coes(settings: Settings, clock: Clock) -> dict[str, Coe]:
    """Return the COEs that the operator chose, by name."""
    return {name: load_coe(name).from_settings(CoeSettings(clock=clock)) for name in settings.clusters.coes}


def make_storage(settings: Settings) -> Storage | None:
    """Return the storage for volumes of this host, or None where the operator wants none."""
    if settings.volumes.driver == "none":
        return None
    return load_storage(settings.volumes.driver).from_settings(StorageSettings(folder=settings.state / "volumes"))


def make_runtime(settings: Settings, installation: str) -> Runtime:
    """Return the runtime of this host, with the operator's settings."""
    options = settings.containers
    dedicated_cpus = tuple(sorted(set(options.dedicated_cpus)))
    cores = os.cpu_count() or 1
    if not set(dedicated_cpus) < set(range(cores)):
        numbers = ", ".join(map(str, dedicated_cpus))
        last = f"this machine has 0 to {cores - 1}, and one has to be shared"
        raise ValueError(f"[containers] dedicated_cpus: {numbers} cannot be: {last}")
    return load_runtime(options.runtime).from_settings(
        RuntimeSettings(
            installation=installation,
            url=settings.docker_url,
            options=RuntimeOptions(
                max_processes=options.max_processes,
                log_mib=options.log_mib,
                log_files=options.log_files,
                dedicated_cpus=dedicated_cpus,
                registry_networks=tuple(parse_networks(options.registry_networks, "[containers] registry_networks")),
            ),
        )
    )
