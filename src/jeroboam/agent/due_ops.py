"""Which op of a container or a capsule is next. Pure. Neighbours: the executors, which carry it out."""

from dataclasses import dataclass

from jeroboam.domain.containers import Op, OpKind
from jeroboam.protocol import AnyAssignment


@dataclass(frozen=True, kw_only=True, slots=True)
class DueOp:
    """The next op. `skips_earlier`: the earlier ops need not be done any more."""

    op: Op
    skips_earlier: bool = False


def find_due_op(assignment: AnyAssignment, ended_seq: int) -> DueOp | None:
    """Return the next op, or None: the oldest op that has not ended, or a delete, which replaces the others."""
    last_seq = max(assignment.done, ended_seq)
    pending_ops = [op for op in assignment.ops if op.seq > last_seq]
    deletes = [op for op in pending_ops if op.kind is OpKind.DELETE]
    if deletes:
        return DueOp(op=deletes[-1], skips_earlier=deletes[-1] is not pending_ops[0])
    return DueOp(op=pending_ops[0]) if pending_ops else None
