"""The routes of 2015, with their arguments and answers, and the error body that clients of 2015 need."""

import json
from dataclasses import replace
from functools import wraps
from typing import Any

from jeroboam.api.bays import baymodels, bays, container_actions, containers, manifests, nodes, shapes
from jeroboam.api.call import Answer, Call, Failure, Handler, Route
from jeroboam.api.fields import FieldCheck, body_of, text
from jeroboam.api.wire import list_arguments, patch_of
from jeroboam.domain.bay_containers import BayContainer
from jeroboam.domain.bay_manifests import KIND_NAMES, BayManifest
from jeroboam.domain.clusters import Cluster, Template
from jeroboam.domain.noderecords import NodeRecord
from jeroboam.store import sort_keys

LINKED = ("pods", "rcs", "baymodels", "bays", "containers", "services")
"""The resources that the description of version 1 links to."""
# The resources whose errors clients of 2015 may meet. Two of them exist today too; their errors have both forms.
_KNOWN_RESOURCES = frozenset({*LINKED, "nodes", "certificates", "mservices"})
_BAY_FILTER: dict[str, FieldCheck] = {"bay_ident": text()}
_STORED = "answered once the wish is stored, not once it is done"

_BAY, _BAYS = "/bays/{bay}", list_arguments([*sort_keys(Cluster), *bays.RENAMED_FIELDS])
_BAY_ROUTES = (
    Route(method="GET", path="/bays", handler=bays.index, rule="bay:get_all", query=_BAYS, answer=bays.BayList),
    Route(
        method="GET",
        path="/bays/detail",
        handler=bays.detail,
        rule="bay:detail",
        query=_BAYS,
        answer=bays.BayDetailList,
    ),
    Route(
        method="POST",
        path="/bays",
        handler=bays.create,
        rule="bay:create",
        body=body_of(bays.CREATE_CHECKS, bays.REQUIRED),
        status=201,
        answer=bays.BayShape,
        refusals=(404,),
        differs=f"{_STORED}; it counts as a cluster; a key pair that the provider does not have is left out",
    ),
    Route(method="GET", path=_BAY, handler=bays.show, rule="bay:get", answer=bays.BayShape),
    Route(
        method="PATCH",
        path=_BAY,
        handler=bays.update,
        rule="bay:update",
        body=patch_of("node_count"),
        answer=bays.BayShape,
        differs=f"{_STORED}; `node_count` alone",
    ),
    Route(method="DELETE", path=_BAY, handler=bays.delete, rule="bay:delete", status=204, differs=_STORED),
)

_MODEL, _MODELS = "/baymodels/{baymodel}", list_arguments(sort_keys(Template))
_BAYMODEL_ROUTES = (
    Route(
        method="GET",
        path="/baymodels",
        handler=baymodels.index,
        rule="baymodel:get_all",
        query=_MODELS,
        answer=baymodels.BayModelList,
    ),
    Route(
        method="GET",
        path="/baymodels/detail",
        handler=baymodels.detail,
        rule="baymodel:detail",
        query=_MODELS,
        answer=baymodels.BayModelDetailList,
    ),
    Route(
        method="POST",
        path="/baymodels",
        handler=baymodels.create,
        rule="baymodel:create",
        body=body_of(baymodels.CREATE_CHECKS, *baymodels.REQUIRED),
        status=201,
        answer=baymodels.BayModelShape,
        differs="`ssh_authorized_key` has no effect: nobody logs in to a node",
    ),
    Route(method="GET", path=_MODEL, handler=baymodels.show, rule="baymodel:get", answer=baymodels.BayModelShape),
    Route(
        method="PATCH",
        path=_MODEL,
        handler=baymodels.update,
        rule="baymodel:update",
        body=patch_of(*baymodels.CHANGEABLE, members="labels"),
        answer=baymodels.BayModelShape,
    ),
    Route(method="DELETE", path=_MODEL, handler=baymodels.delete, rule="baymodel:delete", status=204),
)

_NODE, _NODES = "/nodes/{node}", list_arguments(sort_keys(NodeRecord))
_NODE_ROUTES = (
    Route(
        method="GET",
        path="/nodes",
        handler=nodes.index,
        rule="node:get_all",
        query=_NODES,
        answer=shapes.NodeRecordList,
    ),
    Route(
        method="GET",
        path="/nodes/detail",
        handler=nodes.detail,
        rule="node:detail",
        query=_NODES,
        answer=shapes.NodeRecordList,
    ),
    Route(
        method="POST",
        path="/nodes",
        handler=nodes.create,
        rule="node:create",
        body=body_of(nodes.FIELDS),
        status=201,
        answer=shapes.NodeRecordShape,
    ),
    Route(method="GET", path=_NODE, handler=nodes.show, rule="node:get", answer=shapes.NodeRecordShape),
    Route(
        method="PATCH",
        path=_NODE,
        handler=nodes.update,
        rule="node:update",
        body=patch_of(*nodes.FIELDS),
        answer=shapes.NodeRecordShape,
    ),
    Route(method="DELETE", path=_NODE, handler=nodes.delete, rule="node:delete", status=204),
)

