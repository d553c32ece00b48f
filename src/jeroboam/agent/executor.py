"""Brings one container to its assignment, one op at a time.

A pure function chooses the next op, and `OpExecutor` carries it out against the runtime. An op is re-entrant: the agent
may be killed at any moment, and a repeated op ends in the same state. The journal is written before and after each op.
The journal notes the last start of the container, which shows later whether a start or a reboot has happened.
Neighbour: `worker`, which calls this module for each container, one call at a time, and decides on retries.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from jeroboam.agent.container_ports import ContainerPorts, lacks_parts
from jeroboam.agent.due_ops import DueOp, find_due_op
from jeroboam.agent.image_pulls import ImagePulls
from jeroboam.agent.journal import Journal, JournalEntry
from jeroboam.agent.observations import merge_state
from jeroboam.agent.volumes import HostVolumes
from jeroboam.domain.containers import RESTARTING, ContainerObserved, Op, OpKind, RuntimeState, list_volume_mounts
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.kit.clock import Clock
from jeroboam.protocol import Assignment
from jeroboam.runtimes.base import (
    ContainerGone,
    ContainerState,
    Runtime,
    SupportsPause,
    SupportsResize,
)

Tell = Callable[[str, ContainerObserved], Awaitable[None]]

_NO_PAUSES = "this host's runtime cannot pause containers"
_ENDED = frozenset({RuntimeState.EXITED, RuntimeState.DEAD})
_STARTING = frozenset({OpKind.CREATE, OpKind.START, OpKind.REBOOT})
# Steps that can be interrupted at any moment and leave no half-made object.
_INTERRUPTIBLE = frozenset({"image_pulling", "container_stopping"})


class OpExecutor:
    """Carries ops out. `tell` receives reports, and drops a report that repeats the last one."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        journal: Journal,
        pulls: ImagePulls,
        volumes: HostVolumes,
        clock: Clock,
        tell: Tell,
        ports: ContainerPorts,
    ) -> None:
        self._runtime = runtime
        self._volumes = volumes
        self._ports = ports
        self._pulls = pulls
        self._journal = journal
        self._clock = clock
        self._tell = tell
        self._under_way: dict[str, int] = {}
        self._steps: dict[str, str] = {}
        self._reasons: dict[str, tuple[int, str]] = {}

    def find_due_op(self, assignment: Assignment) -> DueOp | None:
        return find_due_op(assignment, self._journal.entry(assignment.uuid).observed.seq)

    def may_interrupt(self, uuid: str, assignment: Assignment | None) -> bool:
        """Whether the op in progress is no longer the next one and can be interrupted."""
        seq, step = self._under_way.get(uuid), self._steps.get(uuid)
        if seq is None or step not in _INTERRUPTIBLE:
            return False
        due_op = self.find_due_op(assignment) if assignment is not None else None
        return due_op is None or due_op.op.seq != seq

    def has_changed(self, state: ContainerState) -> bool:
        """Whether the container has changed since it was last observed."""
        last = self._journal.entry(state.uuid).observed
        return merge_state(state, last) != last

    async def perform(self, assignment: Assignment, due_op: DueOp) -> None:
        """Carry the op out and report the result. Raises `Temporary` if the op has to be retried."""
        op, uuid = due_op.op, assignment.uuid
        entry = self._journal.entry(uuid)
        is_retry = entry.begun_seq == op.seq
        self._under_way[uuid] = op.seq
        self._steps.pop(uuid, None)
        try:
            state = await _OPERATIONS[op.kind](self, assignment, due_op, entry if is_retry else None)
        except Permanent as error:
            await self._end_failed(assignment, op, error.reason)
        else:
            await self._end_done(uuid, op, merge_state(state, entry.observed))
        finally:
            self._under_way.pop(uuid, None)

    async def report_wait(self, assignment: Assignment, op: Op, reason: str) -> None:
        """Report why the op has to be retried."""
        self._reasons[assignment.uuid] = (op.seq, reason)
        last, step = self._journal.entry(assignment.uuid).observed, self._steps.get(assignment.uuid)
        await self._report(assignment.uuid, replace(last, step=step, error=reason, error_seq=op.seq, failed_op=None))

    async def give_up(self, assignment: Assignment, op: Op) -> None:
        """End the op as failed: its deadline has passed. The runtime is not asked, since it may hang."""
        reason = self._reason(assignment.uuid, op.seq) or "it takes too long"
        observed = replace(
            self._journal.entry(assignment.uuid).observed,
            error=f"{op.kind} was not done by its deadline: {reason}",
            error_seq=op.seq,
            failed_op=op.kind,
        )
        await self._close(assignment.uuid, op, observed)

    async def observe(self, assignment: Assignment) -> None:
        """Report the container if it has changed; remove an ended container with auto-remove."""
        uuid = assignment.uuid
        last = self._journal.entry(uuid).observed
        state = await self._restore(assignment, last, await self._find(uuid))
        now = replace(merge_state(state, last), seq=max(last.seq, assignment.done), step=None)
        if state is None and now.seq == 0:
            return
        if now.state is RuntimeState.RUNNING and last.failed_op in _STARTING:
            # The op succeeded after it was given up.
            now = replace(now, error=None, error_seq=None, failed_op=None)
        if now != last:
            self._journal.record_observed(uuid, now)
        if state is not None and assignment.spec.auto_remove and state.state in _ENDED:
            await self._runtime.remove(uuid, force=False)
            now = merge_state(None, now)
            self._journal.record_observed(uuid, now)
        await self._report(uuid, now)

    async def _restore(
        self, assignment: Assignment, last: ContainerObserved, state: ContainerState | None
    ) -> ContainerState | None:
        """Provide volumes after a restart of the machine, and start what the runtime could not start without them.

        That it could not is said by the runtime, and that it ran by the journal, so this may be killed anywhere.
        """
        if not self._volumes.are_ready(assignment.spec):
            await self._volumes.provide(assignment.spec)
        policy = assignment.spec.restart_policy
        is_kept_running = policy is not None and policy.name in RESTARTING and last.state is RuntimeState.RUNNING
        is_lost = state is not None and state.state is RuntimeState.EXITED and bool(state.error)
        has_volumes = bool(list_volume_mounts(assignment.spec))
        return await self._ports.start(assignment) if is_kept_running and is_lost and has_volumes else state

    def forget(self, uuid: str) -> None:
        """Forget the container: it is not assigned any more."""
        self._journal.forget(uuid)
        self._reasons.pop(uuid, None)
        self._steps.pop(uuid, None)
        self._pulls.forget(uuid)

    async def remove_stray(self, uuid: str) -> None:
        """Remove a container that carries our tag and is not assigned."""
        await self._runtime.remove(uuid, force=True)

    async def create(self, assignment: Assignment, due_op: DueOp, before: JournalEntry | None) -> ContainerState:
        state = await self._find(assignment.uuid) if before is not None else None
        self._begin(assignment.uuid, due_op.op, None)
        if state is None or lacks_parts(state, assignment):
            state = await self._make(assignment, due_op.op)
        if due_op.op.params.get("run") and state.started_at is None:
            await self._step(assignment, "container_starting")
            state = await self._ports.start(assignment)
        return state

    async def _make(self, assignment: Assignment, op: Op) -> ContainerState:
        """Pull the image and create the container."""
        await self._step(assignment, "image_pulling")
        await self._pull(assignment, op)
        await self._step(assignment, "container_creating")
        return await self._create(assignment)

    async def _create(self, assignment: Assignment) -> ContainerState:
        return await self._ports.create(assignment, await self._volumes.provide(assignment.spec))

    async def _pull(self, assignment: Assignment, op: Op) -> None:
        await self._pulls.pull(
            assignment.uuid, op.seq, assignment.spec, project=assignment.project_id, login=assignment.login
        )

    async def _have(self, assignment: Assignment, due_op: DueOp) -> ContainerState:
        """Return the container; create it if it was never created or was removed from outside."""
        await self._volumes.provide(assignment.spec)
        try:
            return await self._runtime.inspect(assignment.uuid)
        except ContainerGone:
            self._begin(assignment.uuid, due_op.op, None)
            return await self._make(assignment, due_op.op)

    async def start(self, assignment: Assignment, due_op: DueOp, before: JournalEntry | None) -> ContainerState:
        state = await self._have(assignment, due_op)
        if before is not None and state.started_at != before.mark:
            return state
        self._begin(assignment.uuid, due_op.op, state)
        await self._step(assignment, "container_starting")
        return await self._ports.start(assignment)

    async def reboot(self, assignment: Assignment, due_op: DueOp, before: JournalEntry | None) -> ContainerState:
        state = await self._have(assignment, due_op)
        if before is not None and state.started_at != before.mark:
            return state
        self._begin(assignment.uuid, due_op.op, state)
        await self._step(assignment, "container_rebooting")
        await self._runtime.stop(assignment.uuid, due_op.op.params.get("timeout"))
        return await self._ports.start(assignment)

    async def rebuild(self, assignment: Assignment, due_op: DueOp, before: JournalEntry | None) -> ContainerState:
        """Make the container anew. The old one goes once the image is there, and is known by its id."""
        uuid, old_id = assignment.uuid, self._journal.entry(assignment.uuid).observed.runtime_id
        self._begin(uuid, due_op.op, None)
        state = await self._find(uuid)
        is_retry = before is not None and old_id is not None
        if state is not None and is_retry and state.runtime_id != old_id:
            if lacks_parts(state, assignment):
                state = await self._make(assignment, due_op.op)
        else:
            await self._step(assignment, "image_pulling")
            await self._pull(assignment, due_op.op)
            await self._step(assignment, "container_rebuilding")
            await self._runtime.remove(uuid, force=True)
            state = await self._create(assignment)
        if due_op.op.params.get("run") and state.started_at is None:
            await self._step(assignment, "container_starting")
            state = await self._ports.start(assignment)
        return state

    async def stop(self, assignment: Assignment, due_op: DueOp, _: JournalEntry | None) -> ContainerState:
        await self._step(assignment, "container_stopping")
        return await self._runtime.stop(assignment.uuid, due_op.op.params.get("timeout"))

    async def kill(self, assignment: Assignment, due_op: DueOp, before: JournalEntry | None) -> ContainerState:
        signal = due_op.op.params.get("signal") or "SIGKILL"
        state = await self._runtime.inspect(assignment.uuid)
        if before is not None:
            # The signal may have been sent. Only SIGKILL may be sent twice to the same process.
            is_same_process = state.started_at == before.mark and state.state not in _ENDED
            if not (is_same_process and signal == "SIGKILL"):
                return state
        self._begin(assignment.uuid, due_op.op, state)
        await self._step(assignment, "container_killing")
        try:
            return await self._runtime.kill(assignment.uuid, signal)
        except Temporary as error:
            if signal == "SIGKILL":
                raise
            raise Permanent(f"it is not known whether {signal} was delivered: {error.reason}") from error

    async def pause(self, assignment: Assignment, due_op: DueOp, before: JournalEntry | None) -> ContainerState:
        if not isinstance(self._runtime, SupportsPause):
            raise Permanent(_NO_PAUSES)
        state = await self._find_in_state(assignment, due_op, before, RuntimeState.PAUSED)
        await self._step(assignment, "container_pausing")
        return state or await self._runtime.pause(assignment.uuid)

    async def unpause(self, assignment: Assignment, due_op: DueOp, before: JournalEntry | None) -> ContainerState:
        if not isinstance(self._runtime, SupportsPause):
            raise Permanent(_NO_PAUSES)
        state = await self._find_in_state(assignment, due_op, before, RuntimeState.RUNNING)
        await self._step(assignment, "container_unpausing")
        return state or await self._runtime.unpause(assignment.uuid)

    async def update(self, assignment: Assignment, *_: object) -> ContainerState | None:
        if not isinstance(self._runtime, SupportsResize):
            raise Permanent("this host's runtime cannot change the limits of a container")
        spec = assignment.spec
        try:
            return await self._runtime.resize(assignment.uuid, cpu=spec.cpu, memory=spec.memory)
        except ContainerGone:
            # The container is created with these limits at its next start.
            return None

    async def change_networks(
        self, assignment: Assignment, due_op: DueOp, _: JournalEntry | None
    ) -> ContainerState | None:
        """Attach or detach: the assignment says which ports the container has now."""
        is_detach = due_op.op.kind is OpKind.NETWORK_DETACH
        await self._step(assignment, "network_detaching" if is_detach else "network_attaching")
        await self._ports.ensure()
        # A container that was never created is created with these ports.
        has_container = await self._find(assignment.uuid) is not None
        return await self._ports.plug(assignment) if has_container else None

    async def change_groups(self, assignment: Assignment, *_: object) -> ContainerState | None:
        """Have the rules of the container's groups set: the assignment has them."""
        await self._ports.ensure()
        return await self._find(assignment.uuid)

    async def delete(self, assignment: Assignment, due_op: DueOp, _: JournalEntry | None) -> None:
        params = due_op.op.params
        if params.get("stop"):
            await self._step(assignment, "container_stopping")
            try:
                await self._runtime.stop(assignment.uuid, params.get("timeout"))
            except ContainerGone:
                return
        await self._step(assignment, "container_deleting")
        force = bool(params.get("force") or params.get("stop") or due_op.skips_earlier)
        await self._runtime.remove(assignment.uuid, force=force)

    async def _find_in_state(
        self, assignment: Assignment, due_op: DueOp, before: JournalEntry | None, to: RuntimeState
    ) -> ContainerState | None:
        """Return the container if an earlier attempt has brought it to that state."""
        if before is not None:
            state = await self._runtime.inspect(assignment.uuid)
            return state if state.state is to else None
        self._begin(assignment.uuid, due_op.op, None)
        return None

    async def _find(self, uuid: str) -> ContainerState | None:
        try:
            return await self._runtime.inspect(uuid)
        except ContainerGone:
            return None

    def _begin(self, uuid: str, op: Op, state: ContainerState | None) -> None:
        self._journal.begin(uuid, op.seq, state.started_at if state is not None else None)

    async def _step(self, assignment: Assignment, step: str) -> None:
        uuid = assignment.uuid
        self._steps[uuid] = step
        last, seq = self._journal.entry(uuid).observed, self._under_way[uuid]
        await self._report(uuid, replace(last, step=step, error=self._reason(uuid, seq), error_seq=seq, failed_op=None))

    def _reason(self, uuid: str, seq: int) -> str | None:
        """Return why that op has to be retried; None if it has not failed."""
        reason_seq, reason = self._reasons.get(uuid, (0, ""))
        return reason if reason_seq == seq else None

    async def _end_failed(self, assignment: Assignment, op: Op, reason: str) -> None:
        # A container that could not be started stays: its owner can read, change, start or delete it.
        state = await self._find(assignment.uuid)
        last = self._journal.entry(assignment.uuid).observed
        # A rebuild that has not come as far as the container leaves it as it was.
        is_untouched = op.kind is OpKind.REBUILD and state is not None and state.runtime_id == last.runtime_id
        failed_op = None if is_untouched else op.kind
        observed = replace(merge_state(state, last), error=reason, error_seq=op.seq, failed_op=failed_op)
        await self._close(assignment.uuid, op, observed)

    async def _end_done(self, uuid: str, op: Op, observed: ContainerObserved) -> None:
        await self._close(uuid, op, replace(observed, error=None, error_seq=None, failed_op=None))

    async def _close(self, uuid: str, op: Op, observed: ContainerObserved) -> None:
        self._reasons.pop(uuid, None)
        self._steps.pop(uuid, None)
        self._pulls.forget(uuid)
        observed = replace(observed, seq=op.seq, step=None)
        self._journal.end(uuid, observed)
        await self._report(uuid, observed)

    async def _report(self, uuid: str, observed: ContainerObserved) -> None:
        await self._tell(uuid, replace(observed, reported_at=self._clock.now()))


_Operation = Callable[[OpExecutor, Assignment, DueOp, JournalEntry | None], Awaitable[ContainerState | None]]

_OPERATIONS: Mapping[OpKind, _Operation] = MappingProxyType(
    {
        OpKind.CREATE: OpExecutor.create,
        OpKind.START: OpExecutor.start,
        OpKind.STOP: OpExecutor.stop,
        OpKind.REBOOT: OpExecutor.reboot,
        OpKind.REBUILD: OpExecutor.rebuild,
        OpKind.PAUSE: OpExecutor.pause,
        OpKind.UNPAUSE: OpExecutor.unpause,
        OpKind.KILL: OpExecutor.kill,
        OpKind.UPDATE: OpExecutor.update,
        OpKind.NETWORK_ATTACH: OpExecutor.change_networks,
        OpKind.NETWORK_DETACH: OpExecutor.change_networks,
        OpKind.ADD_SECURITY_GROUP: OpExecutor.change_groups,
        OpKind.REMOVE_SECURITY_GROUP: OpExecutor.change_groups,
        OpKind.DELETE: OpExecutor.delete,
    }
)
