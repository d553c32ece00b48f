"""The routes of the container family, with their arguments and answers, and how they differ from Zun.

Contract: container, sections 2 and 5. `app` finds handlers here. `openapi` and the table in the docs are built from the
same data.
"""

from collections.abc import Mapping

from jeroboam.api.call import NEWEST, SOCKET, Handler, Route
from jeroboam.api.container import (
    absent,
    actions,
    archives,
    capsule_routes,
    changes,
    container_actions,
    containers,
    fields,
    hosts,
    image_routes,
    interactive,
    network_routes,
    quotas,
    shapes,
)
from jeroboam.api.fields import FieldCheck, Schema, body_of, flag, text
from jeroboam.api.wire import list_arguments
from jeroboam.domain.containers import Container, OpKind
from jeroboam.domain.hosts import Host
from jeroboam.store import sort_keys

RENAME_UNTIL = 13
RESIZE_SINCE = 19
_ALL: Mapping[str, FieldCheck] = {"all_projects": flag}
_ONE = "/containers/{container}"
_QUOTA = "/quotas/{project}"
_CLASS = "/quota_classes/{class}"
_ORDER = "in the order of asking; a delete overtakes"
_CHANGE = fields.update_table(fields.UNBOUNDED)
_LIMITS = {name: _CHANGE[name] for name in changes.LIMITS}


def _or_null(table: Mapping[str, FieldCheck]) -> Schema:
    """The schema of an action's arguments. Clients send null if there are none."""
    return {**body_of(table), "type": ["object", "null"]}


def _wish_route(
    name: str,
    handler: Handler,
    table: Mapping[str, FieldCheck] | None = None,
    *,
    differs: str = _ORDER,
    until: int = NEWEST,
) -> Route:
    """The route of an action that is recorded. Its arguments may come in the query or in the body."""
    checks = table or {}
    return Route(
        method="POST",
        path=f"{_ONE}/{name}",
        handler=handler,
        rule=f"container:{name}",
        query={**_ALL, **checks},
        body=_or_null(checks),
        body_needed=False,
        status=202,
        until=until,
        differs=differs,
    )


def _switch_route(name: str, handler: Handler, table: Mapping[str, FieldCheck]) -> Route:
    return Route(
        method="PUT",
        path=f"/services/{name}",
        handler=handler,
        rule=f"zun-service:{name}",
        query=table,
        answer=shapes.ServiceAnswer,
        refusals=(404,),
    )


