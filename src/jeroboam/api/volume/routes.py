"""The routes of the volume family. What of the published API is not among them is a 404."""

from typing import Any

from jeroboam.api.call import Route
from jeroboam.api.fields import flag, text
from jeroboam.api.volume import volumes
from jeroboam.api.volume.shapes import VolumeAnswer, VolumeList

_ALL = "/v3/{project}/volumes"
_ONE = f"{_ALL}/{{volume}}"
_TYPES = "/v3/{project}/types"

ROUTES = (
    Route(
        method="GET",
        path=_ALL,
        handler=volumes.index,
        rule="volume:get_all",
        query=volumes.FILTERS,
        answer=VolumeList,
    ),
    Route(
        method="GET",
        path=f"{_ALL}/detail",
        handler=volumes.details,
        rule="volume:get_all",
        query=volumes.FILTERS,
        answer=VolumeList,
    ),
    Route(
        method="POST",
        path=_ALL,
        handler=volumes.create,
        rule="volume:create",
        body=volumes.build_schema(volumes.CREATE, "size"),
        status=202,
        answer=VolumeAnswer,
        differs="available at once; its data lies on the host of the first container that mounts it",
    ),
    Route(method="GET", path=_ONE, handler=volumes.show, rule="volume:get", answer=VolumeAnswer),
    Route(
        method="PUT",
        path=_ONE,
        handler=volumes.update,
        rule="volume:update",
        body=volumes.build_schema(volumes.CHANGE),
        answer=VolumeAnswer,
    ),
    Route(
        method="DELETE",
        path=_ONE,
        handler=volumes.delete,
        rule="volume:delete",
        query=volumes.DELETE,
        status=202,
        differs="there are no snapshots to go with it, and what is in use is not removed by force",
    ),
    Route(
        method="GET",
        path=_TYPES,
        handler=volumes.index_types,
        rule="volume_extension:type_get_all",
        query={"is_public": text(low=0), "limit": text(), "marker": text(), "sort": text(), "all_tenants": flag},
        answer=dict[str, Any],
        differs="two: `local`, for one container at a time, and `shared`, for several",
    ),
    Route(
        method="GET",
        path=f"{_TYPES}/{{type}}",
        handler=volumes.show_one_type,
        rule="volume_extension:type_get_all",
        answer=dict[str, Any],
    ),
)
