"""Serves streams: connects the session's end of each stream to the runtime's end.

Output, input and terminal sizes pass independently, each at the pace of its own reader. If one side ends, the other
side ends too, with the reason and the exit code. Neighbours: `session` starts a task for each stream; `queries` answers
live questions.
"""

import asyncio

import structlog

from jeroboam.agent.queries import RunningCommands, describe_failure
from jeroboam.domain.errors import Permanent
from jeroboam.domain.streams import ByteStream, CloseReason, StreamClosed, StreamEnding
from jeroboam.kit.tasks import Tasks
from jeroboam.protocol import Attach, FollowLogs, InteractiveExec, LiveFailure, ReadArchive, StreamOpen, WriteArchive
from jeroboam.protocol.agent_streams import AgentStream, AgentStreams
from jeroboam.runtimes.base import (
    Runtime,
    SupportsArchives,
    SupportsAttach,
    SupportsFollowLogs,
    SupportsInteractiveExec,
)

log = structlog.get_logger(__name__)


async def serve_stream(
    runtime: Runtime, streams: AgentStreams, stream: AgentStream, message: StreamOpen, commands: RunningCommands
) -> None:
    """Serve one stream until either side ends it. While it runs, a command with a name is in `commands`."""
    key = _name_command(message)
    tasks = Tasks(_report)
    process: ByteStream | None = None
    try:
        closed = tasks.start("end", stream.wait_closed())
        opening = tasks.start("open", _open(runtime, message))
        await asyncio.wait({opening, closed}, return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            return
        opened = opening.result()
        if isinstance(opened, LiveFailure):
            await stream.close(CloseReason(opened.kind), opened.detail)
            return
        process = opened
        if key is not None:
            commands[key] = process
        await streams.confirm(stream)
        tasks.start("input", _carry_input(stream, process))
        tasks.start("sizes", _carry_sizes(stream, process))
        output = tasks.start("output", _carry_output(process, stream))
        await asyncio.wait({output, closed}, return_when=asyncio.FIRST_COMPLETED)
    except StreamClosed as error:
        log.info("agent.stream-over", stream=stream.number, reason=error.ending.reason)
    finally:
        try:
            await tasks.close()
        finally:
            if process is not None:
                if key is not None and commands.get(key) is process:
                    del commands[key]
                await process.close()


def _name_command(message: StreamOpen) -> tuple[str, str] | None:
    request = message.request
    exec_id = request.exec_id if isinstance(request, InteractiveExec) else None
    return None if exec_id is None else (message.container, exec_id)


async def _open(runtime: Runtime, message: StreamOpen) -> ByteStream | LiveFailure:
    """Return the runtime's end of the stream, or the reason why there is none."""
    request, uuid = message.request, message.container
    try:
        match request:
            case FollowLogs() if isinstance(runtime, SupportsFollowLogs):
                return await runtime.follow_logs(
                    uuid,
                    stdout=request.stdout,
                    stderr=request.stderr,
                    timestamps=request.timestamps,
                    tail=request.tail,
                    since=request.since,
                )
            case InteractiveExec() if isinstance(runtime, SupportsInteractiveExec):
                return await runtime.open_exec(uuid, request.command, tty=request.tty, size=request.size)
            case Attach() if isinstance(runtime, SupportsAttach):
                return await runtime.open_attach(uuid)
            case ReadArchive() if isinstance(runtime, SupportsArchives):
                return await runtime.read_archive(uuid, request.path)
            case WriteArchive() if isinstance(runtime, SupportsArchives):
                return await runtime.write_archive(uuid, request.path)
        raise Permanent(f"this host's runtime has no {request.__struct_config__.tag}")
    except Exception as error:  # noqa: BLE001  (the user is told in any case)
        return describe_failure(error, container=uuid, question=request)


async def _carry_output(process: ByteStream, stream: AgentStream) -> None:
    """Send the output of the process, then its ending."""
    try:
        while (chunk := await process.receive()) is not None:
            await stream.send(chunk.data, chunk.channel)
        await stream.end()
        ending = await process.wait_closed()
    except StreamClosed as error:
        ending = error.ending
    except Exception:
        log.exception("agent.bug", stream=stream.number)
        ending = StreamEnding(reason=CloseReason.UNAVAILABLE, detail="the agent had an internal error")
    await stream.close(ending.reason, ending.detail, ending.exit_code)


async def _carry_input(stream: AgentStream, process: ByteStream) -> None:
    """Pass the input on. If the process takes no more input, the rest is discarded, so that its user is not blocked."""
    try:
        takes_input = True
        while (chunk := await stream.receive()) is not None:
            if takes_input:
                takes_input = await _is_taken(process, chunk.data)
        await process.end()
    except StreamClosed:
        return


async def _is_taken(process: ByteStream, data: bytes) -> bool:
    try:
        await process.send(data)
    except StreamClosed:
        return False
    return True


async def _carry_sizes(stream: AgentStream, process: ByteStream) -> None:
    try:
        while True:
            await process.resize(await stream.receive_size())
    except StreamClosed:
        return


def _report(name: str, error: BaseException) -> None:
    log.error("agent.task-failed", task=f"stream {name}", error=repr(error))
