"""Live questions to containers, through the sessions of their hosts' agents. Implements the port `HostGateway`."""

from collections.abc import Mapping, Sequence
from typing import Any

from jeroboam.dispatch.sessions import Dispatcher
from jeroboam.domain.errors import Conflict, Invalid, NotFound, Unavailable
from jeroboam.domain.ports import ExecResult

# The agent has its own limits; this one is for an agent that hangs.
ANSWER_SECONDS = 20.0


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
        text = await self._ask(
            host_id, container, "logs", stdout=stdout, stderr=stderr, timestamps=timestamps, tail=tail, since=since
        )
        return str(text)

    async def execute(self, host_id: str, container: str, command: Sequence[str]) -> ExecResult:
        result = await self._ask(host_id, container, "execute", command=list(command))
        return ExecResult(output=result["output"], exit_code=result["exit_code"])

    async def top(self, host_id: str, container: str, ps_args: str | None) -> Mapping[str, object]:
        processes: Mapping[str, object] = await self._ask(host_id, container, "top", ps_args=ps_args)
        return processes

    async def stats(self, host_id: str, container: str) -> Mapping[str, str | float]:
        sample: Mapping[str, str | float] = await self._ask(host_id, container, "stats")
        return sample

    async def _ask(self, host_id: str, container: str, method: str, **params: Any) -> Any:
        session = self._dispatcher.session(host_id)
        if session is None:
            raise Unavailable("the agent of the container's host is away")
        answer = await session.ask(method, container, params, self._answer_seconds)
        match answer.error:
            case None:
                return answer.result
            case "gone":
                raise NotFound(answer.detail)
            case "invalid":
                raise Invalid(answer.detail)
            case "conflict":
                raise Conflict(answer.detail)
            case _:
                raise Unavailable(answer.detail)
