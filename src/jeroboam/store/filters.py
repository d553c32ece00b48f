"""The filters of lists of clusters and templates, as conditions of the query: no list is filtered after it is read.

Labels lie in a JSON column. A label is reached in two steps (`labels`, then the key): only that accepts nearly any key
on both engines. Quotation marks, backslashes and control characters cannot be written in SQLite's paths, and no key may
have them here.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from jeroboam.store import tables
from jeroboam.store.rows import readable


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterFilter:
    """Which clusters a user asks for. An empty field filters nothing; of several values any one matches."""

    name: str | None = None
    statuses: tuple[str, ...] = ()
    coes: tuple[str, ...] = ()
    healths: tuple[str, ...] = ()
    template: str | None = None
    """Its uuid or its name."""
    labels: tuple[tuple[str, str | None], ...] = ()
    """All of these have to match; without a value any value matches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateFilter:
    """Which templates a user asks for."""

    name: str | None = None
    coes: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    public: bool | None = None
    hidden: bool | None = None
    labels: tuple[tuple[str, str | None], ...] = ()


def shown_health(name: str) -> sa.ColumnElement[Any]:
    """Return that text of a cluster's public health. The rule is that of `domain.clusters.select_health`."""
    observed, reported = readable(tables.cluster.c.observed), readable(tables.cluster.c.reported_health)
    # A cluster that no loop has written since an upgrade has no count yet.
    health_changes = sa.func.coalesce(observed["health_changes"].as_integer(), 0)
    is_reported = reported["health_changes"].as_integer() == health_changes
    return sa.case((is_reported, reported[name].as_string()), else_=observed[name].as_string())


def build_cluster_conditions(cluster_filter: ClusterFilter) -> list[sa.ColumnElement[bool]]:
    """Return the conditions of the filter."""
    table, template = tables.cluster, tables.template
    conditions = _build_label_conditions(table.c.spec, cluster_filter.labels)
    if cluster_filter.name is not None:
        conditions.append(table.c.name == cluster_filter.name)
    if cluster_filter.statuses:
        conditions.append(table.c.status.in_(cluster_filter.statuses))
    if cluster_filter.coes:
        conditions.append(readable(table.c.spec)["template"]["coe"].as_string().in_(cluster_filter.coes))
    if cluster_filter.healths:
        conditions.append(shown_health("health_status").in_(cluster_filter.healths))
    if cluster_filter.template is not None:
        template_uuids = sa.select(template.c.uuid).where(
            sa.or_(template.c.uuid == cluster_filter.template, template.c.name == cluster_filter.template)
        )
        conditions.append(table.c.template_id.in_(template_uuids))
    return conditions


def build_template_conditions(template_filter: TemplateFilter) -> list[sa.ColumnElement[bool]]:
    """Return the conditions of the filter."""
    table = tables.template
    conditions = _build_label_conditions(table.c.spec, template_filter.labels)
    if template_filter.name is not None:
        conditions.append(table.c.name == template_filter.name)
    if template_filter.coes:
        conditions.append(readable(table.c.spec)["coe"].as_string().in_(template_filter.coes))
    if template_filter.drivers:
        conditions.append(readable(table.c.spec)["driver"].as_string().in_(template_filter.drivers))
    if template_filter.public is not None:
        conditions.append(table.c.public.is_(template_filter.public))
    if template_filter.hidden is not None:
        conditions.append(table.c.hidden.is_(template_filter.hidden))
    return conditions


def _build_label_conditions(
    spec: sa.Column[Any], labels: tuple[tuple[str, str | None], ...]
) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    for key, value in labels:
        label = readable(spec)["labels"][key].as_string()
        conditions.append(label.is_not(None) if value is None else label == value)
    return conditions
