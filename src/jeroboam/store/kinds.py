"""The kinds of rows: which dataclass lies in which table, and the queries that only one kind has.

Containers and manifests inside bays share the table `workload`: a kind with `only` sees its own rows.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Any, TypeVar

import sqlalchemy as sa

from jeroboam.domain.bay_containers import BayContainer, BayObjectKind
from jeroboam.domain.bay_manifests import BayManifest, BayManifestKind
from jeroboam.domain.clusters import MASTER, Certificate, Cluster, NodeGroup, Operation, Template
from jeroboam.domain.containers import Container, Status
from jeroboam.domain.hosts import Host, ServiceRecord
from jeroboam.domain.noderecords import NodeRecord
from jeroboam.domain.quotas import ContainerUse, Quota
from jeroboam.store import capsule_tables, filters, tables
from jeroboam.store.briefs import ClusterBrief, GroupBrief
from jeroboam.store.capsules import CAPSULE, CAPSULE_EVENT, list_unsettled
from jeroboam.store.container_actions import CONTAINER_ACTION
from jeroboam.store.filters import ClusterFilter, TemplateFilter
from jeroboam.store.history import EVENT
from jeroboam.store.interactive import INTERACTIVE_SESSION
from jeroboam.store.networks import NETWORK, PORT, SECURITY_GROUP, SECURITY_GROUP_RULE, SUBNET
from jeroboam.store.registries import HOST_IMAGE, REGISTRY
from jeroboam.store.rows import Page, RowKind, Rows, readable
from jeroboam.store.selectors import (
    BayObjectSelector,
    CertificateSelector,
    ClusterSelector,
    ContainerSelector,
    HostSelector,
    NodeGroupSelector,
    NodeRecordSelector,
    QuotaSelector,
    ServiceSelector,
    TemplateSelector,
)
from jeroboam.store.volumes import VOLUME, VOLUME_ATTACHMENT

T = TypeVar("T")


def _in(table: sa.Table, column: str, *names: str) -> dict[str, sa.ColumnElement[Any]]:
    """Return text fields inside a JSON column, to sort and filter by."""
    return {name: readable(table.c[column])[name].as_string() for name in names}


def _numbers(table: sa.Table, *names: str) -> dict[str, sa.ColumnElement[Any]]:
    """Return the same for whole numbers of a wish."""
    return {name: readable(table.c.spec)[name].as_integer() for name in names}


def _flags(table: sa.Table, *names: str) -> dict[str, sa.ColumnElement[Any]]:
    """Return the same for booleans."""
    return {name: readable(table.c.spec)[name].as_boolean() for name in names}


def _size(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    """Return the number of nodes in such groups of a cluster."""
    group = tables.nodegroup
    size = sa.func.coalesce(sa.func.sum(group.c.node_count), 0)
    return sa.select(size).where(group.c.cluster_id == tables.cluster.c.uuid, condition).scalar_subquery()


_MASTERS = _size(tables.nodegroup.c.role == MASTER)
_WORKERS = _size(tables.nodegroup.c.role != MASTER)

TEMPLATE = RowKind(
    tables.template,
    Template,
    TemplateSelector,
    sortable=_in(tables.template, "spec", "coe", "image_id", "flavor_id", "master_flavor_id", "keypair_id")
    | _in(tables.template, "spec", "external_network_id", "cluster_distro", "network_driver", "server_type", "tags")
    | _in(tables.template, "spec", "fixed_network", "fixed_subnet", "volume_driver", "dns_nameserver", "driver")
    | _in(tables.template, "spec", "docker_storage_driver", "no_proxy", "insecure_registry", "labels")
    | _numbers(tables.template, "apiserver_port", "docker_volume_size")
    | _flags(tables.template, "registry_enabled", "tls_disabled", "master_lb_enabled", "floating_ip_enabled"),
)
CLUSTER = RowKind(
    tables.cluster,
    Cluster,
    ClusterSelector,
    sortable=_in(tables.cluster, "spec", "keypair", "flavor_id", "master_flavor_id", "discovery_url")
    | _in(tables.cluster, "spec", "fixed_network", "fixed_subnet", "labels")
    | _in(tables.cluster, "observed", "api_address", "coe_version", "container_version")
    | {name: filters.shown_health(name) for name in ("health_status", "health_status_reason")}
    | _numbers(tables.cluster, "create_timeout", "docker_volume_size")
    | _flags(tables.cluster, "floating_ip_enabled", "master_lb_enabled")
    | {
        "cluster_template_id": tables.cluster.c.template_id,
        # There is no stack: the cluster's uuid shows as its id.
        "stack_id": tables.cluster.c.uuid,
        "cluster_id": tables.cluster.c.uuid,
        "node_count": _WORKERS,
        "master_count": _MASTERS,
    },
)


CLUSTER_BRIEF = RowKind(
    tables.cluster,
    ClusterBrief,
    ClusterSelector,
    computed_columns={"masters": _MASTERS, "workers": _WORKERS},
    sortable=CLUSTER.sortable,
    is_whole=False,
)
NODEGROUP = RowKind(
    tables.nodegroup,
    NodeGroup,
    NodeGroupSelector,
    derived_columns={"role": lambda group: group.spec.role, "node_count": lambda group: group.spec.node_count},
    sortable=_in(tables.nodegroup, "spec", "flavor_id", "image_id", "labels")
    | _numbers(tables.nodegroup, "min_node_count", "max_node_count", "docker_volume_size")
    | _flags(tables.nodegroup, "is_default", "merge_labels")
    | {"stack_id": tables.nodegroup.c.cluster_id},
)
NODEGROUP_BRIEF = RowKind(tables.nodegroup, GroupBrief, NodeGroupSelector, sortable=NODEGROUP.sortable, is_whole=False)
CERTIFICATE = RowKind(tables.certificate, Certificate, CertificateSelector, key="id")
CONTAINER = RowKind(
    tables.container,
    Container,
    ContainerSelector,
    derived_columns={
        "cpu": lambda container: container.spec.cpu,
        "memory": lambda container: container.spec.memory,
        "disk": lambda container: container.spec.disk or 0,
    },
    sortable=_in(tables.container, "spec", "image", "cpu_policy", "workdir", "image_pull_policy", "image_driver")
    | {
        # A container without a limit comes last; its column says 0.
        "disk": readable(tables.container.c.spec)["disk"].as_integer(),
        "auto_remove": readable(tables.container.c.spec)["auto_remove"].as_boolean(),
        "hostname": readable(tables.container.c.observed)["hostname"].as_string(),
        "registry_id": readable(tables.container.c.spec)["registry_id"].as_string(),
    },
)
HOST = RowKind(tables.host, Host, HostSelector)
SERVICE = RowKind(tables.service, ServiceRecord, ServiceSelector, key="id")
QUOTA = RowKind(tables.quota, Quota, QuotaSelector, key="id")
_OF_CONTAINERS = tables.workload.c.kind == BayObjectKind.CONTAINER
_OF_MANIFESTS = tables.workload.c.kind.in_([str(kind) for kind in BayManifestKind])
BAY_CONTAINER = RowKind(
    tables.workload,
    BayContainer,
    BayObjectSelector,
    only=_OF_CONTAINERS,
    sortable=_in(tables.workload, "spec", "image", "command", "memory") | {"bay_uuid": tables.workload.c.cluster_id},
)
BAY_MANIFEST = RowKind(
    tables.workload,
    BayManifest,
    BayObjectSelector,
    only=_OF_MANIFESTS,
    # The table's other kind has a list of ops in its wish.
    derived_columns={"ops": lambda _: ()},
    sortable={"bay_uuid": tables.workload.c.cluster_id},
)
NODE_RECORD = RowKind(tables.node_record, NodeRecord, NodeRecordSelector)
ALL_KINDS: tuple[RowKind[Any, Any], ...] = (
    *(TEMPLATE, CLUSTER, NODEGROUP, CERTIFICATE, CONTAINER, HOST, SERVICE, QUOTA),
    *(BAY_CONTAINER, BAY_MANIFEST, NODE_RECORD, EVENT, CONTAINER_ACTION, INTERACTIVE_SESSION),
    *(REGISTRY, HOST_IMAGE, VOLUME, VOLUME_ATTACHMENT, CAPSULE, CAPSULE_EVENT),
    *(NETWORK, SUBNET, PORT, SECURITY_GROUP, SECURITY_GROUP_RULE),
)
"""All kinds but the briefs."""


def sort_keys(object_type: type) -> list[str]:
    """Return the fields by which pages of such objects can be sorted."""
    return next(sorted(kind.sortable) for kind in ALL_KINDS if kind.object_type is object_type)


class TemplateRows(Rows[Template, TemplateSelector]):
    """Templates, and who may see them."""

    def _build_visible_conditions(self, project_id: str | None, *, with_hidden: bool) -> list[sa.ColumnElement[bool]]:
        if project_id is None:
            return []
        is_own, table = tables.template.c.project_id == project_id, tables.template
        is_shared = (
            table.c.public.is_(True) if with_hidden else sa.and_(table.c.public.is_(True), table.c.hidden.is_(False))
        )
        return [sa.or_(is_own, is_shared)]

    async def list_visible(
        self, page: Page, project_id: str | None, *, with_hidden: bool, template_filter: TemplateFilter | None = None
    ) -> list[Template]:
        """Return a page of the templates that a project may see (None: all); `with_hidden`: hidden ones too."""
        conditions = filters.build_template_conditions(template_filter or TemplateFilter())
        return await self.page(
            page, *self._build_visible_conditions(project_id, with_hidden=with_hidden), extra_conditions=conditions
        )

    async def total(self, project_id: str | None, *, with_hidden: bool, template_filter: TemplateFilter) -> int:
        """Return the number of these on all pages together."""
        return await self.count_where(
            *self._build_visible_conditions(project_id, with_hidden=with_hidden),
            *filters.build_template_conditions(template_filter),
        )

    async def find_visible(self, ident: str, project_id: str | None, *, with_hidden: bool) -> list[Template]:
        """Return the visible templates with that id or name."""
        conditions = self._build_visible_conditions(project_id, with_hidden=with_hidden)
        templates = await self.find(ident)
        if not templates or not conditions:
            return templates
        return await self.where(tables.template.c.uuid.in_([template.uuid for template in templates]), *conditions)


class QuotaRows(Rows[Quota, QuotaSelector]):
    """Limits that were set, one for each project and resource."""

    async def change(self, quota: Quota) -> None:
        """Replace the quota of the same project and resource."""
        table = tables.quota
        is_same = sa.and_(table.c.project_id == quota.project_id, table.c.resource == quota.resource)
        await self._connection.execute(table.update().where(is_same).values(**self._kind.dump(quota)))


class ClusterRows(Rows[Cluster, ClusterSelector]):
    """Clusters."""

    async def list_page(
        self, page: Page, project_id: str | None, cluster_filter: ClusterFilter | None = None
    ) -> list[Cluster]:
        """Return a page of the project's clusters (None: all projects)."""
        conditions = filters.build_cluster_conditions(cluster_filter or ClusterFilter())
        return await self.page(page, *self._project_conditions(project_id), extra_conditions=conditions)

    async def total(self, project_id: str | None, wanted: ClusterFilter) -> int:
        """Return the number of these on all pages together."""
        return await self.count_where(*self._project_conditions(project_id), *filters.build_cluster_conditions(wanted))

    def _project_conditions(self, project_id: str | None) -> list[sa.ColumnElement[bool]]:
        return [] if project_id is None else self.build_conditions({"project_id": project_id})

    async def list_older(self, moment: dt.datetime) -> list[Cluster]:
        """Return older clusters, without those that are being deleted."""
        table = tables.cluster
        return await self.where(table.c.created_at < moment, table.c.operation != Operation.DELETE)

    async def list_briefs(
        self, page: Page, project_id: str | None = None, cluster_filter: ClusterFilter | None = None
    ) -> list[ClusterBrief]:
        """Return the same as lists show them, in one statement."""
        rows = Rows(self._connection, CLUSTER_BRIEF, for_update=False)
        return await rows.page(
            page,
            *self._project_conditions(project_id),
            extra_conditions=filters.build_cluster_conditions(cluster_filter or ClusterFilter()),
        )

    async def totals(self, project_id: str | None) -> tuple[int, int]:
        """Return the number of clusters and of nodes (with masters) that a project wishes for (None: all projects)."""
        group, cluster = tables.nodegroup, tables.cluster
        conditions = [] if project_id is None else [cluster.c.project_id == project_id]
        clusters = sa.select(sa.func.count()).select_from(cluster).where(*conditions).scalar_subquery()
        conditions = [] if project_id is None else [group.c.project_id == project_id]
        size = sa.func.coalesce(sa.func.sum(group.c.node_count), 0)
        nodes = sa.select(size).select_from(group).where(*conditions).scalar_subquery()
        row = (await self._connection.execute(sa.select(clusters, nodes))).one()
        return int(row[0]), int(row[1])


