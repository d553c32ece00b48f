"""Live questions to containers, through the sessions of their hosts' agents. Implements the port `HostGateway`."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from jeroboam.dispatch.sessions import Dispatcher
from jeroboam.domain.errors import Conflict, Invalid, NotFound, Unavailable
from jeroboam.domain.ports import ExecResult
from jeroboam.protocol import (
    ExecuteAnswer,
    ExecuteRequest,
    LiveAnswer,
    LiveFailure,
    LiveFailureKind,
    LiveQuestion,
    LogsAnswer,
    LogsRequest,
    StatsAnswer,
    StatsRequest,
    TopAnswer,
    TopRequest,
)

# The agent has its own limits; this one is for an agent that hangs.
ANSWER_SECONDS = 20.0

_Answer = TypeVar("_Answer", bound=LiveAnswer)


class SessionGateway:
    """Asks the agent that holds a container, and turns its errors into those of the API."""

    def __init__(self, dispatcher: Dispatcher, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._dispatcher = dispatcher
        self._answer_seconds = answer_seconds

    async def logs(
        self,
        host_id: str,
        container: str,
        *,
        stdout: bool,
        stderr: bool,
        timestamps: bool,
        tail: int | None,
        since: float | None,
    ) -> str:
        question = LogsRequest(stdout=stdout, stderr=stderr, timestamps=timestamps, tail=tail, since=since)
        return (await self._ask(host_id, container, question, LogsAnswer)).text

    async def execute(self, host_id: str, container: str, command: Sequence[str]) -> ExecResult:
        answer = await self._ask(host_id, container, ExecuteRequest(command=tuple(command)), ExecuteAnswer)
        return ExecResult(output=answer.output, exit_code=answer.exit_code)

    async def top(self, host_id: str, container: str, ps_args: str | None) -> Mapping[str, object]:
        answer = await self._ask(host_id, container, TopRequest(ps_args=ps_args), TopAnswer)
        return {"Titles": list(answer.titles), "Processes": [list(row) for row in answer.processes]}

    async def stats(self, host_id: str, container: str) -> Mapping[str, str | float]:
        return (await self._ask(host_id, container, StatsRequest(), StatsAnswer)).sample

    async def _ask(self, host_id: str, container: str, question: LiveQuestion, kind: type[_Answer]) -> _Answer:
        session = self._dispatcher.session(host_id)
        if session is None:
            raise Unavailable("the agent of the container's host is away")
        answer = await session.ask(container, question, self._answer_seconds)
        if isinstance(answer, kind):
            return answer
        if isinstance(answer, LiveFailure):
            raise _ERRORS[answer.kind](answer.detail)
        raise Unavailable("the agent gave the answer to another question")


_ERRORS = {
    LiveFailureKind.GONE: NotFound,
    LiveFailureKind.INVALID: Invalid,
    LiveFailureKind.CONFLICT: Conflict,
    LiveFailureKind.UNAVAILABLE: Unavailable,
}
