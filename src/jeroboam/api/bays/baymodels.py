"""Baymodels: cluster templates with the fields of 2015."""

from dataclasses import replace
from types import NoneType
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from jeroboam.api.bays.lookup import baymodel_of
from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.container_infra.fields import InfraField, create_checks, effects_of, links_to, patch_checks
from jeroboam.api.container_infra.lookup import project_scope
from jeroboam.api.container_infra.pages import reply_page
from jeroboam.api.container_infra.schema import refuse_unknown
from jeroboam.api.container_infra.templates import templates
from jeroboam.api.container_infra.templates.fields import FIELDS as TEMPLATE_FIELDS
from jeroboam.api.container_infra.templates.fields import READ_ONLY, mask_passwords
from jeroboam.api.field_table import build_shape, compile_view
from jeroboam.api.fields import optional, text
from jeroboam.api.shapes import Link, NextPage
from jeroboam.api.wire import changes_of, page_of
from jeroboam.domain import field_effects
from jeroboam.domain.clusters import Template
from jeroboam.domain.errors import Invalid
from jeroboam.domain.field_effects import SERVICE, ignore
from jeroboam.store import Page

_KEY = "ssh_authorized_key"
_OF_TEMPLATE = {field.name: field for field in TEMPLATE_FIELDS}
_IN_LIST = (
    *(_OF_TEMPLATE[name] for name in ("uuid", "name", "image_id", "apiserver_port", "coe")),
    InfraField(name="links", type=list[Link], show=links_to("baymodels")),
)
FIELDS = (
    *_IN_LIST,
    *(
        _OF_TEMPLATE[name]
        for name in (
            "flavor_id master_flavor_id dns_nameserver keypair_id external_network_id fixed_network docker_volume_size "
            "cluster_distro network_driver volume_driver http_proxy https_proxy no_proxy insecure_registry "
            "registry_enabled labels tls_disabled server_type"
        ).split()
    ),
    # Nodes do not take one: it is checked, and has no effect.
    InfraField(
        name=_KEY,
        check=optional(text(high=65536)),
        effect={SERVICE: ignore("nobody logs in to nodes; it is shown as null")},
        type=NoneType,
        show=lambda _, __: None,
    ),
    *(_OF_TEMPLATE[name] for name in ("public", "created_at", "updated_at")),
)
CREATE_CHECKS = create_checks(FIELDS)
REQUIRED = tuple(field.name for field in FIELDS if field.required)
CHANGEABLE = tuple(patch_checks(FIELDS))
EFFECTS = effects_of(FIELDS, field_effects.TEMPLATES)
summary_view = compile_view(_IN_LIST)
"""The object as lists show it, for a call."""
detail_view = compile_view(FIELDS)
"""The whole object, for a call."""
list_view = compile_view(mask_passwords(FIELDS))
"""The object as the list of whole objects shows it, for a call."""
if TYPE_CHECKING:
    BayModelInList = dict[str, Any]
    BayModelShape = dict[str, Any]
else:
    BayModelInList = build_shape("BayModelInList", "A baymodel as lists show it.", _IN_LIST)
    BayModelShape = build_shape("BayModelShape", "A baymodel.", FIELDS)


class BayModelList(TypedDict):
    """A page of baymodels."""

    baymodels: list[BayModelInList]
    next: NotRequired[NextPage]


class BayModelDetailList(TypedDict):
    """A page of baymodels, whole."""

    baymodels: list[BayModelShape]
    next: NotRequired[NextPage]


async def index(call: Call) -> Answer:
    """GET /baymodels: the baymodels, in short"""
    page, baymodels = await _list_page(call)
    body: BayModelList = {"baymodels": [summary_view(baymodel, call) for baymodel in baymodels]}
    return reply_page(call, page, "baymodels", baymodels, body)


async def detail(call: Call) -> Answer:
    """GET /baymodels/detail: the baymodels, whole"""
    page, baymodels = await _list_page(call)
    body: BayModelDetailList = {"baymodels": [list_view(baymodel, call) for baymodel in baymodels]}
    return reply_page(call, page, "baymodels/detail", baymodels, body)


async def _list_page(call: Call) -> tuple[Page, list[Template]]:
    page = page_of(call)
    scope = project_scope(call, "clustertemplate:get_all_all_projects")
    async with call.parts.store.read() as tx:
        return page, await tx.templates.list_visible(page, scope, with_hidden=scope is None)


async def show(call: Call) -> Answer:
    """GET /baymodels/{id or name}: a baymodel"""
    async with call.parts.store.read() as tx:
        baymodel = await baymodel_of(tx, call, call.path["baymodel"])
    return reply(detail_view(baymodel, call))


async def create(call: Call) -> Answer:
    """POST /baymodels: a new baymodel"""
    body = call.fields()
    refuse_unknown(body, CREATE_CHECKS, "baymodel", read_only=READ_ONLY)
    CREATE_CHECKS[_KEY](_KEY, body.pop(_KEY, None))
    view = detail_view(await templates.create_template(call, body), call)
    return reply(view, 201, ("Location", view["links"][0]["href"]))


async def update(call: Call) -> Answer:
    """PATCH /baymodels/{id or name}: a changed baymodel"""
    steps = changes_of(call.json())
    for step in steps:
        if step.root not in {*CHANGEABLE, *READ_ONLY, "id", "uuid"}:
            raise Invalid(f"cannot change baymodel property(ies) {step.root}.", field=step.root)
    return reply(detail_view(await templates.update_template(await _as_template_call(call), steps), call))


async def delete(call: Call) -> Answer:
    """DELETE /baymodels/{id or name}: the end of a baymodel"""
    return await templates.delete(await _as_template_call(call))


async def _as_template_call(call: Call) -> Call:
    """The call, with the path of the template that the baymodel is."""
    async with call.parts.store.read() as tx:
        baymodel = await baymodel_of(tx, call, call.path["baymodel"])
    return replace(call, path={"template": baymodel.uuid})
