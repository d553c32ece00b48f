"""The container-infra family: its discovery documents and the shape of its errors. Its routes are in `routes`.

Contract: container-infra, sections 1 to 4. The other families are never imported here.
"""

import re
from collections.abc import Mapping
from typing import Any

from jeroboam.api.bays import routes as bay_routes
from jeroboam.api.bays.policies import RULES as BAY_RULES
from jeroboam.api.call import Failure
from jeroboam.api.container_infra.policies import RULES
from jeroboam.api.container_infra.routes import ROUTES
from jeroboam.api.container_infra.shapes import Errors, Unsupported

# Clients show an error's title, which is its first sentence. A dot within an address, a name or a quoted value does not
# end it, nor does one in the name of an object that does not exist, which stands without quotation marks.
_SENTENCE = re.compile(r"\.(?=\s|$)")
_MISSING = re.compile(r"\w+ .* could not be found(?=\.$)", re.DOTALL)
_QUOTED = re.compile(r"'[^']*'(?=[\s:;,.)]|$)")
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
    **{name: name for name in bay_routes.LINKED},
}


class ContainerInfraFamily:
    """The container-infra family, as `app` needs it. Implements `Family`."""

    prefix = "container-infra"
    service_type = "container-infrastructure-management"
    service_types = frozenset({"container-infra", "container-infrastructure", "container-infrastructure-management"})
    newest = 14
    peer = "Magnum"
    errors = (Errors, Unsupported)
    routes = ROUTES
    rules = RULES | BAY_RULES

    def list_versions(self, base: str) -> Any:
        version = {
            "id": "v1",
            "status": "CURRENT",
            "max_version": f"1.{self.newest}",
            "min_version": "1.1",
            "links": [{"href": f"{base}/v1/", "rel": "self"}],
        }
        about = "An OpenStack project which aims to provide container cluster management."
        return {"name": "OpenStack Magnum API", "description": about, "versions": [version]}

    def describe_version(self, base: str) -> Any:
        media = {"base": "application/json", "type": "application/vnd.openstack.magnum.v1+json"}
        body: dict[str, Any] = {
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
            body[name] = [
                {"href": f"{base}/v1/{path}/", "rel": "self"},
                {"href": f"{base}/{path}/", "rel": "bookmark"},
            ]
        return body

    def error_body(self, failure: Failure) -> Any:
        code = "client" if failure.from_handler else ""
        if failure.status >= 500:  # noqa: PLR2004
            code = "server"
        item: dict[str, Any] = {
            "request_id": "",
            "code": code,
            "status": failure.status,
            "title": _title(failure),
            "detail": failure.detail,
            "links": [],
        }
        return {"errors": [item], **bay_routes.bay_error_fields(failure)}

    def version_error(self, version: str, base: str) -> Any:
        text = f"Version {version} is not supported by the API. Minimum is 1.1 and maximum is 1.{self.newest}."
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
            return Failure(status=406, detail="Not Acceptable: the answer can only be application/json.")
        if method not in {"POST", "PATCH"}:
            return None
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media == "application/json" or media.endswith("+json") or (method == "PATCH" and not has_body):
            return None
        if media in {"", "application/x-www-form-urlencoded", "multipart/form-data"}:
            return Failure(
                status=400, detail="Unknown argument: the body has to be application/json.", from_handler=True
            )
        return Failure(
            status=415, detail=f"Unknown mimetype: {media}, the body has to be application/json.", from_handler=True
        )

    def unknown_argument(self, name: str) -> str:
        return f'Unknown argument: "{name}"'


def _title(failure: Failure) -> str:
    """The first sentence, with the name of the refused field."""
    text = failure.detail
    if (missing := _MISSING.match(text)) is not None:
        text = missing[0]
    elif (end := _SENTENCE.search(_QUOTED.sub(lambda match: "-" * len(match[0]), text))) is not None:
        text = text[: end.start()]
    name = failure.field.rpartition("/")[2]
    return text if name in text else f"{text} ({name})"
