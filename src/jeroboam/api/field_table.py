"""What the tables of fields of all resources have in common: the row of a field, and what is built from rows.

Each resource declares its fields once, in the `fields` of its folder: a flat table, one row a field. Checks, views,
schemas and the table in the docs follow from it. Neighbours: `fields`, the checks that rows name; `container.fields`
and `container_infra.fields`, which add the columns of their family.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from jeroboam.domain.field_effects import Rules


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field. What it is not said to be (accepted, shown) it is not."""

    name: str
    effect: Rules | None = None
    """What becomes of its value; every accepted field says so."""
    required: bool = False
    usable_since: int = 1
    """The first version in which a request may use it, with an error that names the version."""
    updatable: bool = False
    """Whether a PATCH may change it."""
    attribute: str | None = None
    """The attribute of the spec that holds it, if that has another name."""
    type: Any = None
    """Its type in answers; None: it is not shown."""
    show: Callable[[Any, Any], Any] | str | None = None
    """Its value in answers: an attribute of the object (`observed.api_address`) or of the context that the view is
    given (`context.base`), a function of both, or (None) the attribute of the spec."""

    sortable: bool = True
    """Whether pages can be sorted by it, if it is shown. `store.kinds` has the column; a test compares both."""

    @property
    def spec_attribute(self) -> str:
        """The attribute of the spec that holds it, if one does."""
        return self.attribute or self.name

    @property
    def is_conditional(self) -> bool:
        """Whether some answers lack it, by version, state or policy."""
        return False


def compile_view(fields: Iterable[Field]) -> Callable[[Any, Any], dict[str, Any]]:
    """The function that shows an object, in a context, as these rows say and in their order.

    A list shows a thousand objects, and a dictionary display takes less than half the time of a loop over the rows.
    So the display is written from the rows once and compiled, as `dataclasses` does for `__init__`.
    """
    members, functions = [], {}
    for number, field in enumerate(field for field in fields if field.type is not None):
        if callable(field.show):
            functions[f"show_{number}"] = field.show
            members.append(f"{field.name!r}: show_{number}(shown, context)")
        else:
            path = f"spec.{field.spec_attribute}" if field.show is None else field.show
            if not all(word.isidentifier() for word in path.split(".")):
                raise ValueError(f"{field.name}: {path} is no attribute")
            members.append(f"{field.name!r}: {path if path.startswith('context.') else f'shown.{path}'}")
    view: Callable[[Any, Any], dict[str, Any]] = eval(  # noqa: S307  # nosec B307  (made of the rows above)
        f"lambda shown, context: {{{', '.join(members)}}}", functions
    )
    return view


def build_shape(name: str, doc: str, fields: Iterable[Field], **more_members: Any) -> Any:
    """The type of what the view of these rows returns, for the OpenAPI document."""
    members = {
        field.name: NotRequired[field.type] if field.is_conditional else field.type
        for field in fields
        if field.type is not None
    }
    typed_dict: Any = TypedDict
    shape = typed_dict(name, members | more_members)
    shape.__doc__ = doc
    return shape
