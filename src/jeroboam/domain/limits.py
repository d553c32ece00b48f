"""Limits: rules for the clusters of a project, beside the quota of how many there may be.

An operator states limits in one file. A limit has a name, says whom it concerns, and bounds one thing or several. All
limits that concern a project apply together, so adding a limit never allows more. A project that is exempt from a limit
is named in it. This module reads no file and asks nobody: bootstrap reads the file, the API checks wishes, the
conductor checks ages.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import msgspec

from jeroboam.domain.clusters import Cluster, NodeGroup, Template, flavor_of
from jeroboam.domain.errors import Forbidden
from jeroboam.kit.words import format_count

_Count = Annotated[int, msgspec.Meta(ge=0)]
# A century: what is more has no date at its other end.
_Days = Annotated[float, msgspec.Meta(gt=0, le=36_525)]
_Word = Annotated[str, msgspec.Meta(min_length=1)]
_SELECTORS = frozenset({"name", "projects", "domains", "except_projects", "at_max_age"})


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One limit, as it stands in the file. An absent bound bounds nothing."""

    name: _Word
    projects: tuple[_Word, ...] = ()
    """Ids or names; without projects and domains the limit concerns every project."""
    domains: tuple[_Word, ...] = ()
    """Ids of identity domains, for all their projects."""
    except_projects: tuple[_Word, ...] = ()
    allowed_templates: tuple[_Word, ...] | None = None
    """Names or uuids; these and the next three may be shell patterns: `m1.*`."""
    allowed_flavors: tuple[_Word, ...] | None = None
    allowed_coes: tuple[_Word, ...] | None = None
    allowed_providers: tuple[_Word, ...] | None = None
    max_nodes_per_cluster: _Count | None = None
    max_nodes_per_project: _Count | None = None
    required_labels: dict[_Word, str] = {}
    """Labels that a cluster must have, each with a regular expression for its whole value."""
    forbidden_labels: tuple[_Word, ...] = ()
    """Labels that no cluster, node group or template may have; shell patterns."""
    cluster_name: str | None = None
    """A regular expression for the whole name of a cluster."""
    max_age_days: _Days | None = None
    at_max_age: Literal["warn", "delete"] = "warn"


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitOwner:
    """A project, as limits select it."""

    project_id: str
    project_name: str = ""
    domain_id: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestedSize:
    """What a wish asks for. None is not checked."""

    cluster_name: str | None = None
    template: tuple[str, str] | None = None
    """Uuid and name."""
    coe: str | None = None
    provider: str | None = None
    flavors: Sequence[str] = ()
    """The flavours of the nodes that would be made."""
    labels: Mapping[str, str] | None = None
    """All labels of the object."""
    labels_complete: bool = False
    """Whether these are all labels of a cluster, so that required labels have to be among them."""
    cluster_nodes: int | None = None
    project_nodes: int | None = None


