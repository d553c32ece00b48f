"""Container quotas: the limits of a project, and its use (contract: section 5, quotas).

There are three layers, each over the one before: the service's options, the class `default`, the project's own limits.
They are read inside the transaction of a create, so a change applies from the next create on.
"""

from dataclasses import replace
from typing import Any

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.container.fields import refuse_unknown
from jeroboam.api.container.lookup import flag_of
from jeroboam.api.fields import FieldCheck, integer, read_fields
from jeroboam.domain.errors import OverQuota
from jeroboam.domain.quotas import DEFAULT_CLASS, UNLIMITED, ContainerUse, Quota, class_owner, list_exceeded
from jeroboam.store import Transaction

FIELDS: dict[str, FieldCheck] = dict.fromkeys(("containers", "memory", "cpu", "disk"), integer(low=UNLIMITED))


async def limits_of(tx: Transaction, call: Call, project_id: str) -> dict[str, int]:
    """The project's limits."""
    return await _limits(tx, call, class_owner(DEFAULT_CLASS), project_id)


async def check_quota(tx: Transaction, call: Call, project_id: str, growth: ContainerUse) -> None:
    """Raise `OverQuota` if the project may not have that much more. It holds the project's lock until the commit."""
    await tx.serialise(project_id, "containers")
    use = await tx.containers.use_of_project(project_id)
    limits = await limits_of(tx, call, project_id)
    over = list_exceeded(limits, use, growth)
    if over:
        raise OverQuota(f"Quota exceeded for resources: {over}")


async def _limits(tx: Transaction, call: Call, *owners: str) -> dict[str, int]:
    """The service's limits, overridden by those of the owners; the last owner has precedence."""
    limits = dict(call.parts.options.container_quota)
    rows = await tx.quotas.select({"project_id": owners, "resource": list(limits)})
    rows.sort(key=lambda row: owners.index(row.project_id))
    return limits | {row.resource: row.hard_limit for row in rows}


async def show(call: Call) -> Answer:
    """GET /quotas/{project}: a project's limits; with `usages` beside each what is in use"""
    project_id = call.path["project"]
    call.enforce("quota:get", project_id=project_id)
    usages = flag_of(call, "usages")
    async with call.parts.store.read() as tx:
        limits = await limits_of(tx, call, project_id)
        if not usages:
            return reply(limits)
        use = await tx.containers.use_of_project(project_id)
    return reply({name: {"limit": limit, "in_use": getattr(use, name)} for name, limit in limits.items()})


async def defaults(call: Call) -> Answer:
    """GET /quotas/{project}/defaults: the limits of a project without its own"""
    call.enforce("quota:get_default", project_id=call.path["project"])
    async with call.parts.store.read() as tx:
        return reply(await _limits(tx, call, class_owner(DEFAULT_CLASS)))


async def update(call: Call) -> Answer:
    """PUT /quotas/{project}: a project's own limits; those that are not named stay"""
    wish, project_id = _read_wish(call), call.path["project"]
    async with call.parts.store.write() as tx:
        await _store_limits(tx, project_id, wish)
        return reply(await limits_of(tx, call, project_id))


async def delete(call: Call) -> Answer:
    """DELETE /quotas/{project}: the project has the defaults again"""
    async with call.parts.store.write() as tx:
        await tx.quotas.remove({"project_id": call.path["project"], "resource": list(FIELDS)})
    return reply(None)


async def show_class(call: Call) -> Answer:
    """GET /quota_classes/{class}: the limits of a class"""
    async with call.parts.store.read() as tx:
        return reply(await _limits(tx, call, class_owner(call.path["class"])))


async def update_class(call: Call) -> Answer:
    """PUT /quota_classes/{class}: limits of a class; the class `default` is under every project's own limits"""
    wish, owner = _read_wish(call), class_owner(call.path["class"])
    async with call.parts.store.write() as tx:
        await _store_limits(tx, owner, wish)
        return reply(await _limits(tx, call, owner))


def _read_wish(call: Call) -> dict[str, Any]:
    body = {**call.query, **(call.fields() if call.body else {})}
    refuse_unknown(body, FIELDS)
    return read_fields(body, FIELDS)


async def _store_limits(tx: Transaction, owner: str, limits: dict[str, int]) -> None:
    await tx.serialise(owner, "quotas")
    current = {
        quota.resource: quota for quota in await tx.quotas.select({"project_id": owner, "resource": list(limits)})
    }
    for resource, limit in limits.items():
        old = current.get(resource)
        if old is None:
            quota = Quota(project_id=owner, resource=resource, hard_limit=limit, created_at=tx.now)
            await tx.quotas.insert(quota)
        else:
            await tx.quotas.change(replace(old, hard_limit=limit, updated_at=tx.now))
