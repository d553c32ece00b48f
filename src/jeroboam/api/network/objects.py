"""What the objects of this family have in common: scopes, filters, pages, bodies, refusals.

Neighbours: `networks`, `subnets`, `ports`, `security_groups`, whose handlers use it.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.fields import FieldCheck, InvalidField, ListCheck, Schema, body_of, flag, read_fields, text
from jeroboam.api.network.policies import ALL_PROJECTS
from jeroboam.api.wire import PAGING, limit_of, page_of
from jeroboam.domain.errors import Conflict, Invalid
from jeroboam.store import Page, Transaction

NAME = text(low=0)
DESCRIPTION = text(low=0)
PROJECT: Mapping[str, FieldCheck] = {"project_id": text(), "tenant_id": text()}


class OverNetworkQuota(Conflict):
    """A project's limit of such objects is reached; Neutron answers so with a 409."""

    code = "OverQuota"


def only(value: object, reason: str) -> FieldCheck:
    """The one value that a field may have here; `reason` says why."""
    shown = {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value

    def run(name: str, given: Any) -> Any:
        if given != value or isinstance(given, bool) != isinstance(value, bool):
            raise InvalidField(name, given, f"it can only be {shown}: {reason}.")
        return given

    return FieldCheck(run, {"const": value})


def filters_of(*names: str) -> Mapping[str, FieldCheck]:
    """The arguments of a list: filters by these fields, each of which may come several times, fields to show, pages."""
    word = text(low=0)
    check = ListCheck(lambda name, value: (word(name, value),), word.schema)
    return {
        **{name: PAGING[name] for name in ("limit", "marker", "sort_dir")},
        "sort_key": text(),
        "page_reverse": flag,
        **dict.fromkeys(("id", "name", "description", "project_id", "tenant_id", *names, "fields"), check),
    }


_COLUMNS = {"id": "uuid", "tenant_id": "project_id"}
_NO_FILTERS = frozenset({"limit", "marker", "sort_dir", "sort_key", "page_reverse", "fields"})


def read_selector(call: Call) -> Any:
    """The selector of a list: its filters, and the caller's own project unless it may see all. None: nothing fits."""
    selector: dict[str, Any] = {
        _COLUMNS.get(name, name): list(value) for name, value in call.query.items() if name not in _NO_FILTERS
    }
    if not call.allows(ALL_PROJECTS):
        wanted = selector.get("project_id")
        if wanted is not None and call.caller.project_id not in wanted:
            return None
        selector["project_id"] = call.caller.project_id
    return selector


def read_page(call: Call) -> Page:
    """The page of a list. A field `id` is a uuid here."""
    page = page_of(call)
    names = {"id": "uuid"}
    asked = call.query.get("sort_key")
    return Page(
        limit=page.limit,
        marker=page.marker,
        descending=page.descending,
        sort_key="id" if asked is None else names.get(asked, asked),
    )


def reply_list(call: Call, plural: str, shown: Sequence[dict[str, Any]]) -> Answer:
    """A page with the fields that the caller wants, and with a link to the next one where there may be one."""
    wanted = call.query.get("fields")
    rows = [row if wanted is None else {name: row[name] for name in wanted if name in row} for row in shown]
    body: dict[str, Any] = {plural: rows}
    if len(shown) == limit_of(call):
        pairs = [pair for pair in call.pairs if pair[0] not in {"limit", "marker"}]
        query = urlencode([*pairs, ("limit", limit_of(call)), ("marker", shown[-1]["id"])])
        body[f"{plural}_links"] = [{"rel": "next", "href": f"{call.base}/v2.0/{plural.replace('_', '-')}?{query}"}]
    return reply(body)


def build_schema(singular: str, table: Mapping[str, FieldCheck], *required_names: str) -> Schema:
    """The schema of a body with one object."""
    inner = FieldCheck(lambda _, value: value, body_of(table, *required_names))
    return body_of({singular: inner}, singular)


def read_object(call: Call, singular: str, table: Mapping[str, FieldCheck], *required_names: str) -> dict[str, Any]:
    """The checked fields of the one object in the body."""
    body = call.fields()
    fields = body.get(singular)
    if body.keys() != {singular} or not isinstance(fields, dict):
        raise Invalid(f"The body has to be an object with '{singular}', which has to be an object.", field=singular)
    for name in fields:
        if name not in table:
            raise Invalid(f"Unrecognized attribute(s) '{name[:80]}'.", field=name)
    for name in required_names:
        if fields.get(name) is None:
            raise Invalid(f"Failed to parse request. Required attribute '{name}' not specified.", field=name)
    return read_fields(fields, table)


def project_of(call: Call, values: Mapping[str, Any]) -> str:
    """The project that a new object is of: the caller's own, or another one for those who may."""
    named = {values[name] for name in PROJECT if name in values}
    if len(named) > 1:
        raise InvalidField("tenant_id", values["tenant_id"], "it has to be the same as project_id.")
    project_id = named.pop() if named else call.caller.project_id
    if project_id != call.caller.project_id:
        call.enforce(ALL_PROJECTS)
    return str(project_id)


def select_own(call: Call, uuid: str) -> Any:
    """The selector of the object with that uuid, if the caller may name it."""
    return {"uuid": uuid} if call.allows(ALL_PROJECTS) else {"uuid": uuid, "project_id": call.caller.project_id}


def check_quota(call: Call, resource: str, count: int) -> None:
    """Raise if the project may not have one more."""
    limit = call.parts.options.network_quota[resource]
    if 0 <= limit <= count:
        raise OverNetworkQuota(f"Quota exceeded for resources: ['{resource}'].")


async def serialise(tx: Transaction, project_id: str) -> None:
    """Have other transactions wait that count or change networks of the project."""
    await tx.serialise(project_id, "networks")


def show_base(row: Any) -> dict[str, Any]:
    """The fields that all objects have."""
    return {
        "id": row.uuid,
        "name": row.name,
        "description": row.description,
        "project_id": row.project_id,
        "tenant_id": row.project_id,
        "created_at": format_moment(row.created_at),
        "updated_at": format_moment(row.updated_at or row.created_at),
    }


def format_moment(moment: dt.datetime) -> str:
    """`2026-11-21T21:32:11Z`."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def group_by(rows: Iterable[Any], key: Callable[[Any], str]) -> dict[str, list[Any]]:
    """The rows by that key."""
    groups: dict[str, list[Any]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups
