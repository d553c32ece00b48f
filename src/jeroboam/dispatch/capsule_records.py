"""What dispatch reads of capsules and writes to them. Neighbour: `records`, which does the same for containers."""

from dataclasses import replace

from jeroboam.domain.capsule_events import CapsuleEvent, draft_capsule_events
from jeroboam.domain.capsule_states import project_capsule
from jeroboam.domain.capsules import Capsule
from jeroboam.domain.containers import OpKind, RuntimeState
from jeroboam.domain.states import pending_ops_of
from jeroboam.kit.ids import Ids
from jeroboam.protocol.capsules import CapsuleAssignment, CapsuleReport
from jeroboam.store import Transaction


def build_capsule_assignment(capsule: Capsule) -> CapsuleAssignment:
    """Return what the agent of the capsule's host has to know."""
    return CapsuleAssignment(
        uuid=capsule.uuid,
        name=capsule.name,
        project_id=capsule.project_id,
        generation=capsule.generation,
        spec=capsule.spec,
        sandbox=capsule.sandbox,
        ops=pending_ops_of(capsule),
        done=max(capsule.observed.seq, capsule.given_up),
        deadline_at=capsule.deadline_at,
        is_given_up=capsule.failure is not None or capsule.observed.failed_op is OpKind.CREATE,
    )


async def store_capsule_report(tx: Transaction, host_id: str, report: CapsuleReport, ids: Ids) -> bool:
    """Store the observation, with the events that follow from it. False if the capsule is not the host's (any more)."""
    capsule = await tx.capsules.get(report.uuid)
    if capsule is None or capsule.host_id != host_id:
        return False
    if _is_gone(capsule, report):
        await tx.capsules.remove({"uuid": capsule.uuid})
        await _notify(tx, capsule, OpKind.DELETE)
        return False
    observed = replace(report.observed, reported_at=tx.now)
    updated_capsule = project_capsule(replace(capsule, observed=observed, updated_at=tx.now))
    await tx.capsules.update(updated_capsule)
    for draft in draft_capsule_events(capsule, updated_capsule):
        event = CapsuleEvent(
            uuid=ids.uuid(),
            capsule_id=capsule.uuid,
            project_id=capsule.project_id,
            container_id=draft.container_id,
            container_name=draft.container_name,
            event_type=draft.event_type,
            status=updated_capsule.status,
            message=draft.message,
            created_at=tx.now,
        )
        await tx.capsule_events.insert(event)
    if capsule.ops and not pending_ops_of(updated_capsule):
        await _notify(tx, updated_capsule, capsule.ops[-1].kind)
    return True


def _is_gone(capsule: Capsule, report: CapsuleReport) -> bool:
    """Whether the capsule is removed for good."""
    if report.observed.state is not RuntimeState.ABSENT or report.observed.error is not None:
        return False
    return any(op.kind is OpKind.DELETE and op.seq <= report.observed.seq for op in capsule.ops)


async def _notify(tx: Transaction, capsule: Capsule, kind: OpKind) -> None:
    payload = {"capsule": capsule.uuid, "project_id": capsule.project_id, "status": capsule.status}
    await tx.notify(f"capsule.{kind}", capsule.uuid, payload)