_CONTAINERS = (
    Route(
        method="GET",
        path="/containers",
        handler=containers.index,
        rule="container:get_all",
        query={**list_arguments(sort_keys(Container)), **fields.FILTERS, **_ALL},
        answer=fields.ContainerList,
    ),
    Route(
        method="POST",
        path="/containers",
        handler=containers.create,
        rule="container:create",
        query={"run": flag},
        body=fields.create_schema(),
        status=202,
        answer=fields.ContainerShape,
        refusals=(404,),
        differs="stored, answered, then placed; where no host has room, `status_reason` says why for each",
    ),
    Route(
        method="GET",
        path=_ONE,
        handler=containers.show,
        rule="container:get_one",
        query=_ALL,
        answer=fields.ContainerShape,
        differs="from the store, never from the host, so that it waits for none",
    ),
    Route(
        method="PATCH",
        path=_ONE,
        handler=changes.update,
        rule="container:update",
        query=_CHANGE,
        body=body_of(_CHANGE),
        answer=fields.ContainerShape,
        differs="200 with the new values at once, and the agent applies them next; null is a 400",
    ),
    Route(
        method="DELETE",
        path=_ONE,
        handler=containers.delete,
        rule="container:delete",
        query={**_ALL, "force": flag, "stop": flag},
        status=204,
        differs="at once in every version, where old ones of Zun wait for the host",
    ),
)
_ACTIONS = (
    _wish_route("start", actions.build_handler(OpKind.START)),
    _wish_route("stop", actions.build_stop_handler(OpKind.STOP), actions.STOP),
    _wish_route("reboot", actions.build_stop_handler(OpKind.REBOOT), actions.STOP),
    _wish_route("pause", actions.build_handler(OpKind.PAUSE)),
    _wish_route("unpause", actions.build_handler(OpKind.UNPAUSE)),
    _wish_route("kill", actions.kill, actions.KILL, differs=f"{_ORDER}; a signal that does not exist is a 400"),
    Route(
        method="POST",
        path=f"{_ONE}/execute",
        handler=interactive.execute,
        rule="container:execute",
        query={**_ALL, **interactive.EXECUTE},
        body=_or_null(interactive.EXECUTE),
        body_needed=False,
        answer=shapes.Executed,
        differs="a command has 5 seconds; with `run=false` it starts when its WebSocket is opened",
    ),
    Route(
        method="POST",
        path=f"{_ONE}/execute_resize",
        handler=interactive.execute_resize,
        rule="container:execute_resize",
        query={**_ALL, **interactive.EXECUTE_RESIZE},
        body=_or_null(interactive.EXECUTE_RESIZE),
        body_needed=False,
    ),
    Route(
        method="GET",
        path=f"{_ONE}/attach",
        handler=interactive.attach,
        rule="container:attach",
        query=_ALL,
        answer=str,
        differs="the token is good once and for five minutes, where Zun's has no end",
    ),
    Route(
        method="POST",
        path=f"{_ONE}/resize",
        handler=interactive.resize,
        rule="container:resize",
        query={**_ALL, **interactive.RESIZE},
        body=_or_null(interactive.RESIZE),
        body_needed=False,
    ),
    Route(
        method=SOCKET,
        path=f"{_ONE}/websocket",
        handler=interactive.connect,
        rule=None,
        is_open=True,
        query=interactive.CONNECT,
    ),
    Route(
        method="GET",
        path=f"{_ONE}/get_archive",
        handler=archives.get_archive,
        rule="container:get_archive",
        query={**_ALL, **archives.PATH},
        answer=shapes.Archive,
        differs="of any size, never held in memory; before 1.25, where the archive is text, 16 MiB at most",
    ),
    Route(
        method="POST",
        path=f"{_ONE}/put_archive",
        handler=archives.put_archive,
        rule="container:put_archive",
        query={**_ALL, **archives.PATH},
        body=archives.BODY,
        upload=True,
        refusals=(413,),
        differs="of any size, never held in memory; compressed archives and sparse files are a 400",
    ),
    Route(
        method="GET",
        path=f"{_ONE}/container_actions",
        handler=container_actions.index,
        rule="container:actions",
        query=_ALL,
        answer=shapes.ActionList,
        differs="kept as long as events are, also when the container is gone; `message` says the reason",
    ),
    Route(
        method="GET",
        path=f"{_ONE}/container_actions/{{request}}",
        handler=container_actions.show,
        rule="container:actions",
        query=_ALL,
        answer=shapes.ActionWithEvents,
    ),
    Route(
        method="GET",
        path=f"{_ONE}/logs",
        handler=actions.logs,
        rule="container:logs",
        query={**_ALL, **actions.LOGS},
        answer=str,
        differs="`follow=true` (ours) answers in plain text, as it is printed, until the container ends",
    ),
    Route(
        method="GET",
        path=f"{_ONE}/top",
        handler=actions.top,
        rule="container:top",
        query={**_ALL, **actions.TOP},
        answer=shapes.Processes,
    ),
    Route(
        method="GET",
        path=f"{_ONE}/stats",
        handler=actions.stats,
        rule="container:stats",
        query=_ALL,
        answer=shapes.Sample,
    ),
    _wish_route(
        "rebuild",
        changes.rebuild,
        changes.REBUILD,
        differs="the new image is pulled before the container goes; one that ran runs again",
    ),
    Route(
        method="POST",
        path=f"{_ONE}/resize_container",
        handler=changes.resize_container,
        rule="container:resize_container",
        query={**_ALL, **_LIMITS},
        body=_or_null(_LIMITS),
        body_needed=False,
        status=202,
        answer=fields.ContainerShape,
        since=RESIZE_SINCE,
        differs="202 with the new values, where Zun answers with the old ones",
    ),
    Route(
        method="POST",
        path=f"{_ONE}/rename",
        handler=changes.rename,
        rule="container:rename",
        query={**_ALL, **changes.RENAME},
        body=_or_null(changes.RENAME),
        body_needed=False,
        answer=fields.ContainerShape,
        until=RENAME_UNTIL,
    ),
)
_HOSTS = (
    Route(
        method="GET",
        path="/hosts",
        handler=hosts.index,
        rule="host:get_all",
        query=list_arguments(sort_keys(Host)),
        answer=shapes.HostList,
        since=hosts.HOSTS_SINCE,
    ),
    Route(
        method="GET",
        path="/hosts/{host}",
        handler=hosts.show,
        rule="host:get",
        answer=shapes.HostShape,
        since=hosts.HOSTS_SINCE,
    ),
    Route(
        method="GET",
        path="/services",
        handler=hosts.services,
        rule="zun-service:get_all",
        answer=shapes.ServiceList,
        differs="the agents are ours; their name is Zun's, since clients look for it",
    ),
    Route(
        method="DELETE",
        path="/services",
        handler=hosts.delete_service,
        rule="zun-service:delete",
        query=hosts.SERVICE_ARGUMENTS,
        refusals=(404, 409),
        differs="refused while the agent is up or containers are on the host, which nobody would look after",
    ),
    _switch_route("enable", hosts.build_switch_handler(disabled=False), hosts.SERVICE_ARGUMENTS),
    _switch_route("disable", hosts.build_switch_handler(disabled=True), hosts.SWITCH_ARGUMENTS),
    _switch_route("force_down", hosts.force_down, hosts.FORCE_DOWN_ARGUMENTS),
    Route(
        method="GET",
        path="/availability_zones",
        handler=hosts.zones,
        rule="availability_zones:get_all",
        query={**list_arguments(["availability_zone"]), "marker": text()},
        answer=shapes.ZoneList,
    ),
)
_QUOTAS = (
    Route(
        method="GET",
        path=_QUOTA,
        handler=quotas.show,
        rule="quota:get",
        query={"usages": flag},
        answer=(shapes.Limits, shapes.Usages),
        differs="what was not given counts as the default that is stored, where Zun counts 0",
    ),
    Route(
        method="PUT",
        path=_QUOTA,
        handler=quotas.update,
        rule="quota:update",
        query=quotas.FIELDS,
        body=body_of(quotas.FIELDS),
        body_needed=False,
        answer=shapes.Limits,
    ),
    Route(method="DELETE", path=_QUOTA, handler=quotas.delete, rule="quota:delete"),
    Route(
        method="GET",
        path=f"{_QUOTA}/defaults",
        handler=quotas.defaults,
        rule="quota:get_default",
        answer=shapes.Limits,
    ),
    Route(method="GET", path=_CLASS, handler=quotas.show_class, rule="quota_class:get", answer=shapes.Limits),
    Route(
        method="PUT",
        path=_CLASS,
        handler=quotas.update_class,
        rule="quota_class:update",
        query=quotas.FIELDS,
        body=body_of(quotas.FIELDS),
        body_needed=False,
        answer=shapes.Limits,
    ),
)
ROUTES = (
    *_CONTAINERS,
    *_ACTIONS,
    *_HOSTS,
    *_QUOTAS,
    *image_routes.ROUTES,
    *network_routes.ROUTES,
    *capsule_routes.ROUTES,
    *absent.ROUTES,
)
