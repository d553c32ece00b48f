"""Routes that Zun publishes and this service does not have yet. Each answers 501 with a sentence, and not 404.

Neighbours: `routes`, which adds them to its own. A route is removed from this file when it is implemented.
"""

from collections.abc import Mapping
from typing import Any

from jeroboam.api.call import NEWEST, Answer, Call, Handler, Route
from jeroboam.api.container import shapes
from jeroboam.api.container.policies import ABSENT_RULES
from jeroboam.api.fields import FieldCheck, no_effect
from jeroboam.domain.errors import NotImplementedHere

_ONE = "/containers/{container}"


def _handler(summary: str, sentence: str) -> Handler:
    async def handler(call: Call) -> Answer:
        del call
        raise NotImplementedHere(sentence)

    handler.__doc__ = summary
    return handler


def _absent_route(
    method: str, path: str, summary: str, sentence: str, *, arguments: str = "", since: int = 1, until: int = NEWEST
) -> Route:
    query: Mapping[str, FieldCheck] = dict.fromkeys(arguments.split(), no_effect)
    rule = ABSENT_RULES[f"{method} {path}"]
    body: dict[str, Any] = {"body": {}, "body_needed": False} if method in {"POST", "PATCH"} else {}
    return Route(
        method=method,
        path=path,
        handler=_handler(f"{method} {path}: {summary}", sentence),
        rule=rule,
        query=query,
        status=501,
        answer=shapes.Errors,
        since=since,
        until=until,
        differs="501: not there yet",
        **body,
    )


_IMAGES_MADE = "Images cannot be made of containers yet: there is no place to put them."

ROUTES = (
    _absent_route("POST", f"{_ONE}/commit", "an image of it", _IMAGES_MADE, arguments="repository tag all_projects"),
)
