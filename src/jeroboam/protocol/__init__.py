"""The messages between dispatch and agents. Version 1.

An agent opens one session and sends `Hello`. The server answers with `Assignments`, the whole set for that host, and
sends an `Assignment` whenever one changes, and an `ImageWish` for each image to be pulled or removed, a
`VolumeWish` for each volume to be removed. The agent sends a `ContainerReport` whenever a container changes, an
`ImageReport` or `VolumeReport` for each wish, and a `HostReport` at intervals. It
answers each `LiveRequest` with a `LiveResponse`. The server opens streams, and their messages go both ways (`streams`).

Each message has a tag, so that either direction decodes as one union (`codec`); within one process messages are passed
on as they are (`memory`).
"""

import datetime as dt
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Protocol

from jeroboam.domain.archives import PathStat
from jeroboam.domain.containers import ContainerObserved, ContainerSpec, Op
from jeroboam.domain.host_ports import HostPort
from jeroboam.domain.hosts import HostFacts
from jeroboam.domain.registries import RegistryLogin
from jeroboam.domain.streams import Channel, CloseReason, TerminalSize
from jeroboam.protocol.capsules import CapsuleAssignment, CapsuleReport
from jeroboam.protocol.images import ImageReport, ImageWish
from jeroboam.protocol.message import Message
from jeroboam.protocol.volumes import VolumeReport, VolumeWish

VERSION = 1


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """The first message of an agent."""

    version: int
    hostname: str
    facts: HostFacts | None
    """None while the runtime cannot be reached."""
    error: str | None = None


class HostReport(Message, frozen=True, kw_only=True, tag="host-report"):
    """A heartbeat with new facts, or with the reason why the runtime cannot be used."""

    facts: HostFacts | None
    error: str | None = None


class Assignment(Message, frozen=True, kw_only=True, tag="assignment"):
    """One container that belongs on this host, with its ops."""

    uuid: str
    name: str
    project_id: str
    generation: int
    spec: ContainerSpec
    ops: tuple[Op, ...]
    """The ops that are not reported as ended, oldest first."""
    done: int
    """The number of the last op that the server knows to have ended."""
    cpuset: tuple[int, ...] = ()
    """The cores that are the container's own."""
    deadline_at: dt.datetime | None = None
    login: RegistryLogin | None = None
    """For the registry of the image, while an op is pending that may pull it. It is never written to the host."""
    ports: tuple[HostPort, ...] = ()
    """The container's ports, the first of which it was created with. None: it is on its project's own network."""


AnyAssignment = Assignment | CapsuleAssignment


class Assignments(Message, frozen=True, kw_only=True, tag="assignments"):
    """All containers and capsules that belong on this host. Any other with our tag is a stray and is removed."""

    containers: tuple[AnyAssignment, ...]
    kept: tuple[str, ...] = ()
    """Uuids of containers that belong on the host too but cannot be read now. They must not be touched."""


class ContainerForgotten(Message, frozen=True, kw_only=True, tag="container-forgotten"):
    """The container or capsule does not belong on this host any more. The agent may forget it."""

    uuid: str


class ContainerReport(Message, frozen=True, kw_only=True, tag="container-report"):
    """The agent's observation of one container. `observed.state` ABSENT after a DELETE op means that it is removed."""

    uuid: str
    observed: ContainerObserved


class LogsRequest(Message, frozen=True, kw_only=True, tag="logs"):
    """A request for the container's output. `tail` counts lines, `since` is a Unix time in seconds."""

    stdout: bool
    stderr: bool
    timestamps: bool
    tail: int | None
    since: float | None


class ExecuteRequest(Message, frozen=True, kw_only=True, tag="execute"):
    """A command to run to its end in the container."""

    command: tuple[str, ...]


class TopRequest(Message, frozen=True, kw_only=True, tag="top"):
    """A request for the processes of the container."""

    ps_args: str | None


class StatsRequest(Message, frozen=True, kw_only=True, tag="stats"):
    """A request for the container's use of resources."""


class SearchImagesRequest(Message, frozen=True, kw_only=True, tag="search-images"):
    """A request for images on the host with that name in theirs, which the project may use. It is about no container.

    With `exact` the name is the repository's own.
    """

    name: str
    exact: bool
    project_id: str


class ResizeRequest(Message, frozen=True, kw_only=True, tag="resize"):
    """A new size of a terminal: of the command with that `exec_id`, or of the container itself (None)."""

    exec_id: str | None
    size: TerminalSize


class StatPathRequest(Message, frozen=True, kw_only=True, tag="stat-path"):
    """A request for what is known of a file or folder in the container."""

    path: str


LiveQuestion = (
    LogsRequest | ExecuteRequest | TopRequest | StatsRequest | ResizeRequest | StatPathRequest | SearchImagesRequest
)


class LiveRequest(Message, frozen=True, kw_only=True, tag="live-request"):
    """A live question about a container, or the host itself (""), with one answer. The server chooses `id`."""

    id: int
    container: str
    question: LiveQuestion


class LogsAnswer(Message, frozen=True, kw_only=True, tag="logs"):
    """The answer to `LogsRequest`."""

    text: str


class ExecuteAnswer(Message, frozen=True, kw_only=True, tag="execute"):
    """The answer to `ExecuteRequest`."""

    output: str
    exit_code: int


class TopAnswer(Message, frozen=True, kw_only=True, tag="top"):
    """The answer to `TopRequest`: the columns, and a row for each process."""

    titles: tuple[str, ...]
    processes: tuple[tuple[str, ...], ...]


