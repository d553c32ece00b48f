"""How capsules are shown, at each version (contract: section 4). Neighbours: `capsules`; `fields`, for containers."""

from collections.abc import Collection
from typing import NotRequired, TypedDict

from jeroboam.api.call import Call
from jeroboam.api.container import fields
from jeroboam.api.container.capsule_template import RUNTIME_POLICIES
from jeroboam.api.container.fields import ContainerShape
from jeroboam.api.container.shapes import AddressShape, RestartPolicyShape
from jeroboam.api.container.views import show_addresses, show_restart_policy, stamp
from jeroboam.api.shapes import Link, NextPage, Uuid
from jeroboam.api.wire import format_time, links
from jeroboam.domain.capsule_events import CapsuleEvent
from jeroboam.domain.capsule_states import phase_of, project_member
from jeroboam.domain.capsules import Capsule, CapsulePhase, MemberSpec
from jeroboam.domain.containers import RuntimeState, Status

NEW_SHAPE_SINCE = 32


class ContainerStatusShape(TypedDict):
    """The state of one container, with what Kubernetes shows of it. Ours."""

    uuid: Uuid
    name: str
    init: bool
    state: RuntimeState
    started: bool
    ready: bool
    restart_count: int
    exit_code: int | None
    started_at: str | None
    finished_at: str | None
    reason: str | None


class CapsuleShape(TypedDict):
    """A capsule, from version 1.32 on. `phase` and `container_statuses` are not Zun's."""

    uuid: Uuid
    links: list[Link]
    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    restart_policy: RestartPolicyShape | None
    status: Status
    status_reason: str | None
    cpu: float
    memory: str
    addresses: dict[str, list[AddressShape]]
    containers: list[ContainerShape]
    init_containers: list[ContainerShape]
    host: NotRequired[str | None]
    project_id: str
    user_id: str
    created_at: str | None
    updated_at: str | None
    phase: CapsulePhase
    container_statuses: list[ContainerStatusShape]


class LegacyCapsuleShape(TypedDict):
    """A capsule up to version 1.31. The members without a type of their own are always the same."""

    uuid: Uuid
    links: list[Link]
    meta_name: str
    meta_labels: dict[str, str]
    restart_policy: str
    status: Status
    status_reason: str | None
    cpu: float
    memory: str
    addresses: dict[str, list[AddressShape]]
    containers: list[ContainerShape]
    host: NotRequired[str | None]
    project_id: str
    user_id: str
    created_at: str | None
    updated_at: str | None
    volumes_info: dict[str, str]
    containers_uuids: list[str]
    init_containers_uuids: list[str]
    capsule_version: str


class CapsuleList(TypedDict):
    """A page of capsules, from version 1.32 on."""

    capsules: list[CapsuleShape]
    next: NextPage | None


class LegacyCapsuleList(TypedDict):
    """A page of capsules up to version 1.31."""

    capsules: list[LegacyCapsuleShape]
    next: NextPage | None


class CapsuleEventShape(TypedDict):
    """What happened to a capsule, or to the container that is named."""

    uuid: Uuid
    capsule_uuid: Uuid
    container_uuid: Uuid | None
    container_name: str | None
    project_id: str
    event_type: str
    status: str | None
    message: str | None
    user_id: str | None
    request_id: str | None
    created_at: str | None


class CapsuleEventList(TypedDict):
    """A page of events."""

    events: list[CapsuleEventShape]
    next: NextPage | None


class CapsuleView:
    """How capsules are shown to one caller at one version."""

    def __init__(self, call: Call) -> None:
        self._base = call.base
        self._is_legacy = call.version < NEW_SHAPE_SINCE
        self._hidden_keys: Collection[str] = fields.hidden_from(call)
        self._shows_host = call.allows("capsule:get:host")
        self._now = call.parts.clock.now()

    def show(self, capsule: Capsule) -> CapsuleShape | LegacyCapsuleShape:
        """The capsule."""
        shape = self._show_legacy(capsule) if self._is_legacy else self._show(capsule)
        if self._shows_host:
            shape["host"] = capsule.host
        return shape

    def _show(self, capsule: Capsule) -> CapsuleShape:
        return {
            "uuid": capsule.uuid,
            "links": links(self._base, "capsules", capsule.uuid),
            "name": capsule.name,
            "labels": capsule.spec.labels,
            "annotations": capsule.spec.annotations,
            "restart_policy": show_restart_policy(RUNTIME_POLICIES[capsule.spec.restart_policy]),
            "status": capsule.status,
            "status_reason": capsule.status_reason,
            "cpu": capsule.spec.cpu,
            "memory": str(capsule.spec.memory),
            "addresses": show_addresses(capsule.observed.addresses),
            "containers": self._show_members(capsule, capsule.spec.containers),
            "init_containers": self._show_members(capsule, capsule.spec.init_containers),
            "project_id": capsule.project_id,
            "user_id": capsule.user_id,
            "created_at": stamp(capsule.created_at),
            "updated_at": stamp(capsule.updated_at),
            "phase": phase_of(capsule),
            "container_statuses": [_show_status(capsule, member) for member in capsule.spec.members],
        }

    def _show_legacy(self, capsule: Capsule) -> LegacyCapsuleShape:
        return {
            "uuid": capsule.uuid,
            "links": links(self._base, "capsules", capsule.uuid),
            "meta_name": capsule.name,
            "meta_labels": capsule.spec.labels,
            "restart_policy": RUNTIME_POLICIES[capsule.spec.restart_policy].name,
            "status": capsule.status,
            "status_reason": capsule.status_reason,
            "cpu": capsule.spec.cpu,
            "memory": str(capsule.spec.memory),
            "addresses": show_addresses(capsule.observed.addresses),
            "containers": self._show_members(capsule, capsule.spec.containers),
            "project_id": capsule.project_id,
            "user_id": capsule.user_id,
            "created_at": stamp(capsule.created_at),
            "updated_at": stamp(capsule.updated_at),
            "volumes_info": {},
            "containers_uuids": [],
            "init_containers_uuids": [],
            "capsule_version": "",
        }

    def _show_members(self, capsule: Capsule, members: Collection[MemberSpec]) -> list[ContainerShape]:
        return [fields.view(project_member(capsule, member), self._hidden_keys, self._now) for member in members]


def _show_status(capsule: Capsule, member: MemberSpec) -> ContainerStatusShape:
    observed = capsule.observed.member(member.uuid)
    return {
        "uuid": member.uuid,
        "name": member.name,
        "init": member in capsule.spec.init_containers,
        "state": observed.container.state,
        "started": observed.is_started,
        "ready": observed.is_ready,
        "restart_count": observed.restart_count,
        "exit_code": observed.container.exit_code,
        "started_at": format_time(observed.container.started_at),
        "finished_at": format_time(observed.container.finished_at),
        "reason": observed.reason,
    }


def show_event(event: CapsuleEvent) -> CapsuleEventShape:
    """The event."""
    return {
        "uuid": event.uuid,
        "capsule_uuid": event.capsule_id,
        "container_uuid": event.container_id,
        "container_name": event.container_name,
        "project_id": event.project_id,
        "event_type": event.event_type,
        "status": event.status,
        "message": event.message,
        "user_id": event.user_id,
        "request_id": event.request_id,
        "created_at": format_time(event.created_at),
    }
