"""The routes of the container-infra family, with what each takes and answers and where it differs from Magnum.

Contract: container-infra, section 4. The dispatcher finds handlers here; `openapi` and the table in the docs are made
of the same data.
"""

from jeroboam.api.call import Route
from jeroboam.api.container_infra import (
    alterations,
    certificates,
    changes,
    clusters,
    credentials,
    federations,
    group_changes,
    group_schema,
    nodegroups,
    quotas,
    shapes,
    stats,
    templates,
    upgrades,
)
from jeroboam.api.fields import body_of, flag, text
from jeroboam.api.shapes import Accepted
from jeroboam.api.wire import PAGING, paging, patch_of
from jeroboam.domain.clusters import Cluster, NodeGroup, Template
from jeroboam.store import sort_keys

RESIZE_SINCE, UPGRADE_SINCE, GROUPS_SINCE, CREDENTIALS_SINCE = 7, 7, 9, 12
_TEMPLATE = "/clustertemplates/{template}"
_CLUSTER = "/clusters/{cluster}"
_GROUPS = f"{_CLUSTER}/nodegroups"
_GROUP = f"{_GROUPS}/{{group}}"
_CERTIFICATE = "/certificates/{cluster}"
_FEDERATION = "/federations/{federation}"
_QUOTA = "/quotas/{project}/{resource}"

_TEMPLATE_PAGES = paging(sort_keys(Template))
_CLUSTER_PAGES = paging(sort_keys(Cluster))
_HONEST = "501, where Magnum answers 202 and does nothing"
_AT_ONCE = "what the state forbids is a 409 at once, where Magnum answers 202 and writes a line into a log"
_REACH = "admins reach every project's clusters, where Magnum answers them 404"

