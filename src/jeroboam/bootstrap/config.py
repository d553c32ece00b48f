"""The operator's configuration as a whole: the file, and the files and drivers that it names. Nothing is started.

Neighbours: `cli`; `policy`; `limits`; `drivers`.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path

from oslo_config import cfg

from jeroboam import settings
from jeroboam.bootstrap import limits, policy
from jeroboam.bootstrap.drivers import list_driver_names, select_offered
from jeroboam.kit.controls import escape_line


def list_faults(config: Path | None) -> list[str]:
    """Return everything that is wrong with the configuration, each in a line that names the option, rule or limit."""
    try:
        options = settings.read_options(config)
        faults = settings.list_faults(options, config)
    except ValueError as error:
        return [str(error)]
    checks: tuple[Callable[[], list[str]], ...] = (
        lambda: policy.list_faults(options.api.policy_file),
        lambda: limits.list_faults(options.api.limits_file),
        lambda: _list_driver_faults(options),
    )
    for check in checks:
        # A value that cannot be read is among the faults already.
        with contextlib.suppress(cfg.Error, RecursionError):
            faults += check()
    return [escape_line(fault) for fault in faults]


def _list_driver_faults(options: cfg.ConfigOpts) -> list[str]:
    clusters, containers = options.clusters, options.containers
    choices = (
        ("[clusters] providers", clusters.providers, list_driver_names("providers")),
        ("[clusters] coes", clusters.coes, list_driver_names("coes")),
        ("[containers] runtime", [containers.runtime], list_driver_names("runtimes")),
    )
    faults = [
        f"{option}: there is no {name!r}; there is {', '.join(select_offered(known))}"
        for option, names, known in choices
        for name in names
        if name not in known
    ]
    default = clusters.default_provider
    # Where a provider is misspelt, the default is likely to be the one that was meant.
    if default not in clusters.providers and all(name in list_driver_names("providers") for name in clusters.providers):
        faults.append(f"[clusters] default_provider: there is no {default!r}; there is {', '.join(clusters.providers)}")
    return faults
