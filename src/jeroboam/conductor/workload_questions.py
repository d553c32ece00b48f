"""Live questions to containers inside clusters: what they printed, what a command in one answers.

Implements the port `WorkloadGateway`, beside the workload loop and never behind it: a question waits for no lease.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from jeroboam.conductor.reach import Reach, Reached
from jeroboam.domain.errors import Conflict, NotFound, Permanent, Temporary, Unavailable
from jeroboam.domain.ports import ExecResult

T = TypeVar("T")


class WorkloadQuestions:
    """Asks a cluster's own API."""

    def __init__(self, *, reach: Reach, execute_seconds: float) -> None:
        self._reach = reach
        self._execute_seconds = execute_seconds

    async def logs(self, cluster_id: str, workload: str) -> str:
        """What the container printed. Raises `Unavailable`, `NotFound` or `Conflict`."""
        return await self._ask(cluster_id, workload, lambda at: at.coe.logs(at.plan, workload))

    async def execute(self, cluster_id: str, workload: str, command: Sequence[str]) -> ExecResult:
        """What a command in it answered. Raises the same; a command that takes too long may go on there."""
        limit = self._execute_seconds
        return await self._ask(cluster_id, workload, lambda at: at.coe.execute(at.plan, workload, command, limit=limit))

    async def _ask(self, cluster_id: str, workload: str, question: Callable[[Reached], Awaitable[T | None]]) -> T:
        try:
            reached = await self._reach.to(cluster_id)
            answer = None if reached is None else await question(reached)
        except Temporary as error:
            raise Unavailable(f"The bay cannot be asked now: {error.reason}") from error
        except Permanent as error:
            raise Conflict(f"The bay refused: {error.reason}") from error
        if answer is None:
            raise NotFound(f"Container {workload} is gone from its bay.")
        return answer
