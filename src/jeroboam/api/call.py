"""A request as a handler sees it, its answer, and the table of routes.

Each route names its policy rule, so no endpoint can be without one: `app` checks the rule before the handler runs, and
refuses to start if a rule is not defined. A route also holds what `openapi` and the table of routes in the docs say of
it.
"""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from jeroboam.api.audit import AuditSubject
from jeroboam.api.fields import FieldCheck, Schema
from jeroboam.api.json_faults import describe_json_fault
from jeroboam.api.parts import ApiParts
from jeroboam.api.policy import Policy
from jeroboam.domain.caller import Caller
from jeroboam.domain.errors import Invalid

_decode = msgspec.json.Decoder().decode
_NUL = b"\\u0000"


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """An authenticated request. Its route, version and policy rule have been checked."""

    parts: ApiParts
    policy: Policy
    caller: Caller
    version: int
    """The minor part of the microversion; the major part is 1 in all families."""
    base: str
    """The family's root URL as the client sees it, without a slash at the end."""
    path: Mapping[str, str]
    query: Mapping[str, Any]
    """The arguments, as the route's checks return them."""
    body: bytes
    request_id: str
    pairs: tuple[tuple[str, str], ...] = ()
    """The query as it was sent, for links to the same list."""
    subject: AuditSubject = field(default_factory=AuditSubject)
    upload: AsyncIterable[bytes] | None = None
    """The body in pieces, where the route takes an upload; `body` is empty then."""
    subprotocols: tuple[str, ...] = ()
    """What the client of a WebSocket can speak, best first."""
    origin: str | None = None
    """The site whose page opens the WebSocket, as a browser says."""

    def json(self) -> Any:
        """The decoded body. Raises `Invalid` if it is not JSON or holds a NUL character."""
        return decode(self.body)

    def fields(self) -> dict[str, Any]:
        """The decoded body as an object. Raises `Invalid` if it is not one."""
        body = self.json()
        if not isinstance(body, dict):
            raise Invalid("The body has to be a JSON object.", field="body")
        return body

    def allows(self, rule: str, *, project_id: str | None = None) -> bool:
        """Whether the policy allows the caller this rule too."""
        return self.policy.allows(rule, self.caller, project_id=project_id)

    def enforce(self, rule: str, *, project_id: str | None = None, user_id: str | None = None) -> None:
        """Raise `Forbidden` if the caller may not do this too, to an object of that project and user."""
        self.policy.enforce(rule, self.caller, project_id=project_id, user_id=user_id)


def decode(body: bytes) -> Any:
    """JSON to plain objects. Raises `Invalid` if it is not JSON or holds a NUL character."""
    try:
        content = _decode(body)
        field = _find_nul(content) if _NUL in body else None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Invalid(f"The body is not valid JSON: {describe_json_fault(body, error)}.", field="body") from error
    if field is not None:
        raise Invalid(f"Invalid input for field '{field}': it holds a NUL character.", field=field)
    return content


def _find_nul(content: Any) -> str:
    """The name of the field that holds a NUL, also in a step of a patch; `body` where no name can be given."""
    pairs: list[tuple[str, Any]] = []
    if isinstance(content, dict):
        pairs = list(content.items())
    elif isinstance(content, list):
        steps = [step for step in content if isinstance(step, dict)]
        pairs = [(str(step.get("path")).removeprefix("/").partition("/")[0], step.get("value")) for step in steps]
    names = (name for name, value in pairs if "\0" not in name and _NUL in msgspec.json.encode(value))
    return next(names, "body")


class BodySource(Protocol):
    """A body in pieces. Each is taken when the client has room for it."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def close(self) -> None:
        """Release what stands behind it. Called once the answer is over, however it ended."""
        ...


class Socket(Protocol):
    """A WebSocket with a client. Messages are text or binary."""

    async def receive(self) -> bytes | str | None:
        """Return the next message; None once the client has closed or gone away.

        The client is read no faster than this is called.
        """
        ...

    async def send(self, message: bytes | str) -> None:
        """Send the message; waits while the client has no room. Raises `SocketClosed` if it has gone away."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with that code. Nothing happens if it is closed."""
        ...


class SocketClosed(Exception):
    """The client of a WebSocket has closed it or gone away."""


SOCKET = "(websocket)"
"""The method of a route that is a WebSocket. No request can have it, since it is no token of HTTP."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Status, body and extra headers."""

    status: int = 200
    body: bytes = b""
    pieces: BodySource | None = None
    """The body in pieces, for one that is larger than memory or has no end yet; `body` is empty then."""
    socket: "Callable[[Socket], Awaitable[None]] | None" = None
    """Serves the WebSocket, where the route is one. An answer without it refuses the WebSocket."""
    subprotocol: str | None = None
    """One of `Call.subprotocols`, for a WebSocket."""
    headers: tuple[tuple[str, str], ...] = ()
    media_type: str = "application/json"


def reply(content: Any, status: int = 200, *headers: tuple[str, str]) -> Answer:
    """An answer in JSON."""
    return Answer(status=status, body=msgspec.json.encode(content), headers=headers)


NO_CONTENT = Answer(status=204)

