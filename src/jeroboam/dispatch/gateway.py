"""Live requests to containers through the sessions of their hosts' agents. Implements the port `HostGateway`."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from jeroboam.dispatch.sessions import AgentSession, Dispatcher
from jeroboam.domain.archives import PathStat
from jeroboam.domain.errors import Conflict, Invalid, NotFound, TooManyRequests, Unavailable
from jeroboam.domain.ports import ExecResult
from jeroboam.domain.streams import ByteStream, CloseReason, StreamClosed, TerminalSize
from jeroboam.protocol import (
    Attach,
    ExecuteAnswer,
    ExecuteRequest,
    FollowLogs,
    InteractiveExec,
    LiveAnswer,
    LiveFailure,
    LiveFailureKind,
    LiveQuestion,
    LogsAnswer,
    LogsRequest,
    ReadArchive,
    ResizeAnswer,
    ResizeRequest,
    SearchImagesAnswer,
    SearchImagesRequest,
    StatPathAnswer,
    StatPathRequest,
    StatsAnswer,
    StatsRequest,
    StreamRequest,
    TopAnswer,
    TopRequest,
    WriteArchive,
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

    async def follow_logs(
        self,
        host_id: str,
        container: str,
        *,
        stdout: bool,
        stderr: bool,
        timestamps: bool,
        tail: int | None,
        since: float | None,
    ) -> ByteStream:
        request = FollowLogs(stdout=stdout, stderr=stderr, timestamps=timestamps, tail=tail, since=since)
        return await self._open(host_id, container, request)

    async def open_exec(
        self,
        host_id: str,
        container: str,
        command: Sequence[str],
        *,
        tty: bool,
        size: TerminalSize | None,
        exec_id: str | None = None,
    ) -> ByteStream:
        request = InteractiveExec(command=tuple(command), tty=tty, size=size, exec_id=exec_id)
        return await self._open(host_id, container, request)

    async def open_attach(self, host_id: str, container: str) -> ByteStream:
        return await self._open(host_id, container, Attach())

    async def resize_terminal(self, host_id: str, container: str, exec_id: str | None, size: TerminalSize) -> None:
        await self._ask(host_id, container, ResizeRequest(exec_id=exec_id, size=size), ResizeAnswer)

    async def stat_path(self, host_id: str, container: str, path: str) -> PathStat:
        return (await self._ask(host_id, container, StatPathRequest(path=path), StatPathAnswer)).stat

    async def search_images(self, host_id: str, name: str, *, exact: bool, project_id: str) -> Sequence[str]:
        question = SearchImagesRequest(name=name, exact=exact, project_id=project_id)
        return (await self._ask(host_id, "", question, SearchImagesAnswer)).references

    async def read_archive(self, host_id: str, container: str, path: str) -> ByteStream:
        return await self._open(host_id, container, ReadArchive(path=path))

    async def write_archive(self, host_id: str, container: str, path: str) -> ByteStream:
        return await self._open(host_id, container, WriteArchive(path=path))

    async def _open(self, host_id: str, container: str, request: StreamRequest) -> ByteStream:
        try:
            return await self._session(host_id).streams.open(container, request, seconds=self._answer_seconds)
        except StreamClosed as error:
            kind = _STREAM_ERRORS.get(error.ending.reason, Unavailable)
            raise kind(error.ending.detail or "the agent did not open the stream") from error

    async def _ask(self, host_id: str, container: str, question: LiveQuestion, kind: type[_Answer]) -> _Answer:
        answer = await self._session(host_id).ask(container, question, self._answer_seconds)
        if isinstance(answer, kind):
            return answer
        if isinstance(answer, LiveFailure):
            raise _ERRORS[answer.kind](answer.detail)
        raise Unavailable("the agent gave the answer to another question")

    def _session(self, host_id: str) -> AgentSession:
        session = self._dispatcher.session(host_id)
        if session is None:
            raise Unavailable("the agent of the container's host is away")
        return session


_STREAM_ERRORS = {
    CloseReason.GONE: NotFound,
    CloseReason.INVALID: Invalid,
    CloseReason.CONFLICT: Conflict,
    CloseReason.BUSY: TooManyRequests,
}
_ERRORS = {
    LiveFailureKind.GONE: NotFound,
    LiveFailureKind.INVALID: Invalid,
    LiveFailureKind.CONFLICT: Conflict,
    LiveFailureKind.UNAVAILABLE: Unavailable,
}
