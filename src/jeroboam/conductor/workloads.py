"""The workload loop: brings the containers inside clusters to what their users asked, and sees what becomes of them.

Every pass asks the cluster's own API what there is and does only what is missing, so that it may be broken off and
entered again anywhere; what cannot be told from the container itself (whether a reboot was done) is noted before it is
begun. A container that changes behind our back is seen by the next look. Neighbours: `reach` (the way to a cluster),
the COE (what a container is there), `domain.workloads` (what it means).
"""

import datetime as dt
from dataclasses import replace

import structlog

from jeroboam.coes.base import ContainerSeen, ContainerWant, RunsContainers
from jeroboam.conductor.reach import Reach, Reached
from jeroboam.conductor.records import LeaseLost
from jeroboam.conductor.workload_records import WorkloadRecords
from jeroboam.domain.containers import RuntimeState
from jeroboam.domain.errors import DriverError, Permanent, Temporary
from jeroboam.domain.workloads import (
    Act,
    Workload,
    WorkloadObserved,
    WorkloadOp,
    in_progress,
    octets,
    pending,
    words,
)
from jeroboam.kit.clock import Clock, Overdue, within
from jeroboam.store import Lease, Store

FIRST_RETRY = 0.5
LONGEST_RETRY = 5.0
# How soon to look again after a change, at the least: what was just started may end at once.
FIRST_LOOK = 1.0
# For so long a bay that did not answer is believed to be silent.
SILENT_SECONDS = 10.0
# A delete that passed its deadline is said to have failed, and goes on.
DELETE_RETRY = 30.0

log = structlog.get_logger("jeroboam.conductor.workloads")