_Group = TypeVar("_Group", NodeGroup, GroupBrief)


def _by_cluster(cluster_ids: Iterable[str], all_groups: Iterable[_Group]) -> dict[str, list[_Group]]:
    """Return the groups of each cluster, masters first."""
    groups: dict[str, list[_Group]] = {cluster_id: [] for cluster_id in cluster_ids}
    for group in all_groups:
        groups[group.cluster_id].append(group)
    for members in groups.values():
        members.sort(key=lambda group: group.spec.role != MASTER)
    return groups


class NodeGroupRows(Rows[NodeGroup, NodeGroupSelector]):
    """Node groups."""

    async def groups_of(self, *cluster_ids: str) -> dict[str, list[NodeGroup]]:
        """Return the groups of each cluster, masters first, in one statement.

        In a transaction that writes it raises `BrokenRow` for a group that cannot be read: without it the wish is
        incomplete.
        """
        groups = await self.where(*self.build_conditions({"cluster_id": cluster_ids}), strict=self._for_update)
        return _by_cluster(cluster_ids, groups)

    async def briefs_of(self, *cluster_ids: str) -> dict[str, list[GroupBrief]]:
        """Return the same, with the fields that clusters show."""
        rows = Rows(self._connection, NODEGROUP_BRIEF, for_update=False)
        return _by_cluster(cluster_ids, await rows.select({"cluster_id": cluster_ids}))


