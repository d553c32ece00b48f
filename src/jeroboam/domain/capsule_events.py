"""Events of capsules: what happened to a capsule and its containers, when and why; for its users.

The API writes one with every wish that it accepts, dispatch one with every change that an agent reports, each in the
transaction that stores the change. An event outlives its capsule. This module decides which changes get an event, by
comparing two states of a capsule.
"""

import datetime as dt
from dataclasses import dataclass

from jeroboam.domain.capsule_states import phase_of
from jeroboam.domain.capsules import Capsule, CapsulePhase, MemberObserved
from jeroboam.domain.containers import RuntimeState

CREATE, DELETE = "capsule.create", "capsule.delete"
STATUS = "capsule.status"
MEMBER_START, MEMBER_END, MEMBER_WAIT = "container.start", "container.end", "container.wait"
MEMBER_READY, MEMBER_UNREADY = "container.ready", "container.unready"


@dataclass(frozen=True, kw_only=True, slots=True)
class CapsuleEvent:
    """One thing that happened to one capsule."""

    uuid: str
    capsule_id: str
    project_id: str
    """The capsule's project: its members may read the event."""
    container_id: str | None = None
    """The container that it is about; None for the whole capsule."""
    container_name: str | None = None
    event_type: str
    status: str | None = None
    """The capsule's status from that moment on."""
    message: str | None = None
    """A plain sentence for its users."""
    user_id: str | None = None
    """Who asked; None for what an agent observed or did by itself."""
    request_id: str | None = None
    created_at: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CapsuleEventDraft:
    """An event before it has a number and a time."""

    event_type: str
    message: str | None = None
    container_id: str | None = None
    container_name: str | None = None


def draft_capsule_events(before: Capsule, after: Capsule) -> list[CapsuleEventDraft]:
    """Return the events for that change: of its containers, then of the capsule itself."""
    drafts = []
    for member in after.spec.members:
        old, new = before.observed.member(member.uuid), after.observed.member(member.uuid)
        drafts += [
            CapsuleEventDraft(event_type=kind, message=text, container_id=member.uuid, container_name=member.name)
            for kind, text in _list_changes(old, new)
        ]
    has_changed = (after.status, after.status_reason) != (before.status, before.status_reason)
    if has_changed and (after.status != before.status or after.status_reason):
        phase = phase_of(after)
        message = after.status_reason or (
            "All containers have ended well." if phase is CapsulePhase.SUCCEEDED else None
        )
        drafts.append(CapsuleEventDraft(event_type=STATUS, message=message))
    return drafts


def _list_changes(old: MemberObserved, new: MemberObserved) -> list[tuple[str, str]]:
    changes = []
    started_at = new.container.started_at
    if started_at is not None and started_at != old.container.started_at:
        again = f"Started again ({new.restart_count})." if new.restart_count else "Started."
        changes.append((MEMBER_START, again))
    has_ended = new.container.state in {RuntimeState.EXITED, RuntimeState.DEAD}
    if has_ended and new.container.finished_at != old.container.finished_at:
        changes.append((MEMBER_END, f"Ended with exit code {new.container.exit_code}."))
    if new.reason and new.reason != old.reason:
        changes.append((MEMBER_WAIT, new.reason))
    if new.is_ready != old.is_ready and new.container.state is RuntimeState.RUNNING:
        changes.append((MEMBER_READY, "Ready.") if new.is_ready else (MEMBER_UNREADY, "Not ready."))
    return changes
