"""The routes of networks, of one container's and of all. Neighbours: `nets`, `networks`; `routes` has the others."""

from collections.abc import Mapping

from jeroboam.api.call import NEWEST, Handler, Route
from jeroboam.api.container import container_networks, nets, networks, shapes
from jeroboam.api.fields import FieldCheck, body_of, flag

_ONE = "/containers/{container}"
_ALL: Mapping[str, FieldCheck] = {"all_projects": flag}


def _change_route(
    name: str,
    handler: Handler,
    table: Mapping[str, FieldCheck],
    *,
    status: int = 202,
    since: int = 1,
    until: int = NEWEST,
    differs: str,
) -> Route:
    """The route of a change. Its arguments may come in the query or in the body."""
    return Route(
        method="POST",
        path=f"{_ONE}/{name}",
        handler=handler,
        rule=f"container:{name}",
        query={**_ALL, **table},
        body={**body_of(table), "type": ["object", "null"]},
        body_needed=False,
        status=status,
        since=since,
        until=until,
        differs=differs,
    )


_GROUPS_DIFFER = "the rules of the packet filter change while the container runs"
ROUTES = (
    Route(
        method="GET",
        path=f"{_ONE}/network_list",
        handler=container_networks.index,
        rule="container:network_list",
        query=_ALL,
        answer=(shapes.NetworkList, shapes.NetworkAddressList),
        since=container_networks.SINCE,
    ),
    _change_route(
        "network_attach",
        nets.attach,
        nets.ATTACH,
        status=200,
        since=nets.ATTACH_SINCE,
        differs="the port and its address are there with the answer, and the agent plugs it in next",
    ),
    _change_route(
        "network_detach",
        nets.detach,
        nets.DETACH,
        since=nets.DETACH_SINCE,
        differs="the port is free with the answer, and the agent unplugs it next",
    ),
    _change_route("add_security_group", nets.add_group, nets.GROUP, until=nets.GROUPS_UNTIL, differs=_GROUPS_DIFFER),
    _change_route(
        "remove_security_group", nets.remove_group, nets.GROUP, until=nets.GROUPS_UNTIL, differs=_GROUPS_DIFFER
    ),
    Route(
        method="POST",
        path="/networks",
        handler=networks.create,
        rule="network:create",
        body=body_of(networks.FIELDS, *networks.FIELDS),
        answer=shapes.NetworkShape,
        refusals=(404,),
        differs="hosts make what a network needs by themselves, so this checks only that there is such a network",
    ),
    Route(
        method="DELETE",
        path="/networks/{network}",
        handler=networks.delete,
        rule="network:delete",
        status=204,
        since=networks.DELETE_SINCE,
        differs="hosts remove by themselves what is left; a network that a container is on is a 409",
    ),
)