NEWEST = 1 << 16
"""Greater than every minor version."""

Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One method of one path, or a WebSocket. Path segments in braces are parameters."""

    method: str
    path: str
    handler: Handler
    rule: str | None
    """The policy rule; None only where the published contract has no check."""
    query: Mapping[str, FieldCheck] = field(default_factory=dict)
    """The query arguments of the method, with their checks; any other is refused."""
    tolerates_arguments: bool = False
    """Whether any other argument is ignored instead, as the published API does it here."""
    body: Schema | None = None
    """The schema of the body; None where the method reads none."""
    body_needed: bool = True
    """Whether the body is required."""
    is_open: bool = False
    """Whether the request needs no token of Keystone; for a WebSocket whose URL is the secret. Its caller is nobody."""
    upload: bool = False
    """Whether the body is handed to the handler in pieces, as it comes, and is no JSON (`Call.upload`)."""
    status: int = 200
    """The status of an answer that is not a refusal."""
    answer: Any = None
    """The type of that answer's body, or a tuple of types; None is JSON's null. A 204 has no body."""
    refusals: tuple[int, ...] = ()
    """Statuses of refusals besides those that `openapi` derives."""
    since: int = 1
    until: int = NEWEST
    """The first and the last minor version that have the method."""
    differs: str = ""
    """How and why the method differs from the published API's own service; empty where it does not."""

    def refuse_version(self, version: int) -> "Failure | None":
        """The refusal for a version that does not have the method; it names those that have it. Otherwise None."""
        if self.since <= version <= self.until:
            return None
        span = f"from version 1.{self.since} on" if version < self.since else f"up to version 1.{self.until}"
        text = (
            f"Not Acceptable: {self.method} {self.path} is available {span}, "
            f"but the request asks for version 1.{version}."
        )
        return Failure(status=406, detail=text)

    @property
    def summary(self) -> str:
        """The purpose of the method: the first line of the handler's docstring, without the method and path."""
        first = (self.handler.__doc__ or "").partition("\n")[0]
        return first.partition(": ")[2]


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """The methods of a path, and the parameters in it."""

    methods: Mapping[str, Route]
    path: Mapping[str, str]


class RouteTable:
    """A table of routes, matched segment by segment. A literal segment has precedence over a parameter."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._tree = _Branch()
        for route in routes:
            branch = self._tree
            for segment in route.path.strip("/").split("/"):
                if segment.startswith("{"):
                    branch.parameter = branch.parameter or _Branch(name=segment[1:-1])
                    branch = branch.parameter
                else:
                    branch = branch.literals.setdefault(segment, _Branch())
            branch.methods[route.method] = route

    def match(self, segments: list[str]) -> RouteMatch | None:
        """The methods of that path; None if no route has it."""
        branch, path = self._tree, {}
        for segment in segments:
            child = branch.literals.get(segment)
            if child is None:
                child = branch.parameter
                if child is None:
                    return None
                path[child.name] = segment
            branch = child
        return RouteMatch(branch.methods, path) if branch.methods else None


@dataclass(slots=True)
class _Branch:
    name: str = ""
    literals: dict[str, "_Branch"] = field(default_factory=dict)
    parameter: "_Branch | None" = None
    methods: dict[str, Route] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """An answer outside 2xx, before a family shapes its body."""

    status: int
    detail: str
    code: str = ""
    """A short name of the error, where a handler raised it."""
    from_handler: bool = False
    """Whether a handler or the policy refused the request, and not the edge."""
    route: str = ""
    """The path of the route, once it is known."""
    field: str = ""
    """The field or parameter that was refused, if any."""


class Family(Protocol):
    """One published API, as `app` needs it."""

    @property
    def prefix(self) -> str:
        """The first segment of its paths."""
        ...

    @property
    def service_type(self) -> str:
        """The service type in the version headers of its answers."""
        ...

    @property
    def service_types(self) -> frozenset[str]:
        """The service types that it accepts in version headers."""
        ...

    @property
    def newest(self) -> int:
        """The newest minor version."""
        ...

    @property
    def peer(self) -> str:
        """The service that publishes the API, such as Magnum."""
        ...

    @property
    def errors(self) -> tuple[Any, Any]:
        """The types of an error body, and of the error body for an unsupported version."""
        ...

    @property
    def routes(self) -> tuple[Route, ...]: ...

    @property
    def rules(self) -> Mapping[str, str]:
        """Policy defaults by name."""
        ...

    def list_versions(self, base: str) -> Any:
        """The list of versions, shown at the family's root."""
        ...

    def describe_version(self, base: str) -> Any:
        """The description of version 1."""
        ...

    def error_body(self, failure: Failure) -> Any:
        """An error body."""
        ...

    def version_error(self, version: str, base: str) -> Any:
        """The error body for a well-formed version that is out of range."""
        ...

    def check_headers(self, method: str, headers: Mapping[str, str], *, has_body: bool) -> Failure | None:
        """The refusal for wrong `Accept` and `Content-Type` headers, or None."""
        ...

    def unknown_argument(self, name: str) -> str:
        """The error text for an unknown query argument."""
        ...
