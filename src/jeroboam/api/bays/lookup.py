"""Lookups of bays, baymodels and containers by uuid or name, with the terms of 2015."""

from jeroboam.api.call import Call
from jeroboam.api.container_infra.lookup import expect_one, project_scope
from jeroboam.domain.bay_containers import BayContainer, BayObjectKind
from jeroboam.domain.clusters import Cluster, ClusterStatus, Operation, Template
from jeroboam.domain.errors import Conflict, Invalid, NotFound
from jeroboam.store import BayObjectSelector, ClusterSelector, Transaction


async def bay_of(tx: Transaction, call: Call, ident: str, rule: str = "cluster:get_one_all_projects") -> Cluster:
    """The bay with that uuid or name. Callers that the rule allows see the bays of all projects."""
    scope = project_scope(call, rule)
    owner: ClusterSelector = {} if scope is None else {"project_id": scope}
    return expect_one(await tx.clusters.find(ident, owner), ident, "Bay", "bays")


async def baymodel_of(tx: Transaction, call: Call, ident: str) -> Template:
    """The baymodel with that uuid or name, among the project's own and the public ones."""
    sees_all = call.allows("clustertemplate:get_one_all_projects")
    scope = None if sees_all else call.caller.project_id
    matches = await tx.templates.find_visible(ident, scope, with_hidden=sees_all)
    return expect_one(matches, ident, "BayModel", "baymodels")


async def container_of(tx: Transaction, call: Call, rule: str) -> BayContainer:
    """The container that the path names. Callers that the rule allows see the containers of all projects."""
    ident, scope = call.path["container"], project_scope(call, rule)
    owner: BayObjectSelector = {} if scope is None else {"project_id": scope}
    matches = await tx.bay_containers.find(ident, {"kind": BayObjectKind.CONTAINER, **owner})
    container = expect_one(matches, ident, "Container", "containers")
    call.subject.set_object(container.uuid, container.name)
    return container


def check_coe(bay: Cluster, coe: str) -> None:
    """Raise `Invalid` unless the bay runs that COE."""
    actual = bay.spec.template.coe
    if actual != coe:
        text = f"Cannot fulfill request with a {actual} bay, expecting a {coe} bay."
        raise Invalid(text, field="bay_uuid")


def check_open(bay: Cluster, one: str) -> None:
    """Raise `Conflict` for a bay that is being deleted or failed to be created: it accepts no new objects."""
    if bay.operation is Operation.DELETE or bay.status is ClusterStatus.CREATE_FAILED:
        text = f"Creating a {one} in bay {bay.uuid} when its status is {bay.status} is not supported."
        raise Conflict(text, field="bay_uuid")


async def bay_of_field(tx: Transaction, call: Call, field: str, ident: str) -> Cluster:
    """The bay that a field of the body names. A refusal names the field."""
    try:
        return await bay_of(tx, call, ident)
    except NotFound as error:
        raise NotFound(f"{error.detail} ({field})", field=field) from error


async def baymodel_of_field(tx: Transaction, call: Call, field: str, ident: str) -> Template:
    """The baymodel that a field of the body names. A refusal names the field."""
    try:
        return await baymodel_of(tx, call, ident)
    except NotFound as error:
        raise NotFound(f"{error.detail} ({field})", field=field) from error
