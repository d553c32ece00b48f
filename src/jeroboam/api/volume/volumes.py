"""Volumes of projects: create, list, show, change, delete. A container mounts them by name or id (`mounts`)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.fields import (
    FieldCheck,
    InvalidField,
    Schema,
    body_of,
    choice,
    flag,
    integer,
    mapping,
    optional,
    read_fields,
    text,
)
from jeroboam.api.volume.policies import ALL_PROJECTS, SHOW_HOST
from jeroboam.api.volume.shapes import (
    DEFAULT_TYPE,
    SHARED_TYPE,
    TYPE_IDS,
    VolumeAnswer,
    show_brief,
    show_type,
    show_volume,
)
from jeroboam.api.volume_quota import check_volume_quota
from jeroboam.api.wire import PAGING, limit_of, page_of
from jeroboam.domain.errors import Invalid, NotFound
from jeroboam.domain.volumes import Volume, VolumeAttachment, VolumeInUse
from jeroboam.kit.ids import is_uuid
from jeroboam.store import Page, Transaction, VolumeSelector

_TYPES = {**{name: name for name in TYPE_IDS}, **{ident: name for name, ident in TYPE_IDS.items()}}


def _only_null(name: str, value: Any) -> None:
    raise InvalidField(name, value, "volumes are made empty here: it has to be null.")


_EMPTY = optional(FieldCheck(_only_null, {"type": "null"}))
CHANGE: Mapping[str, FieldCheck] = {
    "name": optional(text(low=0)),
    "description": optional(text(low=0, high=4096)),
    "metadata": optional(mapping(scalars=True)),
}
CREATE: Mapping[str, FieldCheck] = {
    **CHANGE,
    "size": integer(low=1),
    "volume_type": optional(choice(*_TYPES)),
    "multiattach": optional(flag),
    "availability_zone": optional(choice("nova")),
    **dict.fromkeys(
        ("snapshot_id", "source_volid", "imageRef", "backup_id", "consistencygroup_id", "group_id"), _EMPTY
    ),
}
FILTERS: Mapping[str, FieldCheck] = {
    **{name: PAGING[name] for name in ("limit", "marker", "sort_dir")},
    "sort_key": text(),
    "sort": text(),
    "offset": integer(low=0),
    "all_tenants": flag,
    **dict.fromkeys(("name", "status", "project_id"), text(low=0)),
}
DELETE: Mapping[str, FieldCheck] = {"cascade": flag, "force": flag}
_SORT_KEYS = {"id": "uuid", "name": "name", "size": "size", "status": "status", "created_at": "created_at"}


class VolumeMissing(NotFound):
    code = "volume-not-found"


def build_schema(table: Mapping[str, FieldCheck], *required_names: str) -> Schema:
    """The schema of a body with one volume."""
    inner = FieldCheck(lambda _, value: value, body_of(table, *required_names))
    return body_of({"volume": inner}, "volume")


def _check_project(call: Call) -> None:
    """Raise unless the path names the caller's own project, as endpoints in the catalogue do."""
    if call.path["project"] != call.caller.project_id:
        raise Invalid("Malformed request url: it names another project than the token.", field="project")


def _read(call: Call, table: Mapping[str, FieldCheck]) -> dict[str, Any]:
    body = call.fields()
    fields = body.get("volume")
    # A client may send hints for a scheduler beside the volume; there is one place for volumes here.
    if body.keys() - {"volume", "OS-SCH-HNT:scheduler_hints"} or not isinstance(fields, dict):
        raise Invalid("The body has to be an object with 'volume', which has to be an object.", field="volume")
    for name in fields:
        if name not in table:
            raise Invalid(f"Additional properties are not allowed ('{name[:80]}' was unexpected).", field=name)
    return read_fields(fields, table)


async def _find(tx: Transaction, call: Call) -> Volume:
    ident = call.path["volume"]
    selector: VolumeSelector = {"uuid": ident}
    if not call.allows(ALL_PROJECTS):
        selector["project_id"] = call.caller.project_id
    volumes = await tx.volumes.select(selector) if is_uuid(ident) else []
    if not volumes:
        raise VolumeMissing(f"Volume {ident[:80]} could not be found.")
    call.subject.set_object(volumes[0].uuid, volumes[0].name)
    return volumes[0]


async def _show_one(tx: Transaction, call: Call, volume: Volume) -> VolumeAnswer:
    attachments = await tx.volumes.attachments.select({"volume_id": volume.uuid})
    return {"volume": show_volume(volume, attachments, call.base, shows_host=call.allows(SHOW_HOST))}


async def create(call: Call) -> Answer:
    """POST /v3/{project}/volumes: a new volume"""
    _check_project(call)
    values = _read(call, CREATE)
    if "size" not in values:
        raise Invalid("'size' is a required property.", field="size")
    kind = _TYPES[values.get("volume_type") or (SHARED_TYPE if values.get("multiattach") else DEFAULT_TYPE)]
    async with call.parts.store.write() as tx:
        await check_volume_quota(tx, call, call.caller.project_id, [values["size"]])
        volume = Volume(
            uuid=call.parts.ids.uuid(),
            name=values.get("name") or None,
            description=values.get("description"),
            project_id=call.caller.project_id,
            user_id=call.caller.user_id,
            size=values["size"],
            multiattach=kind == SHARED_TYPE,
            metadata=values.get("metadata") or {},
            created_at=tx.now,
        )
        await tx.volumes.insert(volume)
        body = await _show_one(tx, call, volume)
    call.subject.set_object(volume.uuid, volume.name)
    return reply(body, 202)


