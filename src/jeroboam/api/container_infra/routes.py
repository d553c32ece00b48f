"""The routes of the container-infra family, with their arguments and answers, and how they differ from Magnum.

Contract: container-infra, section 4. `app` finds handlers here. `openapi` and the table in the docs are built from the
same data. The routes of templates are in `templates.routes`, those of clusters in `clusters.routes`, those of 2015 in
`bays.routes`.
"""

from jeroboam.api.bays.routes import ROUTES as BAY_ROUTES
from jeroboam.api.call import Route
from jeroboam.api.container_infra import federations, quotas, shapes, stats
from jeroboam.api.container_infra.clusters.routes import CLUSTERS
from jeroboam.api.container_infra.templates.routes import TEMPLATES
from jeroboam.api.fields import body_of, flag
from jeroboam.api.wire import PAGING, list_arguments

_FEDERATION = "/federations/{federation}"
_QUOTA = "/quotas/{project}/{resource}"

_NOT_OFFERED = "501, where Magnum answers 202 and does nothing"

_OTHER_ROUTES = (
    Route(
        method="GET",
        path="/quotas",
        handler=quotas.index,
        rule="quota:get_all",
        query=list_arguments(quotas.SORTABLE) | {"marker": quotas.MARKER, "all_tenants": flag},
        answer=shapes.QuotaList,
    ),
    Route(
        method="POST",
        path="/quotas",
        handler=quotas.create,
        rule="quota:create",
        body=body_of(quotas.FIELDS, *quotas.REQUIRED),
        status=201,
        answer=shapes.QuotaShape,
        refusals=(404,),
        differs="a missing `project_id` is a 400, not a 500",
    ),
    Route(method="GET", path=_QUOTA, handler=quotas.show, rule="quota:get", answer=shapes.QuotaShape),
    Route(
        method="PATCH",
        path=_QUOTA,
        handler=quotas.update,
        rule="quota:update",
        body=body_of(quotas.FIELDS, "hard_limit"),
        status=202,
        answer=shapes.QuotaShape,
    ),
    Route(method="DELETE", path=_QUOTA, handler=quotas.delete, rule="quota:delete", status=204),
    Route(
        method="GET",
        path="/stats",
        handler=stats.totals,
        rule="stats:get_all",
        query=stats.ARGUMENTS,
        answer=shapes.Totals,
    ),
    Route(
        method="GET",
        path="/mservices",
        handler=stats.services,
        rule="magnum-service:get_all",
        answer=shapes.ServiceList,
        differs="the process is ours; its name is Magnum's, since clients look for it",
    ),
    Route(
        method="GET",
        path="/federations",
        handler=federations.index,
        rule="federation:get_all",
        query=PAGING,
        answer=shapes.FederationList,
    ),
    Route(
        method="GET",
        path="/federations/detail",
        handler=federations.index,
        rule="federation:detail",
        query=PAGING,
        answer=shapes.FederationList,
    ),
    Route(
        method="POST",
        path="/federations",
        handler=federations.write,
        rule="federation:create",
        status=501,
        answer=shapes.Errors,
        differs=_NOT_OFFERED,
    ),
    Route(
        method="GET",
        path=_FEDERATION,
        handler=federations.show,
        rule="federation:get",
        status=404,
        answer=shapes.Errors,
        differs="there never is one",
    ),
    Route(
        method="PATCH",
        path=_FEDERATION,
        handler=federations.write,
        rule="federation:update",
        status=501,
        answer=shapes.Errors,
        differs=_NOT_OFFERED,
    ),
    Route(
        method="DELETE",
        path=_FEDERATION,
        handler=federations.write,
        rule="federation:delete",
        status=501,
        answer=shapes.Errors,
        differs=_NOT_OFFERED,
    ),
)

ROUTES = (*TEMPLATES, *CLUSTERS, *_OTHER_ROUTES, *BAY_ROUTES)
