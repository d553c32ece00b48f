"""Baymodels: cluster templates with the fields of 2015."""

from dataclasses import replace

from jeroboam.api.bays.lookup import baymodel_of
from jeroboam.api.bays.shapes import BayModelDetailList, BayModelInList, BayModelList, BayModelShape
from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.container_infra import templates
from jeroboam.api.container_infra.lookup import project_scope
from jeroboam.api.container_infra.pages import reply_page
from jeroboam.api.container_infra.schema import refuse_unknown
from jeroboam.api.fields import FieldCheck, optional, text
from jeroboam.api.wire import changes_of, format_time, links, page_of
from jeroboam.domain.clusters import Template
from jeroboam.domain.errors import Invalid
from jeroboam.store import Page

_TEMPLATE_FIELDS = (
    "name public coe image_id flavor_id master_flavor_id dns_nameserver keypair_id external_network_id fixed_network "
    "apiserver_port docker_volume_size cluster_distro network_driver volume_driver http_proxy https_proxy no_proxy "
    "insecure_registry registry_enabled labels tls_disabled server_type"
).split()
_KEY = "ssh_authorized_key"
FIELDS: dict[str, FieldCheck] = {
    **{name: templates.FIELDS[name] for name in _TEMPLATE_FIELDS},
    # Nodes do not take one: it is checked, and has no effect.
    _KEY: optional(text(high=65536)),
}
IDENT, REQUIRED = templates.IDENT, templates.REQUIRED
CHANGEABLE = tuple(name for name in FIELDS if name != _KEY)
_READ_ONLY = frozenset({"project_id", "user_id", "links", "created_at", "updated_at"})


def summary_view(baymodel: Template, call: Call) -> BayModelInList:
    """The object as lists show it."""
    spec = baymodel.spec
    return {
        "uuid": baymodel.uuid,
        "name": baymodel.name,
        "image_id": spec.image_id,
        "apiserver_port": spec.apiserver_port,
        "coe": spec.coe,
        "links": links(call.base, "baymodels", baymodel.uuid),
    }


def detail_view(baymodel: Template, call: Call) -> BayModelShape:
    """The whole object."""
    spec = baymodel.spec
    return {
        **summary_view(baymodel, call),
        "flavor_id": spec.flavor_id,
        "master_flavor_id": spec.master_flavor_id,
        "dns_nameserver": spec.dns_nameserver,
        "keypair_id": spec.keypair_id,
        "external_network_id": spec.external_network_id,
        "fixed_network": spec.fixed_network,
        "docker_volume_size": spec.docker_volume_size,
        "cluster_distro": spec.cluster_distro,
        "network_driver": spec.network_driver,
        "volume_driver": spec.volume_driver,
        "http_proxy": templates.mask_proxy(call, baymodel, spec.http_proxy),
        "https_proxy": templates.mask_proxy(call, baymodel, spec.https_proxy),
        "no_proxy": spec.no_proxy,
        "insecure_registry": spec.insecure_registry,
        "registry_enabled": spec.registry_enabled,
        "labels": spec.labels,
        "tls_disabled": spec.tls_disabled,
        "server_type": spec.server_type,
        "ssh_authorized_key": None,
        "public": baymodel.public,
        "created_at": format_time(baymodel.created_at),
        "updated_at": format_time(baymodel.updated_at),
    }


async def index(call: Call) -> Answer:
    """GET /baymodels: the baymodels, in short"""
    page, baymodels = await _list_page(call)
    body: BayModelList = {"baymodels": [summary_view(baymodel, call) for baymodel in baymodels]}
    return reply_page(call, page, "baymodels", baymodels, body)


async def detail(call: Call) -> Answer:
    """GET /baymodels/detail: the baymodels, whole"""
    page, baymodels = await _list_page(call)
    body: BayModelDetailList = {"baymodels": [detail_view(baymodel, call) for baymodel in baymodels]}
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
    refuse_unknown(body, {*FIELDS, "uuid"}, "baymodel", read_only=_READ_ONLY)
    FIELDS[_KEY](_KEY, body.pop(_KEY, None))
    view = detail_view(await templates.create_template(call, body), call)
    return reply(view, 201, ("Location", view["links"][0]["href"]))


async def update(call: Call) -> Answer:
    """PATCH /baymodels/{id or name}: a changed baymodel"""
    steps = changes_of(call.json())
    for step in steps:
        if step.root not in {*CHANGEABLE, *_READ_ONLY, "id", "uuid"}:
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
