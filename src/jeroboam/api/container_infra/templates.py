"""Cluster templates (contract: container-infra, section 5).

The text itself is checked here. The admission checks whether images, flavours and networks exist, and whether a
provider and a COE support them.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any
from uuid import UUID

from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.container_infra import filters
from jeroboam.api.container_infra.bounds import bounds_for
from jeroboam.api.container_infra.lookup import project_scope, template_of
from jeroboam.api.container_infra.pages import reply_page
from jeroboam.api.container_infra.schema import decode_labels, ipv4_list, labels, refuse_unknown
from jeroboam.api.container_infra.shapes import TemplateList, TemplateShape
from jeroboam.api.fields import FieldCheck, choice, flag, integer, optional, read_fields, text
from jeroboam.api.wire import PatchOperation, apply_patch, changes_of, format_time, links, page_of, wants_total
from jeroboam.domain.clusters import Template, TemplateSpec
from jeroboam.domain.errors import Conflict, Forbidden, Invalid
from jeroboam.kit.ids import is_uuid
from jeroboam.store import Transaction

_TEXT = optional(text())
_SECRET = optional(text(secret=True))
FIELDS: dict[str, FieldCheck] = {
    "name": _TEXT,
    "coe": text(),
    "image_id": text(),
    "flavor_id": _TEXT,
    "master_flavor_id": _TEXT,
    "keypair_id": _TEXT,
    "external_network_id": _TEXT,
    "fixed_network": _TEXT,
    "fixed_subnet": _TEXT,
    "network_driver": _TEXT,
    "volume_driver": _TEXT,
    "dns_nameserver": optional(ipv4_list),
    "apiserver_port": optional(integer(low=1024, high=65535)),
    "docker_volume_size": optional(integer(low=1)),
    "docker_storage_driver": _TEXT,
    "cluster_distro": _TEXT,
    "http_proxy": _SECRET,
    "https_proxy": _SECRET,
    "no_proxy": _TEXT,
    "insecure_registry": _TEXT,
    "labels": labels,
    "registry_enabled": flag,
    "tls_disabled": flag,
    "public": flag,
    "hidden": flag,
    "master_lb_enabled": flag,
    "floating_ip_enabled": flag,
    "server_type": choice("vm", "bm"),
    "tags": optional(text(low=0)),
    "driver": _TEXT,
}
REQUIRED = ("coe", "image_id")
_READ_ONLY = frozenset({"project_id", "user_id", "links", "created_at", "updated_at"})
_INTERNAL = _READ_ONLY | {"id", "uuid"}
_MANDATORY = frozenset(
    "image_id coe network_driver external_network_id tls_disabled public server_type registry_enabled "
    "cluster_distro hidden".split()
)
_SPEC = tuple(field.name for field in fields(TemplateSpec))
_DEFAULTS: dict[str, Any] = {
    field.name: getattr(TemplateSpec(coe="", image_id=""), field.name) for field in fields(TemplateSpec)
}
_ARGUMENT = "cluster_template"
_MUTABLE_IN_USE = frozenset({"public", "hidden", "tags"})
_DEVICEMAPPER_LEAST = 3
# User and password in a URL.
_USER = re.compile(r"//[^/@]*@")


def mask_proxy(call: Call, template: Template, url: str | None) -> str | None:
    """The URL of a template's proxy. Only the project that owns the template sees its password."""
    may_see = template.project_id == call.caller.project_id or call.caller.is_admin
    return url if url is None or may_see else _USER.sub("//***@", url)


def view(call: Call, template: Template) -> TemplateShape:
    """The full object; lists have no shorter form."""
    spec, base = template.spec, call.base
    return {
        "uuid": template.uuid,
        "name": template.name,
        "coe": spec.coe,
        "image_id": spec.image_id,
        "flavor_id": spec.flavor_id,
        "master_flavor_id": spec.master_flavor_id,
        "keypair_id": spec.keypair_id,
        "external_network_id": spec.external_network_id,
        "fixed_network": spec.fixed_network,
        "fixed_subnet": spec.fixed_subnet,
        "network_driver": spec.network_driver,
        "volume_driver": spec.volume_driver,
        "dns_nameserver": spec.dns_nameserver,
        "apiserver_port": spec.apiserver_port,
        "docker_volume_size": spec.docker_volume_size,
        "docker_storage_driver": spec.docker_storage_driver,
        "cluster_distro": spec.cluster_distro,
        "http_proxy": mask_proxy(call, template, spec.http_proxy),
        "https_proxy": mask_proxy(call, template, spec.https_proxy),
        "no_proxy": spec.no_proxy,
        "insecure_registry": spec.insecure_registry,
        "labels": spec.labels,
        "registry_enabled": spec.registry_enabled,
        "tls_disabled": spec.tls_disabled,
        "master_lb_enabled": spec.master_lb_enabled,
        "floating_ip_enabled": spec.floating_ip_enabled,
        "server_type": spec.server_type,
        "tags": spec.tags,
        "driver": spec.driver,
        "public": template.public,
        "hidden": template.hidden,
        "project_id": template.project_id,
        "user_id": template.user_id,
        "links": links(base, "clustertemplates", template.uuid),
        "created_at": format_time(template.created_at),
        "updated_at": format_time(template.updated_at),
    }


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
    body: TemplateList = {"clustertemplates": [view(call, template) for template in templates]}
    if total is not None:
        body["total_count"] = total
    return reply_page(call, page, path, templates, body)


