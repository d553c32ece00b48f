"""Carries one capsule on this host: its sandbox, its containers, and what the supervisor decides of them.

The two ops make it and remove it; between them every look brings it closer to what it should be, from any half-made
state: what exists is asked of the runtime, what was decided is in the journal. Neighbours: `supervisor`, which decides;
`probes`; `worker`, which calls this module for each capsule, one call at a time; `executor`, its peer for containers.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

from jeroboam.agent import supervisor
from jeroboam.agent.due_ops import DueOp, find_due_op
from jeroboam.agent.image_pulls import ImagePulls
from jeroboam.agent.journal import Journal
from jeroboam.agent.probes import ProbeMonitor
from jeroboam.domain.capsules import FINAL_PHASES, CapsuleObserved, CapsulePhase, MemberObserved, MemberSpec
from jeroboam.domain.containers import ContainerSpec, Op, OpKind, RuntimeState
from jeroboam.domain.errors import Permanent
from jeroboam.kit.clock import Clock
from jeroboam.protocol.capsules import CapsuleAssignment
from jeroboam.runtimes.base import ContainerGone, Runtime
from jeroboam.runtimes.sandboxes import SandboxState, SupportsSandboxes

Tell = Callable[[str, CapsuleObserved], Awaitable[None]]

NO_SANDBOXES = "this host's runtime cannot run capsules"
# Steps that can be interrupted at any moment and leave no half-made object.
_INTERRUPTIBLE = frozenset({"image_pulling", "container_stopping"})


class CapsuleExecutor:
    """Carries ops of capsules out and supervises them. `tell` receives reports, and drops repetitions."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        journal: Journal,
        pulls: ImagePulls,
        clock: Clock,
        tell: Tell,
        look: Callable[[str], None],
    ) -> None:
        self._runtime = runtime
        self._journal = journal
        self._pulls = pulls
        self._clock = clock
        self._tell = tell
        self._probes = ProbeMonitor(runtime=runtime, clock=clock, look=look)
        self._under_way: dict[str, int] = {}
        self._steps: dict[str, str] = {}

    def find_due_op(self, assignment: CapsuleAssignment) -> DueOp | None:
        return find_due_op(assignment, self._journal.capsule(assignment.uuid).seq)

    def may_interrupt(self, uuid: str, assignment: CapsuleAssignment | None) -> bool:
        """Whether what is under way is no longer wanted and can be interrupted."""
        if self._steps.get(uuid) not in _INTERRUPTIBLE:
            return False
        due_op = self.find_due_op(assignment) if assignment is not None else None
        return assignment is None or (due_op is not None and due_op.op.seq != self._under_way.get(uuid))

    async def perform(self, assignment: CapsuleAssignment, due_op: DueOp) -> None:
        """Carry the op out and report the result. Raises `Temporary` if the op has to be retried."""
        uuid, op = assignment.uuid, due_op.op
        self._under_way[uuid] = op.seq
        try:
            if op.kind is OpKind.DELETE:
                await self._delete(assignment)
            else:
                await self._create(assignment, op)
        except Permanent as error:
            await self._fail(assignment, op, error.reason)
        else:
            observed = replace(self._journal.capsule(uuid), seq=op.seq, error=None, error_seq=None, failed_op=None)
            await self._record(uuid, replace(observed, step=None))
        finally:
            self._under_way.pop(uuid, None)
            self._steps.pop(uuid, None)

    async def report_wait(self, assignment: CapsuleAssignment, op: Op, reason: str) -> None:
        """Report why the op has to be retried."""
        last = self._journal.capsule(assignment.uuid)
        observed = replace(last, step=self._steps.get(assignment.uuid), error=reason, error_seq=op.seq, failed_op=None)
        await self._report(assignment.uuid, observed)

    async def give_up(self, assignment: CapsuleAssignment, op: Op) -> None:
        """End the op as failed: its deadline has passed. The next look removes what was made."""
        last = self._journal.capsule(assignment.uuid)
        text = f"{op.kind} was not done by its deadline: {last.error or 'it takes too long'}"
        observed = replace(last, seq=op.seq, step=None, error=text, error_seq=op.seq, failed_op=op.kind)
        await self._record(assignment.uuid, observed)

    async def observe(self, assignment: CapsuleAssignment) -> float | None:
        """Bring the capsule closer to what it should be. Return in how many seconds to look again."""
        uuid, last = assignment.uuid, self._journal.capsule(assignment.uuid)
        if last.failed_op is OpKind.DELETE or any(op.kind is OpKind.DELETE for op in assignment.ops):
            # It is gone, or could not be removed. The server has to know, and nothing is started again.
            await self._report(uuid, last)
            return None
        if assignment.is_given_up or last.failed_op is OpKind.CREATE:
            self._probes.forget(assignment)
            await self._sandboxes().remove_sandbox(uuid)
            observed = replace(last, state=RuntimeState.ABSENT, addresses=())
            await self._record(uuid, replace(observed, seq=max(last.seq, assignment.done)))
            return None
        self._under_way[uuid] = 0
        try:
            return await self._settle(assignment, is_creation=False)
        finally:
            self._under_way.pop(uuid, None)
            self._steps.pop(uuid, None)

    def forget(self, uuid: str) -> None:
        """Forget the capsule: it is not assigned any more."""
        self._journal.forget_capsule(uuid)
        self._pulls.forget(uuid)

    def end_probes(self, assignment: CapsuleAssignment) -> None:
        """End the probes of a capsule that is not assigned any more."""
        self._probes.forget(assignment)

    async def remove_stray(self, uuid: str) -> None:
        """Remove a sandbox that carries our tag and is not assigned, with its containers."""
        if isinstance(self._runtime, SupportsSandboxes):
            await self._runtime.remove_sandbox(uuid)

    async def close(self) -> None:
        """End all probes."""
        await self._probes.close()

    def _sandboxes(self) -> SupportsSandboxes:
        if not isinstance(self._runtime, SupportsSandboxes):
            raise Permanent(NO_SANDBOXES)
        return self._runtime

    async def _create(self, assignment: CapsuleAssignment, op: Op) -> None:
        """Make the capsule. It is done once all that can run now was started: init containers may take their time."""
        self._sandboxes()
        await self._step(assignment, op, "image_pulling")
        for member in assignment.spec.members:
            await self._pull(assignment, member)
        await self._step(assignment, op, "container_creating")
        await self._settle(assignment, is_creation=True)

    async def _fail(self, assignment: CapsuleAssignment, op: Op, reason: str) -> None:
        """End the op as failed. What was made of the capsule goes; a delete leaves it as it is."""
        last = self._journal.capsule(assignment.uuid)
        observed = replace(last, seq=op.seq, step=None, error=reason, error_seq=op.seq, failed_op=op.kind)
        if op.kind is OpKind.CREATE and isinstance(self._runtime, SupportsSandboxes):
            self._probes.forget(assignment)
            await self._runtime.remove_sandbox(assignment.uuid)
            observed = replace(observed, state=RuntimeState.ABSENT, addresses=())
        await self._record(assignment.uuid, observed)

    async def _delete(self, assignment: CapsuleAssignment) -> None:
        uuid = assignment.uuid
        self._probes.forget(assignment)
        if isinstance(self._runtime, SupportsSandboxes):
            sandbox = await self._find(uuid)
            if sandbox is not None:
                self._steps[uuid] = "container_stopping"
                alive = [member.uuid for member in sandbox.members if member.state in supervisor.ALIVE]
                await self._stop_members(assignment, alive)
                self._steps[uuid] = "container_deleting"
            await self._runtime.remove_sandbox(uuid)
        last = self._journal.capsule(uuid)
        self._journal.record_capsule(uuid, replace(last, state=RuntimeState.ABSENT, addresses=()))

    async def _settle(self, assignment: CapsuleAssignment, *, is_creation: bool) -> float | None:
        """Do what is due until nothing is. Return in how many seconds something will be."""
        while True:
            observed = await self._look(assignment)
            decision = supervisor.decide(assignment.spec, observed, self._clock.now())
            is_final = decision.phase in FINAL_PHASES
            if is_final and observed.phase not in FINAL_PHASES:
                await self._finish(assignment, observed, decision.phase, decision.reason)
                continue
            observed = replace(observed, phase=decision.phase, reason=decision.reason)
            if decision.starts:
                await self._start(assignment, observed, decision.starts, is_creation=is_creation)
                continue
            if not await self._end_failed_probes(assignment, observed):
                break
        await self._record(assignment.uuid, observed)
        if is_final:
            self._probes.forget(assignment)
        else:
            self._probes.follow(assignment, observed)
        return decision.wait_seconds

    async def _look(self, assignment: CapsuleAssignment) -> CapsuleObserved:
        """Return the present state. Containers without their sandbox are removed: they have lost their network."""
        uuid, last = assignment.uuid, self._journal.capsule(assignment.uuid)
        sandbox = await self._find(uuid)
        is_running = sandbox is not None and sandbox.state is RuntimeState.RUNNING
        if sandbox is not None and not is_running and any(_runs(member.state) for member in sandbox.members):
            await self._sandboxes().remove_sandbox(uuid)
            sandbox = None
        results = self._probes.list_results(assignment)
        return supervisor.merge_sandbox(assignment.spec, last, sandbox, results, self._clock.now())

    async def _start(
        self,
        assignment: CapsuleAssignment,
        observed: CapsuleObserved,
        starts: tuple[MemberSpec, ...],
        *,
        is_creation: bool,
    ) -> None:
        """Start these containers; where the sandbox does not run, make it first and decide again."""
        uuid = assignment.uuid
        if observed.state is not RuntimeState.RUNNING:
            await self._renew_sandbox(assignment, observed)
            return
        for member in starts:
            seen = supervisor.note_start(observed.member(member.uuid))
            observed = _with_member(observed, seen)
            self._journal.record_capsule(uuid, observed)
            try:
                if not is_creation:
                    await self._pull(assignment, member)
                await self._start_member(assignment, member)
            except Permanent as error:
                if is_creation:
                    raise Permanent(f"container {member.name}: {error.reason}") from error
                now = self._clock.now()
                failed = supervisor.note_failed_start(assignment.spec, member, seen, error.reason, now)
                observed = _with_member(observed, failed)
                self._journal.record_capsule(uuid, observed)

    async def _renew_sandbox(self, assignment: CapsuleAssignment, observed: CapsuleObserved) -> None:
        """Make the sandbox. If there was one before, what has run in it goes, and init containers run again."""
        runtime, uuid = self._sandboxes(), assignment.uuid
        if observed.state is not RuntimeState.ABSENT:
            await runtime.remove_sandbox(uuid)
        if observed.started_at is not None:
            for member in assignment.spec.init_containers:
                count = observed.member(member.uuid).restart_count
                observed = _with_member(observed, MemberObserved(uuid=member.uuid, restart_count=count))
        sandbox = await runtime.run_sandbox(assignment.sandbox)
        observed = replace(
            observed,
            state=sandbox.state,
            runtime_id=sandbox.runtime_id,
            addresses=sandbox.addresses,
            started_at=observed.started_at or self._clock.now(),
        )
        self._journal.record_capsule(uuid, observed)

    async def _start_member(self, assignment: CapsuleAssignment, member: MemberSpec) -> None:
        """Start the container; one that has run before is made anew."""
        runtime = self._sandboxes()
        try:
            has_run = (await self._runtime.inspect(member.uuid)).started_at is not None
        except ContainerGone:
            has_run = False
        if has_run:
            await self._runtime.remove(member.uuid, force=True)
        # One that was made and not started is completed by this too.
        await runtime.create_member(assignment.sandbox, member.uuid, member.name, _build_spec(member))
        await runtime.start_member(member.uuid)

    async def _pull(self, assignment: CapsuleAssignment, member: MemberSpec) -> None:
        uuid, seq = assignment.uuid, self._under_way[assignment.uuid]
        step = self._steps.get(uuid)
        self._steps[uuid] = "image_pulling"
        await self._pulls.pull(uuid, seq, member.container, project=assignment.project_id, login=None)
        if step is not None:
            self._steps[uuid] = step

    async def _end_failed_probes(self, assignment: CapsuleAssignment, observed: CapsuleObserved) -> bool:
        """End the containers whose probes say so. Return whether there were any."""
        results = self._probes.list_results(assignment)
        failures = {
            member.uuid: result.failure
            for member in observed.members
            if supervisor.is_alive(member)
            and (result := results.get(member.uuid))
            and result.failure
            and result.started_at == member.container.started_at
        }
        for uuid, failure in failures.items():
            observed = _with_member(observed, replace(observed.member(uuid), reason=failure))
        if failures:
            self._journal.record_capsule(assignment.uuid, observed)
            self._steps[assignment.uuid] = "container_stopping"
            await self._stop_members(assignment, list(failures))
        return bool(failures)

    async def _finish(
        self, assignment: CapsuleAssignment, observed: CapsuleObserved, phase: CapsulePhase, reason: str | None
    ) -> None:
        """End the capsule in that phase: what still runs is stopped. Its containers can still be read."""
        uuid = assignment.uuid
        self._probes.forget(assignment)
        alive = [member.uuid for member in observed.members if supervisor.is_alive(member)]
        if alive:
            self._steps[uuid] = "container_stopping"
            await self._stop_members(assignment, alive)
        sandbox = await self._find(uuid)
        await self._sandboxes().stop_sandbox(uuid)
        merged = supervisor.merge_sandbox(assignment.spec, observed, sandbox, {}, self._clock.now())
        members = tuple(supervisor.end_restarts(member) for member in merged.members)
        self._journal.record_capsule(uuid, replace(merged, phase=phase, reason=reason, members=members))

    async def _stop_members(self, assignment: CapsuleAssignment, uuids: list[str]) -> None:
        """Stop these containers together, each within the time that the capsule gives them."""
        seconds = assignment.spec.termination_grace_period_seconds
        await asyncio.gather(*(self._stop_member(uuid, seconds) for uuid in uuids))

    async def _stop_member(self, uuid: str, seconds: int) -> None:
        try:
            await self._runtime.stop(uuid, seconds)
        except ContainerGone:
            return

    async def _find(self, uuid: str) -> SandboxState | None:
        try:
            return await self._sandboxes().inspect_sandbox(uuid)
        except ContainerGone:
            return None

    async def _step(self, assignment: CapsuleAssignment, op: Op, step: str) -> None:
        self._steps[assignment.uuid] = step
        last = self._journal.capsule(assignment.uuid)
        await self._report(assignment.uuid, replace(last, step=step, error=None, error_seq=op.seq))

    async def _record(self, uuid: str, observed: CapsuleObserved) -> None:
        self._journal.record_capsule(uuid, observed)
        await self._report(uuid, observed)

    async def _report(self, uuid: str, observed: CapsuleObserved) -> None:
        await self._tell(uuid, replace(observed, reported_at=self._clock.now()))


def _runs(state: RuntimeState) -> bool:
    return state in supervisor.ALIVE


def _with_member(observed: CapsuleObserved, member: MemberObserved) -> CapsuleObserved:
    members = [known for known in observed.members if known.uuid != member.uuid]
    return replace(observed, members=(*members, member))


def _build_spec(member: MemberSpec) -> ContainerSpec:
    """Return the container as the runtime makes it: restarts are the agent's, and secrets are variables like others."""
    secrets = json.loads(member.secret_environment) if member.secret_environment else {}
    return replace(member.container, restart_policy=None, environment={**member.container.environment, **secrets})
