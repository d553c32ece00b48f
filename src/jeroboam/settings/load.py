"""Reads the options of an operator: from the file, the environment and the command line.

Neighbours: `options` declares them, `names` finds what does not exist, `describe` shows options, `database` knows the
database's URL.
"""

import ipaddress
import math
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from oslo_config import cfg

from jeroboam.kit.controls import escape_line
from jeroboam.kit.operator_file import read_operator_file
from jeroboam.settings.database import check_database_url
from jeroboam.settings.describe import EffectiveOption, list_effective
from jeroboam.settings.names import list_unknown_names
from jeroboam.settings.options import (
    GROUPS,
    ApiSettings,
    ClusterSettings,
    ConductorSettings,
    ContainerSettings,
    KeystoneSettings,
    Settings,
    VolumeSettings,
    X509Settings,
    default_cache,
    default_state,
)

T = TypeVar("T")

# How Python refuses the text of a number.
_NO_NUMBER = ("invalid literal for int() with base 10", "could not convert string to float")


def _group(kind: type[T], group: cfg.ConfigOpts.GroupAttr) -> T:
    """Return the group's values; a field without an option raises `cfg.NoSuchOptError`."""
    return kind(**{field.name: getattr(group, field.name) for field in fields(kind)})  # type: ignore[arg-type]


def load(config: Path | None, **overrides: str | None) -> Settings:
    """Return the settings from a file. Overrides are named `group__option`.

    Raises `ValueError` with the first fault, in one line that names the option.
    """
    options = read_options(config, **overrides)
    faults = list_faults(options, config)
    if len(faults) > 1:
        raise ValueError(escape_line(f"{faults[0]} ({len(faults) - 1} more: see `jeroboam config check`)"))
    if faults:
        raise ValueError(escape_line(faults[0]))
    return _build_settings(options)


def read_options(config: Path | None, **overrides: str | None) -> cfg.ConfigOpts:
    """Return the options of a file, of the environment and the overrides. oslo.config parses a value when it is read.

    Raises `ValueError` for a file that cannot be parsed.
    """
    options = cfg.ConfigOpts()
    for group, members in GROUPS.items():
        options.register_opts(members, group=None if group == "DEFAULT" else group)
    try:
        if config is not None:
            read_operator_file(config)
        # Both lists are named, or oslo.config would look for files in the home and in /etc by itself.
        files = [] if config is None else [str(config)]
        options(args=[], project="jeroboam", default_config_files=files, default_config_dirs=[])
    except OSError as error:
        raise ValueError(escape_line(f"{config}: {error.strerror or error}")) from error
    except cfg.Error as error:
        raise ValueError(escape_line(str(error))) from error
    except ValueError as error:
        raise ValueError(escape_line(f"{config}: {error}")) from error
    for name, value in overrides.items():
        if value is not None:
            group, _, option = name.rpartition("__")
            options.set_override(option, value, group=group or None)
    return options


def list_faults(options: cfg.ConfigOpts, config: Path | None) -> list[str]:
    """Return everything that is wrong with the options, each in a line that names the option."""
    faults = [] if config is None else list_unknown_names(config, GROUPS)
    values = [_check_value(options, group, member) for group, members in GROUPS.items() for member in members]
    bad_values = [fault for fault in values if fault is not None]
    if bad_values:
        return faults + bad_values
    api, keystone, clusters, containers = options.api, options.keystone, options.clusters, options.containers
    checks: list[Callable[[], object]] = [
        lambda: parse_address(api.listen, "[api] listen"),
        lambda: parse_address(keystone.listen, "[keystone] listen"),
        lambda: parse_networks(clusters.manifest_networks, "[clusters] manifest_networks"),
        lambda: parse_networks(containers.registry_networks, "[containers] registry_networks"),
        lambda: _check_bounds(containers, "cpu"),
        lambda: _check_bounds(containers, "memory"),
    ]
    if options.database.connection:
        checks.append(lambda: check_database_url(options.database.connection))
    for check in checks:
        try:
            check()
        except ValueError as error:
            faults.append(str(error))
    return faults


