"""How a list of this family ends: with where it goes on, which is left out where it does not go on.

Neighbours: the handlers of lists, and `wire.next_page`, which knows where that is.
"""

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.shapes import NextPage
from jeroboam.api.wire import HasUuid, next_page
from jeroboam.store import Page


class PageBody(TypedDict):
    """The body of a list: the objects, under whatever name, and this."""

    next: NotRequired[NextPage]


def paged(call: Call, page: Page, path: str, items: Sequence[HasUuid], body: PageBody | dict[str, Any]) -> Answer:
    """The answer with that body. `path` is the list's own, below `/v1`; `items` is what it shows, in its order."""
    next_link = next_page(call, page, path, items)
    if next_link is not None:
        body["next"] = next_link
    return reply(body)
