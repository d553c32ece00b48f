"""How a label that cannot be is refused: by its name, with what was said and why not.

Neighbours: every module here that reads labels.
"""

from jeroboam.domain.errors import Invalid, describe_bad_value
from jeroboam.domain.words import read_flag


def bad(name: str, value: str, why: str) -> Invalid:
    """The refusal of that label, in one sentence."""
    return Invalid(describe_bad_value(f"labels/{name}", value, why), field=f"labels/{name}")


def flag(name: str, value: str | None) -> bool:
    """A label that says yes or no; without it, no. Raises `Invalid` for another word."""
    if value is None:
        return False
    found = read_flag(value)
    if found is None:
        raise bad(name, value, "it has to be true or false.")
    return found
