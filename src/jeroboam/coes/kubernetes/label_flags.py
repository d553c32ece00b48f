"""Labels that say yes or no. Neighbours: every module here that reads labels."""

from jeroboam.domain.booleans import read_flag
from jeroboam.domain.errors import bad_label


def flag(name: str, value: str | None) -> bool:
    """A label that says yes or no; without it, no. Raises `Invalid` for another word."""
    if value is None:
        return False
    is_set = read_flag(value)
    if is_set is None:
        raise bad_label(name, value, "it has to be true or false.")
    return is_set
