"""What the families share on the wire: links, pages, booleans in a query, JSON patch.

Neighbours: the handlers of all families. Where the families differ, the difference is an argument.
"""

import datetime as dt
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode
from uuid import UUID

from jeroboam.api.call import Call
from jeroboam.api.fields import FieldCheck, Schema, text
from jeroboam.api.shapes import Link
from jeroboam.domain.errors import BadValue, Invalid
from jeroboam.kit.ids import is_uuid
from jeroboam.store import Page

# A member is escaped as in a JSON pointer: `~1` is a slash, `~0` a tilde.
_PATH = re.compile(r"/([\w-]+)(?:/((?:[^/~]|~[01])+))?", re.DOTALL)
_MOST_DIGITS = 18
_OPS = ("add", "replace", "remove")


class HasUuid(Protocol):
    """An object that can be a page's marker."""

    @property
    def uuid(self) -> str: ...


def links(base: str, collection: str, ident: str) -> list[Link]:
    """The `self` and `bookmark` pair of one object."""
    return [
        {"href": f"{base}/v1/{collection}/{ident}", "rel": "self"},
        {"href": f"{base}/{collection}/{ident}", "rel": "bookmark"},
    ]


def format_time(moment: dt.datetime | None) -> str | None:
    """`2026-11-21T21:32:11+00:00`."""
    return None if moment is None else moment.isoformat(timespec="seconds")


def _limit(name: str, value: str) -> int:
    digits = value.lstrip("0")
    if re.fullmatch(r"[0-9]+", digits, re.ASCII) is None:
        raise Invalid(f"Limit must be positive, and '{value[:80]}' is no positive number.", field=name)
    if len(digits) > _MOST_DIGITS:
        raise Invalid(f"Limit '{value[:80]}' is too large: it has more than {_MOST_DIGITS} digits.", field=name)
    return int(digits)


def _marker(name: str, value: str) -> str:
    if not is_uuid(value):
        raise Invalid(f"Expected a uuid but received {value}.", field=name)
    return str(UUID(value))


def _read_direction(name: str, value: str) -> bool:
    if value not in _DIRECTIONS:
        raise Invalid(f"Invalid sort direction: {value}, acceptable values are 'asc' or 'desc'", field=name)
    return value == "desc"


_DIRECTIONS = ("asc", "desc")
PAGING: dict[str, FieldCheck] = {
    "limit": FieldCheck(_limit, {"type": "integer", "minimum": 1}),
    "marker": FieldCheck(_marker, {"type": "string", "format": "uuid"}),
    "sort_key": text(),
    "sort_dir": FieldCheck(_read_direction, {"enum": list(_DIRECTIONS)}),
}
"""The query arguments of a list."""


def list_arguments(keys: Sequence[str]) -> dict[str, FieldCheck]:
    """The same for a list that can be sorted by these fields."""

    def run(name: str, value: str) -> str:
        if value not in keys:
            raise Invalid(f'The sort_key value "{value}" is an invalid field for sorting', field=name)
        return value

    return PAGING | {"sort_key": FieldCheck(run, {"enum": list(keys)})}


def limit_of(call: Call) -> int:
    """The effective size of a page."""
    max_limit = call.parts.options.max_limit
    limit: int = call.query.get("limit", max_limit)
    return min(limit, max_limit)


def is_descending(call: Call) -> bool:
    """Whether the list is sorted in descending order."""
    return bool(call.query.get("sort_dir", False))


def page_of(call: Call, *, sort_key: str = "id") -> Page:
    """The page that the query asks for. The store refuses keys that it cannot sort by."""
    return Page(
        marker=call.query.get("marker"),
        descending=is_descending(call),
        limit=limit_of(call),
        sort_key=call.query.get("sort_key", sort_key),
    )


def next_page(call: Call, page: Page, path: str, items: Sequence[HasUuid]) -> str | None:
    """The link to the next page; None unless the page is exactly full, as in both published APIs.

    Filters of the query are kept in the link.
    """
    if not items or len(items) != page.limit:
        return None
    direction = "desc" if page.descending else "asc"
    query = [("sort_key", page.sort_key), ("sort_dir", direction), ("limit", page.limit), ("marker", items[-1].uuid)]
    query += [(name, value) for name, value in call.pairs if name not in PAGING]
    return f"{call.base}/v1/{path}?{urlencode(query)}"


def wants_total(call: Call) -> bool:
    """Whether the list shows the number of objects on all its pages, in `total_count`.

    This is an extension, only on request, since it costs a statement. The total is in the body beside `next`, since
    published clients pass on unknown fields of the body.
    """
    return query_flag(call.query, "with_count")


