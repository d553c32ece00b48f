"""Changes of a container: its limits, its name, its image (contract: section 2).

A change is stored and answered; the agent carries it out next. Neighbours: `containers`, for create and delete;
`actions`, which change no field.
"""

from dataclasses import replace
from typing import Any

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.container.actions import or_word_none, read_arguments
from jeroboam.api.container.field_checks import IMAGE, IMAGE_DRIVER, NAME
from jeroboam.api.container.fields import CONTAINERS, refuse_unknown, single, update_table
from jeroboam.api.container.fitting import check_limits
from jeroboam.api.container.lookup import container_to_change, record_op
from jeroboam.api.container.quotas import check_quota
from jeroboam.api.fields import InvalidField, read_fields
from jeroboam.domain.containers import Container, OpKind
from jeroboam.domain.errors import Conflict
from jeroboam.domain.field_effects import check_fields
from jeroboam.domain.quotas import ContainerUse
from jeroboam.domain.states import will_run

LIMITS = ("cpu", "memory")


async def update(call: Call) -> Answer:
    """PATCH /containers/{id or name}: other cpu, memory, name, auto_heal"""
    table = update_table(call.parts.options.container_bounds)
    body = {**call.query, **call.fields()}
    refuse_unknown(body, table)
    return reply(single(await _change(call, "update", read_fields(body, table)), call))


async def resize_container(call: Call) -> Answer:
    """POST /containers/{id or name}/resize_container: other cpu and memory"""
    table = update_table(call.parts.options.container_bounds)
    wish = read_arguments(call, {name: or_word_none(table[name]) for name in LIMITS})
    wish = {name: value for name, value in wish.items() if value is not None}
    if not wish:
        raise InvalidField("cpu", None, "cpu or memory is required.")
    return reply(single(await _change(call, "resize_container", wish), call), 202)


async def _change(call: Call, action: str, wish: dict[str, Any]) -> Container:
    """Store the change of these fields. Return the container with it."""
    check_fields(CONTAINERS, wish, call.parts.options.runtime)
    async with call.parts.store.write() as tx:
        container = await container_to_change(tx, call, action)
        if "cpu" in wish:
            host = await tx.hosts.get(container.host_id) if container.host_id is not None else None
            check_limits(host, container.spec, wish["cpu"])
        limits = {name: wish[name] for name in LIMITS if name in wish}
        spec = replace(container.spec, auto_heal=wish.get("auto_heal", container.spec.auto_heal), **limits)
        updated_container = replace(container, name=wish.get("name", container.name), spec=spec, updated_at=tx.now)
        if limits:
            growth = ContainerUse(
                memory=max(0, spec.memory - container.spec.memory), cpu=max(0.0, spec.cpu - container.spec.cpu)
            )
            await check_quota(tx, call, container.project_id, growth)
            await record_op(tx, call, updated_container, OpKind.UPDATE, **limits)
        else:
            await tx.containers.update(replace(updated_container, generation=updated_container.generation + 1))
        row = await tx.containers.get(container.uuid)
    assert row is not None
    return row


REBUILD = {"image": or_word_none(IMAGE), "image_driver": or_word_none(IMAGE_DRIVER)}


async def rebuild(call: Call) -> Answer:
    """POST /containers/{}/rebuild: the container made anew, from its image or from another one"""
    wish = {name: value for name, value in read_arguments(call, REBUILD).items() if value is not None}
    check_fields(CONTAINERS, wish, call.parts.options.runtime)
    async with call.parts.store.write() as tx:
        container = await container_to_change(tx, call, "rebuild")
        changed_container = replace(container, spec=replace(container.spec, **wish))
        # If the new image cannot be had, the container stays as it was, and shows that.
        former = {name: getattr(container.spec, name) for name in wish}
        await record_op(tx, call, changed_container, OpKind.REBUILD, run=will_run(container), former=former)
    return reply(None, 202)


RENAME = {"name": NAME}


async def rename(call: Call) -> Answer:
    """POST /containers/{id or name}/rename: another name"""
    values = read_arguments(call, RENAME)
    if "name" not in values:
        raise InvalidField("name", None, "it is required.")
    name: str = values["name"]
    async with call.parts.store.write() as tx:
        container = await container_to_change(tx, call, "rename")
        if container.name == name:
            raise Conflict(f"Container {container.uuid} has that name already.", field="name")
        updated_container = replace(container, name=name, updated_at=tx.now, generation=container.generation + 1)
        await tx.containers.update(updated_container)
    return reply(single(updated_container, call))
