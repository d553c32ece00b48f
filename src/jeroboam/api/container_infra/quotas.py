"""Limits of projects (contract: container-infra, section 9). The create of a cluster checks them."""

import re
from dataclasses import fields, replace
from typing import Any

from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.container_infra.schema import refuse_unknown
from jeroboam.api.container_infra.shapes import QuotaList, QuotaShape
from jeroboam.api.fields import FieldCheck, InvalidField, choice, integer, read_fields, text
from jeroboam.api.wire import format_time, is_descending, limit_of, query_flag
from jeroboam.domain.errors import Conflict, Invalid, NotFound
from jeroboam.domain.quotas import Quota
from jeroboam.store import QuotaSelector, Transaction

RESOURCES = frozenset({"Cluster"})
FIELDS: dict[str, FieldCheck] = {"project_id": text(), "resource": choice(*RESOURCES), "hard_limit": integer(low=0)}
REQUIRED = ("project_id",)
_DEFAULT_RESOURCE = "Cluster"
_READ_ONLY = frozenset({"id", "created_at", "updated_at"})
_DEFAULT_LIMIT = 1
# Any other text is not a project id; it must not get into a path of the identity service.
_PROJECT = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
SORTABLE = sorted(field.name for field in fields(Quota))


def _view(quota: Quota) -> QuotaShape:
    return {
        "id": quota.id,
        "project_id": quota.project_id,
        "resource": quota.resource,
        "hard_limit": quota.hard_limit,
        "created_at": format_time(quota.created_at),
        "updated_at": format_time(quota.updated_at),
    }


async def index(call: Call) -> Answer:
    """GET /quotas: the limits that somebody set

    They are few, and their marker is a number.
    """
    limit = limit_of(call)
    key, backwards = call.query.get("sort_key", "id"), is_descending(call)
    owner: QuotaSelector = {} if query_flag(call.query, "all_tenants") else {"project_id": call.caller.project_id}
    async with call.parts.store.read() as tx:
        quotas = [quota for quota in await tx.quotas.select(owner) if quota.resource in RESOURCES]
    quotas.sort(key=lambda quota: (getattr(quota, key) is not None, getattr(quota, key), quota.id))
    if backwards:
        quotas.reverse()
    items = _skip_to_marker(quotas, call.query.get("marker"))[:limit]
    body: QuotaList = {"quotas": [_view(quota) for quota in items]}
    if items and len(items) == limit:
        query = f"sort_key={key}&sort_dir={'desc' if backwards else 'asc'}&limit={limit}&marker={items[-1].id}"
        body["next"] = f"{call.base}/v1/quotas?{query}"
    return reply(body)


def _number(name: str, value: str) -> str:
    if not (value.isascii() and value.isdigit()):
        raise Invalid(f"Expected an integer but received {value}.", field=name)
    return value


MARKER = FieldCheck(_number, {"type": "integer", "minimum": 0})


def _skip_to_marker(quotas: list[Quota], marker: str | None) -> list[Quota]:
    if marker is None:
        return quotas
    for position, quota in enumerate(quotas):
        if str(quota.id) == marker:
            return quotas[position + 1 :]
    raise NotFound(f"The marker {marker} could not be found.", field="marker")


async def show(call: Call) -> Answer:
    """GET /quotas/{project}/{resource}: what was set, or the default"""
    project_id, resource = call.path["project"], call.path["resource"]
    if resource not in RESOURCES:
        raise InvalidField("resource", resource, f"it has to be one of: {', '.join(sorted(RESOURCES))}.")
    call.enforce("quota:get", project_id=project_id)
    async with call.parts.store.read() as tx:
        quotas = await tx.quotas.select({"project_id": project_id, "resource": resource})
    if quotas:
        return reply(_view(quotas[0]))
    default = call.parts.options.max_clusters_per_project
    body: QuotaShape = {"project_id": project_id, "resource": resource, "hard_limit": default}
    return reply(body)


async def create(call: Call) -> Answer:
    """POST /quotas: the first limit of a project"""
    wish = _read_wish(call)
    for name in REQUIRED:
        if name not in wish:
            raise Invalid(f"Mandatory field missing: {name}.", field=name)
    project_id, resource = wish["project_id"], wish.get("resource", _DEFAULT_RESOURCE)
    if not _PROJECT.fullmatch(project_id) or not await call.parts.projects.exists(project_id):
        raise NotFound(f"The project_id {project_id} could not be found.", field="project_id")
    async with call.parts.store.write() as tx:
        limit = wish.get("hard_limit", _DEFAULT_LIMIT)
        quota = Quota(project_id=project_id, resource=resource, hard_limit=limit, created_at=tx.now)
        try:
            await tx.quotas.insert(quota)
        except Conflict as error:
            raise Conflict(f"Quota for project {project_id} already exists with resource {resource}.") from error
        row = await _find_quota(tx, project_id, resource)
    return reply(_view(row), 201)


async def update(call: Call) -> Answer:
    """PATCH /quotas/{project}/{resource}: another limit

    The body is a plain object.
    """
    wish = _read_wish(call)
    for name, path_value in (("project_id", call.path["project"]), ("resource", call.path["resource"])):
        if wish.get(name, path_value) != path_value:
            raise InvalidField(name, wish[name], f"the path says {path_value}.")
    if "hard_limit" not in wish:
        raise Invalid("Mandatory field missing: hard_limit.", field="hard_limit")
    async with call.parts.store.write() as tx:
        old = await _find_quota(tx, call.path["project"], call.path["resource"])
        new = replace(old, hard_limit=wish["hard_limit"], updated_at=tx.now)
        await tx.quotas.change(new)
    return reply(_view(new), 202)


async def delete(call: Call) -> Answer:
    """DELETE /quotas/{project}/{resource}: the project has the default again"""
    async with call.parts.store.write() as tx:
        quota = await _find_quota(tx, call.path["project"], call.path["resource"])
        await tx.quotas.remove({"project_id": quota.project_id, "resource": quota.resource})
    return NO_CONTENT


def _read_wish(call: Call) -> dict[str, Any]:
    body = call.fields()
    refuse_unknown(body, FIELDS, "quota", read_only=_READ_ONLY)
    return read_fields(body, FIELDS)


async def _find_quota(tx: Transaction, project_id: str, resource: str) -> Quota:
    quotas = await tx.quotas.select({"project_id": project_id, "resource": resource}) if resource in RESOURCES else []
    if not quotas:
        raise NotFound(f"Quota for project {project_id} and resource {resource} could not be found.")
    return quotas[0]
