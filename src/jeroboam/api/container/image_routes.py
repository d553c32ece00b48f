"""The routes of registries and of images on hosts. Neighbour: `routes`, which adds them to its own."""

from jeroboam.api.call import Route
from jeroboam.api.container import images, registries, shapes
from jeroboam.api.fields import body_of, flag
from jeroboam.api.wire import list_arguments
from jeroboam.domain.host_images import HostImage
from jeroboam.domain.registries import Registry
from jeroboam.store import sort_keys

_ALL = {"all_projects": flag}
_REGISTRY = "/registries/{registry}"
_IMAGE = "/images/{image}"

_REGISTRIES = (
    Route(
        method="GET",
        path="/registries",
        handler=registries.index,
        rule="registry:get_all",
        query={**list_arguments(sort_keys(Registry)), **registries.FILTERS, **_ALL},
        answer=shapes.RegistryList,
    ),
    Route(
        method="POST",
        path="/registries",
        handler=registries.create,
        rule="registry:create",
        body=registries.build_schema("domain"),
        status=201,
        answer=shapes.RegistryAnswer,
        differs="the user name is sealed too, so lists are not sorted by it",
    ),
    Route(
        method="GET",
        path=_REGISTRY,
        handler=registries.show,
        rule="registry:get_one",
        query=_ALL,
        answer=shapes.RegistryAnswer,
    ),
    Route(
        method="PATCH",
        path=_REGISTRY,
        handler=registries.update,
        rule="registry:update",
        query=_ALL,
        body=registries.build_schema(),
        answer=shapes.RegistryAnswer,
        differs="containers that exist keep the domain that they were created with",
    ),
    Route(
        method="DELETE",
        path=_REGISTRY,
        handler=registries.delete,
        rule="registry:delete",
        query=_ALL,
        status=204,
        refusals=(409,),
        differs="409 while containers use it, with the name of one",
    ),
)
_IMAGES = (
    Route(
        method="GET",
        path="/images",
        handler=images.index,
        rule="image:get_all",
        query=list_arguments(sort_keys(HostImage)),
        answer=shapes.HostImageList,
        differs="with `status` and `status_reason`",
    ),
    Route(
        method="POST",
        path="/images",
        handler=images.pull,
        rule="image:pull",
        query=images.FIELDS,
        body=body_of(images.FIELDS, "repo", "host"),
        status=202,
        answer=shapes.HostImageShape,
        refusals=(404, 409),
        differs="`status_reason` says how far it is, or why it failed; a pull that failed may be asked for again",
    ),
    Route(method="GET", path=_IMAGE, handler=images.show, rule="image:get_one", answer=shapes.HostImageShape),
    Route(
        method="DELETE",
        path=_IMAGE,
        handler=images.delete,
        rule="image:delete",
        status=204,
        differs="an image that containers use stays, and `status_reason` says so",
    ),
    Route(
        method="GET",
        path=f"{_IMAGE}/search",
        handler=images.search,
        rule="image:search",
        query=images.SEARCH,
        answer=list[shapes.FoundImage],
        refusals=(503,),
        differs="what hosts have and the project may use; registries are not asked",
    ),
)

ROUTES = (*_REGISTRIES, *_IMAGES)