def query_flag(query: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    """A boolean of the checked query arguments."""
    return bool(query.get(name, default))


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchOperation:
    """One operation of a JSON patch. `root` and `member` are the parts of its path."""

    op: str
    root: str
    member: str | None
    value: Any = None


_POINTER = (
    "it has to be /FIELD or /FIELD/KEY, and a slash within KEY is written ~1, a tilde ~0, as in /labels/example.com~1a."
)


def changes_of(body: Any) -> list[PatchOperation]:
    """The operations of a patch, as the container-infra API accepts them: add, replace, remove, with plain values."""
    if not isinstance(body, list):
        raise Invalid("The body has to be a JSON patch: a list of operations.", field="patch")
    return [_change(step) for step in body]


def patch_of(*roots: str, members: str | None = None) -> Schema:
    """The schema of a patch of these fields, and of the members of one of them."""
    inner = "" if members is None else rf"|{members}/([^/~]|~[01])+"
    path = {"type": "string", "pattern": f"^/({'|'.join(roots)}{inner})$"}
    value = {"type": ["string", "integer", "boolean"]}
    set_step: dict[str, Any] = {
        "type": "object",
        "properties": {"op": {"enum": ["add", "replace"]}, "path": path, "value": value},
        "required": ["op", "path", "value"],
        "additionalProperties": False,
    }
    properties = {"op": {"enum": ["remove"]}, "path": path, "value": {"type": [*value["type"], "null"]}}
    remove_step = set_step | {"properties": properties, "required": ["op", "path"]}
    return {"type": "array", "items": {"anyOf": [set_step, remove_step]}}


def _change(step: Any) -> PatchOperation:
    if not isinstance(step, dict):
        raise BadValue("patch", step, "a step is an object with op, path and value.")
    unknown = set(step) - {"op", "path", "value"}
    if unknown:
        raise Invalid(f"Unknown attribute for argument patch: {min(unknown)}", field="patch")
    op, path, value = step.get("op"), step.get("path"), step.get("value")
    if op not in _OPS:
        raise BadValue("op", op, f"it has to be one of: {', '.join(_OPS)}.")
    match = _PATH.fullmatch(path) if isinstance(path, str) else None
    if match is None:
        raise BadValue("path", path, _POINTER)
    if op != "remove" and value is None:
        raise Invalid(f"The step {op} of '{path}' needs a value.", field="value")
    if value is not None and not isinstance(value, str | int):
        raise BadValue("value", value, f"the value of '{path}' has to be text or an integer.")
    root, member = match.groups()
    if member is not None:
        member = member.replace("~1", "/").replace("~0", "~")
    return PatchOperation(op=op, root=root, member=member, value=value)


def apply_patch(
    document: dict[str, Any], changes: Sequence[PatchOperation], *, mandatory: Collection[str] = ()
) -> dict[str, Any]:
    """A copy of the document with the operations applied in order. A removed field is absent from it."""
    result = {key: dict(value) if isinstance(value, dict) else value for key, value in document.items()}
    for change in changes:
        if change.member is None:
            _change_root(result, change, mandatory)
        else:
            _change_member(result, change)
    return result


def _change_root(result: dict[str, Any], change: PatchOperation, mandatory: Collection[str]) -> None:
    path = f"/{change.root}"
    if change.op == "remove":
        if change.root in mandatory:
            raise Invalid(f"'{path}' is a mandatory attribute and can not be removed", field=change.root)
        if change.root not in result:
            raise Invalid(f"Couldn't apply patch, reason: can't remove a non-existent object '{path}'")
        del result[change.root]
        return
    if change.op == "add":
        if change.root not in result:
            raise Invalid(f"Adding a new attribute {path} to the root of the resource is not allowed.")
        if result[change.root] is not None:
            raise Invalid(f"The attribute {path} has existed, please use 'replace' operation instead.")
    elif change.root not in result:
        raise Invalid(f"Couldn't apply patch, reason: can't replace a non-existent object '{path}'")
    result[change.root] = change.value


def _change_member(result: dict[str, Any], change: PatchOperation) -> None:
    path = f"/{change.root}/{change.member}"
    parent = result.get(change.root)
    if not isinstance(parent, dict):
        raise Invalid(f"Couldn't apply patch, reason: there is nothing at '{path}'")
    if change.op != "add" and change.member not in parent:
        raise Invalid(f"Couldn't apply patch, reason: can't {change.op} a non-existent object '{path}'")
    if change.op == "remove":
        del parent[change.member]
    else:
        parent[change.member] = change.value
