"""How a label that cannot be is refused: by its name, with what was said and why not.

Neighbours: every module here that reads labels.
"""

from jeroboam.domain.errors import Invalid

_LETTERS = 80


def bad(name: str, value: str, why: str) -> Invalid:
    """The refusal of that label, in one sentence: clients show no more than the first."""
    text = f"Invalid input for field 'labels/{name}', value '{value[:_LETTERS]}': {why}"
    return Invalid(text, field=f"labels/{name}")


def flag(name: str, value: str | None) -> bool:
    """A label that says yes or no; without it, no. Raises `Invalid` for another word."""
    word = "false" if value is None else value.lower()
    if word not in {"true", "false"}:
        raise bad(name, value or "", "it has to be true or false.")
    return word == "true"
