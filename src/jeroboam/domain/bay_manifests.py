"""Objects that a manifest makes inside a cluster through the API of 2015: pods, services, replication controllers.

The wish is the manifest, with a number: each change adds one, and the loop carries out the newest. The API also shows
the facts that the cluster's own API gave last; before that, those of the manifest. Neighbour: `bay_containers`, which
can be started, stopped and entered and so have another kind of wish. Contract: container-infra, section 15.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from jeroboam.domain.errors import Conflict


class BayManifestKind(StrEnum):
    """The kind of the object; the value is its name in the API of 2015."""

    POD = "pod"
    SERVICE = "service"
    RC = "rc"


class BayManifestStatus(StrEnum):
    """The public status. The first five are the phases of a pod; a service or controller is running once it works."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"
    ERROR = "Error"


KIND_NAMES = {
    BayManifestKind.POD: "Pod",
    BayManifestKind.SERVICE: "Service",
    BayManifestKind.RC: "ReplicationController",
}
"""The name of each kind in Kubernetes, for manifests and errors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BayManifestSpec:
    """The wish."""

    manifest: dict[str, Any]
    """The manifest as an object of JSON."""
    text: str
    """The same as its user wrote it."""
    url: str | None = None
    """The URL that it was fetched from, if any."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestFacts:
    """The facts of such an object, from its manifest or from the cluster."""

    labels: dict[str, str] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    host: str | None = None
    """The node that a pod runs on."""
    selector: dict[str, str] = field(default_factory=dict)
    ip: str | None = None
    """The address of a service."""
    ports: tuple[dict[str, int | str], ...] = ()
    replicas: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestState:
    """Such an object as the cluster's own API shows it."""

    status: BayManifestStatus
    reason: str | None = None
    facts: ManifestFacts = field(default_factory=ManifestFacts)