def build_requested_size(cluster: Cluster, groups: Sequence[NodeGroup], template: Template | None) -> RequestedSize:
    """Return the cluster as a wish for all that it is; `template` is None if it does not exist any more."""
    template_spec = cluster.spec.template
    return RequestedSize(
        cluster_name=cluster.name,
        template=(cluster.template_id, template.name if template else ""),
        coe=template_spec.coe,
        provider=template_spec.driver,
        flavors=[flavor_of(cluster, group) for group in groups],
        labels=cluster.spec.labels,
        labels_complete=True,
        cluster_nodes=sum(group.spec.node_count for group in groups),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitVerdict:
    """The verdict of one bound of one limit on a wish."""

    limit: str
    field: str
    is_allowed: bool
    text: str
    """What is allowed, and what was asked for."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    limits: tuple[Any, ...]


def parse_limits(document: Any) -> tuple[Limit, ...]:
    """Return the limits of a file: `{"limits": [...]}`. Raises `ValueError` with the first fault, and its place."""
    faults = list_limit_faults(document)
    if faults:
        raise ValueError(faults[0])
    return tuple(msgspec.convert(entry, Limit) for entry in document["limits"])


def list_limit_faults(document: Any) -> list[str]:
    """Return everything that is wrong with a file of limits, in a line each that names the limit or its place."""
    try:
        entries = msgspec.convert(document, _File).limits
    except msgspec.ValidationError as error:
        return [str(error)]
    faults: list[str] = []
    names: set[str] = set()
    for index, entry in enumerate(entries):
        place = f"$.limits[{index}]"
        try:
            limit = msgspec.convert(entry, Limit)
        except msgspec.ValidationError as error:
            faults += _list_field_faults(entry, place) or [_place_error(error, place)]
            continue
        if limit.name in names:
            faults.append(f"limit {limit.name}: there are two of that name")
        names.add(limit.name)
        faults += (f"limit {limit.name}: {fault}" for fault in _list_bound_faults(limit))
    return faults


def _list_field_faults(entry: Any, place: str) -> list[str]:
    """Return the faults of the fields of one limit; none if only the limit as a whole is wrong."""
    types = {field.name: field.type for field in msgspec.structs.fields(Limit)}
    faults = []
    for name, value in entry.items() if isinstance(entry, dict) else ():
        if name not in types:
            faults.append(f"Object contains unknown field `{name}` - at `{place}`")
            continue
        try:
            msgspec.convert(value, types[name])
        except msgspec.ValidationError as error:
            faults.append(_place_error(error, f"{place}.{name}"))
    return faults


def _place_error(error: msgspec.ValidationError, place: str) -> str:
    """Return the text of an error with the place in the file; msgspec names the place in the value."""
    text, dash, inner = str(error).partition(" - at `$")
    return f"{text} - at `{place}{inner if dash else '`'}"


def _list_bound_faults(limit: Limit) -> Iterator[str]:
    """Yield what is wrong with the bounds of a well-formed limit."""
    patterns = {"cluster_name": limit.cluster_name} | {
        f"required_labels/{key}": pattern for key, pattern in limit.required_labels.items()
    }
    for where, pattern in patterns.items():
        try:
            re.compile(pattern or "")
        except RecursionError:
            yield f"{where}: {pattern!r} is no regular expression: it is nested too deeply"
        except (re.error, OverflowError) as error:
            yield f"{where}: {pattern!r} is no regular expression: {error}"
    if limit.at_max_age != "warn" and limit.max_age_days is None:
        yield "at_max_age says nothing without max_age_days"
    bounds = [name for name in limit.__struct_fields__ if name not in _SELECTORS]
    if all(getattr(limit, name) in (None, (), {}) for name in bounds if not name.startswith("allowed")) and all(
        getattr(limit, name) is None for name in bounds if name.startswith("allowed")
    ):
        yield f"it bounds nothing; it may have {', '.join(bounds)}"


def select_limits(limits: Iterable[Limit], owner: LimitOwner) -> tuple[Limit, ...]:
    """Return the limits that apply to that project."""
    return tuple(limit for limit in limits if _applies_to(limit, owner))


def _applies_to(limit: Limit, owner: LimitOwner) -> bool:
    names = {owner.project_id, owner.project_name} - {""}
    if names & set(limit.except_projects):
        return False
    if not limit.projects and not limit.domains:
        return True
    return bool(names & set(limit.projects)) or owner.domain_id in limit.domains


def judge_request(limits: Iterable[Limit], request: RequestedSize) -> Iterator[LimitVerdict]:
    """Yield the verdict of each bound of each limit that concerns the wish."""
    for limit in limits:
        yield from _judge_kind(limit, request)
        yield from _judge_labels(limit, request)
        yield from _judge_size(limit, request)


def check_limits(limits: Iterable[Limit], request: RequestedSize) -> None:
    """Raise `Forbidden` with the first bound that the wish exceeds."""
    for verdict in judge_request(limits, request):
        if not verdict.is_allowed:
            raise Forbidden(f"Limit {verdict.limit}: {verdict.text}", field=verdict.field)


def _judge_kind(limit: Limit, request: RequestedSize) -> Iterator[LimitVerdict]:
    def one_of(field: str, subject: str, patterns: Sequence[str] | None, *names: str | None) -> Iterator[LimitVerdict]:
        """Yield whether one of the names matches one of the patterns."""
        if patterns is None:
            return
        known_names = [name for name in names if name]
        is_allowed = any(fnmatchcase(name, pattern) for name in known_names for pattern in patterns)
        request_text = f"the request has {known_names[-1]}" if known_names else "the request has none"
        text = f"{subject} may be {_join_patterns(patterns)}; {request_text}."
        yield LimitVerdict(limit=limit.name, field=field, is_allowed=is_allowed, text=text)

    if request.template is not None:
        yield from one_of("cluster_template_id", "the cluster template", limit.allowed_templates, *request.template)
    if request.coe is not None:
        yield from one_of("coe", "the COE", limit.allowed_coes, request.coe)
    if request.provider is not None:
        yield from one_of("driver", "the provider (driver)", limit.allowed_providers, request.provider)
    for flavor in dict.fromkeys(request.flavors):
        yield from one_of("flavor_id", "a flavor", limit.allowed_flavors, flavor)
    if request.cluster_name is not None and limit.cluster_name is not None:
        text = f"a cluster's name has to match {limit.cluster_name}; the request has {request.cluster_name}."
        is_allowed = re.fullmatch(limit.cluster_name, request.cluster_name) is not None
        yield LimitVerdict(limit=limit.name, field="name", is_allowed=is_allowed, text=text)


def _judge_labels(limit: Limit, request: RequestedSize) -> Iterator[LimitVerdict]:
    if request.labels is None:
        return
    for pattern in limit.forbidden_labels:
        matches = sorted(key for key in request.labels if fnmatchcase(key, pattern))
        text = f"the label {pattern} is not allowed; the request has {', '.join(matches) or 'none'}."
        yield LimitVerdict(limit=limit.name, field="labels", is_allowed=not matches, text=text)
    for key, pattern in limit.required_labels.items() if request.labels_complete else ():
        value = request.labels.get(key)
        is_allowed = value is not None and re.fullmatch(pattern, value) is not None
        request_text = "there is none" if value is None else f"the request has {value}"
        text = f"a cluster has to have a label {key} that matches {pattern}; {request_text}."
        yield LimitVerdict(limit=limit.name, field="labels", is_allowed=is_allowed, text=text)


def _judge_size(limit: Limit, request: RequestedSize) -> Iterator[LimitVerdict]:
    sizes = (
        ("cluster", limit.max_nodes_per_cluster, request.cluster_nodes),
        ("project", limit.max_nodes_per_project, request.project_nodes),
    )
    for owner_kind, max_nodes, nodes in sizes:
        if max_nodes is not None and nodes is not None:
            text = (
                f"a {owner_kind} may have {format_count(max_nodes, 'node')}, masters included; it would have {nodes}."
            )
            yield LimitVerdict(limit=limit.name, field="node_count", is_allowed=nodes <= max_nodes, text=text)


def _join_patterns(patterns: Sequence[str]) -> str:
    return ", ".join(patterns) or "none at all"