_TEMPLATES = (
    Route(
        method="GET",
        path="/clustertemplates",
        handler=templates.index,
        rule="clustertemplate:get_all",
        query=_TEMPLATE_PAGES,
        answer=shapes.TemplateList,
    ),
    Route(
        method="GET",
        path="/clustertemplates/detail",
        handler=templates.detail,
        rule="clustertemplate:detail",
        query=_TEMPLATE_PAGES,
        answer=shapes.TemplateList,
    ),
    Route(
        method="POST",
        path="/clustertemplates",
        handler=templates.create,
        rule="clustertemplate:create",
        body=body_of(templates.FIELDS | {"uuid": templates.IDENT}, *templates.REQUIRED),
        status=201,
        answer=shapes.TemplateShape,
        differs="images, flavours and networks are those of the provider's catalogue: there need be no Glance or Nova",
    ),
    Route(
        method="GET",
        path=_TEMPLATE,
        handler=templates.show,
        rule="clustertemplate:get",
        answer=shapes.TemplateShape,
    ),
    Route(
        method="PATCH",
        path=_TEMPLATE,
        handler=templates.update,
        rule="clustertemplate:update",
        body=patch_of(*templates.FIELDS, members="labels"),
        answer=shapes.TemplateShape,
        differs="of two changes at the same moment one is a 409; admins reach every project's templates, where "
        "Magnum answers them 404",
    ),
    Route(method="DELETE", path=_TEMPLATE, handler=templates.delete, rule="clustertemplate:delete", status=204),
)
_CLUSTERS = (
    Route(
        method="GET",
        path="/clusters",
        handler=clusters.index,
        rule="cluster:get_all",
        query=_CLUSTER_PAGES,
        answer=shapes.ClusterList,
    ),
    Route(
        method="GET",
        path="/clusters/detail",
        handler=clusters.detail,
        rule="cluster:detail",
        query=_CLUSTER_PAGES,
        answer=shapes.ClusterDetailList,
    ),
    Route(
        method="POST",
        path="/clusters",
        handler=clusters.create,
        rule="cluster:create",
        body=body_of(clusters.FIELDS, clusters.REQUIRED),
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
        answer=shapes.ClusterShape,
        differs="`status_reason` says what is waited for, and what failed; `stack_id` and `cluster_id` are the "
        "cluster's own uuid, since there is no stack",
    ),
    Route(
        method="PATCH",
        path=_CLUSTER,
        handler=changes.update,
        rule="cluster:update",
        query={"rollback": flag, **alterations.BATCH},
        body=patch_of(*changes.PATCHED, members="labels"),
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
        differs="a missing `cluster_template` is a 400, not a 500; the cluster's own template makes the nodes anew; "
        f"{_REACH}",
    ),
)
_NODEGROUPS = (
    Route(
        method="GET",
        path=_GROUPS,
        handler=nodegroups.index,
        rule="nodegroup:get_all",
        query=paging(sort_keys(NodeGroup)) | {"role": text()},
        answer=shapes.NodeGroupList,
        since=GROUPS_SINCE,
        differs="a group's `status` is how far its own last wish came, not its cluster's",
    ),
    Route(
        method="POST",
        path=_GROUPS,
        handler=group_changes.create,
        rule="nodegroup:create",
        body=body_of(group_schema.FIELDS, "name"),
        status=202,
        answer=shapes.NodeGroupShape,
        since=GROUPS_SINCE,
        differs="of two groups with one name the second is a 409, however fast it comes; at most 10,000 nodes; "
        f"`node_labels` and `node_taints` below 1.14 are a 400; {_REACH}",
    ),
    Route(
        method="GET",
        path=_GROUP,
        handler=nodegroups.show,
        rule="nodegroup:get",
        answer=shapes.NodeGroupShape,
        since=GROUPS_SINCE,
    ),
    Route(
        method="PATCH",
        path=_GROUP,
        handler=group_changes.update,
        rule="nodegroup:update",
        query=alterations.BATCH,
        body=patch_of(*group_schema.PATCHED, members="(node_)?labels"),
        status=202,
        answer=shapes.NodeGroupShape,
        since=GROUPS_SINCE,
        differs=f"{_AT_ONCE}; {_REACH}",
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
        body=body_of(certificates.FIELDS, *certificates.REQUIRED),
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
_REST = (
    Route(
        method="GET",
        path="/quotas",
        handler=quotas.index,
        rule="quota:get_all",
        query=paging(quotas.SORTABLE) | {"marker": quotas.MARKER, "all_tenants": flag},
        answer=shapes.QuotaList,
    ),
    Route(
        method="POST",
        path="/quotas",
        handler=quotas.create,
        rule="quota:create",
        body=body_of(quotas.FIELDS, *quotas.REQUIRED),
        status=201,
        answer=shapes.QuotaShape,
        refusals=(404,),
        differs="a missing `project_id` is a 400, not a 500",
    ),
    Route(method="GET", path=_QUOTA, handler=quotas.show, rule="quota:get", answer=shapes.QuotaShape),
    Route(
        method="PATCH",
        path=_QUOTA,
        handler=quotas.update,
        rule="quota:update",
        body=body_of(quotas.FIELDS, "hard_limit"),
        status=202,
        answer=shapes.QuotaShape,
    ),
    Route(method="DELETE", path=_QUOTA, handler=quotas.delete, rule="quota:delete", status=204),
    Route(
        method="GET",
        path="/stats",
        handler=stats.totals,
        rule="stats:get_all",
        query=stats.ARGUMENTS,
        answer=shapes.Totals,
    ),
    Route(
        method="GET",
        path="/mservices",
        handler=stats.services,
        rule="magnum-service:get_all",
        answer=shapes.ServiceList,
        differs="the process is ours; its name is Magnum's, since clients look for it",
    ),
    Route(
        method="GET",
        path="/federations",
        handler=federations.index,
        rule="federation:get_all",
        query=PAGING,
        answer=shapes.FederationList,
    ),
    Route(
        method="GET",
        path="/federations/detail",
        handler=federations.index,
        rule="federation:detail",
        query=PAGING,
        answer=shapes.FederationList,
    ),
    Route(
        method="POST",
        path="/federations",
        handler=federations.write,
        rule="federation:create",
        status=501,
        answer=shapes.Errors,
        differs=_HONEST,
    ),
    Route(
        method="GET",
        path=_FEDERATION,
        handler=federations.show,
        rule="federation:get",
        status=404,
        answer=shapes.Errors,
        differs="there never is one",
    ),
    Route(
        method="PATCH",
        path=_FEDERATION,
        handler=federations.write,
        rule="federation:update",
        status=501,
        answer=shapes.Errors,
        differs=_HONEST,
    ),
    Route(
        method="DELETE",
        path=_FEDERATION,
        handler=federations.write,
        rule="federation:delete",
        status=501,
        answer=shapes.Errors,
        differs=_HONEST,
    ),
)

ROUTES = (*_TEMPLATES, *_CLUSTERS, *_NODEGROUPS, *_CERTIFICATES, *_REST)
