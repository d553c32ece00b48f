"""The routes of clusters, their node groups, certificates and events, for `container_infra.routes`."""

from jeroboam.api.call import Route
from jeroboam.api.container_infra import credentials, filters, shapes
from jeroboam.api.container_infra.clusters import certificates, changes, clusters, events, fields, updates, upgrades
from jeroboam.api.container_infra.nodegroups import changes as group_changes
from jeroboam.api.container_infra.nodegroups import fields as group_fields
from jeroboam.api.container_infra.nodegroups import nodegroups
from jeroboam.api.fields import body_of, flag, text
from jeroboam.api.shapes import Accepted
from jeroboam.api.wire import list_arguments, patch_of
from jeroboam.domain.clusters import Cluster, NodeGroup
from jeroboam.domain.events import Event
from jeroboam.store import sort_keys

RESIZE_SINCE, UPGRADE_SINCE, GROUPS_SINCE, CREDENTIALS_SINCE = 7, 7, 9, 12
_CLUSTER = "/clusters/{cluster}"
_GROUPS = f"{_CLUSTER}/nodegroups"
_GROUP = f"{_GROUPS}/{{group}}"
_CERTIFICATE = "/certificates/{cluster}"
_CLUSTER_PAGES = list_arguments(sort_keys(Cluster)) | filters.CLUSTERS
_EVENT_PAGES = list_arguments(sort_keys(Event)) | events.ARGUMENTS
_FILTERED = "can be narrowed and counted"
_AT_ONCE = "what the state forbids is a 409 at once, where Magnum answers 202 and writes a line into a log"
_REACH = "admins reach every project's clusters, where Magnum answers them 404"

