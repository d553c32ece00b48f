"""The container family: its discovery documents and the shape of its errors. Its routes are in `routes`.

Contract: container, sections 1, 2 and 5. The other families are never imported here.
"""

from collections.abc import Mapping
from typing import Any

from jeroboam.api.call import Failure
from jeroboam.api.container.policies import RULES
from jeroboam.api.container.routes import ROUTES
from jeroboam.api.container.shapes import Errors, Unsupported

_RESOURCES = (
    "services containers images networks hosts availability_zones capsules quotas quota_classes registries".split()
)


class ContainerFamily:
    """The container family, as `app` needs it. Implements `Family`."""

    prefix = "container"
    service_type = "container"
    service_types = frozenset({"container"})
    newest = 40
    peer = "Zun"
    errors = (Errors, Unsupported)
    routes = ROUTES
    rules = RULES

    def list_versions(self, base: str) -> Any:
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

    def describe_version(self, base: str) -> Any:
        media = {"base": "application/json", "type": "application/vnd.openstack.zun.v1+json"}
        body: dict[str, Any] = {
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
            body[name] = [
                {"href": f"{base}/v1/{name}/", "rel": "self"},
                {"href": f"{base}/{name}/", "rel": "bookmark"},
            ]
        return body

    def error_body(self, failure: Failure) -> Any:
        item = {
            "request_id": "",
            "code": f"container.{failure.code}",
            "status": failure.status,
            "title": "Internal Server Error" if failure.status == 500 else failure.detail,  # noqa: PLR2004
            "detail": failure.detail,
            "links": [],
        }
        return {"errors": [item]}

    def version_error(self, version: str, base: str) -> Any:
        text = f"Version {version} is not supported by the API. Minimum is 1.1 and maximum is 1.{self.newest}."
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
