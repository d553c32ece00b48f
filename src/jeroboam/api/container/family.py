"""The container family: its routes, its discovery documents, the shape of its errors.

Contract: container, sections 1, 2 and 5. The other family is never imported here.
"""

from collections.abc import Mapping
from typing import Any

from jeroboam.api.call import Failure, Handler, Route
from jeroboam.api.container import actions, containers, hosts, quotas
from jeroboam.api.container.policies import RULES
from jeroboam.api.wire import PAGING
from jeroboam.domain.containers import OpKind

_RESOURCES = (
    "services containers images networks hosts availability_zones capsules quotas quota_classes registries".split()
)
_ALL = frozenset({"all_projects"})
_ONE = "/containers/{container}"
_CLASS = "/quota_classes/{class}"


def _action(name: str, handler: Handler, *arguments: str, method: str = "POST", until: int = 1 << 16) -> Route:
    return Route(
        method=method,
        path=f"{_ONE}/{name}",
        handler=handler,
        rule=f"container:{name}",
        query=_ALL | set(arguments),
        until=until,
    )


def _switch(name: str, handler: Handler, *arguments: str) -> Route:
    known = frozenset({"host", "binary", *arguments})
    return Route(method="PUT", path=f"/services/{name}", handler=handler, rule=f"zun-service:{name}", query=known)


_ROUTES = (
    Route(
        method="GET",
        path="/containers",
        handler=containers.index,
        rule="container:get_all",
        query=PAGING | containers.FILTERS | _ALL,
    ),
    Route(
        method="POST",
        path="/containers",
        handler=containers.create,
        rule="container:create",
        query=frozenset({"run"}),
    ),
    Route(method="GET", path=_ONE, handler=containers.show, rule="container:get_one", query=_ALL),
    Route(
        method="PATCH",
        path=_ONE,
        handler=containers.update,
        rule="container:update",
        query=frozenset({"cpu", "memory", "name", "auto_heal"}),
    ),
    Route(
        method="DELETE",
        path=_ONE,
        handler=containers.delete,
        rule="container:delete",
        query=_ALL | {"force", "stop"},
    ),
    _action("start", actions.wish(OpKind.START)),
    _action("stop", actions.ending(OpKind.STOP), "timeout"),
    _action("reboot", actions.ending(OpKind.REBOOT), "timeout"),
    _action("pause", actions.wish(OpKind.PAUSE)),
    _action("unpause", actions.wish(OpKind.UNPAUSE)),
    _action("kill", actions.kill, "signal"),
    _action("execute", actions.execute, "command", "run", "interactive"),
    _action("logs", actions.logs, "stdout", "stderr", "timestamps", "tail", "since", method="GET"),
    _action("top", actions.top, "ps_args", method="GET"),
    _action("stats", actions.stats, method="GET"),
    _action("rename", containers.rename, "name", until=13),
    Route(method="GET", path="/hosts", handler=hosts.index, rule="host:get_all", query=PAGING, since=hosts.HOSTS_SINCE),
    Route(method="GET", path="/hosts/{host}", handler=hosts.show, rule="host:get", since=hosts.HOSTS_SINCE),
    Route(method="GET", path="/services", handler=hosts.services, rule="zun-service:get_all"),
    _switch("enable", hosts.switch(disabled=False)),
    _switch("disable", hosts.switch(disabled=True), "disabled_reason"),
    _switch("force_down", hosts.force_down, "forced_down"),
    Route(
        method="GET",
        path="/availability_zones",
        handler=hosts.zones,
        rule="availability_zones:get_all",
        query=PAGING,
    ),
    Route(
        method="GET",
        path="/quotas/{project}",
        handler=quotas.show,
        rule="quota:get",
        query=frozenset({"usages"}),
    ),
    Route(
        method="PUT",
        path="/quotas/{project}",
        handler=quotas.update,
        rule="quota:update",
        query=frozenset(quotas.FIELDS),
    ),
    Route(method="DELETE", path="/quotas/{project}", handler=quotas.delete, rule="quota:delete"),
    Route(method="GET", path="/quotas/{project}/defaults", handler=quotas.defaults, rule="quota:get_default"),
    Route(method="GET", path=_CLASS, handler=quotas.show_class, rule="quota_class:get"),
    Route(
        method="PUT",
        path=_CLASS,
        handler=quotas.update_class,
        rule="quota_class:update",
        query=frozenset(quotas.FIELDS),
    ),
)


class ContainerFamily:
    """What the dispatcher has to know of this family. Implements `Family`."""

    prefix = "container"
    word = "container"
    words = frozenset({"container"})
    newest = 40
    routes = _ROUTES
    rules = RULES

    def root(self, base: str) -> Any:
        version = {
            "id": "v1",
            "links": [{"href": f"{base}/v1/", "rel": "self"}],
            "status": "CURRENT",
            "max_version": f"1.{self.newest}",
            "min_version": "1.1",
        }
        return {
            "name": "OpenStack Zun API",
            "description": "Zun is an OpenStack project which aims to provide containers management.",
            "versions": [version],
            "default_version": version,
        }

    def about(self, base: str) -> Any:
        media = {"base": "application/json", "type": "application/vnd.openstack.zun.v1+json"}
        shown: dict[str, Any] = {
            "id": "v1",
            "media_types": [media],
            "links": [
                {"href": f"{base}/v1/", "rel": "self"},
                {
                    "href": "https://docs.openstack.org/api-ref/application-container/",
                    "rel": "describedby",
                    "type": "text/html",
                },
            ],
        }
        for name in _RESOURCES:
            shown[name] = [
                {"href": f"{base}/v1/{name}/", "rel": "self"},
                {"href": f"{base}/{name}/", "rel": "bookmark"},
            ]
        return shown

    def failure(self, failure: Failure) -> Any:
        item = {
            "request_id": "",
            "code": f"container.{failure.code}",
            "status": failure.status,
            "title": "Internal Server Error" if failure.status == 500 else failure.detail,  # noqa: PLR2004
            "detail": failure.detail,
            "links": [],
        }
        return {"errors": [item]}

    def unsupported(self, asked: str, base: str) -> Any:
        text = f"Version {asked} is not supported by the API. Minimum is 1.1 and maximum is 1.{self.newest}."
        item = {
            "request_id": "",
            "code": "zun.microversion-unsupported",
            "status": 406,
            "title": "Requested microversion is unsupported",
            "detail": text,
            "max_version": f"1.{self.newest}",
            "min_version": "1.1",
            "links": [{"rel": "help", "href": f"{base}/"}],
        }
        return {"errors": [item]}

    def check_headers(self, method: str, headers: Mapping[str, str], *, has_body: bool) -> Failure | None:
        del method
        if not has_body:
            return None
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media == "application/json":
            return None
        return Failure(status=415, detail="The body has to be application/json.", code="unsupported-media-type")

    def unknown_argument(self, name: str) -> str:
        return f"Unknown parameters: {name}"
