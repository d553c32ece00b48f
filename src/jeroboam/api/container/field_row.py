"""The row of a field in the tables of containers. Neighbours: `fields` and `process_fields`, the tables."""

from collections.abc import Callable
from dataclasses import dataclass

from jeroboam.api.field_table import Field
from jeroboam.api.fields import FieldCheck
from jeroboam.api.options import ContainerBounds

ADDED_SINCE = 40
"""The version from which on there are fields that Zun does not have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerField(Field):
    """One field of a container. What is shown with it is the time."""

    check: FieldCheck | Callable[[ContainerBounds, int], FieldCheck] | None = None
    """The check of its value in a create; None: a create does not take it. A function gets the API version."""
    since: int = 1
    """The first version whose schema has it."""
    guarded: bool = False
    """Whether only callers see it that the policy allows (`container:get_one:NAME`)."""
    filter: FieldCheck | None = None
    """The check of its value as an argument of a list."""

    is_added: bool = False
    """Whether Zun does not have it. Clients of former versions do not see it."""

    @property
    def is_conditional(self) -> bool:
        """Whether some answers lack it."""
        return self.guarded or self.is_added

    def check_at(self, bounds: ContainerBounds, version: int) -> FieldCheck | None:
        """The check at that version; None where that version has no such field."""
        if self.check is None or version < self.since:
            return None
        return self.check if isinstance(self.check, FieldCheck) else self.check(bounds, version)
