"""The container-infra family: its routes, its discovery documents, the shape of its errors.

Contract: container-infra, sections 1 to 4. The other family is never imported here.
"""

from collections.abc import Mapping
from typing import Any

from jeroboam.api.call import Failure, Route
from jeroboam.api.container_infra import (
    certificates,
    changes,
    clusters,
    credentials,
    federations,
    group_changes,
    nodegroups,
    quotas,
    stats,
    templates,
    upgrades,
)
from jeroboam.api.container_infra.kilo import routes as kilo
from jeroboam.api.container_infra.kilo.policies import RULES as KILO_RULES
from jeroboam.api.container_infra.policies import RULES
from jeroboam.api.wire import PAGING

_RESOURCES = {
    "clustertemplates": "clustertemplates",
    "clusters": "clusters",
    "quotas": "quotas",
    "certificates": "certificates",
    "mservices": "mservices",
    "stats": "stats",
    "federations": "federations",
    "nodegroups": "clusters/{cluster_id}/nodegroups",
    "credentials": "credentials",
    **{name: name for name in kilo.LINKED},
}
_TEMPLATE = "/clustertemplates/{template}"
_CLUSTER = "/clusters/{cluster}"
_FEDERATION = "/federations/{federation}"
_QUOTA = "/quotas/{project}/{resource}"
_GROUPS = "/clusters/{cluster}/nodegroups"
_GROUP = f"{_GROUPS}/{{group}}"
_ROUTES = (
    Route(
        method="GET", path="/clustertemplates", handler=templates.index, rule="clustertemplate:get_all", query=PAGING
    ),
    Route(
        method="GET",
        path="/clustertemplates/detail",
        handler=templates.detail,
        rule="clustertemplate:detail",
        query=PAGING,
    ),
    Route(method="POST", path="/clustertemplates", handler=templates.create, rule="clustertemplate:create"),
    Route(method="GET", path=_TEMPLATE, handler=templates.show, rule="clustertemplate:get"),
    Route(method="PATCH", path=_TEMPLATE, handler=templates.update, rule="clustertemplate:update"),
    Route(method="DELETE", path=_TEMPLATE, handler=templates.delete, rule="clustertemplate:delete"),
    Route(method="GET", path="/clusters", handler=clusters.index, rule="cluster:get_all", query=PAGING),
    Route(method="GET", path="/clusters/detail", handler=clusters.detail, rule="cluster:detail", query=PAGING),
    Route(method="POST", path="/clusters", handler=clusters.create, rule="cluster:create"),
    Route(method="GET", path=_CLUSTER, handler=clusters.show, rule="cluster:get"),
    Route(
        method="PATCH",
        path=_CLUSTER,
        handler=changes.update,
        rule="cluster:update",
        query=frozenset({"rollback", "max_batch_size"}),
    ),
    Route(method="DELETE", path=_CLUSTER, handler=changes.delete, rule="cluster:delete"),
    Route(method="POST", path=f"{_CLUSTER}/actions/resize", handler=changes.resize, rule="cluster:resize", since=7),
    Route(method="POST", path=f"{_CLUSTER}/actions/upgrade", handler=upgrades.upgrade, rule="cluster:upgrade", since=7),
    Route(
        method="GET",
        path=_GROUPS,
        handler=nodegroups.index,
        rule="nodegroup:get_all",
        query=PAGING | {"role"},
        since=9,
    ),
    Route(method="POST", path=_GROUPS, handler=group_changes.create, rule="nodegroup:create", since=9),
    Route(method="GET", path=_GROUP, handler=nodegroups.show, rule="nodegroup:get", since=9),
    Route(
        method="PATCH",
        path=_GROUP,
        handler=group_changes.update,
        rule="nodegroup:update",
        query=frozenset({"max_batch_size"}),
        since=9,
    ),
    Route(method="DELETE", path=_GROUP, handler=group_changes.delete, rule="nodegroup:delete", since=9),
    Route(
        method="GET",
        path="/certificates/{cluster}",
        handler=certificates.show,
        rule="certificate:get",
        query=frozenset({"ca_cert_type"}),
    ),
    Route(method="PATCH", path="/certificates/{cluster}", handler=certificates.rotate, rule="certificate:rotate_ca"),
    Route(method="POST", path="/certificates", handler=certificates.sign, rule="certificate:create"),
    Route(
        method="PATCH", path="/credentials/{cluster}", handler=credentials.rotate, rule="credential:rotate", since=12
    ),
    Route(method="GET", path="/federations", handler=federations.index, rule="federation:get_all", query=PAGING),
    Route(method="GET", path="/federations/detail", handler=federations.index, rule="federation:detail", query=PAGING),
    Route(method="POST", path="/federations", handler=federations.write, rule="federation:create"),
    Route(method="GET", path=_FEDERATION, handler=federations.show, rule="federation:get"),
    Route(method="PATCH", path=_FEDERATION, handler=federations.write, rule="federation:update"),
    Route(method="DELETE", path=_FEDERATION, handler=federations.write, rule="federation:delete"),
    Route(method="GET", path="/quotas", handler=quotas.index, rule="quota:get_all", query=PAGING | {"all_tenants"}),
    Route(method="POST", path="/quotas", handler=quotas.create, rule="quota:create"),
    Route(method="GET", path=_QUOTA, handler=quotas.show, rule="quota:get"),
    Route(method="PATCH", path=_QUOTA, handler=quotas.update, rule="quota:update"),
    Route(method="DELETE", path=_QUOTA, handler=quotas.delete, rule="quota:delete"),
    Route(
        method="GET",
        path="/stats",
        handler=stats.totals,
        rule="stats:get_all",
        query=frozenset({"project_id", "type"}),
    ),
    Route(method="GET", path="/mservices", handler=stats.services, rule="magnum-service:get_all"),
)


