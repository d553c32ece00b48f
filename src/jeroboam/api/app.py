"""The ASGI application, one for all API families.

Each request gets a request id. Then the token, the microversion, the route and its policy rule are checked, and the
handler runs. An error becomes an error body in the family's shape. Handlers know nothing of ASGI. Neighbours: `edge`
reads and writes messages, `call` is what a handler sees, each family's `family` module holds its routes and shapes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from http import HTTPStatus
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope, Send

from jeroboam.api import openapi
from jeroboam.api.audit import RequestTrace, record_of
from jeroboam.api.call import SOCKET, Answer, Call, Failure, Family, Route, RouteTable, reply
from jeroboam.api.container.family import ContainerFamily
from jeroboam.api.container_infra.family import ContainerInfraFamily
from jeroboam.api.edge import (
    BodyTooLarge,
    ClientDisconnected,
    RequestHead,
    RequestMetrics,
    read_body,
    read_head,
    respond,
)
from jeroboam.api.fields import ListCheck
from jeroboam.api.front_page import render_front_page
from jeroboam.api.health import answer_health, list_health_faults
from jeroboam.api.heat_views.family import HeatViews
from jeroboam.api.metrics import render_metrics
from jeroboam.api.network.family import NetworkFamily
from jeroboam.api.options import ApiOptions
from jeroboam.api.parts import ApiParts
from jeroboam.api.policy import Policy
from jeroboam.api.sockets import refuse_socket, serve_socket
from jeroboam.api.streams import Upload, respond_in_pieces
from jeroboam.api.turns import RequestSlots
from jeroboam.api.versions import MalformedVersion, UnsupportedVersion, negotiate, version_headers
from jeroboam.api.volume.family import VolumeFamily
from jeroboam.domain.caller import NOBODY, Caller
from jeroboam.domain.errors import Refused, TooManyRequests

__all__ = ["ApiOptions", "ApiParts", "create_app"]

log = structlog.get_logger("jeroboam.api")

_UNAUTHORIZED = {
    "error": {
        "code": 401,
        "title": "Unauthorized",
        "message": "The request you have made requires authentication.",
    }
}


def create_app(parts: ApiParts, families: Sequence[Family] | None = None) -> ASGIApp:
    """The application: the families, `/healthcheck`, `/metrics` and a page for people at `/`.

    Without `families` it has all that the options ask for.
    """
    registry = CollectorRegistry()
    meter = RequestMetrics(registry)
    if families is None:
        views = (HeatViews(),) if parts.options.heat_views else ()
        networks = (NetworkFamily(),) if parts.options.has_networks else ()
        volumes = (VolumeFamily(),) if parts.options.volume_bounds.is_offered else ()
        families = (ContainerInfraFamily(), ContainerFamily(), *networks, *volumes, *views)
    turns = RequestSlots(parts.options.parallel_requests)
    mounts = {family.prefix: _Mount(family, parts, turns) for family in families}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        head = read_head(scope, f"req-{parts.ids.uuid()}")
        answer = await answer_head(head, receive)
        if scope["type"] == "websocket":
            await receive()  # the handshake
            if answer.socket is not None:
                await serve_socket(answer, head, receive, send)
            else:
                await refuse_socket(answer, scope, head, send)
        elif answer.pieces is not None:
            await respond_in_pieces(answer, answer.pieces, head, receive, send, clock=parts.clock)
        else:
            await respond(answer, head, send)

    async def answer_head(head: RequestHead, receive: Receive) -> Answer:
        start_time = parts.clock.monotonic()
        mount = mounts.get(head.segments[0]) if head.segments else None
        trace = RequestTrace()
        if mount is not None:
            answer = await mount.answer(head, receive, trace)
        else:
            answer = await _answer_plain(head, parts, registry, families)
        seconds = parts.clock.monotonic() - start_time
        meter.count(trace.family, trace.route, head.method, answer.status, seconds)
        log.info(
            "request",
            method=head.method,
            path=head.path,
            status=answer.status,
            seconds=round(seconds, 6),
            request_id=head.request_id,
            user_id=trace.caller.user_id if trace.caller else None,
            project_id=trace.caller.project_id if trace.caller else None,
        )
        record = record_of(
            trace, method=head.method, request_id=head.request_id, status=answer.status, answer=answer.body
        )
        if record is not None:
            parts.audit(record)
        return answer

    return app


async def _lifespan(receive: Receive, send: Send) -> None:
    """Acknowledge start and end. The caller of `create_app` opens and closes the parts."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _answer_plain(
    head: RequestHead, parts: ApiParts, registry: CollectorRegistry, families: Sequence[Family]
) -> Answer:
    """The answer to a path that belongs to no family."""
    name = "/".join(head.segments)
    if name not in {"", "healthcheck", "metrics"}:
        return reply({"error": {"code": 404, "title": "Not Found", "message": "The requested URL was not found."}}, 404)
    if head.method not in {"GET", "HEAD"}:
        return Answer(status=405, headers=(("Allow", "GET, HEAD"),))
    if name == "metrics":
        return Answer(
            body=await render_metrics((registry, *parts.counters), parts.store), media_type=CONTENT_TYPE_LATEST
        )
    if name == "healthcheck":
        return await answer_health(head, parts)
    faults = await list_health_faults(parts)
    return render_front_page(head, families, auth_uri=parts.options.auth_uri, faults=faults)


