"""Containers inside a Swarm bay: create, show, rename and delete. The actions are in `container_actions`.

Each change is a wish in one transaction. The workload loop carries it out, and the status shows the progress. A new
container is not started: starting is a wish of its own, as in 2015.
"""

import datetime as dt
from dataclasses import replace
from typing import Any

from jeroboam.api.bays.lookup import bay_of, bay_of_field, check_coe, check_open, container_of
from jeroboam.api.bays.shapes import (
    BayContainerDetailList,
    BayContainerInList,
    BayContainerList,
    BayContainerShape,
)
from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.container_infra.lookup import project_scope
from jeroboam.api.container_infra.pages import reply_page
from jeroboam.api.container_infra.schema import read_renamed
from jeroboam.api.fields import FieldCheck, InvalidField, Schema, body_of, no_effect, optional, text
from jeroboam.api.wire import apply_patch, changes_of, format_time, links, page_of
from jeroboam.domain.bay_containers import (
    MOST_MEMORY,
    BayContainer,
    BayContainerOp,
    BayContainerSpec,
    BayObjectKind,
    ContainerAction,
    ask_delete,
    parse_memory,
    project_bay_container,
    split_command,
)
from jeroboam.domain.clusters import Cluster
from jeroboam.domain.errors import Invalid
from jeroboam.domain.states import is_in_progress
from jeroboam.store import BayObjectSelector, Page

RESERVED_NAMES = frozenset({*ContainerAction, "detail", "logs", "execute"} - {ContainerAction.CREATE})
"""Words of the API's paths in the place of a container's name: no container can have one as its name."""
_LINE = text(low=0, high=4096)
_MEMORY: Schema = {
    "anyOf": [
        {"type": "string", "pattern": "^[0-9]{1,15}[bkmgBKMG]?$"},
        {"type": "integer", "minimum": 1, "maximum": MOST_MEMORY},
    ]
}
_IMAGE = r"\A[a-z0-9][A-Za-z0-9._:@-]*(/[A-Za-z0-9][A-Za-z0-9._:@-]*)*\Z"


def _name(name: str, value: Any) -> str:
    container_name: str = text()(name, value)
    if container_name in RESERVED_NAMES:
        raise InvalidField(name, value, "A container cannot be called by a word of the API's paths.")
    return container_name


def _command(name: str, value: Any) -> str:
    line: str = _LINE(name, value)
    try:
        split_command(line)
    except ValueError as error:
        raise InvalidField(name, value, f"it cannot be taken apart into words: {error}.") from error
    return line


COMMAND = FieldCheck(_command, _LINE.schema)
"""A command line with balanced quotes."""


def _memory(name: str, value: Any) -> str:
    raw = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    amount: str = text()(name, raw)
    try:
        parse_memory(amount)
    except ValueError as error:
        raise InvalidField(
            name, value, "it has to be a number above 0 with b, k, m or g behind it, or none."
        ) from error
    return amount


FIELDS: dict[str, FieldCheck] = {
    "name": optional(FieldCheck(_name, text().schema)),
    "image": text(pattern=_IMAGE, rule="it has to be the name of an image."),
    "command": optional(COMMAND),
    "memory": optional(FieldCheck(_memory, _MEMORY)),
    "bay_uuid": text(),
    # Clients send back what they have read.
    "status": no_effect,
}
REQUIRED = ("bay_uuid", "image")
# The name of a field in Kilo.
_FORMER_NAMES = {"image": "image_id"}
_OLD = {name: check for name, check in FIELDS.items() if name != "image"} | {"image_id": FIELDS["image"]}
BODY: Schema = {"anyOf": [body_of(FIELDS, *REQUIRED), body_of(_OLD, "bay_uuid", "image_id")]}
"""The schema of the body of a create."""
_READ_ONLY = frozenset("uuid links status_reason project_id user_id created_at updated_at".split())


def summary_view(container: BayContainer, call: Call) -> BayContainerInList:
    """The object as lists show it."""
    return {
        "uuid": container.uuid,
        "name": container.name,
        "bay_uuid": container.cluster_id,
        "status": container.status,
        "links": links(call.base, "containers", container.uuid),
    }


def detail_view(container: BayContainer, call: Call) -> BayContainerShape:
    """The whole object. `image_id` is the name of the image field in Kilo."""
    spec = container.spec
    return {
        **summary_view(container, call),
        "image": spec.image,
        "image_id": spec.image,
        "command": spec.command,
        "memory": spec.memory,
        "status_reason": container.status_reason,
        "created_at": format_time(container.created_at),
        "updated_at": format_time(container.updated_at),
    }


