"""The network family: its discovery document and the shape of its errors. Its routes are in `routes`.

Source: the published Networking API, version 2.0. The other families are never imported here.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypedDict

from jeroboam.api.call import Failure
from jeroboam.api.network.policies import RULES
from jeroboam.api.network.routes import ROUTES

PREFIX = "network"


class NetworkErrorDetails(TypedDict):
    """What went wrong; the type is the name of an exception, as Neutron's are."""

    type: str
    message: str
    detail: str


class NetworkError(TypedDict):
    """An error body."""

    NeutronError: NetworkErrorDetails


class NetworkFamily:
    """The network family, as `app` needs it. Implements `Family`. It has one version and no microversions."""

    prefix = PREFIX
    service_type = PREFIX
    service_types = frozenset({PREFIX})
    newest = 1
    peer = "Neutron"
    errors = (NetworkError, NetworkError)
    routes = ROUTES
    rules = RULES

    def list_versions(self, base: str) -> Any:
        links = [{"href": f"{base}/v2.0/", "rel": "self"}]
        return {"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]}

    def describe_version(self, base: str) -> Any:
        return self.list_versions(base)

    def error_body(self, failure: Failure) -> Any:
        return {"NeutronError": {"type": _type_of(failure), "message": failure.detail, "detail": ""}}

    def version_error(self, version: str, base: str) -> Any:
        del base
        return self.error_body(Failure(status=406, detail=f"Version {version} is not supported: there is 2.0."))

    def check_headers(self, method: str, headers: Mapping[str, str], *, has_body: bool) -> Failure | None:
        del method
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        if not has_body or media == "application/json":
            return None
        return Failure(status=415, detail="The body has to be application/json.")

    def unknown_argument(self, name: str) -> str:
        return f"Unknown parameters: {name}"


def _type_of(failure: Failure) -> str:
    """The name of the error: of its code, or of its status."""
    if failure.from_handler and failure.code and failure.status not in {400, 403}:
        return "".join(f"{word[:1].upper()}{word[1:]}" for word in failure.code.split("-"))
    if failure.status == HTTPStatus.FORBIDDEN:
        return "PolicyNotAuthorized"
    phrase = HTTPStatus(failure.status).phrase
    return f"HTTP{''.join(word.capitalize() for word in phrase.split())}"
