"""The API family of Heat's shapes, as `app` needs it. Neighbours: `routes`."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypedDict

from jeroboam.api.call import Failure
from jeroboam.api.container_infra.policies import RULES
from jeroboam.api.heat_views.routes import ROUTES

PREFIX = "orchestration"


class HeatError(TypedDict):
    """An error as Heat's clients read it."""

    code: int
    title: str
    explanation: str
    error: dict[str, str | None]


class HeatViews:
    """Implements `Family`. Heat has no microversions: a request without a version is served."""

    prefix = PREFIX
    service_type = PREFIX
    service_types = frozenset({PREFIX})
    newest = 1
    peer = "Heat"
    errors = (HeatError, HeatError)
    routes = ROUTES
    rules = RULES

    def list_versions(self, base: str) -> Any:
        links = [{"href": f"{base}/v1/", "rel": "self"}]
        return {"versions": [{"id": "v1.0", "status": "CURRENT", "links": links}]}

    def describe_version(self, base: str) -> Any:
        return self.list_versions(base)

    def error_body(self, failure: Failure) -> Any:
        phrase = HTTPStatus(failure.status).phrase
        kind = "EntityNotFound" if failure.status == HTTPStatus.NOT_FOUND else phrase.replace(" ", "")
        return HeatError(
            code=failure.status,
            title=phrase,
            explanation=failure.detail,
            error={"message": failure.detail, "type": kind, "traceback": None},
        )

    def version_error(self, version: str, base: str) -> Any:
        del base
        return self.error_body(Failure(status=406, detail=f"Version {version} is not supported: there is 1.1."))

    def check_headers(self, method: str, headers: Mapping[str, str], *, has_body: bool) -> Failure | None:
        del method, headers, has_body
        return None

    def unknown_argument(self, name: str) -> str:
        return f"Unknown argument: {name}"