_CONTAINER, _CONTAINERS = "/containers/{container}", list_arguments(sort_keys(BayContainer)) | _BAY_FILTER
_CONTAINER_ROUTES = (
    Route(
        method="GET",
        path="/containers",
        handler=containers.index,
        rule="container:get_all",
        query=_CONTAINERS,
        answer=shapes.BayContainerList,
    ),
    Route(
        method="GET",
        path="/containers/detail",
        handler=containers.detail,
        rule="container:detail",
        query=_CONTAINERS,
        answer=shapes.BayContainerDetailList,
    ),
    Route(
        method="POST",
        path="/containers",
        handler=containers.create,
        rule="container:create",
        body=containers.BODY,
        status=201,
        answer=shapes.BayContainerShape,
        refusals=(404,),
        differs=f"{_STORED}; `status_reason` says what is waited for, and what failed",
    ),
    Route(
        method="GET",
        path=_CONTAINER,
        handler=containers.show,
        rule="container:get",
        answer=shapes.BayContainerShape,
    ),
    Route(
        method="PATCH",
        path=_CONTAINER,
        handler=containers.update,
        rule="container:update",
        body=patch_of("name"),
        answer=shapes.BayContainerShape,
    ),
    Route(
        method="DELETE",
        path=_CONTAINER,
        handler=containers.delete,
        rule="container:delete",
        status=204,
        differs=_STORED,
    ),
)


def _build_action_routes() -> list[Route]:
    """The routes of actions on a container. Kilo puts the action before the name, Liberty and later behind it."""
    wishes = [
        Route(
            method="PUT",
            path=act.value,
            handler=container_actions.build_handler(act),
            rule=f"container:{act}",
            answer=shapes.BayContainerShape,
            differs=f"{_STORED}; what the state forbids is a 409",
        )
        for act in container_actions.ACTS
    ]
    questions = [
        Route(method="GET", path="logs", handler=container_actions.logs, rule="container:logs", answer=shapes.Output),
        Route(
            method="PUT",
            path="execute",
            handler=container_actions.execute,
            rule="container:execute",
            query={"command": containers.COMMAND},
            answer=shapes.Output,
        ),
    ]
    return [
        replace(route, path=path)
        for route in wishes + questions
        for path in (f"/containers/{route.path}/{{container}}", f"{_CONTAINER}/{route.path}")
    ]


def _build_manifest_routes(
    resource: manifests.ManifestResource, answers: tuple[object, object, object]
) -> tuple[Route, ...]:
    """The routes of pods, services or replication controllers. `answers`: the types in short, in a list, and alone."""
    collection, kind, kind_name = resource.collection, resource.kind, KIND_NAMES[resource.kind]
    lists, single = f"/{collection}", f"/{collection}/{{{kind}}}"
    page = list_arguments(sort_keys(BayManifest)) | _BAY_FILTER
    in_short, in_full, alone = answers
    body_schema = body_of(manifests.FIELDS, manifests.REQUIRED)
    refusal_note = f"{_STORED}; what the bay would refuse is a 400"

    def route(method: str, path: str, verb: str, handler: Handler, summary: str, **options: Any) -> Route:
        return Route(
            method=method, path=path, rule=f"{kind}:{verb}", handler=_with_summary(handler, summary), **options
        )

    return (
        route("GET", lists, "get_all", resource.index, f"{kind_name}s, in short", query=page, answer=in_short),
        route("GET", f"{lists}/detail", "detail", resource.detail, f"{kind_name}s, whole", query=page, answer=in_full),
        route(
            *("POST", lists, "create", resource.create, f"a {kind_name} of a manifest"),
            body=body_schema,
            status=201,
            answer=alone,
            refusals=(404, 409),
            differs=refusal_note,
        ),
        route("GET", single, "get", resource.show, f"a {kind_name}", query=_BAY_FILTER, answer=alone),
        route(
            *("PATCH", single, "update", resource.update, f"another manifest for a {kind_name}"),
            query=_BAY_FILTER,
            body=patch_of(*manifests.CHANGEABLE),
            answer=alone,
            differs=refusal_note,
        ),
        route(
            "DELETE",
            single,
            "delete",
            resource.delete,
            f"the end of a {kind_name}",
            query=_BAY_FILTER,
            status=204,
            differs=_STORED,
        ),
    )


def _with_summary(handler: Handler, summary: str) -> Handler:
    """The same handler, with a summary for the documentation."""

    async def ask(call: Call) -> Answer:
        return await handler(call)

    ask.__doc__ = f"{handler.__name__}: {summary}"
    return ask


def _with_cluster_rules(routes: tuple[Route, ...], today: str) -> list[Route]:
    """The routes of a view of today's objects, which also check the rule of those objects."""

    def enforce_first(rule: str, handler: Handler) -> Handler:
        @wraps(handler)
        async def ask(call: Call) -> Answer:
            call.enforce(rule)
            return await handler(call)

        return ask

    verbs = [(route, str(route.rule).partition(":")[2]) for route in routes]
    return [replace(route, handler=enforce_first(f"{today}:{verb}", route.handler)) for route, verb in verbs]


ROUTES = (
    *_with_cluster_rules(_BAY_ROUTES, "cluster"),
    *_with_cluster_rules(_BAYMODEL_ROUTES, "clustertemplate"),
    *_NODE_ROUTES,
    *_CONTAINER_ROUTES,
    *_build_action_routes(),
    *_build_manifest_routes(manifests.PODS, (shapes.PodList, shapes.PodDetailList, shapes.PodShape)),
    *_build_manifest_routes(
        manifests.SERVICES, (shapes.BayServiceList, shapes.BayServiceDetailList, shapes.BayServiceShape)
    ),
    *_build_manifest_routes(manifests.RCS, (shapes.RcList, shapes.RcDetailList, shapes.RcShape)),
)


def bay_error_fields(failure: Failure) -> dict[str, str]:
    """The additional members of an error body for clients of 2015; empty if they do not know the route.

    Their clients look for JSON within JSON, and print its `faultstring`.
    """
    if failure.route.strip("/").partition("/")[0] not in _KNOWN_RESOURCES:
        return {}
    side = "Server" if failure.status >= 500 else "Client"  # noqa: PLR2004
    inner = {"faultcode": side, "faultstring": failure.detail, "debuginfo": None}
    return {"error_message": json.dumps(inner)}
