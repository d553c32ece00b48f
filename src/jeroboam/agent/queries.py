"""Answers live questions about containers. An answer waits neither for an op nor for other answers."""

from typing import cast

import structlog

from jeroboam.agent.image_access import ImageAccess
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.domain.streams import ByteStream, StreamClosed
from jeroboam.protocol import (
    ExecuteAnswer,
    ExecuteRequest,
    LiveAnswer,
    LiveFailure,
    LiveFailureKind,
    LiveQuestion,
    LiveRequest,
    LiveResponse,
    LogsAnswer,
    LogsRequest,
    ResizeAnswer,
    ResizeRequest,
    SearchImagesAnswer,
    SearchImagesRequest,
    StatPathAnswer,
    StatPathRequest,
    StatsAnswer,
    StatsRequest,
    TopAnswer,
    TopRequest,
)
from jeroboam.protocol.message import Message
from jeroboam.runtimes.base import (
    CommandTimedOut,
    ContainerGone,
    InvalidRequest,
    Runtime,
    SupportsArchives,
    SupportsAttach,
    SupportsExec,
    SupportsLogs,
    SupportsStats,
    SupportsTop,
)

log = structlog.get_logger(__name__)

MAX_FOUND = 1000
"""The most references in the answer to a search for images."""
RunningCommands = dict[tuple[str, str], ByteStream]
"""Commands with input, by the uuid of their container and their `exec_id`."""


async def answer_request(
    runtime: Runtime, request: LiveRequest, *, limit: float, commands: RunningCommands, access: ImageAccess
) -> LiveResponse:
    """Return the answer, or the reason why there is none. A command may take `limit` seconds."""
    try:
        if isinstance(request.question, ResizeRequest):
            answer: LiveAnswer = await _resize(runtime, request.container, request.question, commands)
        elif isinstance(request.question, SearchImagesRequest):
            answer = await _search_images(access, request.question)
        else:
            answer = await _ask(runtime, request.container, request.question, limit)
    except Exception as error:  # noqa: BLE001  (the user gets an answer in any case)
        answer = describe_failure(error, container=request.container, question=request.question)
    return LiveResponse(id=request.id, answer=answer)


def describe_failure(error: Exception, *, container: str, question: Message) -> LiveFailure:
    """Return the failure that the user sees. An error outside the contracts is a bug: its details go to the log."""
    match error:
        case ContainerGone():
            return LiveFailure(kind=LiveFailureKind.GONE, detail=error.reason)
        case InvalidRequest():
            return LiveFailure(kind=LiveFailureKind.INVALID, detail=error.reason)
        case StreamClosed():
            return LiveFailure(kind=LiveFailureKind.GONE, detail="the command has ended")
        case Permanent() | CommandTimedOut():
            return LiveFailure(kind=LiveFailureKind.CONFLICT, detail=error.reason)
        case Temporary():
            return LiveFailure(kind=LiveFailureKind.UNAVAILABLE, detail=error.reason)
    log.error("agent.bug", exc_info=error, container=container, question=question.__struct_config__.tag)
    return LiveFailure(kind=LiveFailureKind.UNAVAILABLE, detail="the agent had an internal error")


async def _resize(runtime: Runtime, uuid: str, question: ResizeRequest, commands: RunningCommands) -> LiveAnswer:
    """Set the size of the terminal of a command, or of the container's own process."""
    if question.exec_id is not None:
        command = commands.get((uuid, question.exec_id))
        if command is None:
            return LiveFailure(kind=LiveFailureKind.GONE, detail=f"the command {question.exec_id} does not run")
        await command.resize(question.size)
    elif isinstance(runtime, SupportsAttach):
        await runtime.resize_terminal(uuid, question.size)
    else:
        raise Permanent("this host's runtime has no terminals")
    return ResizeAnswer()


async def _search_images(access: ImageAccess, question: SearchImagesRequest) -> LiveAnswer:
    references = await access.search(question.name, exact=question.exact, project=question.project_id)
    return SearchImagesAnswer(references=tuple(references[:MAX_FOUND]))


async def _ask(runtime: Runtime, uuid: str, question: LiveQuestion, limit: float) -> LiveAnswer:
    match question:
        case LogsRequest() if isinstance(runtime, SupportsLogs):
            text = await runtime.logs(
                uuid,
                stdout=question.stdout,
                stderr=question.stderr,
                timestamps=question.timestamps,
                tail=question.tail,
                since=question.since,
            )
            return LogsAnswer(text=text)
        case ExecuteRequest() if isinstance(runtime, SupportsExec):
            result = await runtime.execute(uuid, question.command, limit=limit)
            return ExecuteAnswer(output=result.output, exit_code=result.exit_code)
        case TopRequest() if isinstance(runtime, SupportsTop):
            table = await runtime.top(uuid, question.ps_args)
            titles, rows = cast("list[str]", table["Titles"]), cast("list[list[str]]", table["Processes"])
            return TopAnswer(titles=tuple(titles), processes=tuple(map(tuple, rows)))
        case StatsRequest() if isinstance(runtime, SupportsStats):
            return StatsAnswer(sample=dict(await runtime.stats(uuid)))
        case StatPathRequest() if isinstance(runtime, SupportsArchives):
            return StatPathAnswer(stat=await runtime.stat_path(uuid, question.path))
    raise Permanent(f"this host's runtime has no {question.__struct_config__.tag}")