class _Mount:
    """One family under its prefix."""

    def __init__(self, family: Family, parts: ApiParts, turns: RequestSlots) -> None:
        self._family = family
        self._parts = parts
        self._turns = turns
        self._routes = RouteTable(family.routes)
        self._policy = Policy(family.rules, parts.options.policy_file)
        unknown = {route.rule for route in family.routes if route.rule is not None and route.rule not in self._policy}
        if unknown:
            raise LookupError(f"routes name policy rules that nobody defined: {sorted(unknown)}")
        self._challenge = (("WWW-Authenticate", f'Keystone uri="{parts.options.auth_uri}"'),)

    @cached_property
    def _document(self) -> Answer:
        """The family's OpenAPI document. The first request builds it: that takes longer than the rest of the start."""
        return reply(openapi.build_document(self._family))

    async def answer(self, head: RequestHead, receive: Receive, trace: RequestTrace) -> Answer:
        """The family's answer. Any exception becomes one of its error bodies."""
        trace.family = self._family.prefix
        base = f"{head.origin}/{self._family.prefix}"
        segments, has_version = self._split_version(head.segments)
        public = await self._answer_public(head, segments, has_version=has_version, base=base)
        if public is not None:
            return public
        open_to_all = not segments
        try:
            if self._is_open(head, segments):
                head.caller = NOBODY
            elif not open_to_all and (refusal := await self._identify(head, trace, segments)) is not None:
                return refusal
            version = negotiate(head.headers.get("openstack-api-version"), self._family)
        except MalformedVersion as error:
            return self._reply_failure(Failure(status=406, detail=str(error)))
        except UnsupportedVersion as error:
            return reply(self._family.version_error(str(error), base), 406, *version_headers(self._family, None))
        except Refused as error:
            return self._reply_failure(_refusal(error))
        except Exception as error:  # noqa: BLE001  (unexpected errors end here, and in the log)
            return self._reply_bug(error, head, trace)
        headers = version_headers(self._family, version)
        if open_to_all:
            answer = self._discovery(head, self._family.describe_version(base))
        else:
            assert head.caller is not None
            try:
                # Requests without a token wait for those of the same path only.
                async with self._turns.hold(head.caller.project_id or head.path):
                    answer = await self._route_request(head, receive, trace, segments, base, version)
            except TooManyRequests as error:
                answer = self._reply_failure(_refusal(error), ("Retry-After", "1"))
        return replace(answer, headers=answer.headers + headers)

    def _split_version(self, segments: list[str]) -> tuple[list[str], bool]:
        """The path below the version, and whether a version was named.

        Clients that follow a `next` link append its whole path to their own endpoint, so the prefix may come twice.
        """
        remaining, has_version = segments, False
        while remaining and remaining[0] in {self._family.prefix, "v1"}:
            has_version = has_version or remaining[0] == "v1"
            remaining = remaining[1:]
        return remaining, has_version

    async def _answer_public(
        self, head: RequestHead, segments: list[str], *, has_version: bool, base: str
    ) -> Answer | None:
        """The answer where no token and no version is needed; None for any other request."""
        if not segments and not has_version:
            return self._discovery(head, self._family.list_versions(base))
        if segments == ["healthcheck"]:
            return await self._answer_health(head)
        if segments == [openapi.NAME]:
            return self._document if head.method == "GET" else self._reply_failure(_status(405), ("Allow", "GET"))
        if head.method == "OPTIONS":
            return Answer(status=200, headers=(("Allow", "GET, POST, PATCH, PUT, DELETE, OPTIONS"),))
        return None

    def _discovery(self, head: RequestHead, content: object) -> Answer:
        if head.method not in {"GET", "OPTIONS"}:
            return self._reply_failure(_status(405), ("Allow", "GET"))
        return reply(content)

    async def _answer_health(self, head: RequestHead) -> Answer:
        answer = await answer_health(head, self._parts)
        if self._family.prefix == "container":
            return Answer(status=answer.status, body=b"OK" if answer.status == 200 else b"", media_type="text/plain")  # noqa: PLR2004
        return answer

    def _is_open(self, head: RequestHead, segments: list[str]) -> bool:
        """Whether the request is for a WebSocket that needs no token."""
        match = self._routes.match(segments) if head.method == SOCKET else None
        route = match.methods.get(SOCKET) if match is not None else None
        return route is not None and route.is_open

    async def _identify(self, head: RequestHead, trace: RequestTrace, segments: list[str]) -> Answer | None:
        """Set the caller. Return the refusal where there is no valid token, or where it does not permit the request."""
        token = head.headers.get("x-auth-token")
        caller = await self._parts.tokens.caller(token) if token else None
        method = "GET" if head.method == SOCKET else head.method
        if caller is None or not self._permits(caller, method, segments):
            return reply(_UNAUTHORIZED, 401, *self._challenge)
        head.caller = trace.caller = caller
        return None

    def _permits(self, caller: Caller, method: str, segments: list[str]) -> bool:
        """Whether the access rules of an application credential, if it has any, permit the request.

        The rules name the published path, with or without the prefix. Other spellings of the client (a doubled slash,
        no version) count as the same path.
        """
        if caller.access_rules is None:
            return True
        versioned_segments = segments if segments[:1] in (["v2.0"], ["v3"]) else ["v1", *segments]
        plain = "/".join(["", *versioned_segments])
        paths = (plain, f"/{self._family.prefix}{plain}")
        return any(rule.permits(self._family.service_types, method, paths) for rule in caller.access_rules)

    async def _route_request(
        self, head: RequestHead, receive: Receive, trace: RequestTrace, segments: list[str], base: str, version: int
    ) -> Answer:
        match = self._routes.match(segments)
        if match is None or "\0" in head.path:
            return self._reply_failure(_status(404))
        route = match.methods.get(head.method)
        if route is None:
            return self._refuse_method(match.methods)
        trace.route, trace.rule, trace.path = route.path, route.rule, match.path
        fail = partial(self._reply_failure, route=route.path)
        if (refusal := route.refuse_version(version)) is not None:
            return fail(refusal)
        assert head.caller is not None
        try:
            query = self._arguments(head.pairs, route)
            if route.rule is not None:
                self._policy.enforce(route.rule, head.caller)
            options = self._parts.options
            upload = Upload(head, receive, options.max_upload) if route.upload else None
            body = b"" if upload is not None else await read_body(head, receive, options.max_body)
            wrong = self._family.check_headers(head.method, head.headers, has_body=bool(body))
            if wrong is not None:
                return fail(wrong)
            call = Call(
                parts=self._parts,
                policy=self._policy,
                caller=head.caller,
                version=version,
                base=base,
                path=match.path,
                query=query,
                pairs=head.pairs,
                body=body,
                request_id=head.request_id,
                subject=trace.subject,
                upload=upload,
                subprotocols=head.subprotocols,
                origin=head.headers.get("origin"),
            )
            return await route.handler(call)
        except Refused as error:
            return fail(_refusal(error))
        except BodyTooLarge:
            return fail(Failure(status=413, detail="The request's body is too large."))
        except ClientDisconnected:
            return fail(Failure(status=400, detail="The request's body was cut off.", from_handler=True))
        except Exception as error:  # noqa: BLE001  (unexpected errors end here, and in the log)
            return self._reply_bug(error, head, trace)

    def _refuse_method(self, methods: Mapping[str, Route]) -> Answer:
        """A 405 that names the methods of the path; where it is a WebSocket alone, a 426."""
        if methods.keys() == {SOCKET}:
            return self._reply_failure(_status(426), ("Upgrade", "websocket"), ("Connection", "Upgrade"))
        return self._reply_failure(_status(405), ("Allow", ", ".join(sorted(methods.keys() - {SOCKET}))))

    def _arguments(self, pairs: Iterable[tuple[str, str]], route: Route) -> Mapping[str, Any]:
        arguments: dict[str, Any] = {}
        for name, raw in pairs:
            check = route.query.get(name)
            if check is None:
                if route.tolerates_arguments:
                    continue
                raise Refused(self._family.unknown_argument(name), field=name)
            if "\0" in raw:
                raise Refused(f"The argument {name} holds a NUL character.", field=name)
            value = check(name, raw)
            # An argument that comes twice has its last value; a list argument has all of them.
            arguments[name] = arguments[name] + value if isinstance(check, ListCheck) and name in arguments else value
        return arguments

    def _reply_bug(self, error: Exception, head: RequestHead, trace: RequestTrace) -> Answer:
        """A 500 that names the request id; the log has the details."""
        log.error("bug", exc_info=error, request_id=head.request_id, method=head.method, route=trace.route)
        detail = f"An unexpected error happened. It is logged under {head.request_id}."
        return self._reply_failure(Failure(status=500, detail=detail), route=trace.route)

    def _reply_failure(self, failure: Failure, *headers: tuple[str, str], route: str = "") -> Answer:
        return reply(self._family.error_body(replace(failure, route=route)), failure.status, *headers)


def _status(status: int) -> Failure:
    phrase = HTTPStatus(status)
    return Failure(status=status, detail=f"{phrase.phrase}. {phrase.description or phrase.phrase}.")


def _refusal(error: Refused) -> Failure:
    return Failure(
        status=error.status, detail=error.detail, code=error.code, from_handler=True, field=error.field or ""
    )
