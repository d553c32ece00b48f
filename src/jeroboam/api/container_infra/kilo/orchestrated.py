"""Pods, services and replication controllers of a Kubernetes bay. No COE here has them, so that none is ever made.

Their lists are empty and every wish is refused at once, with its reason.
"""

from typing import Any

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.container_infra.kilo.lookup import bay_named, bay_of, check_coe
from jeroboam.api.container_infra.schema import refuse_unknown
from jeroboam.api.fields import Check, optional, read, text
from jeroboam.api.wire import page_of
from jeroboam.domain.errors import Invalid, NotFound, NotOffered

ONE = {"pods": "Pod", "services": "Service", "rcs": "ReplicationController"}
"""What one of each collection is called in an error."""
FIELDS: dict[str, Check] = {
    "bay_uuid": text(),
    "manifest": optional(text(high=1 << 20)),
    "manifest_url": optional(text(high=4096)),
}
REQUIRED = "bay_uuid"


class Orchestrated:
    """The handlers of one such collection."""

    def __init__(self, collection: str) -> None:
        self._collection = collection

    async def index(self, call: Call) -> Answer:
        """GET of the collection: none, since no bay has them"""
        page = page_of(call)
        await self._check_bay(call)
        if page.marker is not None:
            raise NotFound(f"The marker {page.marker} could not be found.", field="marker")
        nothing: dict[str, Any] = {self._collection: []}
        return reply(nothing)

    async def create(self, call: Call) -> Answer:
        """POST: nothing that is offered yet"""
        body = call.fields()
        refuse_unknown(body, FIELDS, ONE[self._collection].lower())
        if body.get(REQUIRED) is None:
            raise Invalid(f"Mandatory field missing: {REQUIRED}.", field=REQUIRED)
        wish = read(body, FIELDS)
        if wish.get("manifest") is None and wish.get("manifest_url") is None:
            raise Invalid("Mandatory field missing: manifest or manifest_url.", field="manifest")
        async with call.parts.store.read() as tx:
            check_coe(await bay_named(tx, call, "bay_uuid", wish["bay_uuid"]), "kubernetes")
        raise NotOffered(f"This service makes no {self._collection} in bays yet. Nothing was changed.")

    async def one(self, call: Call) -> Answer:
        """GET, PATCH and DELETE of one: there is none"""
        await self._check_bay(call)
        ident = call.path[self._collection[:-1]]
        raise NotFound(f"{ONE[self._collection]} {ident} could not be found.")

    async def _check_bay(self, call: Call) -> None:
        ident = call.query.get("bay_ident")
        if ident is not None:
            async with call.parts.store.read() as tx:
                await bay_of(tx, call, ident)
