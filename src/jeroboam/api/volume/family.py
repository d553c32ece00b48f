"""The volume family: its discovery document and the shape of its errors. Its routes are in `routes`.

Source: the published Block Storage API, version 3. The other families are never imported here.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from jeroboam.api.call import Failure
from jeroboam.api.volume.policies import RULES
from jeroboam.api.volume.routes import ROUTES

PREFIX = "volume"
_NAMES = {400: "badRequest", 403: "forbidden", 404: "itemNotFound", 409: "conflictingRequest", 413: "overLimit"}


class VolumeFamily:
    """The volume family, as `app` needs it. Implements `Family`. It has one version and no microversions."""

    prefix = PREFIX
    service_type = PREFIX
    service_types = frozenset({PREFIX, "block-storage"})
    newest = 1
    peer = "Cinder"
    errors = (dict[str, Any], dict[str, Any])
    routes = ROUTES
    rules = RULES

    def list_versions(self, base: str) -> Any:
        links = [{"href": f"{base}/v3/", "rel": "self"}]
        version = {"id": "v3.0", "status": "CURRENT", "version": "", "min_version": "", "links": links}
        return {"versions": [version | {"updated": "2026-11-29T00:00:00Z", "media-types": []}]}

    def describe_version(self, base: str) -> Any:
        return self.list_versions(base)

    def error_body(self, failure: Failure) -> Any:
        phrase = HTTPStatus(failure.status).phrase.replace(" ", "")
        name = _NAMES.get(failure.status, f"{phrase[:1].lower()}{phrase[1:]}")
        return {name: {"code": failure.status, "message": failure.detail}}

    def version_error(self, version: str, base: str) -> Any:
        del base
        return self.error_body(Failure(status=406, detail=f"Version {version} is not supported: there is 3.0."))

    def check_headers(self, method: str, headers: Mapping[str, str], *, has_body: bool) -> Failure | None:
        del method
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        if not has_body or media == "application/json":
            return None
        return Failure(status=415, detail="The body has to be application/json.")

    def unknown_argument(self, name: str) -> str:
        return f"Unknown parameters: {name}"