def _check_value(options: cfg.ConfigOpts, group: str, member: Any) -> str | None:
    """Return the fault of one option's value, or None."""
    try:
        value = getattr(options if group == "DEFAULT" else options[group], member.name)
    except (cfg.TemplateSubstitutionError, cfg.NoSuchOptError):
        return f"[{group}] {member.name}: a $ stands for another option; write $$ for the character"
    except RecursionError:
        return f"[{group}] {member.name}: a $ stands for another option, and this one refers to itself"
    except (cfg.Error, ValueError) as error:
        # The library appends the source of the value as an object.
        reason = str(error).partition(" is not valid: ")[2] or str(error)
        if reason.startswith(_NO_NUMBER):
            reason = f"{_describe_number(member)}, not {reason.rpartition(': ')[2]}"
        return f"[{group}] {member.name}: {reason}"
    if value is None and isinstance(member, cfg.IntOpt | cfg.FloatOpt):
        return f"[{group}] {member.name}: {_describe_number(member)}, not ''"
    if isinstance(value, float) and not math.isfinite(value):
        return f"[{group}] {member.name}: {_describe_number(member)}, not '{value}'"
    return None


def _describe_number(member: Any) -> str:
    return "it has to be a whole number" if isinstance(member, cfg.IntOpt) else "it has to be a number"


def list_effective_options(config: Path | None, **overrides: str | None) -> list[EffectiveOption]:
    """Return every option with its effective value and its source. Raises `ValueError` as `load` does."""
    settings = load(config, **overrides)
    derived = {
        ("DEFAULT", "state"): (str(settings.state), "default"),
        ("DEFAULT", "host"): (settings.host, "host name"),
        ("database", "connection"): (settings.database_url, "default"),
        ("docker", "url"): (os.environ.get("DOCKER_HOST", ""), "environment DOCKER_HOST"),
        ("node_images", "cache"): (str(settings.image_cache), "default"),
    }
    return list(list_effective(read_options(config, **overrides), GROUPS, derived))


def _build_settings(options: cfg.ConfigOpts) -> Settings:
    state = Path(options.state).expanduser().absolute() if options.state else default_state()
    return Settings(
        state=state,
        host=options.host or socket.gethostname(),
        log_level=options.log_level,
        log_file=options.log_file,
        api=_group(ApiSettings, options.api),
        keystone=_group(KeystoneSettings, options.keystone),
        database_url=options.database.connection or f"sqlite+aiosqlite:///{state}/jeroboam.db",
        docker_url=options.docker.url or None,
        conductor=_group(ConductorSettings, options.conductor),
        clusters=_group(ClusterSettings, options.clusters),
        x509=_group(X509Settings, options.x509),
        containers=_group(ContainerSettings, options.containers),
        volumes=_group(VolumeSettings, options.volumes),
        image_cache=Path(cache).expanduser().absolute() if (cache := options.node_images.cache) else default_cache(),
        image_mirror=options.node_images.mirror,
    )


def _check_bounds(containers: cfg.ConfigOpts.GroupAttr, resource: str) -> None:
    """Raise `ValueError` unless the default that containers get of the resource is within its bounds."""
    low, high, default = (containers[f"{name}_{resource}"] for name in ("minimum", "maximum", "default"))
    if low > high:
        raise ValueError(
            f"[containers] minimum_{resource}: {low:.15g} is more than maximum_{resource}, which is {high:.15g}"
        )
    if not low <= default <= high:
        bounds = f"minimum_{resource} to maximum_{resource}, {low:.15g} to {high:.15g}"
        raise ValueError(f"[containers] default_{resource}: {default:.15g} is not from {bounds}")


def parse_address(text: str, option: str) -> tuple[str, int]:
    """Return `ADDRESS:PORT` as a pair. Raises `ValueError` naming the option."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004  (the last port)
        raise ValueError(f"{option}: {text!r} is not ADDRESS:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def parse_networks(words: Iterable[str], option: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Return these networks. Raises `ValueError` naming the option for an invalid one."""
    try:
        return [ipaddress.ip_network(word) for word in words]
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from error
