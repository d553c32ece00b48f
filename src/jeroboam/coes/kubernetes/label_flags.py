"""Boolean labels. Neighbours: every module here that reads labels."""

from jeroboam.domain.booleans import read_flag
from jeroboam.domain.errors import bad_label


def read_label_flag(name: str, value: str | None) -> bool:
    """Return the value of a boolean label; False without it. Raises `Invalid` for another value."""
    if value is None:
        return False
    is_set = read_flag(value)
    if is_set is None:
        raise bad_label(name, value, "it has to be true or false.")
    return is_set
