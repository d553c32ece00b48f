"""What was asked of a container (contract: container, section 2, Container actions). It outlives its container."""

import datetime as dt

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.container.lookup import container_of
from jeroboam.api.container.refusals import ActionNotFound, ContainerNotFound
from jeroboam.api.container.shapes import ActionList, ActionShape, ActionWithEvents
from jeroboam.domain.container_actions import ContainerAction
from jeroboam.kit.ids import is_uuid
from jeroboam.store import Transaction

FINISH_TIME_SINCE = 33
# The newest ones of a container that is restarted all day long.
_MOST = 1000


async def index(call: Call) -> Answer:
    """GET /containers/{}/container_actions: what was asked of the container, the newest first"""
    async with call.parts.store.read() as tx:
        actions = await _list_actions(tx, call)
    body: ActionList = {"containerActions": [_show(action, call) for action in actions]}
    return reply(body)


async def show(call: Call) -> Answer:
    """GET /containers/{}/container_actions/{}: one thing that was asked of the container, with its events"""
    request_id = call.path["request"]
    async with call.parts.store.read() as tx:
        actions = await _list_actions(tx, call)
    action = next((action for action in actions if action.request_id == request_id), None)
    if action is None:
        raise ActionNotFound(f"Action for request_id {request_id} on container {call.path['container']} not found")
    has_failed = action.message is not None
    finish = _stamp(action.finish_time)
    body: ActionWithEvents = {
        **_show(action, call),
        "events": [
            {
                "event": f"compute__do_container_{action.action}",
                "start_time": _stamp(action.start_time),
                "finish_time": finish,
                "result": None if finish is None else "Error" if has_failed else "Success",
                "traceback": action.message if has_failed and call.allows("container:action:events") else None,
            }
        ],
    }
    return reply(body)


async def _list_actions(tx: Transaction, call: Call) -> list[ContainerAction]:
    """The actions of the container that the path names; of one that is gone only its uuid is known."""
    ident = call.path["container"]
    try:
        container = await container_of(tx, call, "container:get_one_all_projects")
    except ContainerNotFound:
        if not is_uuid(ident):
            raise
        actions = await tx.container_actions.list_newest_first(ident, _MOST)
        may_see_all = call.allows("container:get_one_all_projects")
        if not actions or not (may_see_all or actions[0].project_id == call.caller.project_id):
            raise
        return actions
    return await tx.container_actions.list_newest_first(container.uuid, _MOST)


def _show(action: ContainerAction, call: Call) -> ActionShape:
    shape: ActionShape = {
        "action": action.action,
        "container_uuid": action.container_id,
        "request_id": action.request_id,
        "user_id": action.user_id,
        "project_id": action.project_id,
        "start_time": _stamp(action.start_time),
        "message": action.message,
    }
    if call.version >= FINISH_TIME_SINCE:
        shape["finish_time"] = _stamp(action.finish_time)
    return shape


def _stamp(moment: dt.datetime | None) -> str | None:
    """`2026-11-21T21:32:11.000000`, in UTC."""
    return None if moment is None else moment.replace(tzinfo=None).isoformat(timespec="microseconds")
