"""Finds the container that a path names, and records wishes for it.

A container of a capsule is found by its uuid, and only shown and asked: its capsule is created and deleted as a whole.
"""

from typing import Any
from uuid import UUID

from jeroboam.api.call import Call
from jeroboam.api.container.refusals import ContainerNotFound
from jeroboam.domain.capsule_states import project_member, refuse_member_change
from jeroboam.domain.capsules import Capsule
from jeroboam.domain.container_actions import UNRECORDED, record_newest_op
from jeroboam.domain.containers import Container, OpKind
from jeroboam.domain.errors import Conflict
from jeroboam.domain.states import ask_container, check_action
from jeroboam.kit.ids import is_uuid
from jeroboam.store import Transaction


def flag_of(call: Call, name: str) -> bool:
    """A boolean of the query; false if absent."""
    return bool(call.query.get(name, False))


async def container_of(tx: Transaction, call: Call, all_projects: str) -> Container:
    """The container with that uuid or name: the project's own, or any project's where the rule allows it.

    A caller that the rule allows may name any container by its uuid. By name, `all_projects` is needed too. Containers
    of capsules are among them.
    """
    return (await _find(tx, call, all_projects))[0]


async def _find(tx: Transaction, call: Call, all_projects: str) -> tuple[Container, Capsule | None]:
    """The container, and the capsule that it belongs to."""
    ident = call.path["container"]
    wants_all = flag_of(call, "all_projects")
    if wants_all:
        call.enforce(all_projects)
    sees_all = wants_all or (is_uuid(ident) and call.allows(all_projects))
    matches = await tx.containers.find(ident, {} if sees_all else {"project_id": call.caller.project_id})
    capsule = None
    if not matches and is_uuid(ident):
        capsule = await tx.capsules.find_by_member(str(UUID(ident)), None if sees_all else call.caller.project_id)
        matches = [] if capsule is None else [_member_of(capsule, str(UUID(ident)))]
    if not matches:
        raise ContainerNotFound(f"Container {ident} could not be found.")
    if len(matches) > 1:
        raise Conflict("Multiple containers exist with same name, please use the container uuid instead.")
    call.subject.set_object(matches[0].uuid, matches[0].name)
    return matches[0], capsule


def _member_of(capsule: Capsule, uuid: str) -> Container:
    return next(project_member(capsule, member) for member in capsule.spec.members if member.uuid == uuid)


async def find_stored(tx: Transaction, uuid: str) -> Container | None:
    """The container with that uuid, of any project, also one of a capsule."""
    container = await tx.containers.get(uuid)
    if container is not None:
        return container
    capsule = await tx.capsules.find_by_member(uuid, None)
    return None if capsule is None else _member_of(capsule, uuid)


async def container_to_change(
    tx: Transaction, call: Call, action: str, all_projects: str = "container:get_one_all_projects"
) -> Container:
    """The container that the path names. Raises `Conflict` if its state, or its capsule, forbids the action."""
    container, capsule = await _find(tx, call, all_projects)
    if capsule is not None:
        raise refuse_member_change(capsule, container, action)
    check_action(container, action)
    return container


async def container_to_ask(tx: Transaction, call: Call, action: str) -> Container:
    """The same for an action that changes nothing: the container may belong to a capsule."""
    container = await container_of(tx, call, "container:get_one_all_projects")
    check_action(container, action)
    return container


async def record_op(tx: Transaction, call: Call, container: Container, kind: OpKind, **params: Any) -> Container:
    """Store one more op of the container, and send the hints."""
    seconds = call.parts.options.seconds_for(kind) + float(params.get("timeout") or 0)
    updated_container = ask_container(
        container, kind, now=tx.now, seconds=seconds, request_id=call.request_id, **params
    )
    await tx.containers.update(updated_container)
    await record_action(tx, call, updated_container)
    tx.hint("container", updated_container.uuid)
    if updated_container.host_id is not None:
        tx.hint("dispatch", f"{updated_container.host_id}/{updated_container.uuid}")
    return updated_container


async def record_action(tx: Transaction, call: Call, container: Container) -> None:
    """Keep a record of the container's newest op for its users."""
    if container.ops[-1].kind not in UNRECORDED:
        await tx.container_actions.insert(record_newest_op(container, user_id=call.caller.user_id, now=tx.now))