_CPU_DIGITS = 9
_SUMMED = ("memory", "cpu", "disk")


def _sum_use(
    of_containers: sa.ColumnElement[bool], of_capsules: sa.ColumnElement[bool], *, by_host: bool
) -> sa.Select[Any]:
    """Return the query for what these containers and capsules use, with the containers of the capsules."""
    container, capsule = tables.container, capsule_tables.capsule
    parts = (
        (container, sa.literal(1, sa.Integer), of_containers),
        (capsule, capsule.c.containers, of_capsules),
    )
    rows = sa.union_all(
        *(
            sa.select(table.c.host_id, count.label("containers"), *(table.c[name] for name in _SUMMED)).where(condition)
            for table, count, condition in parts
        )
    ).subquery()
    sums = [sa.func.coalesce(sa.func.sum(rows.c[name]), 0) for name in ("containers", *_SUMMED)]
    return sa.select(*sums, rows.c.host_id).group_by(rows.c.host_id) if by_host else sa.select(*sums)


def _read_use(row: sa.Row[Any]) -> ContainerUse:
    # A database adds binary fractions: thirty times 0.1 has to be 3 all the same.
    cpu = round(float(row[2]), _CPU_DIGITS)
    return ContainerUse(containers=int(row[0]), memory=int(row[1]), cpu=cpu, disk=int(row[3]))


