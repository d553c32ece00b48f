"""What a project may have of containers, and what it has (contract: section 5, quotas)."""

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.container.containers import limits_of
from jeroboam.api.container.lookup import flag_of


async def show(call: Call) -> Answer:
    """GET /quotas/{project}; with `usages` beside each limit what is in use"""
    project_id = call.path["project"]
    call.enforce("quota:get", project_id=project_id)
    usages = flag_of(call, "usages")
    async with call.parts.store.read() as tx:
        limits = await limits_of(tx, call, project_id)
        if not usages:
            return reply(limits)
        used = await tx.containers.used(project_id)
    return reply({name: {"limit": limit, "in_use": getattr(used, name)} for name, limit in limits.items()})


async def defaults(call: Call) -> Answer:
    """GET /quotas/{project}/defaults"""
    call.enforce("quota:get_default", project_id=call.path["project"])
    return reply(call.parts.options.container_quota)
