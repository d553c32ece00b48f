"""Limits of projects, shown (contract: container-infra, section 9). They are kept in the create of a cluster."""

from dataclasses import fields
from typing import Any

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.wire import iso, limit_of, query_flag
from jeroboam.domain.errors import Invalid, NotFound
from jeroboam.domain.quotas import Quota

RESOURCES = frozenset({"Cluster"})
_SORTABLE = frozenset(field.name for field in fields(Quota))


def _view(quota: Quota) -> dict[str, Any]:
    return {
        "id": quota.id,
        "project_id": quota.project_id,
        "resource": quota.resource,
        "hard_limit": quota.hard_limit,
        "created_at": iso(quota.created_at),
        "updated_at": iso(quota.updated_at),
    }


async def index(call: Call) -> Answer:
    """GET /quotas: those that somebody set. They are few, and their marker is a number."""
    limit = limit_of(call)
    key, direction = call.query.get("sort_key", "id"), call.query.get("sort_dir", "asc")
    if key not in _SORTABLE:
        raise Invalid(f'The sort_key value "{key}" is an invalid field for sorting', field="sort_key")
    if direction not in {"asc", "desc"}:
        raise Invalid(f"Invalid sort direction: {direction}. Acceptable values are 'asc' or 'desc'", field="sort_dir")
    owner = {} if query_flag(call.query, "all_tenants") else {"project_id": call.caller.project_id}
    async with call.parts.store.read() as tx:
        found = [quota for quota in await tx.quotas.select(None, **owner) if quota.resource in RESOURCES]
    found.sort(key=lambda quota: (getattr(quota, key) is not None, getattr(quota, key), quota.id))
    if direction == "desc":
        found.reverse()
    shown = _after(found, call.query.get("marker"))[:limit]
    body: dict[str, Any] = {"quotas": [_view(quota) for quota in shown]}
    if shown and len(shown) == limit:
        query = f"sort_key={key}&sort_dir={direction}&limit={limit}&marker={shown[-1].id}"
        body["next"] = f"{call.base}/v1/quotas?{query}"
    return reply(body)


def _after(found: list[Quota], marker: str | None) -> list[Quota]:
    if marker is None:
        return found
    if not (marker.isascii() and marker.isdigit()):
        raise Invalid(f"Expected an integer but received {marker}.", field="marker")
    for position, quota in enumerate(found):
        if str(quota.id) == marker:
            return found[position + 1 :]
    raise NotFound(f"The marker {marker} could not be found.", field="marker")


async def show(call: Call) -> Answer:
    """GET /quotas/{project}/{resource}: what was set, or the default"""
    project_id, resource = call.path["project"], call.path["resource"]
    if resource not in RESOURCES:
        raise Invalid(f"Invalid input for field/attribute resource. Value: '{resource}'.", field="resource")
    call.enforce("quota:get", project_id=project_id)
    async with call.parts.store.read() as tx:
        found = await tx.quotas.select(project_id=project_id, resource=resource)
    if found:
        return reply(_view(found[0]))
    default = call.parts.options.max_clusters_per_project
    return reply({"hard_limit": default, "project_id": project_id, "resource": resource})
