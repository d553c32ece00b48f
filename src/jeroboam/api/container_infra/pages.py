"""The answers of this family's lists. The link to the next page is absent on the last page.

Neighbours: the handlers of lists; `wire.next_page` builds the link.
"""

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.shapes import NextPage
from jeroboam.api.wire import HasUuid, next_page
from jeroboam.store import Page


class PageBody(TypedDict):
    """The body of a list, besides the objects under their name."""

    next: NotRequired[NextPage]


def reply_page(call: Call, page: Page, path: str, items: Sequence[HasUuid], body: PageBody | dict[str, Any]) -> Answer:
    """The answer with that body. `path` is the list's path below `/v1`; `items` is what it shows, in order."""
    next_link = next_page(call, page, path, items)
    if next_link is not None:
        body["next"] = next_link
    return reply(body)
