"""The OpenAPI document of a family, built from its table of routes. Nothing in it is written by hand.

The schemas of bodies and arguments come from the checks that run; those of answers come from the types of the views.
`tests/api/test_openapi.py` compares the document with what the application does. Pure: the same table gives the same
document.
"""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from jeroboam.api.call import NEWEST, SOCKET, Family, Route
from jeroboam.api.fields import Schema

NAME = "openapi.json"
_SCHEMAS = "#/components/schemas/"
_PARAMETER = re.compile(r"\{(\w+)\}")
_WRITES = frozenset({"POST", "PATCH", "PUT"})
_REFUSALS = {
    400: ("BadRequest", "The request breaks a rule; the text names the field and the rule."),
    401: ("Unauthorized", "There is no token that the identity service knows."),
    403: ("Forbidden", "The policy or a limit of the project does not allow it."),
    404: ("NotFound", "There is no such object in the caller's sight."),
    406: ("NotAcceptable", "The method is not in that microversion, or nobody has such a version or media type."),
    409: ("Conflict", "The state of the object, or another object, forbids it now."),
    413: ("TooLarge", "The body is beyond the limit."),
    415: ("UnsupportedMediaType", "The body is no JSON."),
    429: ("TooManyRequests", "Too many requests of the project are under way."),
    501: ("NotOffered", "The published API has it, and this service does not do it."),
    503: ("Unavailable", "A part that the answer needs cannot be reached now."),
}
_UNAUTHORIZED: Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"code": {"const": 401}, "title": {"type": "string"}, "message": {"type": "string"}},
            "required": ["code", "title", "message"],
        }
    },
    "required": ["error"],
}


def build_document(family: Family) -> dict[str, Any]:
    """The whole document. Its paths are relative to `v1`, where it is served."""
    schemas = _Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for route in family.routes:
        if route.method == SOCKET:
            continue  # OpenAPI has no word for a WebSocket
        paths.setdefault(route.path, {})[route.method.lower()] = _build_operation(route, family, schemas)
    statuses = sorted({status for route in family.routes for status in _refusals(route)})
    responses = {_REFUSALS[status][0]: _refusal_response(status, family, schemas) for status in statuses}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"The {family.prefix} API",
            "version": f"1.{family.newest}",
            "description": f"The API of {family.peer}, as Jeroboam speaks it. An operation that came with a later "
            "microversion names it as `x-openstack-min-version`, one that went as `x-openstack-max-version`.",
        },
        "servers": [{"url": "v1"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.components(),
            "responses": responses,
            "parameters": {"version": _version(family)},
            "headers": _headers(family),
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
        },
    }


class _Schemas:
    """The schemas of answers, by name. Routes add them."""

    def __init__(self) -> None:
        self._definitions: dict[str, Any] = {}

    def schema_of(self, *types: Any) -> Schema:
        """The schema of a value that has one of these types."""
        schemas, definitions = msgspec.json.schema_components(types, ref_template=f"{_SCHEMAS}{{name}}")
        for name, schema in definitions.items():
            if self._definitions.setdefault(name, schema) != schema:
                raise ValueError(f"two shapes of answers are called {name}")
        alternatives = [_close_schema(schema) for schema in schemas]
        return alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}

    def components(self) -> dict[str, Any]:
        """All schemas, sorted by name."""
        by_name = {_public_name(name): _close_schema(schema) for name, schema in self._definitions.items()}
        return dict(sorted(by_name.items()))


def _public_name(name: str) -> str:
    return name.removesuffix("Shape")


