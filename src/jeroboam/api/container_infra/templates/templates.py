"""Cluster templates (contract: container-infra, section 5).

The text itself is checked here, with the checks of `templates.fields`. The admission checks whether images, flavours
and networks exist, and whether a provider and a COE support them.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.container_infra import filters
from jeroboam.api.container_infra.bounds import bounds_for
from jeroboam.api.container_infra.fields import spec_values
from jeroboam.api.container_infra.lookup import project_scope, template_of
from jeroboam.api.container_infra.pages import reply_page
from jeroboam.api.container_infra.schema import decode_labels, refuse_unknown
from jeroboam.api.container_infra.templates.fields import (
    CREATE_CHECKS,
    FIELDS,
    IDENT,
    PATCH_CHECKS,
    READ_ONLY,
    UNREMOVABLE,
    TemplateList,
    keep_password,
    list_view,
    view,
)
from jeroboam.api.fields import read_fields
from jeroboam.api.wire import PatchOperation, apply_patch, changes_of, page_of, wants_total
from jeroboam.domain.clusters import Template, TemplateSpec
from jeroboam.domain.errors import Conflict, Forbidden, Invalid
from jeroboam.store import Transaction

_INTERNAL = READ_ONLY | {"id", "uuid"}
_ARGUMENT = "cluster_template"
_MUTABLE_IN_USE = frozenset({"public", "hidden", "tags"})
_DEVICEMAPPER_LEAST = 3


async def index(call: Call) -> Answer:
    """GET /clustertemplates: the templates"""
    return await _list(call, "clustertemplates")


async def detail(call: Call) -> Answer:
    """GET /clustertemplates/detail: the templates, just the same"""
    return await _list(call, "clustertemplates/detail")


async def _list(call: Call, path: str) -> Answer:
    page = page_of(call)
    scope = project_scope(call, "clustertemplate:get_all_all_projects")
    template_filter = filters.read_template_filter(call)
    async with call.parts.store.read() as tx:
        templates = await tx.templates.list_visible(
            page, scope, with_hidden=scope is None, template_filter=template_filter
        )
        total = (
            await tx.templates.total(scope, with_hidden=scope is None, template_filter=template_filter)
            if wants_total(call)
            else None
        )
    body: TemplateList = {"clustertemplates": [list_view(template, call) for template in templates]}
    if total is not None:
        body["total_count"] = total
    return reply_page(call, page, path, templates, body)


async def show(call: Call) -> Answer:
    """GET /clustertemplates/{id or name}: a template"""
    sees_all = call.allows("clustertemplate:get_one_all_projects")
    async with call.parts.store.read() as tx:
        template = await template_of(tx, call, call.path["template"], sees_all=sees_all)
    return reply(view(template, call))


async def create(call: Call) -> Answer:
    """POST /clustertemplates: a new template"""
    body = view(await create_template(call, call.fields()), call)
    return reply(body, 201, ("Location", body["links"][0]["href"]))


async def create_template(call: Call, body: dict[str, Any]) -> Template:
    """Create and store a template from that body."""
    uuid: str | None = IDENT("uuid", body.pop("uuid", None))
    refuse_unknown(body, CREATE_CHECKS, _ARGUMENT, read_only=READ_ONLY)
    values = _read_body({name: keep_password(name, value) for name, value in body.items()})
    if values.get("public") or values.get("hidden"):
        _check_publish(call)
    spec = await call.parts.conductor.admit_template(_build_spec(values), call.caller)
    (await bounds_for(call, call.caller.project_id)).check_template(spec)
    async with call.parts.store.write() as tx:
        template = Template(
            uuid=uuid or call.parts.ids.uuid(),
            name=values.get("name") or call.parts.ids.name("template"),
            project_id=call.caller.project_id,
            user_id=call.caller.user_id,
            spec=spec,
            public=values.get("public", False),
            hidden=values.get("hidden", False),
            created_at=tx.now,
        )
        try:
            await tx.templates.insert(template)
        except Conflict as error:
            raise Conflict(f"A cluster template with the uuid {template.uuid} exists already.", field="uuid") from error
    return template


async def update(call: Call) -> Answer:
    """PATCH /clustertemplates/{id or name}: a changed template"""
    return reply(view(await update_template(call, changes_of(call.json())), call))


async def update_template(call: Call, changes: Sequence[PatchOperation]) -> Template:
    """Apply the changes to the template of the path, and store it."""
    for change in changes:
        if change.root in _INTERNAL:
            raise Invalid(f"'/{change.root}' is an internal attribute and can not be updated", field=change.root)
    async with call.parts.store.read() as tx:
        old = await _find_writable(tx, call, "clustertemplate:update")
    if not changes:
        return old
    document: dict[str, Any] = {"name": old.name, "public": old.public, "hidden": old.hidden} | asdict(old.spec)
    steps = [
        replace(change, value=keep_password(change.root, change.value, document.get(change.root)))
        for change in map(decode_labels, changes)
    ]
    result = apply_patch(document, steps, mandatory=UNREMOVABLE)
    values = _read_body({name: value for name, value in result.items() if value is not None})
    new = replace(
        old,
        name=values.get("name") or call.parts.ids.name("template"),
        public=values.get("public", False),
        hidden=values.get("hidden", False),
        spec=_build_spec(values),
    )
    if (new.public, new.hidden) != (old.public, old.hidden):
        _check_publish(call)
    new = replace(new, spec=await call.parts.conductor.admit_template(new.spec, call.caller))
    (await bounds_for(call, new.project_id)).check_template(new.spec)
    async with call.parts.store.write() as tx:
        current = await tx.templates.get(old.uuid)
        if current != old:
            raise Conflict(f"ClusterTemplate {old.uuid} was changed by another request, please try again.")
        await _check_use(tx, old, new)
        new = replace(new, updated_at=tx.now)
        await tx.templates.update(new)
    return new


async def delete(call: Call) -> Answer:
    """DELETE /clustertemplates/{id or name}: the template's end"""
    async with call.parts.store.write() as tx:
        template = await _find_writable(tx, call, "clustertemplate:delete")
        if await tx.clusters.count({"template_id": template.uuid}):
            raise Invalid(_in_use_message(template))
        await tx.templates.remove({"uuid": template.uuid})
    return NO_CONTENT