class ContainerRows(Rows[Container, ContainerSelector]):
    """Containers."""

    async def use_of_project(self, project_id: str) -> ContainerUse:
        """Return what the project's containers use, in any state but Deleted, and those of its capsules."""
        table = tables.container
        of_containers = sa.and_(table.c.project_id == project_id, table.c.status != Status.DELETED)
        query = _sum_use(of_containers, capsule_tables.capsule.c.project_id == project_id, by_host=False)
        return _read_use((await self._connection.execute(query)).one())

    async def use_by_host(self) -> dict[str, ContainerUse]:
        """Return what the containers and capsules of each host use, by host uuid."""
        query = _sum_use(
            tables.container.c.host_id.is_not(None), capsule_tables.capsule.c.host_id.is_not(None), by_host=True
        )
        return {row[-1]: _read_use(row) for row in (await self._connection.execute(query)).all()}

    async def list_pinned_cpus(self) -> dict[str, frozenset[int]]:
        """Return the cores that containers have for themselves, by host uuid."""
        table = tables.container
        containers = await self.where(table.c.host_id.is_not(None), sa.cast(table.c.cpuset, sa.Text) != "[]")
        cpus: dict[str, frozenset[int]] = {}
        for container in containers:
            if container.host_id is not None:
                cpus[container.host_id] = cpus.get(container.host_id, frozenset()) | set(container.cpuset)
        return cpus

    async def list_unsettled(self) -> list[str]:
        """Return the uuids of containers with work to do, for a resync."""
        return await list_unsettled(self._connection, tables.container)


class BayContainerRows(Rows[BayContainer, BayObjectSelector]):
    """Containers inside clusters."""

    async def uuids_in_cluster(self, cluster_id: str) -> frozenset[str]:
        """Return the uuids of everything that was made inside that cluster, containers or not."""
        query = sa.select(tables.workload.c.uuid).where(tables.workload.c.cluster_id == cluster_id)
        return frozenset(row[0] for row in await self._connection.execute(query))
