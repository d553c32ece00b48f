"""The routes of cluster templates, for `container_infra.routes`."""

from jeroboam.api.call import Route
from jeroboam.api.container_infra import filters
from jeroboam.api.container_infra.templates import fields, templates
from jeroboam.api.fields import body_of
from jeroboam.api.wire import list_arguments, patch_of
from jeroboam.domain.clusters import Template
from jeroboam.store import sort_keys

_TEMPLATE = "/clustertemplates/{template}"
_TEMPLATE_PAGES = list_arguments(sort_keys(Template)) | filters.TEMPLATES
_FILTERED = "can be narrowed and counted"

TEMPLATES = (
    Route(
        method="GET",
        path="/clustertemplates",
        handler=templates.index,
        rule="clustertemplate:get_all",
        query=_TEMPLATE_PAGES,
        answer=fields.TemplateList,
        differs=_FILTERED,
    ),
    Route(
        method="GET",
        path="/clustertemplates/detail",
        handler=templates.detail,
        rule="clustertemplate:detail",
        query=_TEMPLATE_PAGES,
        answer=fields.TemplateList,
        differs=_FILTERED,
    ),
    Route(
        method="POST",
        path="/clustertemplates",
        handler=templates.create,
        rule="clustertemplate:create",
        body=body_of(fields.CREATE_CHECKS, *fields.REQUIRED),
        status=201,
        answer=fields.TemplateShape,
        differs="images, flavours and networks are those of the provider's catalogue: there need be no Glance or Nova",
    ),
    Route(
        method="GET",
        path=_TEMPLATE,
        handler=templates.show,
        rule="clustertemplate:get",
        answer=fields.TemplateShape,
    ),
    Route(
        method="PATCH",
        path=_TEMPLATE,
        handler=templates.update,
        rule="clustertemplate:update",
        body=patch_of(*fields.PATCH_CHECKS, members="labels"),
        answer=fields.TemplateShape,
        differs="of two changes at the same moment one is a 409; admins reach every project's templates, where "
        "Magnum answers them 404",
    ),
    Route(method="DELETE", path=_TEMPLATE, handler=templates.delete, rule="clustertemplate:delete", status=204),
)