@dataclass(frozen=True, kw_only=True, slots=True)
class BayManifestObserved:
    """What the loop last observed, and the last wish that ended."""

    generation: int = 0
    """The wish that was last carried out or given up."""
    touched: bool = False
    """Whether anything of it may exist; noted before the first try."""
    seen: ManifestState | None = None
    """None: it does not exist."""
    failure: str | None = None
    """Why the wish of that generation was given up; None if it was not."""
    silent: str | None = None
    """Why the cluster could not be asked the last time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BayManifest:
    """A pod, service or replication controller in a bay."""

    uuid: str
    name: str
    """The name in its manifest; it cannot be changed."""
    project_id: str
    user_id: str
    kind: BayManifestKind
    cluster_id: str
    spec: BayManifestSpec
    observed: BayManifestObserved = field(default_factory=BayManifestObserved)
    generation: int = 1
    """Counts wishes: each accepted write adds one."""
    status: BayManifestStatus = BayManifestStatus.PENDING
    status_reason: str | None = None
    deleting: bool = False
    deadline_at: dt.datetime | None = None
    """When the work in progress is given up."""
    created_at: dt.datetime
    updated_at: dt.datetime | None = None


# ---------------------------------------------------------------------------------------------------------- facts


def build_facts(kind: BayManifestKind, source: Mapping[str, Any]) -> ManifestFacts:
    """Return the facts in a manifest or in an answer of Kubernetes. Parts of a wrong form are left out."""
    meta, spec = _object(source.get("metadata")), _object(source.get("spec"))
    labels = _texts(meta.get("labels"))
    if kind is BayManifestKind.SERVICE:
        ip = spec.get("clusterIP")
        return ManifestFacts(
            labels=labels,
            selector=_texts(spec.get("selector")),
            ip=ip if isinstance(ip, str) and ip else None,
            ports=tuple(_port(port) for port in _objects(spec.get("ports"))),
        )
    if kind is BayManifestKind.RC:
        inner = _object(_object(spec.get("template")).get("spec"))
        replicas = spec.get("replicas", 1)
        return ManifestFacts(
            labels=labels,
            images=tuple(_images(inner)),
            selector=_texts(spec.get("selector")),
            replicas=replicas if isinstance(replicas, int) else None,
        )
    node = spec.get("nodeName")
    return ManifestFacts(labels=labels, images=tuple(_images(spec)), host=node if isinstance(node, str) else None)


def current_facts_of(manifest: BayManifest) -> ManifestFacts:
    """Return the facts that the API shows: the last observed ones, before that those of the manifest."""
    return (
        build_facts(manifest.kind, manifest.spec.manifest)
        if manifest.observed.seen is None
        else manifest.observed.seen.facts
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def _texts(value: Any) -> dict[str, str]:
    return {key: item for key, item in _object(value).items() if isinstance(item, str)}


def _images(spec: Mapping[str, Any]) -> Iterator[str]:
    return (item["image"] for item in _objects(spec.get("containers")) if isinstance(item.get("image"), str))


def _port(port: Mapping[str, Any]) -> dict[str, int | str]:
    names = ("name", "protocol", "port", "targetPort", "nodePort")
    return {name: port[name] for name in names if isinstance(port.get(name), int | str)}


# --------------------------------------------------------------------------------------------------------- states

_S = BayManifestStatus


def describe_vanished(kind: BayManifestKind) -> str:
    """Return the reason for one that was removed from outside."""
    return f"The {KIND_NAMES[kind]} is gone from its bay."


def failure_of(manifest: BayManifest) -> str | None:
    """Return why the last wish failed; None if it did not."""
    return manifest.observed.failure if manifest.observed.generation == manifest.generation else None


def is_due(manifest: BayManifest) -> bool:
    """Whether its newest wish has neither been carried out nor given up."""
    return not manifest.deleting and manifest.observed.generation < manifest.generation


def ask_manifest_change(
    manifest: BayManifest, spec: BayManifestSpec, *, now: dt.datetime, deadline: dt.datetime
) -> BayManifest:
    """Return it with another manifest. Raises `Conflict` for one that is being deleted."""
    if manifest.deleting:
        raise Conflict(
            f"Cannot update {KIND_NAMES[manifest.kind]} {manifest.uuid}: it is being deleted.", field="status"
        )
    until = max(deadline, manifest.deadline_at) if is_due(manifest) and manifest.deadline_at else deadline
    return project_bay_manifest(replace(_add_wish(manifest, now, until), spec=spec))


def ask_manifest_delete(manifest: BayManifest, *, now: dt.datetime, deadline: dt.datetime) -> BayManifest:
    """Return it in deletion. Asking twice is the same as asking once."""
    return (
        manifest
        if manifest.deleting
        else project_bay_manifest(replace(_add_wish(manifest, now, deadline), deleting=True))
    )


def _add_wish(manifest: BayManifest, now: dt.datetime, deadline: dt.datetime) -> BayManifest:
    return replace(manifest, generation=manifest.generation + 1, deadline_at=deadline, updated_at=now)


def project_bay_manifest(manifest: BayManifest, *, waiting_for: str | None = None) -> BayManifest:
    """Return it with its public status; with a deadline only while something is due.

    `waiting_for` says what the work waits for, once that is known.
    """
    state = manifest.observed.seen
    if manifest.deleting:
        if failure_of(manifest) is not None:
            return replace(manifest, status=_S.ERROR, status_reason=failure_of(manifest), deadline_at=None)
        reason = f"It is being deleted: {waiting_for}" if waiting_for else "It is being deleted."
        return replace(manifest, status=_S.UNKNOWN if state is None else state.status, status_reason=reason)
    if is_due(manifest):
        reason = waiting_for or "Its manifest is being applied."
        return replace(manifest, status=_S.PENDING if state is None else state.status, status_reason=reason)
    status, status_reason = _status_at_rest(manifest)
    return replace(manifest, status=status, status_reason=status_reason, deadline_at=None)


def _status_at_rest(manifest: BayManifest) -> tuple[BayManifestStatus, str | None]:
    observed = manifest.observed
    state = observed.seen
    if failure_of(manifest) is not None:
        return _S.ERROR if state is None else state.status, failure_of(manifest)
    if observed.silent is not None:
        return _S.UNKNOWN, observed.silent
    if state is None:
        return _S.ERROR, describe_vanished(manifest.kind)
    return state.status, state.reason
