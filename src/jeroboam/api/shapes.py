"""Types of values that the published objects of all families use.

The objects themselves are typed dictionaries in each family's `shapes`. A view is one dictionary display, mypy checks
it against the type, and the OpenAPI document takes the type's schema. A dictionary takes two thirds of the time of a
`msgspec.Struct` with the same fields, which matters for lists of a thousand objects.
"""

from typing import Annotated, TypedDict

from msgspec import Meta

Uuid = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""`2026-11-21T21:32:11+00:00`."""
NextPage = Annotated[str, Meta(description="Where the list goes on; there only while a page is exactly full.")]


class Link(TypedDict):
    """Where an object is: `self` with the API's version in it, `bookmark` without."""

    href: str
    rel: str


class Accepted(TypedDict):
    """A wish that was recorded: what it is about."""

    uuid: Uuid