async def index(call: Call) -> Answer:
    """GET /containers: containers in bays, in short"""
    page, containers = await _list_page(call)
    body: BayContainerList = {"containers": [summary_view(container, call) for container in containers]}
    return reply_page(call, page, "containers", containers, body)


async def detail(call: Call) -> Answer:
    """GET /containers/detail: containers in bays, whole"""
    page, containers = await _list_page(call)
    body: BayContainerDetailList = {"containers": [detail_view(container, call) for container in containers]}
    return reply_page(call, page, "containers/detail", containers, body)


async def _list_page(call: Call) -> tuple[Page, list[BayContainer]]:
    """The page that the query asks for, and its containers."""
    page = page_of(call)
    scope = project_scope(call, "container:get_all_all_projects")
    selector: BayObjectSelector = {"kind": BayObjectKind.CONTAINER}
    if scope is not None:
        selector["project_id"] = scope
    async with call.parts.store.read() as tx:
        if "bay_ident" in call.query:
            selector["cluster_id"] = (await bay_of(tx, call, call.query["bay_ident"])).uuid
        containers = await tx.bay_containers.select(selector, page=page)
    return page, containers


async def show(call: Call) -> Answer:
    """GET /containers/{id or name}: a container in a bay"""
    async with call.parts.store.read() as tx:
        container = await container_of(tx, call, "container:get_one_all_projects")
    return reply(detail_view(container, call))


async def create(call: Call) -> Answer:
    """POST /containers: a new container in a bay"""
    body = call.fields()
    wish = read_renamed(body, FIELDS, "container", required=REQUIRED, former_names=_FORMER_NAMES, read_only=_READ_ONLY)
    async with call.parts.store.write() as tx:
        bay = await bay_of_field(tx, call, "bay_uuid", wish["bay_uuid"])
        check_coe(bay, "swarm")
        check_open(bay, "container")
        container = _build_container(call, wish, bay, tx.now)
        await tx.bay_containers.insert(container)
        tx.hint("workload", container.uuid)
    view = detail_view(container, call)
    return reply(view, 201, ("Location", view["links"][0]["href"]))


def _build_container(call: Call, wish: dict[str, Any], bay: Cluster, now: dt.datetime) -> BayContainer:
    # A container waits until its bay is created.
    begin = bay.deadline_at if is_in_progress(bay) and bay.deadline_at is not None else now
    spec = BayContainerSpec(image=wish["image"], command=wish.get("command") or None, memory=wish.get("memory"))
    container = BayContainer(
        uuid=call.parts.ids.uuid(),
        name=wish.get("name") or call.parts.ids.name("container"),
        project_id=bay.project_id,
        user_id=call.caller.user_id,
        cluster_id=bay.uuid,
        spec=spec,
        ops=(BayContainerOp(seq=1, act=ContainerAction.CREATE),),
        deadline_at=begin + dt.timedelta(seconds=call.parts.options.create_seconds),
        created_at=now,
    )
    return project_bay_container(container)


async def update(call: Call) -> Answer:
    """PATCH /containers/{id or name}: another name for a container in a bay"""
    steps = changes_of(call.json())
    for step in steps:
        if step.root in _READ_ONLY | {"id"}:
            raise Invalid(f"'/{step.root}' is an internal attribute and can not be updated", field=step.root)
        if step.root != "name" or step.member is not None:
            raise Invalid(f"cannot change container property(ies) {step.root}.", field=step.root)
    async with call.parts.store.write() as tx:
        container = await container_of(tx, call, "container:update_all_projects")
        document = apply_patch({"name": container.name}, steps, mandatory=("name",))
        container = replace(container, name=_name("name", document["name"]), updated_at=tx.now)
        await tx.bay_containers.update(container)
    return reply(detail_view(container, call))


async def delete(call: Call) -> Answer:
    """DELETE /containers/{id or name}: the end of a container in a bay"""
    async with call.parts.store.write() as tx:
        container = await container_of(tx, call, "container:delete_all_projects")
        deadline = tx.now + dt.timedelta(seconds=call.parts.options.op_seconds)
        updated_container = ask_delete(container, now=tx.now, deadline=deadline)
        if updated_container is not container:
            await tx.bay_containers.update(updated_container)
        tx.hint("workload", container.uuid)
    return NO_CONTENT
