"""The routes of capsules, with their arguments and answers, and how they differ from Zun. Neighbour: `routes`."""

from jeroboam.api.call import Route
from jeroboam.api.container import capsule_fields, capsule_views, capsules
from jeroboam.api.fields import flag
from jeroboam.api.wire import PAGING, list_arguments
from jeroboam.domain.capsules import Capsule
from jeroboam.store import sort_keys

_ALL = {"all_projects": flag}
_ONE = "/capsules/{capsule}"
_EVENT_PAGING = {name: PAGING[name] for name in ("limit", "marker", "sort_dir")}

ROUTES = (
    Route(
        method="GET",
        path="/capsules",
        handler=capsules.index,
        rule="capsule:get_all",
        query={**list_arguments(sort_keys(Capsule)), **_ALL},
        tolerates_arguments=True,
        answer=(capsule_views.CapsuleList, capsule_views.LegacyCapsuleList),
    ),
    Route(
        method="POST",
        path="/capsules",
        handler=capsules.create,
        rule="capsule:create",
        body=capsule_fields.create_schema(),
        status=202,
        answer=(capsule_views.CapsuleShape, capsule_views.LegacyCapsuleShape),
        differs="a bad template is a 400 with the path of the field, where Zun's is a 500; quotas count the containers",
    ),
    Route(
        method="GET",
        path=_ONE,
        handler=capsules.show,
        rule="capsule:get",
        query=_ALL,
        answer=(capsule_views.CapsuleShape, capsule_views.LegacyCapsuleShape),
        differs="from 1.32 on also `phase` and `container_statuses`; containers can be shown and asked by their uuids",
    ),
    Route(
        method="DELETE",
        path=_ONE,
        handler=capsules.delete,
        rule="capsule:delete",
        query=_ALL,
        status=204,
        differs="at once in every version, where Zun below 1.32 waits for the host",
    ),
    Route(
        method="GET",
        path=f"{_ONE}/events",
        handler=capsules.list_events,
        rule="capsule:events",
        query={**_EVENT_PAGING, **_ALL},
        answer=capsule_views.CapsuleEventList,
        differs="ours: Zun has no such route",
    ),
)