def _read_page(call: Call) -> Page:
    key, _, direction = call.query.get("sort", "").partition(",")[0].partition(":")
    key = key or call.query.get("sort_key") or "created_at"
    if key not in _SORT_KEYS:
        raise InvalidField("sort_key", key, f"it has to be one of: {', '.join(sorted(_SORT_KEYS))}.")
    page = page_of(call)
    # The newest come first, unless the client says otherwise, as in Cinder.
    ascending = direction == "asc" or ("sort_dir" in call.query and not page.descending)
    return replace(page, sort_key=_SORT_KEYS[key], descending=not ascending)


async def _select(call: Call, tx: Transaction) -> list[Volume]:
    sees_all = bool(call.query.get("all_tenants"))
    if sees_all:
        call.enforce(ALL_PROJECTS)
    selector: VolumeSelector = {}
    if "name" in call.query:
        selector["name"] = call.query["name"]
    if "status" in call.query:
        selector["status"] = call.query["status"]
    if not sees_all:
        selector["project_id"] = call.caller.project_id
    elif "project_id" in call.query:
        selector["project_id"] = call.query["project_id"]
    return await tx.volumes.select(selector, page=_read_page(call))


def _reply_list(call: Call, volumes: Sequence[Volume], rows: list[dict[str, Any]], path: str) -> Answer:
    body: dict[str, Any] = {"volumes": rows}
    if len(volumes) == limit_of(call):
        pairs = [pair for pair in call.pairs if pair[0] not in {"limit", "marker"}]
        query = urlencode([*pairs, ("limit", limit_of(call)), ("marker", volumes[-1].uuid)])
        href = f"{call.base}/v3/{call.caller.project_id}/{path}?{query}"
        body["volumes_links"] = [{"rel": "next", "href": href}]
    return reply(body)


async def index(call: Call) -> Answer:
    """GET /v3/{project}/volumes: ids and names of volumes"""
    _check_project(call)
    async with call.parts.store.read() as tx:
        volumes = await _select(call, tx)
    return _reply_list(call, volumes, [show_brief(volume, call.base) for volume in volumes], "volumes")


async def details(call: Call) -> Answer:
    """GET /v3/{project}/volumes/detail: the volumes"""
    _check_project(call)
    async with call.parts.store.read() as tx:
        volumes = await _select(call, tx)
        uuids = [volume.uuid for volume in volumes]
        attachments = await tx.volumes.attachments.select({"volume_id": uuids}) if uuids else []
    by_volume: dict[str, list[VolumeAttachment]] = {}
    for attachment in attachments:
        by_volume.setdefault(attachment.volume_id, []).append(attachment)
    shows_host = call.allows(SHOW_HOST)
    rows = [show_volume(volume, by_volume.get(volume.uuid, ()), call.base, shows_host=shows_host) for volume in volumes]
    return _reply_list(call, volumes, rows, "volumes/detail")


async def show(call: Call) -> Answer:
    """GET /v3/{project}/volumes/{volume}: a volume"""
    _check_project(call)
    async with call.parts.store.read() as tx:
        return reply(await _show_one(tx, call, await _find(tx, call)))


async def update(call: Call) -> Answer:
    """PUT /v3/{project}/volumes/{volume}: another name, description or metadata"""
    _check_project(call)
    values = _read(call, CHANGE)
    async with call.parts.store.write() as tx:
        volume = await _find(tx, call)
        updated_volume = replace(
            volume,
            name=values.get("name", volume.name) or None,
            description=values.get("description", volume.description),
            metadata=values.get("metadata", volume.metadata) or {},
            updated_at=tx.now,
        )
        await tx.volumes.update(updated_volume)
        return reply(await _show_one(tx, call, updated_volume))


async def delete(call: Call) -> Answer:
    """DELETE /v3/{project}/volumes/{volume}: the volume's end, with its data"""
    _check_project(call)
    async with call.parts.store.write() as tx:
        volume = await _find(tx, call)
        attachments = await tx.volumes.attachments.select({"volume_id": volume.uuid})
        if attachments:
            names = ", ".join(attachment.container_id for attachment in attachments[:3])
            raise VolumeInUse(f"Invalid volume: Volume {volume.uuid} is in use by container {names}.")
        deleted_volume = await tx.volumes.delete(volume, tx.now)
        if deleted_volume is not None:
            tx.hint("dispatch", f"{deleted_volume.host_id}/volume/{deleted_volume.uuid}")
    return Answer(status=202)


async def index_types(call: Call) -> Answer:
    """GET /v3/{project}/types: the types of volumes"""
    _check_project(call)
    return reply({"volume_types": [show_type(name) for name in TYPE_IDS]})


async def show_one_type(call: Call) -> Answer:
    """GET /v3/{project}/types/{type}: one of them"""
    _check_project(call)
    ident = call.path["type"]
    name = DEFAULT_TYPE if ident == "default" else next((name for key, name in _TYPES.items() if key == ident), None)
    if name is None:
        raise NotFound(f"Volume type {ident[:80]} could not be found.")
    return reply({"volume_type": show_type(name)})
