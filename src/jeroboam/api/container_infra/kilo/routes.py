"""The routes of 2015, and how an error is told there."""

import json
from dataclasses import replace
from typing import Any

from jeroboam.api.call import Answer, Call, Failure, Handler, Route
from jeroboam.api.container_infra.kilo import acts, baymodels, bays, containers, nodes
from jeroboam.api.container_infra.kilo.orchestrated import Orchestrated
from jeroboam.api.wire import PAGING

LINKED = ("pods", "rcs", "baymodels", "bays", "containers", "services")
"""What the description of version 1 links to."""
# Where their clients may meet an error. Two of these are today's as well, and an error of theirs is told in both ways.
_TOLD = frozenset({*LINKED, "nodes", "certificates", "mservices"})
_WITHIN = frozenset({"bay_ident"})


def _records(module: Any, one: str, *, within: frozenset[str] = frozenset(), today: str | None = None) -> list[Route]:
    """The six routes that every collection has; `within` are its own arguments of lists.

    `today` is what it is a view of: who may not do it there may not do it here.
    """
    lists, single = f"/{one}s", f"/{one}s/{{{one}}}"
    routes = [
        Route(method="GET", path=lists, handler=module.index, rule=f"{one}:get_all", query=PAGING | within),
        Route(method="GET", path=f"{lists}/detail", handler=module.detail, rule=f"{one}:detail", query=PAGING | within),
        Route(method="POST", path=lists, handler=module.create, rule=f"{one}:create"),
        Route(method="GET", path=single, handler=module.show, rule=f"{one}:get"),
        Route(method="PATCH", path=single, handler=module.update, rule=f"{one}:update"),
        Route(method="DELETE", path=single, handler=module.delete, rule=f"{one}:delete"),
    ]
    if today is None:
        return routes
    return [
        replace(route, handler=_asking(str(route.rule).replace(f"{one}:", f"{today}:"), route.handler))
        for route in routes
    ]


def _asking(rule: str, handler: Handler) -> Handler:
    """The handler, for callers whom that rule lets pass too."""

    async def ask(call: Call) -> Answer:
        call.enforce(rule)
        return await handler(call)

    return ask


def _orchestrated(collection: str) -> list[Route]:
    of, one = Orchestrated(collection), collection[:-1]
    lists, single = f"/{collection}", f"/{collection}/{{ident}}"
    known = PAGING | _WITHIN
    return [
        Route(method="GET", path=lists, handler=of.index, rule=f"{one}:get_all", query=known),
        Route(method="GET", path=f"{lists}/detail", handler=of.index, rule=f"{one}:detail", query=known),
        Route(method="POST", path=lists, handler=of.create, rule=f"{one}:create"),
        Route(method="GET", path=single, handler=of.one, rule=f"{one}:get", query=_WITHIN),
        Route(method="PATCH", path=single, handler=of.one, rule=f"{one}:update", query=_WITHIN),
        Route(method="DELETE", path=single, handler=of.one, rule=f"{one}:delete", query=_WITHIN),
    ]


def _asked() -> list[Route]:
    """What is asked of one container: in Kilo before its name, from Liberty on behind it."""
    handlers = [("PUT", act.value, acts.asking(act)) for act in acts.ACTS]
    handlers += [("GET", "logs", acts.logs), ("PUT", "execute", acts.execute)]
    return [
        Route(
            method=method,
            path=path,
            handler=handler,
            rule=f"container:{word}",
            query=frozenset({"command"}) if word == "execute" else frozenset(),
        )
        for method, word, handler in handlers
        for path in (f"/containers/{word}/{{container}}", f"/containers/{{container}}/{word}")
    ]


ROUTES = (
    *_records(bays, "bay", today="cluster"),
    *_records(baymodels, "baymodel", today="clustertemplate"),
    *_records(nodes, "node"),
    *_records(containers, "container", within=_WITHIN),
    *_asked(),
    *(route for collection in ("pods", "services", "rcs") for route in _orchestrated(collection)),
)


def told(failure: Failure) -> dict[str, str]:
    """What an error body needs besides for the clients of 2015, if the route is one that they know.

    They look for JSON within JSON, and print its `faultstring`.
    """
    if failure.route.strip("/").partition("/")[0] not in _TOLD:
        return {}
    side = "Server" if failure.status >= 500 else "Client"  # noqa: PLR2004
    inner = {"faultcode": side, "faultstring": failure.detail, "debuginfo": None}
    return {"error_message": json.dumps(inner)}
