"""Federations of clusters. They are not implemented, so none exists, and every write is refused at once."""

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.wire import page_of
from jeroboam.domain.errors import NotFound, NotImplementedHere


async def index(call: Call) -> Answer:
    """GET /federations and /federations/detail: none"""
    page = page_of(call)
    if page.marker is not None:
        raise NotFound(f"The marker {page.marker} could not be found.", field="marker")
    return reply({"federations": []})


async def show(call: Call) -> Answer:
    """GET /federations/{id or name}: there is none"""
    raise NotFound(f"Federation {call.path['federation']} could not be found.")


async def write(call: Call) -> Answer:
    """POST, PATCH and DELETE: nothing that is offered"""
    del call
    raise NotImplementedHere("Federations of clusters are not offered by this service. Nothing was changed.")