_CLUSTERS = (
    Route(
        method="GET",
        path="/clusters",
        handler=clusters.index,
        rule="cluster:get_all",
        query=_CLUSTER_PAGES,
        answer=fields.ClusterList,
        differs=_FILTERED,
    ),
    Route(
        method="GET",
        path="/clusters/detail",
        handler=clusters.detail,
        rule="cluster:detail",
        query=_CLUSTER_PAGES,
        answer=fields.ClusterDetailList,
        differs=_FILTERED,
    ),
    Route(
        method="POST",
        path="/clusters",
        handler=clusters.create,
        rule="cluster:create",
        body=body_of(fields.CREATE_CHECKS, fields.REQUIRED),
        status=202,
        answer=Accepted,
        refusals=(404,),
        differs="the cluster is there when the 202 arrives, since clients poll; its project's limit is counted and "
        "kept in one step",
    ),
    Route(
        method="GET",
        path=_CLUSTER,
        handler=clusters.show,
        rule="cluster:get",
        answer=fields.ClusterShape,
        differs="`status_reason` says what is waited for, and what failed; `stack_id` and `cluster_id` are the "
        "cluster's own uuid, since there is no stack",
    ),
    Route(
        method="PATCH",
        path=_CLUSTER,
        handler=changes.update,
        rule="cluster:update",
        query={"rollback": flag, **updates.BATCH},
        body=patch_of(*fields.PATCH_CHECKS, members="labels"),
        status=202,
        answer=Accepted,
        differs=f"{_AT_ONCE}; a failed cluster accepts every change; `name`, `labels`, `flavor_id` and "
        "`master_flavor_id` can be changed too, and nodes that this reaches are made anew, `max_batch_size` at a time; "
        "with `rollback` a change that fails for good goes back to what was before it",
    ),
    Route(
        method="DELETE",
        path=_CLUSTER,
        handler=changes.delete,
        rule="cluster:delete",
        status=204,
        differs="in every state, and it goes on until it has succeeded",
    ),
    Route(
        method="POST",
        path=f"{_CLUSTER}/actions/resize",
        handler=changes.resize,
        rule="cluster:resize",
        body=body_of(changes.RESIZE, "node_count"),
        status=202,
        answer=Accepted,
        since=RESIZE_SINCE,
        differs=f"{_AT_ONCE}; unknown `nodes_to_remove` and masters are a 400; {_REACH}",
    ),
    Route(
        method="POST",
        path=f"{_CLUSTER}/actions/upgrade",
        handler=upgrades.upgrade,
        rule="cluster:upgrade",
        body=body_of(upgrades.FIELDS, "cluster_template"),
        status=202,
        answer=Accepted,
        since=UPGRADE_SINCE,
        differs="a missing `cluster_template` is a 400, not a 500; the cluster's own template makes the nodes anew",
    ),
)
_NODEGROUPS = (
    Route(
        method="GET",
        path=_GROUPS,
        handler=nodegroups.index,
        rule="nodegroup:get_all",
        query=list_arguments(sort_keys(NodeGroup)) | {"role": text(), **filters.TOTAL},
        answer=group_fields.NodeGroupList,
        since=GROUPS_SINCE,
        differs="a group's `status` is how far its own last wish came, not its cluster's",
    ),
    Route(
        method="POST",
        path=_GROUPS,
        handler=group_changes.create,
        rule="nodegroup:create",
        body=body_of(group_fields.CREATE_CHECKS, group_fields.REQUIRED),
        status=202,
        answer=group_fields.NodeGroupShape,
        since=GROUPS_SINCE,
        differs="of two groups with one name the second is a 409, however fast it comes; at most 10,000 nodes; "
        f"`node_labels` and `node_taints` below 1.14 are a 400; {_REACH}",
    ),
    Route(
        method="GET",
        path=_GROUP,
        handler=nodegroups.show,
        rule="nodegroup:get",
        answer=group_fields.NodeGroupShape,
        since=GROUPS_SINCE,
    ),
    Route(
        method="PATCH",
        path=_GROUP,
        handler=group_changes.update,
        rule="nodegroup:update",
        query=updates.BATCH,
        body=patch_of(*group_fields.PATCH_CHECKS, members="(node_)?labels"),
        status=202,
        answer=group_fields.NodeGroupShape,
        since=GROUPS_SINCE,
        differs=f"{_AT_ONCE}; `labels` and `flavor_id` can be changed too; {_REACH}",
    ),
    Route(
        method="DELETE",
        path=_GROUP,
        handler=group_changes.delete,
        rule="nodegroup:delete",
        status=204,
        since=GROUPS_SINCE,
        differs=f"{_AT_ONCE}; {_REACH}",
    ),
)
_CERTIFICATES = (
    Route(
        method="GET",
        path=_CERTIFICATE,
        handler=certificates.show,
        rule="certificate:get",
        query={"ca_cert_type": text(low=0)},
        answer=shapes.CertificateShape,
        differs="every reader of the project, not only who made the cluster: a colleague has to be able to use it; "
        "404 for an authority that the COE does not need, 409 before there is one",
    ),
    Route(
        method="PATCH",
        path=_CERTIFICATE,
        handler=certificates.rotate,
        rule="certificate:rotate_ca",
        status=202,
        answer=Accepted,
        differs="old and new authority count alike for a while, so that nobody is cut off; "
        "what the state forbids is a 409",
    ),
    Route(
        method="POST",
        path="/certificates",
        handler=certificates.sign,
        rule="certificate:create",
        body=certificates.BODY,
        status=201,
        answer=shapes.CertificateShape,
        refusals=(404,),
        differs="every member of the project, not only who made the cluster; a missing `csr` is a 400, not a 500",
    ),
    Route(
        method="PATCH",
        path="/credentials/{cluster}",
        handler=credentials.rotate,
        rule="credential:rotate",
        status=202,
        answer=Accepted,
        since=CREDENTIALS_SINCE,
        differs="always a 400: clusters here hold no credential of the cloud",
    ),
)
_EVENTS = (
    Route(
        method="GET",
        path=f"{_CLUSTER}/events",
        handler=events.index_of_cluster,
        rule="event:get_all",
        query=_EVENT_PAGES,
        answer=shapes.EventList,
        differs="an extension",
    ),
    Route(
        method="GET",
        path="/events",
        handler=events.index,
        rule="event:get_all",
        query=_EVENT_PAGES | {"cluster": text()},
        answer=shapes.EventList,
        differs="an extension",
    ),
)

CLUSTERS = (*_CLUSTERS, *_NODEGROUPS, *_CERTIFICATES, *_EVENTS)