class StatsAnswer(Message, frozen=True, kw_only=True, tag="stats"):
    """The answer to `StatsRequest`, with the keys of `HostGateway.stats`."""

    sample: dict[str, str | int | float]


class ResizeAnswer(Message, frozen=True, kw_only=True, tag="resize"):
    """The answer to `ResizeRequest`."""


class StatPathAnswer(Message, frozen=True, kw_only=True, tag="stat-path"):
    """The answer to `StatPathRequest`."""

    stat: PathStat


class SearchImagesAnswer(Message, frozen=True, kw_only=True, tag="search-images"):
    """The answer to `SearchImagesRequest`."""

    references: tuple[str, ...]


class LiveFailureKind(StrEnum):
    """The reason why there is no answer."""

    GONE = "gone"
    INVALID = "invalid"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"


class LiveFailure(Message, frozen=True, kw_only=True, tag="failure"):
    """A failed request; `detail` is for the user."""

    kind: LiveFailureKind
    detail: str = ""


LiveAnswer = (
    LogsAnswer
    | ExecuteAnswer
    | TopAnswer
    | StatsAnswer
    | ResizeAnswer
    | StatPathAnswer
    | SearchImagesAnswer
    | LiveFailure
)


class LiveResponse(Message, frozen=True, kw_only=True, tag="live-response"):
    """The answer to the `LiveRequest` with that id."""

    id: int
    answer: LiveAnswer


class FollowLogs(Message, frozen=True, kw_only=True, tag="follow-logs"):
    """Opens a stream of the container's output until it ends. The arguments are those of `LogsRequest`."""

    stdout: bool
    stderr: bool
    timestamps: bool
    tail: int | None
    since: float | None


class InteractiveExec(Message, frozen=True, kw_only=True, tag="interactive-exec"):
    """Opens a stream to a command in the container: its input, its output, its exit code.

    With `tty` the command runs in a terminal of that size. Its errors then come as output.
    """

    command: tuple[str, ...]
    tty: bool
    size: TerminalSize | None = None
    exec_id: str | None = None
    """Names the command for `ResizeRequest`."""


class Attach(Message, frozen=True, kw_only=True, tag="attach"):
    """Opens a stream to the container's own process: its input, its output from now on, its exit code."""


class ReadArchive(Message, frozen=True, kw_only=True, tag="read-archive"):
    """Opens a stream of a tar archive of a file or folder in the container."""

    path: str


class WriteArchive(Message, frozen=True, kw_only=True, tag="write-archive"):
    """Opens a stream that takes a tar archive and unpacks it into a folder. It ends when all is unpacked."""

    path: str


StreamRequest = FollowLogs | InteractiveExec | Attach | ReadArchive | WriteArchive


class StreamOpen(Message, frozen=True, kw_only=True, tag="stream-open"):
    """The server opens a stream. It chooses the id, which is unique in its session.

    The agent answers with `StreamOpened`, or with a `StreamClose` that has the reason. Then both sides have the credit
    of one whole window (`streams.WINDOW_BYTES`).
    """

    id: int
    container: str
    request: StreamRequest


class StreamOpened(Message, frozen=True, kw_only=True, tag="stream-opened"):
    """The stream is open at the agent's end."""

    id: int


class StreamData(Message, frozen=True, kw_only=True, tag="stream-data"):
    """A piece of one direction. It uses up the receiver's credit (`streams.cost_of`)."""

    id: int
    channel: Channel
    data: bytes


class StreamWindow(Message, frozen=True, kw_only=True, tag="stream-window"):
    """Credit for the sender: the receiver has read so much."""

    id: int
    credit: int


class StreamEnd(Message, frozen=True, kw_only=True, tag="stream-end"):
    """The sender sends no more data on this stream. It still receives."""

    id: int


class StreamResize(Message, frozen=True, kw_only=True, tag="stream-resize"):
    """The user's terminal has a new size."""

    id: int
    size: TerminalSize


class StreamClose(Message, frozen=True, kw_only=True, tag="stream-close"):
    """The stream is over in both directions. No message follows on it."""

    id: int
    reason: CloseReason
    detail: str = ""
    exit_code: int | None = None


StreamMessage = StreamData | StreamWindow | StreamEnd | StreamClose

ToAgent = (
    Assignments
    | Assignment
    | CapsuleAssignment
    | ContainerForgotten
    | ImageWish
    | VolumeWish
    | LiveRequest
    | StreamOpen
    | StreamData
    | StreamWindow
    | StreamEnd
    | StreamResize
    | StreamClose
)
FromAgent = (
    Hello
    | HostReport
    | ContainerReport
    | CapsuleReport
    | ImageReport
    | VolumeReport
    | LiveResponse
    | StreamOpened
    | StreamData
    | StreamWindow
    | StreamEnd
    | StreamClose
)


class AgentConnection(Protocol):
    """The agent's end of a session. Iteration ends when the session is over."""

    async def send(self, message: FromAgent) -> None:
        """Send the message. Raises `ConnectionError` if the session is over."""
        ...

    def __aiter__(self) -> AsyncIterator[ToAgent]: ...

    async def close(self) -> None: ...


class ServerConnection(Protocol):
    """The server's end of a session. Iteration ends when the session is over."""

    async def send(self, message: ToAgent) -> None:
        """Send the message. Raises `ConnectionError` if the session is over."""
        ...

    def __aiter__(self) -> AsyncIterator[FromAgent]: ...

    async def close(self) -> None: ...