async def _find_writable(tx: Transaction, call: Call, rule: str) -> Template:
    """The template to write to. A caller may see a public template without being allowed to change it."""
    sees_all = call.allows(f"{rule}_all_projects")
    template = await template_of(tx, call, call.path["template"], sees_all=sees_all)
    call.subject.set_object(template.uuid, template.name)
    call.enforce(rule, project_id=template.project_id)
    return template


async def _check_use(tx: Transaction, old: Template, new: Template) -> None:
    old_values, new_values = (
        asdict(template.spec) | {"public": template.public, "hidden": template.hidden} for template in (old, new)
    )
    changed_names = {name for name, value in new_values.items() if value != old_values[name]}
    if not changed_names or (
        len(changed_names) == 1 and changed_names <= _MUTABLE_IN_USE and (changed_names != {"public"} or new.public)
    ):
        return
    if await tx.clusters.count({"template_id": old.uuid}):
        raise Invalid(_in_use_message(old))


def _in_use_message(template: Template) -> str:
    return f"ClusterTemplate {template.uuid} is referenced by one or multiple clusters."


def _check_publish(call: Call) -> None:
    if not call.allows("clustertemplate:publish"):
        raise Forbidden("Not authorized to set public or hidden flag for cluster template.")


def _read_body(body: dict[str, Any]) -> dict[str, Any]:
    if body.get("coe") is None:
        raise Invalid("Requested COE type Unset is not supported.", field="coe")
    if body.get("image_id") is None:
        raise Invalid("Mandatory field missing: image_id. A cluster template needs an image.", field="image_id")
    values = read_fields(body, PATCH_CHECKS)
    size, driver = values.get("docker_volume_size"), values.get("docker_storage_driver")
    if driver == "devicemapper" and size is not None and size < _DEVICEMAPPER_LEAST:
        least = _DEVICEMAPPER_LEAST
        raise Invalid(f"docker volume size {size} GB is not valid, expecting minimum value {least}GB for devicemapper.")
    return values


def _build_spec(values: dict[str, Any]) -> TemplateSpec:
    """The spec with the checked fields. A null counts as absent."""
    wish = {name: value for name, value in values.items() if value is not None}
    return TemplateSpec(**spec_values(FIELDS, TemplateSpec, wish))
