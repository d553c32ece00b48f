"""Checks whether any host could run a container. A request that no host can meet is refused before it is stored.

The present load of hosts is not checked: it changes, and the container loop uses it when it places the container. Until
a host has reported, every container is accepted.
"""

from collections.abc import Iterable, Mapping, Sequence

from jeroboam.api.container.refusals import SchemaError
from jeroboam.domain.containers import DEDICATED, ContainerSpec
from jeroboam.domain.errors import describe_bad_value
from jeroboam.domain.hosts import Host, PlacementSpec

LABEL_HINT = "label:"
NO_PATHS: Mapping[str, str] = {}


def has_requirements(spec: ContainerSpec) -> bool:
    """Whether the container needs something that not every host has."""
    is_dedicated = spec.cpu_policy == DEDICATED
    return spec.cpu > 1 or is_dedicated or any((spec.disk, spec.runtime, spec.availability_zone, spec.hints))


def check_hosts(hosts: Sequence[Host], spec: PlacementSpec, *, paths: Mapping[str, str] = NO_PATHS) -> None:
    """Raise `SchemaError` that names field and value, if no host can run the container or the capsule.

    `paths` are the places of fields in the request, where these have other names.
    """
    if not hosts:
        return

    def path_of(field: str) -> str:
        return paths.get(field, field)

    max_cpus = _count_most_cpus(hosts, spec)
    if spec.cpu > max_cpus:
        raise _refusal(path_of("cpu"), spec.cpu, f"no host has more than {_count_cores(max_cpus)}.")
    if spec.disk is not None and not any(host.facts.disk_quota_supported for host in hosts):
        raise _refusal("disk", spec.disk, "no host can limit the disk of a container.")
    if spec.runtime is not None:
        _check_word("runtime", spec.runtime, (name for host in hosts for name in host.facts.runtimes), "runtimes")
    if spec.availability_zone:
        names = (host.availability_zone for host in hosts)
        _check_word(path_of("availability_zone"), spec.availability_zone, names, "zones")
    for key, value in spec.hints.items():
        name = key.removeprefix(LABEL_HINT)
        if not any(host.facts.labels.get(name) == value for host in hosts):
            raise _refusal(f"hints/{key}", value, f"no host's Engine has the label {name} with that value.")


def _count_most_cpus(hosts: Sequence[Host], spec: PlacementSpec) -> int:
    """Return the most cores that one host has for it. Raises `SchemaError` if no host has cores of that kind."""
    if spec.cpu_policy != DEDICATED:
        return max(host.facts.shared_cpus for host in hosts)
    max_cpus = max(len(host.facts.dedicated_cpus) for host in hosts)
    if not max_cpus:
        raise _refusal("cpu_policy", spec.cpu_policy, "no host has cores for that.")
    return max_cpus


def check_limits(host: Host | None, spec: ContainerSpec, cpu: float) -> None:
    """Raise `SchemaError` if the container cannot have so many cores on its own host."""
    if spec.cpu_policy == DEDICATED and cpu != spec.cpu:
        raise _refusal("cpu", cpu, f"the container has {_count_cores(spec.cpu)} of its own, and keeps them.")
    if host is not None and spec.cpu_policy != DEDICATED and cpu > host.facts.shared_cpus:
        raise _refusal("cpu", cpu, f"the container's host has {_count_cores(host.facts.shared_cpus)}.")


def _count_cores(cores: float) -> str:
    return f"{cores:g} core" if cores == 1 else f"{cores:g} cores"


def _check_word(field: str, value: str, names: Iterable[str], plural: str) -> None:
    words = sorted(set(names))
    if value not in words:
        raise _refusal(field, value, f"the {plural} of all hosts are: {', '.join(words) or 'none'}.")


def _refusal(field: str, value: object, reason: str) -> SchemaError:
    return SchemaError(describe_bad_value(field, value, reason), field=field)
