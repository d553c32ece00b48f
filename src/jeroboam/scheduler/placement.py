"""Placing containers on hosts, as a function: hosts and wants in, placements or explanations out.

It takes a batch, so that what one container takes is known when the next is placed. Each filter can say why it
refuses, and what nobody takes comes back with the reasons counted: "2 hosts: not enough memory; 1 host: disabled".
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from jeroboam.domain.containers import ContainerSpec
from jeroboam.domain.hosts import Host
from jeroboam.domain.quotas import ContainerUse


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacementRequest:
    """A container to place."""

    uuid: str
    spec: ContainerSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateHost:
    """A host and what it holds already."""

    host: Host
    used: ContainerUse = field(default_factory=ContainerUse)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacementRules:
    """How full a host may get, as a multiple of what it has, and when it counts as away."""

    now: dt.datetime
    cpu_ratio: float = 16.0
    memory_ratio: float = 1.5
    disk_ratio: float = 1.0
    down_seconds: float = 180.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacementRefusal:
    """Why nobody takes it. `temporary`: hosts are away that may come back."""

    text: str
    temporary: bool


Filter = Callable[[PlacementRequest, CandidateHost, PlacementRules], str | None]
"""None if the host may take it, else the reason, as it stands in an explanation."""


def up(_want: PlacementRequest, candidate: CandidateHost, rules: PlacementRules) -> str | None:
    """The agent was heard of lately and can use its runtime."""
    host = candidate.host
    silent = host.last_seen is None or rules.now - host.last_seen > dt.timedelta(seconds=rules.down_seconds)
    if host.forced_down or silent:
        return "down"
    return None if host.runtime_error is None else f"its runtime cannot be used ({host.runtime_error})"


def enabled(_want: PlacementRequest, candidate: CandidateHost, _rules: PlacementRules) -> str | None:
    """Nobody took it out of service."""
    return "disabled" if candidate.host.disabled else None


def zone(want: PlacementRequest, candidate: CandidateHost, _rules: PlacementRules) -> str | None:
    """It is in the zone that was asked for."""
    asked = want.spec.availability_zone
    return None if not asked or asked == candidate.host.availability_zone else "in another availability zone"


def asked_for(want: PlacementRequest, candidate: CandidateHost, _rules: PlacementRules) -> str | None:
    """It is the host that was asked for."""
    return None if want.spec.host in {None, candidate.host.hostname} else "not the requested host"


def runtime(want: PlacementRequest, candidate: CandidateHost, _rules: PlacementRules) -> str | None:
    """It has the low-level runtime that was asked for."""
    asked = want.spec.runtime
    return None if asked is None or asked in candidate.host.facts.runtimes else f"no runtime {asked}"


def label(want: PlacementRequest, candidate: CandidateHost, _rules: PlacementRules) -> str | None:
    """Its engine has the labels that the hints name (`label:<key>`)."""
    for key, value in want.spec.hints.items():
        name = key.removeprefix("label:")
        if name != key and candidate.host.facts.labels.get(name) != value:
            return f"label {name} differs"
    return None


def room(want: PlacementRequest, candidate: CandidateHost, rules: PlacementRules) -> str | None:
    """It has memory, cores and disk left."""
    facts, used, spec = candidate.host.facts, candidate.used, want.spec
    if used.memory + spec.memory > facts.mem_total * rules.memory_ratio:
        return "not enough memory"
    if spec.cpu > facts.cpus:
        return "has fewer cores"
    if used.cpu + spec.cpu > facts.cpus * rules.cpu_ratio:
        return "not enough cores"
    if spec.disk is not None and not facts.disk_quota_supported:
        return "cannot limit disk"
    if used.disk + (spec.disk or 0) > facts.disk_total * rules.disk_ratio:
        return "not enough disk"
    return None


FILTERS: tuple[Filter, ...] = (enabled, asked_for, zone, runtime, label, room, up)


def place(
    wants: Iterable[PlacementRequest], candidates: Sequence[CandidateHost], rules: PlacementRules
) -> dict[str, Host | PlacementRefusal]:
    """For each want its host, or why there is none. The least used host that may take a container takes it."""
    state = list(candidates)
    placed: dict[str, Host | PlacementRefusal] = {}
    for want in wants:
        reasons = [_refusal(want, candidate, rules) for candidate in state]
        fits = [index for index, reason in enumerate(reasons) if reason is None]
        if not fits:
            placed[want.uuid] = _explain([reason for reason in reasons if reason is not None])
            continue
        best = min(fits, key=lambda index: _load(state[index]))
        state[best] = replace(state[best], used=_with(state[best].used, want.spec))
        placed[want.uuid] = state[best].host
    return placed


def _refusal(want: PlacementRequest, candidate: CandidateHost, rules: PlacementRules) -> tuple[str, bool] | None:
    for check in FILTERS:
        reason = check(want, candidate, rules)
        if reason is not None:
            return reason, check is up
    return None


def _explain(reasons: Sequence[tuple[str, bool]]) -> PlacementRefusal:
    if not reasons:
        return PlacementRefusal(text="There are not enough hosts available: no agent has reported yet.", temporary=True)
    counted = Counter(reason for reason, _temporary in reasons)
    parts = [f"{count} host{'s' if count > 1 else ''}: {reason}" for reason, count in counted.most_common()]
    text = f"There are not enough hosts available. {'; '.join(parts)}"
    return PlacementRefusal(text=text, temporary=any(temporary for _reason, temporary in reasons))


def _load(candidate: CandidateHost) -> tuple[float, str]:
    facts, used = candidate.host.facts, candidate.used
    return max(used.memory / max(facts.mem_total, 1), used.cpu / max(facts.cpus, 1)), candidate.host.hostname


def _with(used: ContainerUse, spec: ContainerSpec) -> ContainerUse:
    return ContainerUse(
        containers=used.containers + 1,
        memory=used.memory + spec.memory,
        cpu=used.cpu + spec.cpu,
        disk=used.disk + (spec.disk or 0),
    )