class Workloads:
    """The reconciler of workloads."""

    topic = "workload"

    def __init__(self, *, store: Store, reach: Reach, clock: Clock, check_seconds: float) -> None:
        self._records = WorkloadRecords(store)
        self._reach = reach
        self._clock = clock
        self._check_seconds = check_seconds
        self._met: dict[str, tuple[int, str]] = {}
        """How often a workload's work had to wait since it last went on, and for what."""
        self._silent: dict[str, tuple[float, str]] = {}
        """Until when a bay counts as one that does not answer, and why."""
        self.everything = self._records.everything

    async def generation(self, uuid: str) -> int | None:
        """Counts what work under way is broken off for: only the wish to be gone overtakes, all else waits its turn."""
        workload = await self._records.get(uuid)
        return None if workload is None else int(workload.deleting)

    async def reconcile(self, lease: Lease) -> float | None:
        """Do what was asked and has not ended; then look."""
        workload = await self._records.get(lease.uuid)
        if workload is None:
            self._met.pop(lease.uuid, None)
            return None
        left = self._time_left(workload)
        try:
            try:
                return await within(self._clock, left, self._carry_out(lease, workload))
            except Overdue:
                # A pass that had no time tells nothing new: what the one before it met stands.
                _, met = self._met.get(workload.uuid, (0, "its bay did not answer in time"))
                return await self._failed(lease, Temporary(met), over=True)
            except DriverError as error:
                return await self._failed(lease, error, over=left == 0)
        except LeaseLost:
            return None

    def _time_left(self, workload: Workload) -> float | None:
        if workload.deadline_at is None:
            return None
        return max((workload.deadline_at - self._clock.now()).total_seconds(), 0)

    async def _carry_out(self, lease: Lease, workload: Workload) -> float | None:
        if workload.deleting and not workload.observed.touched:
            await self._records.forget(lease)
            return None
        reached = await self._reach.containers(workload.cluster_id)
        if reached is None:
            self._silent.pop(workload.cluster_id, None)
            # The row goes with its cluster's.
            await self._records.save(lease, workload.observed, waiting_for="its bay is being deleted")
            return self._check_seconds
        if workload.deleting:
            await reached.coe.remove(reached.plan, workload.uuid)
            await self._records.forget(lease)
            return None
        waiting = pending(workload)
        for op in waiting:
            workload = await self._do(lease, workload, reached, op)
        if not waiting:
            seen = await self._look(reached, workload)
            workload = await self._records.save(lease, _seen(workload.observed, seen))
        self._met.pop(workload.uuid, None)
        return self._next_look(workload)

    async def _look(self, reached: Reached[RunsContainers], workload: Workload) -> ContainerSeen | None:
        """What it is now. A bay that has just not answered is not asked about each of its containers in turn.

        Each would wait for it, and those of other bays behind them.
        """
        until, reason = self._silent.get(workload.cluster_id, (0.0, ""))
        if self._clock.monotonic() < until:
            raise Temporary(reason)
        try:
            seen = await reached.coe.look(reached.plan, workload.uuid)
        except Temporary as error:
            self._silent[workload.cluster_id] = (self._clock.monotonic() + SILENT_SECONDS, error.reason)
            raise
        self._silent.pop(workload.cluster_id, None)
        return seen

    def _next_look(self, workload: Workload) -> float:
        """What has changed lately is looked at sooner."""
        since = self._clock.now() - (workload.updated_at or workload.created_at)
        return min(max(since / dt.timedelta(seconds=1), FIRST_LOOK), self._check_seconds)

    # ------------------------------------------------------------------------------------------------------- ops

    async def _do(self, lease: Lease, workload: Workload, reached: Reached[RunsContainers], op: WorkloadOp) -> Workload:
        """One op, to its end; what was seen after it is written with it."""
        workload = await self._touch(lease, workload)
        coe, plan, uuid = reached.coe, reached.plan, workload.uuid
        seen: ContainerSeen | None
        if op.act in {Act.CREATE, Act.START, Act.REBOOT}:
            seen = await coe.make(plan, _want(workload))
            if op.act is Act.REBOOT:
                workload, seen = await self._reboot(lease, workload, reached, op, seen)
            elif op.act is Act.START:
                seen = await coe.act(plan, uuid, op.act)
        else:
            seen = await coe.act(plan, uuid, op.act)
        return await self._records.save(lease, _seen(workload.observed, seen, seq=op.seq))

    async def _touch(self, lease: Lease, workload: Workload) -> Workload:
        """Note that something of it may exist from now on, so that a delete knows to look for it."""
        if workload.observed.touched:
            return workload
        return await self._records.save(lease, replace(workload.observed, touched=True))

    async def _reboot(
        self, lease: Lease, workload: Workload, reached: Reached[RunsContainers], op: WorkloadOp, seen: ContainerSeen
    ) -> tuple[Workload, ContainerSeen]:
        """Start it anew, once: one that was begun before and has been started since was done."""
        noted = workload.observed
        if noted.begun == op.seq and seen.started_at != noted.before and seen.state is RuntimeState.RUNNING:
            return workload, seen
        if noted.begun != op.seq:
            begun = replace(noted, begun=op.seq, before=seen.started_at)
            workload = await self._records.save(lease, begun)
        return workload, await reached.coe.act(reached.plan, workload.uuid, op.act)

    # -------------------------------------------------------------------------------------------------- failures

    async def _failed(self, lease: Lease, error: DriverError, *, over: bool) -> float | None:
        """Write why; try again later if that can help and there is time."""
        workload = await self._records.get(lease.uuid)
        if workload is None:
            return None
        if not in_progress(workload) and not workload.deleting:
            await self._records.save(lease, replace(workload.observed, silent=error.reason))
            # A bay that is only away for a moment is back soon; one that stays away is not asked all the time.
            return LONGEST_RETRY if workload.observed.silent is None else self._check_seconds
        if over or isinstance(error, Permanent):
            log.warning("workload failed", workload=workload.uuid, reason=error.reason)
            self._met.pop(workload.uuid, None)
            await self._records.fail(lease, f"Timed out: {error.reason}" if over else error.reason)
            # What has become of it all the same shows at once.
            return DELETE_RETRY if workload.deleting else 0.0
        await self._records.save(lease, workload.observed, waiting_for=error.reason)
        tries, _ = self._met.get(workload.uuid, (0, ""))
        self._met[workload.uuid] = (tries + 1, error.reason)
        return DELETE_RETRY if workload.observed.failure else min(FIRST_RETRY * 2.0**tries, LONGEST_RETRY)


def _want(workload: Workload) -> ContainerWant:
    spec = workload.spec
    return ContainerWant(
        uuid=workload.uuid,
        name=workload.name,
        image=spec.image,
        command=words(spec.command) if spec.command else (),
        memory=octets(spec.memory) if spec.memory else None,
    )


def _seen(observed: WorkloadObserved, seen: ContainerSeen | None, *, seq: int | None = None) -> WorkloadObserved:
    """What was observed, with this look; `seq` says which op ended before it."""
    state = RuntimeState.ABSENT if seen is None else seen.state
    started_at = None if seen is None else seen.started_at
    return replace(observed, state=state, started_at=started_at, silent=None, seq=observed.seq if seq is None else seq)
