"""The rows of this family's tables of fields, and what follows from them.

Neighbours: `templates.fields`, `clusters.fields`, `nodegroups.fields` and `bays.baymodels` have the tables;
`domain.field_effects` has the rules of the drivers, which lie below the API and check the values too.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from operator import attrgetter
from typing import Any

from jeroboam.api.field_table import Field
from jeroboam.api.fields import FieldCheck
from jeroboam.api.shapes import Link
from jeroboam.api.wire import format_time, links
from jeroboam.domain.errors import Invalid
from jeroboam.domain.field_effects import FieldTable


@dataclass(frozen=True, kw_only=True, slots=True)
class InfraField(Field):
    """One field of a template, a cluster or a node group.

    Without an `effect` of its own, it has the rules of the drivers.
    """

    check: FieldCheck | None = None
    """The check of its value in a create; None: a create does not take it."""
    patch_check: FieldCheck | None = None
    """The check of its value in a PATCH, if that is another one."""
    removable: bool = True
    """Whether a PATCH may remove its value."""
    inherits: str | None = None
    """The attribute of the object above (a cluster's template, a group's cluster) that is its default."""
    in_list: bool = False
    """Whether lists that show objects in short have it."""
    brief: str | None = None
    """The attribute that holds it in the briefs of such a list, where a whole object computes it."""
    shown_since: int = 1
    """The first version that shows it."""
    conditional: bool = False
    """Whether only objects in some states show it."""

    @property
    def is_conditional(self) -> bool:
        """Whether some answers lack it."""
        return self.conditional or self.shown_since > 1


def create_checks(table: Iterable[InfraField]) -> dict[str, FieldCheck]:
    """The checks of a create, by name."""
    return {field.name: field.check for field in table if field.check is not None}


def patch_checks(table: Iterable[InfraField]) -> dict[str, FieldCheck]:
    """The checks of a PATCH, by name."""
    checks = {field.name: field.patch_check or field.check for field in table if field.updatable}
    return {name: check for name, check in checks.items() if check is not None}


def read_only_names(table: Iterable[InfraField]) -> frozenset[str]:
    """The fields that answers show and requests do not take."""
    return frozenset(field.name for field in table if field.check is None)


def effects_of(table: Iterable[InfraField], driver_rules: FieldTable) -> FieldTable:
    """What becomes of each accepted field: by the service, as its row says, or by the drivers."""
    return {field.name: field.effect or driver_rules.get(field.name, {}) for field in table if field.check is not None}


def select_brief_values(table: Iterable[InfraField]) -> list[InfraField]:
    """The same rows, which show a brief of the store instead of a whole object."""
    return [field if field.brief is None else replace(field, show=field.brief) for field in table]


def hidden_at(table: Iterable[InfraField], version: int) -> list[str]:
    """The fields that this version does not show."""
    return [field.name for field in table if field.shown_since > version]


def spec_values(table: Iterable[InfraField], spec_type: type, wish: Mapping[str, Any]) -> dict[str, Any]:
    """The checked values of a request that belong into the spec, by attribute."""
    attributes = {attribute.name for attribute in fields(spec_type)}
    return {
        field.spec_attribute: wish[field.name]
        for field in table
        if field.name in wish and field.spec_attribute in attributes
    }


def inherit_values(table: Iterable[InfraField], parent_spec: Any) -> dict[str, Any]:
    """The values that an object has from the spec above it, by attribute."""
    return {
        field.spec_attribute: attrgetter(field.inherits)(parent_spec) for field in table if field.inherits is not None
    }


def merge_into_parent(
    table: Iterable[InfraField], spec_type: type, wish: Mapping[str, Any], parent_spec: Any
) -> dict[str, Any]:
    """The values of a new spec, by attribute: those of the request, and the parent's for those that are absent.

    Labels are the request's alone, or with `merge_labels` the parent's too.
    """
    values = inherit_values(table, parent_spec) | spec_values(table, spec_type, wish)
    if wish.get("merge_labels"):
        values["labels"] = parent_spec.labels | values["labels"]
    return values


def default_values(spec_type: type) -> dict[str, Any]:
    """The defaults of the attributes of a spec, without those that have none."""
    defaults: dict[str, Any] = {}
    for attribute in fields(spec_type):
        if attribute.default is not MISSING:
            defaults[attribute.name] = attribute.default
        elif attribute.default_factory is not MISSING:
            defaults[attribute.name] = attribute.default_factory()
    return defaults


def refuse_early_use(table: Iterable[InfraField], names: Container[str], version: int) -> None:
    """Raise `Invalid` for a named field that came with a later version."""
    for field in table:
        if field.name in names and version < field.usable_since:
            text = f"{field.name} is only supported from version 1.{field.usable_since} of the API."
            raise Invalid(text, field=field.name)


def links_to(collection: str) -> Callable[[Any, Any], list[Link]]:
    """The column `show` of the links to objects of that collection."""
    return lambda shown, context: links(context.base, collection, shown.uuid)


def show_created_at(shown: Any, context: Any) -> str | None:
    """When the object was created."""
    del context
    return format_time(shown.created_at)


def show_updated_at(shown: Any, context: Any) -> str | None:
    """When the object was last changed by a request."""
    del context
    return format_time(shown.updated_at)