async def show(call: Call) -> Answer:
    """GET /clustertemplates/{id or name}: a template"""
    sees_all = call.allows("clustertemplate:get_one_all_projects")
    async with call.parts.store.read() as tx:
        template = await template_of(tx, call, call.path["template"], sees_all=sees_all)
    return reply(view(call, template))


def _uuid(name: str, value: Any) -> str:
    if not (isinstance(value, str) and is_uuid(value)):
        raise Invalid(f"Expected a uuid but received {value}.", field=name)
    return str(UUID(value))


IDENT = optional(FieldCheck(_uuid, {"type": "string", "format": "uuid"}))
"""The id of a new template; the client may choose it."""


async def create(call: Call) -> Answer:
    """POST /clustertemplates: a new template"""
    body = view(call, await create_template(call, call.fields()))
    return reply(body, 201, ("Location", body["links"][0]["href"]))


async def create_template(call: Call, body: dict[str, Any]) -> Template:
    """Create and store a template from that body."""
    uuid: str | None = IDENT("uuid", body.pop("uuid", None))
    refuse_unknown(body, FIELDS, _ARGUMENT, read_only=_READ_ONLY)
    values = _read_body(body)
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
        await tx.templates.insert(template)
    return template


async def update(call: Call) -> Answer:
    """PATCH /clustertemplates/{id or name}: a changed template"""
    return reply(view(call, await update_template(call, changes_of(call.json()))))


async def update_template(call: Call, changes: Sequence[PatchOperation]) -> Template:
    """Apply the changes to the template of the path, and store it."""
    for change in changes:
        if change.root in _INTERNAL:
            raise Invalid(f"'/{change.root}' is an internal attribute and can not be updated", field=change.root)
    async with call.parts.store.read() as tx:
        old = await _find_writable(tx, call, "clustertemplate:update")
    if not changes:
        return old
    document = {"name": old.name, "public": old.public, "hidden": old.hidden} | asdict(old.spec)
    result = apply_patch(document, [decode_labels(change) for change in changes], mandatory=_MANDATORY)
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
        if await tx.clusters.count(template_id=template.uuid):
            raise Invalid(_in_use_message(template))
        await tx.templates.remove(uuid=template.uuid)
    return NO_CONTENT


async def _find_writable(tx: Transaction, call: Call, rule: str) -> Template:
    """The template to write to. A caller may see a public template without being allowed to change it."""
    sees_all = call.allows(f"{rule}_all_projects")
    template = await template_of(tx, call, call.path["template"], sees_all=sees_all)
    call.subject.set_object(template.uuid, template.name)
    call.enforce(rule, project_id=template.project_id)
    return template


async def _check_use(tx: Transaction, old: Template, new: Template) -> None:
    changed_names = {name for name in _SPEC if getattr(old.spec, name) != getattr(new.spec, name)}
    changed_names |= {name for name in ("public", "hidden") if getattr(old, name) != getattr(new, name)}
    if not changed_names or (
        len(changed_names) == 1 and changed_names <= _MUTABLE_IN_USE and (changed_names != {"public"} or new.public)
    ):
        return
    if await tx.clusters.count(template_id=old.uuid):
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
    values = read_fields(body, FIELDS)
    size, driver = values.get("docker_volume_size"), values.get("docker_storage_driver")
    if driver == "devicemapper" and size is not None and size < _DEVICEMAPPER_LEAST:
        least = _DEVICEMAPPER_LEAST
        raise Invalid(f"docker volume size {size} GB is not valid, expecting minimum value {least}GB for devicemapper.")
    return values


def _build_spec(values: dict[str, Any]) -> TemplateSpec:
    """The spec with the checked fields. A null counts as absent."""
    spec_fields = {name: values[name] for name in _SPEC if values.get(name) is not None}
    return TemplateSpec(**(_DEFAULTS | spec_fields))
