"""Places containers on hosts. Pure: hosts and requests in, placements or explanations out.

It takes a batch, so each placement counts for the next one. Each filter returns its reason for a refusal. A container
that no host takes gets all reasons with their counts: "2 hosts: not enough memory; 1 host: disabled".
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from jeroboam.domain.containers import DEDICATED
from jeroboam.domain.hosts import Host, PlacementSpec
from jeroboam.domain.quotas import ContainerUse


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacementRequest:
    """A container or a capsule to place."""

    uuid: str
    spec: PlacementSpec
    volume_hosts: frozenset[str] = frozenset()
    """The uuids of the hosts that hold volumes of the container; empty if none has a host yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateHost:
    """A host and its present use."""

    host: Host
    use: ContainerUse = field(default_factory=ContainerUse)
    pinned_cpus: frozenset[int] = frozenset()
    """Cores that containers have for themselves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacementRules:
    """The largest load of a host, as a multiple of its capacity, and after which silence it is down."""

    now: dt.datetime
    cpu_ratio: float = 16.0
    memory_ratio: float = 1.5
    disk_ratio: float = 1.0
    down_seconds: float = 180.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where a container goes, and which cores it has for itself."""

    host: Host
    cpuset: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacementRefusal:
    """Why no host takes the container. `temporary`: a host that is down may come back."""

    text: str
    temporary: bool


Filter = Callable[[PlacementRequest, CandidateHost, PlacementRules], str | None]
"""None if the host may take the container, else the reason for the explanation."""


def check_up(_request: PlacementRequest, candidate: CandidateHost, rules: PlacementRules) -> str | None:
    """The agent has reported lately and can use its runtime."""
    host = candidate.host
    silent = host.last_seen is None or rules.now - host.last_seen > dt.timedelta(seconds=rules.down_seconds)
    if host.forced_down or silent:
        return "down"
    return None if host.runtime_error is None else f"its runtime cannot be used ({host.runtime_error})"


def check_enabled(_request: PlacementRequest, candidate: CandidateHost, _rules: PlacementRules) -> str | None:
    """The host is not disabled."""
    return "disabled" if candidate.host.disabled else None


def check_zone(request: PlacementRequest, candidate: CandidateHost, _rules: PlacementRules) -> str | None:
    """The host is in the requested availability zone."""
    zone_name = request.spec.availability_zone
    return None if not zone_name or zone_name == candidate.host.availability_zone else "in another availability zone"


def check_requested_host(request: PlacementRequest, candidate: CandidateHost, _rules: PlacementRules) -> str | None:
    """The host is the requested one."""
    return None if request.spec.host in {None, candidate.host.hostname} else "not the requested host"


def check_volumes(request: PlacementRequest, candidate: CandidateHost, _rules: PlacementRules) -> str | None:
    """The host holds the container's volumes, all of them, or can make them."""
    is_elsewhere = request.volume_hosts - {candidate.host.uuid}
    return "does not hold its volumes" if is_elsewhere else None


def check_runtime(request: PlacementRequest, candidate: CandidateHost, _rules: PlacementRules) -> str | None:
    """The host has the requested low-level runtime."""
    name = request.spec.runtime
    return None if name is None or name in candidate.host.facts.runtimes else f"no runtime {name}"


def check_labels(request: PlacementRequest, candidate: CandidateHost, _rules: PlacementRules) -> str | None:
    """The host's Engine has the labels that the hints name (`label:<key>`)."""
    for key, value in request.spec.hints.items():
        name = key.removeprefix("label:")
        if name != key and candidate.host.facts.labels.get(name) != value:
            return f"label {name} differs"
    return None


def check_room(request: PlacementRequest, candidate: CandidateHost, rules: PlacementRules) -> str | None:
    """The host has enough memory, cores and disk left."""
    facts, use, spec = candidate.host.facts, candidate.use, request.spec
    if use.memory + spec.memory > facts.mem_total * rules.memory_ratio:
        return "not enough memory"
    if spec.cpu_policy == DEDICATED:
        if spec.cpu > len(facts.dedicated_cpus):
            return "has fewer dedicated cores"
        if spec.cpu > len(_list_free_cpus(candidate)):
            return "not enough dedicated cores are free"
    elif spec.cpu > facts.shared_cpus:
        return "has fewer cores"
    elif use.cpu + spec.cpu > facts.cpus * rules.cpu_ratio:
        return "not enough cores"
    if spec.disk is not None and not facts.disk_quota_supported:
        return "cannot limit disk"
    if use.disk + (spec.disk or 0) > facts.disk_total * rules.disk_ratio:
        return "not enough disk"
    return None


def _list_free_cpus(candidate: CandidateHost) -> list[int]:
    return [cpu for cpu in candidate.host.facts.dedicated_cpus if cpu not in candidate.pinned_cpus]


FILTERS: tuple[Filter, ...] = (
    check_enabled,
    check_requested_host,
    check_zone,
    check_volumes,
    check_runtime,
    check_labels,
    check_room,
    check_up,
)


def place_containers(
    requests: Iterable[PlacementRequest], candidates: Sequence[CandidateHost], rules: PlacementRules
) -> dict[str, Placement | PlacementRefusal]:
    """The place of each container, or the refusal. The least used host that may take a container takes it."""
    state = list(candidates)
    placements: dict[str, Placement | PlacementRefusal] = {}
    for request in requests:
        reasons = [_refusal(request, candidate, rules) for candidate in state]
        fits = [index for index, reason in enumerate(reasons) if reason is None]
        if not fits:
            placements[request.uuid] = _explain([reason for reason in reasons if reason is not None])
            continue
        best = min(fits, key=lambda index: _load(state[index]))
        is_dedicated = request.spec.cpu_policy == DEDICATED
        cpuset = _list_free_cpus(state[best])[: round(request.spec.cpu)] if is_dedicated else []
        state[best] = replace(
            state[best],
            use=_add_use(state[best].use, request.spec),
            pinned_cpus=state[best].pinned_cpus | set(cpuset),
        )
        placements[request.uuid] = Placement(host=state[best].host, cpuset=tuple(cpuset))
    return placements


def _refusal(request: PlacementRequest, candidate: CandidateHost, rules: PlacementRules) -> tuple[str, bool] | None:
    for check in FILTERS:
        reason = check(request, candidate, rules)
        if reason is not None:
            return reason, check is check_up
    return None


def _explain(reasons: Sequence[tuple[str, bool]]) -> PlacementRefusal:
    if not reasons:
        return PlacementRefusal(text="There are not enough hosts available: no agent has reported yet.", temporary=True)
    counts = Counter(reason for reason, _temporary in reasons)
    parts = [f"{count} host{'s' if count > 1 else ''}: {reason}" for reason, count in counts.most_common()]
    text = f"There are not enough hosts available. {'; '.join(parts)}"
    return PlacementRefusal(text=text, temporary=any(temporary for _reason, temporary in reasons))


def _load(candidate: CandidateHost) -> tuple[float, str]:
    facts, use = candidate.host.facts, candidate.use
    return max(use.memory / max(facts.mem_total, 1), use.cpu / max(facts.cpus, 1)), candidate.host.hostname


def _add_use(use: ContainerUse, spec: PlacementSpec) -> ContainerUse:
    return ContainerUse(
        containers=use.containers + 1,
        memory=use.memory + spec.memory,
        cpu=use.cpu + spec.cpu,
        disk=use.disk + (spec.disk or 0),
    )