class ContainerInfraFamily:
    """What the dispatcher has to know of this family. Implements `Family`."""

    prefix = "container-infra"
    word = "container-infrastructure-management"
    words = frozenset({"container-infra", "container-infrastructure", "container-infrastructure-management"})
    newest = 14
    routes = (*_ROUTES, *kilo.ROUTES)
    rules = RULES | KILO_RULES

    def root(self, base: str) -> Any:
        version = {
            "id": "v1",
            "status": "CURRENT",
            "max_version": f"1.{self.newest}",
            "min_version": "1.1",
            "links": [{"href": f"{base}/v1/", "rel": "self"}],
        }
        about = "An OpenStack project which aims to provide container cluster management."
        return {"name": "OpenStack Magnum API", "description": about, "versions": [version]}

    def about(self, base: str) -> Any:
        media = {"base": "application/json", "type": "application/vnd.openstack.magnum.v1+json"}
        shown: dict[str, Any] = {
            "id": "v1",
            "media_types": [media],
            "links": [
                {"href": f"{base}/v1/", "rel": "self"},
                {
                    "href": "https://docs.openstack.org/api-ref/container-infrastructure-management/",
                    "rel": "describedby",
                    "type": "text/html",
                },
            ],
        }
        for name, path in _RESOURCES.items():
            shown[name] = [
                {"href": f"{base}/v1/{path}/", "rel": "self"},
                {"href": f"{base}/{path}/", "rel": "bookmark"},
            ]
        return shown

    def failure(self, failure: Failure) -> Any:
        code = "client" if failure.handled else ""
        if failure.status >= 500:  # noqa: PLR2004
            code = "server"
        item = {
            "request_id": "",
            "code": code,
            "status": failure.status,
            "title": failure.detail.partition(".")[0],
            "detail": failure.detail,
            "links": [],
        }
        return {"errors": [item], **kilo.told(failure)}

    def unsupported(self, asked: str, base: str) -> Any:
        text = f"Version {asked} is not supported by the API. Minimum is 1.1 and maximum is 1.{self.newest}."
        item = {
            "code": "magnum.microversion-unsupported",
            "title": "Requested microversion is unsupported",
            "description": text,
            "max_version": f"1.{self.newest}",
            "min_version": "1.1",
            "links": [{"rel": "help", "href": f"{base}/"}],
        }
        return {"errors": [item]}

    def check_headers(self, method: str, headers: Mapping[str, str], *, has_body: bool) -> Failure | None:
        accept = headers.get("accept", "")
        if accept and not any(word in accept for word in ("application/json", "application/*", "*/*")):
            return Failure(status=406, detail="Not Acceptable. The answer can only be application/json.")
        if method not in {"POST", "PATCH"}:
            return None
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media == "application/json" or media.endswith("+json") or (method == "PATCH" and not has_body):
            return None
        if media in {"", "application/x-www-form-urlencoded", "multipart/form-data"}:
            return Failure(status=400, detail="Unknown argument. The body has to be application/json.", handled=True)
        return Failure(
            status=415, detail=f"Unknown mimetype: {media}. The body has to be application/json.", handled=True
        )

    def unknown_argument(self, name: str) -> str:
        return f'Unknown argument: "{name}"'
