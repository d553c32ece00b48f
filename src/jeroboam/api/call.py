"""One request as a handler sees it, what it answers with, and the table of routes that leads there.

A route carries the name of its policy rule, so that no endpoint can be without one: the dispatcher in `app`
checks it before the handler runs, and refuses to start with a rule that nobody defined. It also carries what `openapi`
and the table of routes in the docs say of it.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

import msgspec

from jeroboam.api.audit import AuditSubject
from jeroboam.api.fields import FieldCheck, Schema
from jeroboam.api.parts import ApiParts
from jeroboam.api.policy import Policy
from jeroboam.domain.caller import Caller
from jeroboam.domain.errors import Invalid

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """An authenticated request whose route, version and policy rule have been checked."""

    parts: ApiParts
    policy: Policy
    caller: Caller
    version: int
    """The minor part of the microversion; the major one is 1 in both families."""
    base: str
    """The family's root as the client sees it, without a slash at the end."""
    path: Mapping[str, str]
    query: Mapping[str, Any]
    """The arguments as the route's checks have given them back."""
    body: bytes
    request_id: str
    pairs: tuple[tuple[str, str], ...] = ()
    """The query as it was sent, for links to the same list."""
    subject: AuditSubject = field(default_factory=AuditSubject)

    def json(self) -> Any:
        """The decoded body. Raises `Invalid` for what is no JSON, or holds what no engine can store."""
        return decode(self.body)

    def fields(self) -> dict[str, Any]:
        """The decoded body, which has to be an object."""
        body = self.json()
        if not isinstance(body, dict):
            raise Invalid("The body has to be a JSON object.", field="body")
        return body

    def allows(self, rule: str, *, project_id: str | None = None) -> bool:
        """Whether the caller may also do that."""
        return self.policy.allows(rule, self.caller, project_id=project_id)

    def enforce(self, rule: str, *, project_id: str | None = None, user_id: str | None = None) -> None:
        """Raise `Forbidden` if the caller may not also do that to what that project and user own."""
        self.policy.enforce(rule, self.caller, project_id=project_id, user_id=user_id)


def decode(body: bytes) -> Any:
    """JSON to plain objects."""
    if b"\\u0000" in body:
        raise Invalid("The body holds a NUL character.", field="body")
    try:
        return _decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Invalid(f"The body is not valid JSON: {reason}.", field="body") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Status, body and extra headers."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    media_type: str = "application/json"


def reply(content: Any, status: int = 200, *headers: tuple[str, str]) -> Answer:
    """An answer in JSON."""
    return Answer(status=status, body=msgspec.json.encode(content), headers=headers)


NO_CONTENT = Answer(status=204)

NEWEST = 1 << 16
"""Beyond every minor version."""

Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One method of one path. Path segments in braces are parameters."""

    method: str
    path: str
    handler: Handler
    rule: str | None
    """The policy rule; None only where the published contract demands that nobody is asked."""
    query: Mapping[str, FieldCheck] = field(default_factory=dict)
    """The query arguments that the method knows, with their checks; any other is refused."""
    body: Schema | None = None
    """What the method takes; None where it looks at no body."""
    body_needed: bool = True
    """Whether the body may not be left out."""
    status: int = 200
    """The status of its answer where nothing is refused."""
    answer: Any = None
    """The type of that answer's body, or several; None is JSON's null. A 204 has none."""
    refusals: tuple[int, ...] = ()
    """Statuses of refusals beyond those that `openapi` derives from the rest."""
    since: int = 1
    until: int = NEWEST
    """Minor versions that have the method."""
    differs: str = ""
    """Where and why it is not as the published API's own service does it; empty where it is."""

    def refuse_version(self, version: int) -> "Failure | None":
        """The refusal for a version that does not have the method; it names those that do."""
        if self.since <= version <= self.until:
            return None
        span = f"from version 1.{self.since} on" if version < self.since else f"up to version 1.{self.until}"
        text = (
            f"Not Acceptable: {self.method} {self.path} is there {span}, and the request asks for version 1.{version}."
        )
        return Failure(status=HTTPStatus.NOT_ACCEPTABLE, detail=text)

    @property
    def summary(self) -> str:
        """What it is for, in half a sentence: the handler's first line, after the method and path in it."""
        first = (self.handler.__doc__ or "").partition("\n")[0]
        return first.partition(": ")[2]


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """What a path leads to: its methods and its parameters."""

    methods: Mapping[str, Route]
    path: Mapping[str, str]


class RouteTable:
    """A table of routes, matched segment by segment; a literal segment wins over a parameter."""

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
        """The methods of that path, or None."""
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
    """An answer outside 2xx, before a family gives it its shape."""

    status: int
    detail: str
    code: str = ""
    """A short name of what went wrong, where a handler raised it."""
    from_handler: bool = False
    """Whether a handler or the policy said so, rather than the edge."""
    route: str = ""
    """The path of the route, once one was found."""
    field: str = ""
    """The field or parameter that was refused, where it was one."""


class Family(Protocol):
    """What the dispatcher has to know of one published API."""

    @property
    def prefix(self) -> str:
        """The first segment of its paths."""
        ...

    @property
    def word(self) -> str:
        """The service word in version headers that it answers with."""
        ...

    @property
    def words(self) -> frozenset[str]:
        """The service words that it understands."""
        ...

    @property
    def newest(self) -> int:
        """The newest minor version."""
        ...

    @property
    def peer(self) -> str:
        """The service whose API it is."""
        ...

    @property
    def errors(self) -> tuple[Any, Any]:
        """The types of an error body, and of the one for a version that is out of range."""
        ...

    @property
    def routes(self) -> tuple[Route, ...]: ...

    @property
    def rules(self) -> Mapping[str, str]:
        """Policy defaults by name."""
        ...

    def root(self, base: str) -> Any:
        """The list of versions, at the family's root."""
        ...

    def about(self, base: str) -> Any:
        """The description of version 1."""
        ...

    def failure(self, failure: Failure) -> Any:
        """An error body."""
        ...

    def unsupported(self, version: str, base: str) -> Any:
        """The error body for a well-formed version that is out of range."""
        ...

    def check_headers(self, method: str, headers: Mapping[str, str], *, has_body: bool) -> Failure | None:
        """What is wrong with `Accept` and `Content-Type`, if anything is."""
        ...

    def unknown_argument(self, name: str) -> str:
        """The text for a query argument that the method does not know."""
        ...