def _close_schema(schema: Any) -> Any:
    """The schema with published names. Objects have no members besides those of their type."""
    if isinstance(schema, list):
        return [_close_schema(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _close_schema(member) for key, member in schema.items()}
    if isinstance(schema.get("$ref"), str):
        result["$ref"] = _SCHEMAS + _public_name(schema["$ref"].removeprefix(_SCHEMAS))
    if isinstance(schema.get("title"), str):
        result["title"] = _public_name(schema["title"])
    if schema.get("type") == "object" and "properties" in schema:
        result.setdefault("additionalProperties", False)
    return result


def _build_operation(route: Route, family: Family, schemas: _Schemas) -> dict[str, Any]:
    words = [word for word in re.split(r"\W+", route.path) if word]
    operation: dict[str, Any] = {"operationId": "_".join([route.method.lower(), *words]), "tags": words[:1]}
    if route.summary:
        operation["summary"] = route.summary
    if route.differs:
        operation["description"] = f"Not as {family.peer}: {route.differs}."
    if route.since > 1:
        operation["x-openstack-min-version"] = f"1.{route.since}"
    if route.until != NEWEST:
        operation["x-openstack-max-version"] = f"1.{route.until}"
    operation["parameters"] = [
        {"$ref": "#/components/parameters/version"},
        *(
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[^/]+$"}}
            for name in _PARAMETER.findall(route.path)
        ),
        *({"name": name, "in": "query", "schema": check.schema} for name, check in sorted(route.query.items())),
    ]
    if route.upload and route.body is None:
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"required": route.body_needed, "content": content}
    elif route.body is not None:
        operation["requestBody"] = {"required": route.body_needed, "content": _content(route.body)}
    responses: dict[str, Any] = {
        str(status): {"$ref": f"#/components/responses/{_REFUSALS[status][0]}"} for status in _refusals(route)
    }
    responses[str(route.status)] = _success_response(route, family, schemas)
    operation["responses"] = dict(sorted(responses.items()))
    return operation


def _success_response(route: Route, family: Family, schemas: _Schemas) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": HTTPStatus(route.status).phrase,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in _headers(family)},
    }
    if route.status != HTTPStatus.NO_CONTENT:
        types = route.answer if isinstance(route.answer, tuple) else (route.answer,)
        response["content"] = _content(schemas.schema_of(*types))
    return response


def _content(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _refusals(route: Route) -> Iterable[int]:
    """The statuses of the refusals that the route can return."""
    statuses = {400, 401, 406, 429, 503, *route.refusals}
    if route.rule is not None:
        statuses.add(403)
    if "{" in route.path:
        statuses |= {404, 409}
    if "marker" in route.query:
        statuses.add(404)
    if route.method in _WRITES:
        statuses |= {409, 413, 415}
    return sorted(statuses)


def _refusal_response(status: int, family: Family, schemas: _Schemas) -> dict[str, Any]:
    usual, out_of_range = family.errors
    schema: Schema
    match status:
        case HTTPStatus.UNAUTHORIZED:
            schema = _UNAUTHORIZED
        case HTTPStatus.NOT_ACCEPTABLE:
            schema = {"anyOf": [schemas.schema_of(usual), schemas.schema_of(out_of_range)]}
        case _:
            schema = schemas.schema_of(usual)
    response = {"description": _REFUSALS[status][1], "content": _content(schema)}
    if status == HTTPStatus.UNAUTHORIZED:
        challenge = {"required": True, "schema": {"type": "string"}}
        return response | {"headers": {"WWW-Authenticate": challenge}}
    return response


def _version(family: Family) -> dict[str, Any]:
    return {
        "name": "OpenStack-API-Version",
        "in": "header",
        "description": f"The microversion to answer in; 1.1 without it. `{family.prefix} latest` is 1.{family.newest}.",
        "schema": {
            "type": "string",
            "enum": [f"{family.prefix} 1.{minor}" for minor in range(1, family.newest + 1)]
            + [f"{family.prefix} latest"],
        },
    }


def _headers(family: Family) -> Mapping[str, Any]:
    """The headers of every answer below `v1`."""
    bounds = {
        "OpenStack-API-Minimum-Version": "1.1",
        "OpenStack-API-Maximum-Version": f"1.{family.newest}",
        "OpenStack-API-Version": None,
    }
    versions = {
        name: {
            "required": True,
            "schema": {"type": "string", "pattern": f"^{family.service_type} 1\\.[0-9]+$"}
            if version is None
            else {"const": f"{family.service_type} {version}"},
        }
        for name, version in bounds.items()
    }
    return versions | {
        "X-OpenStack-Request-Id": {"required": True, "schema": {"type": "string", "pattern": "^req-[0-9a-f-]{36}$"}}
    }
