"""The tables, as data. Column names are the field names of the domain's dataclasses.

Fields to filter, sort or claim by have columns of their own; nested parts (spec, desired, observed) are JSON. The `id`
is only an order of arrival: only published APIs that have such a number show it.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect


@dataclass(frozen=True, slots=True)
class UnreadableValue:
    """A column's value that is not of the column's type. The code that makes an object of the row finds it."""

    text: str


class UtcDateTime(sa.TypeDecorator[dt.datetime]):
    """An aware time in UTC, on engines that know zones and on those that do not."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Remove the zone for engines without zones."""
        if value is not None and dialect.name == "sqlite":
            return value.astimezone(dt.UTC).replace(tzinfo=None)
        return value

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Add the zone to a time without one."""
        del dialect
        if value is not None and value.tzinfo is None:
            return value.replace(tzinfo=dt.UTC)
        return value

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """Return a processor that gives `UnreadableValue` for a bad time, so that the other rows can be read."""
        read = super().result_processor(dialect, coltype)

        def run(value: Any) -> Any:
            try:
                return value if read is None else read(value)
            except (ValueError, TypeError):
                return UnreadableValue(str(value)[:80])

        return run


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column() -> sa.Column[Any]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True)


def base_columns() -> list[sa.Column[Any]]:
    """Return the columns that every object of a project has."""
    return [
        id_column(),
        sa.Column("uuid", sa.String(36), nullable=False, unique=True),
        sa.Column("name", sa.String(255), nullable=False, index=True),
        sa.Column("project_id", sa.String(255), nullable=False, index=True),
    ]


def time_columns() -> list[sa.Column[Any]]:
    return [sa.Column("created_at", UtcDateTime, nullable=False), sa.Column("updated_at", UtcDateTime)]


def _lease_columns() -> list[sa.Column[Any]]:
    """Return the columns of the lease. The token grows with each claim and shuts out the earlier holder."""
    return [
        sa.Column("lease_owner", sa.String(64)),
        sa.Column("lease_token", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("lease_until", UtcDateTime),
    ]


def json_column(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON, nullable=False)


template = sa.Table(
    "cluster_template",
    metadata,
    *base_columns(),
    sa.Column("user_id", sa.String(255), nullable=False),
    json_column("spec"),
    sa.Column("public", sa.Boolean, nullable=False),
    sa.Column("hidden", sa.Boolean, nullable=False),
    *time_columns(),
)

cluster = sa.Table(
    "cluster",
    metadata,
    *base_columns(),
    sa.Column("user_id", sa.String(255), nullable=False),
    sa.Column("template_id", sa.String(36), sa.ForeignKey("cluster_template.uuid"), nullable=False, index=True),
    json_column("spec"),
    json_column("observed"),
    sa.Column("reported_health", sa.JSON, nullable=False, server_default="null"),
    sa.Column("operation", sa.String(16), nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("status", sa.String(32), nullable=False, index=True),
    sa.Column("status_reason", sa.Text),
    sa.Column("deadline_at", UtcDateTime),
    *time_columns(),
    *_lease_columns(),
)

nodegroup = sa.Table(
    "nodegroup",
    metadata,
    *base_columns(),
    sa.Column("cluster_id", sa.String(36), sa.ForeignKey("cluster.uuid"), nullable=False),
    json_column("spec"),
    # These two repeat fields of the wish: lists of clusters add them up from the index alone.
    sa.Column("role", sa.String(255), nullable=False, server_default=""),
    sa.Column("node_count", sa.Integer, nullable=False, server_default="0"),
    json_column("desired"),
    json_column("observed"),
    sa.Column("status", sa.String(32), nullable=False),
    sa.Column("status_reason", sa.Text),
    sa.Column("deleting", sa.Boolean, nullable=False),
    sa.Column("next_index", sa.Integer, nullable=False),
    *time_columns(),
    sa.UniqueConstraint("cluster_id", "name"),
    sa.Index("ix_nodegroup_sizes", "cluster_id", "role", "node_count"),
)

certificate = sa.Table(
    "certificate",
    metadata,
    id_column(),
    sa.Column("cluster_id", sa.String(36), sa.ForeignKey("cluster.uuid"), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("pem", sa.Text, nullable=False),
    sa.Column("sealed_key", sa.LargeBinary, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("cluster_id", "kind"),
)

container = sa.Table(
    "container",
    metadata,
    *base_columns(),
    sa.Column("user_id", sa.String(255), nullable=False),
    json_column("spec"),
    json_column("ops"),
    sa.Column("cpuset", sa.JSON, nullable=False, server_default="[]"),
    json_column("observed"),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("host_id", sa.String(36)),
    sa.Column("host", sa.String(255)),
    # These three repeat fields of the wish: what is left of a host and of a quota is added up from an index alone.
    sa.Column("cpu", sa.Float, nullable=False, server_default="0"),
    sa.Column("memory", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("disk", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("given_up", sa.Integer, nullable=False),
    sa.Column("failure", sa.Text),
    sa.Column("status", sa.String(32), nullable=False, index=True),
    sa.Column("status_reason", sa.Text),
    sa.Column("task_state", sa.String(32)),
    sa.Column("deadline_at", UtcDateTime),
    *time_columns(),
    sa.Index("ix_container_use_of_host", "host_id", "memory", "cpu", "disk"),
    sa.Index("ix_container_use_of_project", "project_id", "status", "memory", "cpu", "disk"),
)

host = sa.Table(
    "host",
    metadata,
    id_column(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("hostname", sa.String(255), nullable=False, unique=True),
    sa.Column("availability_zone", sa.String(255), nullable=False),
    json_column("facts"),
    sa.Column("dispatcher", sa.String(64)),
    sa.Column("session", sa.Integer, nullable=False, server_default="0"),
    sa.Column("disabled", sa.Boolean, nullable=False),
    sa.Column("disabled_reason", sa.Text),
    sa.Column("forced_down", sa.Boolean, nullable=False),
    sa.Column("last_seen", UtcDateTime),
    sa.Column("runtime_error", sa.Text),
    *time_columns(),
)

service = sa.Table(
    "service",
    metadata,
    id_column(),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("binary", sa.String(64), nullable=False),
    sa.Column("report_count", sa.Integer, nullable=False),
    sa.Column("disabled", sa.Boolean, nullable=False),
    sa.Column("disabled_reason", sa.Text),
    sa.Column("forced_down", sa.Boolean, nullable=False),
    sa.Column("last_seen", UtcDateTime),
    sa.Column("availability_zone", sa.String(255), nullable=False),
    *time_columns(),
    sa.UniqueConstraint("host", "binary"),
)

quota = sa.Table(
    "quota",
    metadata,
    id_column(),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("resource", sa.String(64), nullable=False),
    sa.Column("hard_limit", sa.BigInteger, nullable=False),
    *time_columns(),
    sa.UniqueConstraint("project_id", "resource"),
)

quota_guard = sa.Table(
    "quota_guard",
    metadata,
    sa.Column("project_id", sa.String(255), primary_key=True),
    sa.Column("family", sa.String(32), primary_key=True),
    sa.Column("uses", sa.BigInteger, nullable=False),
)

named_lease = sa.Table(
    "named_lease",
    metadata,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("holder", sa.String(64), nullable=False),
    sa.Column("until", UtcDateTime, nullable=False),
)

outbox = sa.Table(
    "outbox",
    metadata,
    id_column(),
    sa.Column("topic", sa.String(64), nullable=False),
    sa.Column("key", sa.String(255), nullable=False),
    sa.Column("payload", sa.JSON),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

# Objects inside a cluster, made through the API of 2015: pods, services, replication controllers, containers.
workload = sa.Table(
    "workload",
    metadata,
    *base_columns(),
    sa.Column("user_id", sa.String(255), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False, index=True),
    sa.Column("cluster_id", sa.String(36), sa.ForeignKey("cluster.uuid"), nullable=False, index=True),
    json_column("spec"),
    json_column("ops"),
    json_column("observed"),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("status", sa.String(32), nullable=False),
    sa.Column("status_reason", sa.Text),
    sa.Column("deleting", sa.Boolean, nullable=False),
    sa.Column("deadline_at", UtcDateTime),
    *time_columns(),
    *_lease_columns(),
)

# Records of machines in the API of 2015; nothing is made of them.
node_record = sa.Table(
    "node_record",
    metadata,
    id_column(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("project_id", sa.String(255), nullable=False, index=True),
    sa.Column("user_id", sa.String(255), nullable=False),
    sa.Column("type", sa.String(255)),
    sa.Column("image_id", sa.String(255)),
    sa.Column("ironic_node_id", sa.String(36)),
    *time_columns(),
)

# Events of clusters. No foreign key: an event outlives its cluster.
event = sa.Table(
    "event",
    metadata,
    id_column(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("cluster_id", sa.String(36), nullable=False, index=True),
    sa.Column("cluster_name", sa.String(255), nullable=False, index=True),
    sa.Column("project_id", sa.String(255), nullable=False, index=True),
    sa.Column("nodegroup", sa.String(255)),
    sa.Column("event_type", sa.String(64), nullable=False),
    sa.Column("status", sa.String(32)),
    sa.Column("message", sa.Text),
    sa.Column("user_id", sa.String(255)),
    sa.Column("user_project_id", sa.String(255)),
    sa.Column("request_id", sa.String(64)),
    sa.Column("created_at", UtcDateTime, nullable=False, index=True),
)

# What was asked of containers. No foreign key: a record outlives its container.
container_action = sa.Table(
    "container_action",
    metadata,
    id_column(),
    sa.Column("container_id", sa.String(36), nullable=False, index=True),
    sa.Column("request_id", sa.String(64), nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("user_id", sa.String(255), nullable=False),
    sa.Column("start_time", UtcDateTime, nullable=False, index=True),
    sa.Column("finish_time", UtcDateTime),
    sa.Column("message", sa.Text),
)

registry = sa.Table(
    "registry",
    metadata,
    id_column(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), index=True),
    sa.Column("project_id", sa.String(255), nullable=False, index=True),
    sa.Column("user_id", sa.String(255), nullable=False),
    sa.Column("domain", sa.String(255), nullable=False),
    # Sealed (`sealing`).
    json_column("login"),
    *time_columns(),
)

# Images that administrators pull on hosts.
image = sa.Table(
    "image",
    metadata,
    id_column(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("repo", sa.String(255), nullable=False),
    sa.Column("tag", sa.String(255), nullable=False),
    sa.Column("host_id", sa.String(36), nullable=False, index=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("user_id", sa.String(255), nullable=False),
    sa.Column("image_id", sa.String(255)),
    sa.Column("size", sa.BigInteger),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("status_reason", sa.Text),
    sa.Column("deadline_at", UtcDateTime),
    *time_columns(),
    sa.UniqueConstraint("repo", "tag", "host_id"),
)

# Sessions with containers that were asked for and not opened yet.
interactive_session = sa.Table(
    "interactive_session",
    metadata,
    id_column(),
    sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("container_id", sa.String(36), nullable=False, index=True),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("user_id", sa.String(255), nullable=False),
    sa.Column("exec_id", sa.String(64)),
    json_column("command"),
    sa.Column("tty", sa.Boolean, nullable=False),
    json_column("size"),
    sa.Column("expires_at", UtcDateTime, nullable=False),
)
