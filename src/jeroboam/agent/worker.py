"""The workers: at most one for each container or capsule at a time, many of these at once.

Each has a worker only while there is work for it. The worker settles it until nothing is due. It
retries after temporary errors with growing pauses, ends ops whose deadline has passed, and interrupts a pull or a stop
that a delete has made useless. Neighbours: `executor`, which carries ops out; `session`, which calls workers.
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Generic, Protocol, TypeVar

import structlog

from jeroboam.agent.due_ops import DueOp
from jeroboam.domain.containers import Op, OpKind
from jeroboam.domain.errors import DriverError
from jeroboam.kit.attempts import RetryPolicy, seconds_left
from jeroboam.kit.clock import Clock
from jeroboam.kit.tasks import Tasks
from jeroboam.protocol import Assignment
from jeroboam.protocol.capsules import CapsuleAssignment

log = structlog.get_logger(__name__)

LONGEST_PAUSE = 10.0
pause_after = RetryPolicy(first_seconds=0.2, longest_seconds=LONGEST_PAUSE).pause_after
"""Returns the seconds to wait after a number of failures in a row."""

# The time until a slow op is reported. The timeout of an op is added.
SLOW_SECONDS = 5.0

# The least time for an op that arrives after its deadline: a delete has to be tried.
GRACE_SECONDS = 30.0


A = TypeVar("A", Assignment, CapsuleAssignment)
A_contra = TypeVar("A_contra", Assignment, CapsuleAssignment, contravariant=True)


class Executor(Protocol[A_contra]):
    """What carries the ops of one kind of assignment out."""

    def find_due_op(self, assignment: A_contra) -> DueOp | None:
        """Return the next op, or None."""
        ...

    def may_interrupt(self, uuid: str, assignment: A_contra | None) -> bool:
        """Whether what is under way is no longer wanted and can be interrupted."""
        ...

    async def perform(self, assignment: A_contra, due_op: DueOp) -> None:
        """Carry the op out and report the result. Raises `Temporary` if the op has to be retried."""
        ...

    async def report_wait(self, assignment: A_contra, op: Op, reason: str) -> None:
        """Report why the op has to be retried."""
        ...

    async def give_up(self, assignment: A_contra, op: Op) -> None:
        """End the op as failed: its deadline has passed."""
        ...

    async def observe(self, assignment: A_contra) -> float | None:
        """Report what has changed. Return in how many seconds to look again, if no event says so before."""
        ...

    async def remove_stray(self, uuid: str) -> None:
        """Remove what carries our tag and is not assigned."""
        ...


class _Outcome(Enum):
    IDLE = auto()
    MORE = auto()
    AGAIN = auto()


class _Slot:
    """The worker of one container or capsule."""

    def __init__(self) -> None:
        self.dirty = True
        self.call_event = asyncio.Event()
        self.attempt: asyncio.Task[_Outcome] | None = None


class WorkerPool(Generic[A]):
    """Starts and ends workers.

    `find_assignment` returns the present assignment of a uuid, `is_complete` whether all assignments are known.
    """

    def __init__(
        self,
        *,
        executor: Executor[A],
        find_assignment: Callable[[str], A | None],
        is_complete: Callable[[str], bool],
        clock: Clock,
    ) -> None:
        self._executor: Executor[A] = executor
        self._find_assignment: Callable[[str], A | None] = find_assignment
        self._is_complete = is_complete
        self._clock = clock
        self._slots: dict[str, _Slot] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._tasks = Tasks(_report)

    def look(self, uuid: str) -> None:
        """Have a worker look at what may have changed."""
        timer = self._timers.pop(uuid, None)
        if timer is not None:
            timer.cancel()
        slot = self._slots.get(uuid)
        if slot is not None:
            slot.dirty = True
            return
        slot = self._slots[uuid] = _Slot()
        self._tasks.start(f"worker {uuid}", self._work(uuid, slot))

    def _look_later(self, uuid: str, seconds: float) -> None:
        async def wait() -> None:
            await self._clock.sleep(seconds)
            self._timers.pop(uuid, None)
            self.look(uuid)

        self._timers[uuid] = self._tasks.start(f"timer {uuid}", wait())

    def call(self, uuid: str) -> None:
        """Have a worker look at once, even during a pause: the assignment has changed."""
        self.look(uuid)
        slot = self._slots[uuid]
        slot.call_event.set()
        if slot.attempt is not None and self._executor.may_interrupt(uuid, self._find_assignment(uuid)):
            slot.attempt.cancel()

    async def close(self) -> None:
        """End all workers. Containers and capsules keep running."""
        await self._tasks.close()

    async def _work(self, uuid: str, slot: _Slot) -> None:
        failures = 0
        try:
            while slot.dirty:
                slot.dirty = False
                slot.call_event.clear()
                outcome = await self._attempt(uuid, slot)
                failures = failures + 1 if outcome is _Outcome.AGAIN else 0
                if outcome is _Outcome.AGAIN:
                    await self._wait(slot, pause_after(failures))
                if outcome is not _Outcome.IDLE:
                    slot.dirty = True
        finally:
            del self._slots[uuid]

    async def _wait(self, slot: _Slot, seconds: float) -> None:
        """Wait for the pause or for a new assignment. Events do not shorten the pause: a failing op causes events."""
        timer = self._tasks.start("pause", self._clock.sleep(seconds))
        call_wait = self._tasks.start("called", slot.call_event.wait())
        await asyncio.wait({timer, call_wait}, return_when=asyncio.FIRST_COMPLETED)
        timer.cancel()
        call_wait.cancel()

    async def _attempt(self, uuid: str, slot: _Slot) -> _Outcome:
        assignment = self._find_assignment(uuid)
        due_op = self._executor.find_due_op(assignment) if assignment is not None else None
        slot.attempt = self._tasks.start(f"attempt {uuid}", self._settle(uuid, assignment, due_op))
        tasks: set[asyncio.Task[object]] = {slot.attempt}
        if (
            assignment is not None
            and due_op is not None
            and _is_given_up(due_op)
            and assignment.deadline_at is not None
        ):
            seconds = max(seconds_left(assignment.deadline_at, self._clock.now()), GRACE_SECONDS)
            tasks.add(self._tasks.start(f"deadline {uuid}", self._clock.sleep(seconds)))
        slow_report = self._tasks.start(f"slow {uuid}", self._tell_if_slow(assignment, due_op))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if slot.attempt.done():
                return _Outcome.MORE if slot.attempt.cancelled() else slot.attempt.result()
            slot.attempt.cancel()
            await asyncio.wait({slot.attempt})
            if assignment is not None and due_op is not None:
                await self._executor.give_up(assignment, due_op.op)
            return _Outcome.MORE
        finally:
            slot.attempt = None
            for task in (*tasks, slow_report):
                task.cancel()

    async def _tell_if_slow(self, assignment: A | None, due_op: DueOp | None) -> None:
        """Report an op that takes too long, so that the waiting user knows."""
        if assignment is None or due_op is None:
            return
        patience = SLOW_SECONDS + (due_op.op.params.get("timeout") or 0)
        await self._clock.sleep(patience)
        await self._executor.report_wait(
            assignment, due_op.op, f"{due_op.op.kind} takes more than {patience:g} seconds"
        )

    async def _settle(self, uuid: str, assignment: A | None, due_op: DueOp | None) -> _Outcome:
        """Take one step. Errors are logged or reported here."""
        try:
            if assignment is None:
                # Asked again now: the container may have been assigned since the attempt began.
                if self._is_complete(uuid) and self._find_assignment(uuid) is None:
                    await self._executor.remove_stray(uuid)
                return _Outcome.IDLE
            if due_op is None:
                seconds = await self._executor.observe(assignment)
                if seconds is not None:
                    self._look_later(uuid, seconds)
                return _Outcome.IDLE
            await self._executor.perform(assignment, due_op)
        except DriverError as error:
            return await self._handle_failure(assignment, due_op, error.reason)
        except Exception:
            log.exception("agent.bug", uuid=uuid)
            return await self._handle_failure(
                assignment, due_op, "the agent had an internal error; its log has the details"
            )
        return _Outcome.MORE

    async def _handle_failure(self, assignment: A | None, due_op: DueOp | None, reason: str) -> _Outcome:
        if assignment is None or due_op is None:
            return _Outcome.AGAIN
        await self._executor.report_wait(assignment, due_op.op, reason)
        if (
            _is_given_up(due_op)
            and assignment.deadline_at is not None
            and seconds_left(assignment.deadline_at, self._clock.now()) == 0
        ):
            await self._executor.give_up(assignment, due_op.op)
            return _Outcome.MORE
        return _Outcome.AGAIN


def _is_given_up(due_op: DueOp) -> bool:
    """Whether an op ends at its deadline. A delete does not: its record is removed then, the container later."""
    return due_op.op.kind is not OpKind.DELETE


def _report(name: str, error: BaseException) -> None:
    log.error("agent.task-failed", task=name, error=repr(error))
