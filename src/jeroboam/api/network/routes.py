"""The routes of the network family. What of the published API is not among them is a 404, and no extension names it."""

from collections.abc import Mapping
from typing import Any

from jeroboam.api.call import Answer, Call, Handler, Route, reply
from jeroboam.api.fields import FieldCheck
from jeroboam.api.network import networks, ports, security_groups
from jeroboam.api.network.objects import build_schema
from jeroboam.domain.errors import NotFound

_V2 = "/v2.0"
_EXTENSIONS = {
    "security-group": "Security groups and their rules.",
    "standard-attr-description": "Descriptions of all objects.",
    "standard-attr-timestamp": "Times of creation and change.",
    "project-id": "Objects name their project as project_id too.",
}
_COLLECTIONS = ("networks", "subnets", "ports", "security-groups", "security-group-rules")


async def resources(call: Call) -> Answer:
    """GET /v2.0: what there is"""
    rows = [
        {
            "name": name.removesuffix("s").replace("-", "_"),
            "collection": name,
            "links": [{"rel": "self", "href": f"{call.base}{_V2}/{name}"}],
        }
        for name in _COLLECTIONS
    ]
    return reply({"resources": rows})


def _show_extension(alias: str) -> dict[str, Any]:
    return {
        "alias": alias,
        "name": alias.replace("-", " ").capitalize(),
        "description": _EXTENSIONS[alias],
        "updated": "2026-11-29T00:00:00Z",
        "links": [],
    }


async def extensions(call: Call) -> Answer:
    """GET /v2.0/extensions: what there is beside the core"""
    del call
    return reply({"extensions": [_show_extension(alias) for alias in _EXTENSIONS]})


async def extension(call: Call) -> Answer:
    """GET /v2.0/extensions/{extension}: one of them"""
    alias = call.path["extension"]
    if alias not in _EXTENSIONS:
        raise NotFound(f"Extension with alias {alias} does not exist")
    return reply({"extension": _show_extension(alias)})


def _read_route(path: str, handler: Handler, rule: str, query: Mapping[str, FieldCheck] | None = None) -> Route:
    return Route(
        method="GET", path=f"{_V2}{path}", handler=handler, rule=rule, query=query or {}, answer=dict[str, Any]
    )


def _object_routes(
    plural: str,
    singular: str,
    parameter: str,
    handlers: tuple[Handler, Handler, Handler, Handler],
    *,
    create: Mapping[str, FieldCheck],
    required: tuple[str, ...] = (),
    filters: Mapping[str, FieldCheck],
    differs: str,
) -> tuple[Route, ...]:
    """The routes of one kind of object: list, create, show and delete."""
    index, make, show, delete = handlers
    one = f"/{plural}/{{{parameter}}}"
    fields = {"fields": filters["fields"]}
    return (
        _read_route(f"/{plural}", index, f"get_{singular}", filters),
        Route(
            method="POST",
            path=f"{_V2}/{plural}",
            handler=make,
            rule=f"create_{singular}",
            body=build_schema(singular, create, *required),
            status=201,
            answer=dict[str, Any],
            refusals=(404,),
            differs=differs,
        ),
        _read_route(one, show, f"get_{singular}", fields),
        Route(method="DELETE", path=f"{_V2}{one}", handler=delete, rule=f"delete_{singular}", status=204),
    )


def _update_route(
    plural: str, singular: str, parameter: str, handler: Handler, change: Mapping[str, FieldCheck]
) -> Route:
    return Route(
        method="PUT",
        path=f"{_V2}/{plural}/{{{parameter}}}",
        handler=handler,
        rule=f"update_{singular}",
        body=build_schema(singular, change),
        answer=dict[str, Any],
    )


ROUTES = (
    _read_route("", resources, "get_extension"),
    _read_route("/extensions", extensions, "get_extension"),
    _read_route("/extensions/{extension}", extension, "get_extension"),
    *_object_routes(
        "networks",
        "network",
        "network",
        (networks.index, networks.create, networks.show, networks.delete),
        create=networks.CREATE,
        filters=networks.FILTERS,
        differs="a bridge of this machine; never shared",
    ),
    _update_route("networks", "network", "network", networks.update, networks.CHANGE),
    *_object_routes(
        "subnets",
        "subnet",
        "subnet",
        (networks.index_subnets, networks.create_subnet, networks.show_subnet, networks.delete_subnet),
        create=networks.SUBNET_CREATE,
        required=("network_id", "cidr"),
        filters=networks.SUBNET_FILTERS,
        differs="one a network, of version 4; it may overlap no other subnet of this machine, whosever it is",
    ),
    _update_route("subnets", "subnet", "subnet", networks.update_subnet, networks.SUBNET_CHANGE),
    *_object_routes(
        "ports",
        "port",
        "port",
        (ports.index, ports.create, ports.show, ports.delete),
        create=ports.CREATE,
        required=("network_id",),
        filters=ports.FILTERS,
        differs="one address, from which the hardware address follows; a container's port is not deleted",
    ),
    _update_route("ports", "port", "port", ports.update, ports.CHANGE),
    *_object_routes(
        "security-groups",
        "security_group",
        "group",
        (security_groups.index, security_groups.create, security_groups.show, security_groups.delete),
        create=security_groups.CREATE,
        filters=security_groups.FILTERS,
        differs="",
    ),
    _update_route("security-groups", "security_group", "group", security_groups.update, security_groups.CHANGE),
    *_object_routes(
        "security-group-rules",
        "security_group_rule",
        "rule",
        (
            security_groups.index_rules,
            security_groups.create_rule,
            security_groups.show_one_rule,
            security_groups.delete_rule,
        ),
        create=security_groups.RULE_CREATE,
        required=("security_group_id", "direction"),
        filters=security_groups.RULE_FILTERS,
        differs="rules of IPv6 are kept, and no packet is of that version here",
    ),
)
