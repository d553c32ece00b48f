"""Checks of single fields of a body, as data: a table of names and checks is a resource's schema.

A check takes the field's name and its value, gives the value in the form that the domain wants, or raises
`InvalidField`, whose text names the field, the value and the rule. It knows the same rule as JSON Schema too, for the
OpenAPI document: what its schema refuses the check refuses, and the check may refuse more than a schema can say.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jeroboam.domain.booleans import FALSE_WORDS, TRUE_WORDS, read_flag
from jeroboam.domain.errors import BadValue
from jeroboam.domain.owner_labels import is_reserved

Schema = Mapping[str, Any]
"""JSON Schema of the 2020-12 draft, which is what OpenAPI 3.1 speaks."""


@dataclass(frozen=True, slots=True)
class FieldCheck:
    """One rule for a value."""

    run: Callable[[str, Any], Any]
    schema: Schema

    def __call__(self, name: str, value: Any) -> Any:
        """The value as the domain wants it."""
        return self.run(name, value)


@dataclass(frozen=True, slots=True)
class ListCheck(FieldCheck):
    """A rule for an argument of a query that may come more than once: a tuple of what is in one of them."""


# What every engine can store and every client can read.
LARGEST = 2**31 - 1


class InvalidField(BadValue):
    """A field of a body whose value breaks its rule."""

    code = "schema-validation-error"


def optional(check: FieldCheck) -> FieldCheck:
    """The check, or null."""

    def run(name: str, value: Any) -> Any:
        return None if value is None else check(name, value)

    return FieldCheck(run, _nullable(check.schema))


def _nullable(schema: Schema) -> Schema:
    if not schema:
        return schema
    if "enum" in schema or "type" not in schema:
        return {"anyOf": [*schema.get("anyOf", [schema]), {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def text(
    *, low: int = 1, high: int = 255, pattern: str | None = None, rule: str = "", secret: bool = False
) -> FieldCheck:
    """A string of that length; `rule` says in words what the pattern means.

    Where there may be a password in it, `secret`, no refusal repeats the value.
    """
    matcher = re.compile(pattern) if pattern else None

    def run(name: str, value: Any) -> str:
        printable = "(not shown)" if secret else value
        if not isinstance(value, str):
            raise InvalidField(name, printable, "it has to be a string.")
        if not low <= len(value) <= high:
            raise InvalidField(name, printable, f"its length has to be {low} to {high} characters.")
        if matcher is not None and matcher.search(value) is None:
            raise InvalidField(name, printable, rule or f"it has to match {pattern}.")
        return value

    schema: dict[str, Any] = {"type": "string", "maxLength": high}
    if low:
        schema["minLength"] = low
    if pattern is not None:
        # The two dialects of patterns differ in how they write the ends of a text.
        schema["pattern"] = pattern.replace(r"\A", "^").replace(r"\Z", "$")
    return FieldCheck(run, schema)


def whole(*, low: int | None = None, high: int = LARGEST, strings: bool = True) -> FieldCheck:
    """An integer in that range; a numeric string counts as one unless `strings` is false."""

    def run(name: str, value: Any) -> int:
        if strings and isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidField(name, value, "it has to be an integer.")
        if (low is not None and value < low) or value > high:
            raise InvalidField(name, value, f"it has to be from {low} to {high}.")
        return value

    number: dict[str, Any] = {"type": "integer", "maximum": high}
    if low is not None:
        number["minimum"] = low
    return FieldCheck(run, {"anyOf": [number, {"type": "string", "pattern": "^-?[0-9]{1,18}$"}]} if strings else number)


def _flag(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    result = read_flag(str(value)) if isinstance(value, str | int) else None
    if result is not None:
        return result
    raise InvalidField(name, value, "it has to be true or false.")


def _any_case(word: str) -> str:
    return "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else letter for letter in word)


_WORDS = "|".join(_any_case(word) for word in sorted(TRUE_WORDS | FALSE_WORDS))
flag = FieldCheck(
    _flag, {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": rf"^\s*({_WORDS})\s*$"}, {"enum": [0, 1]}]}
)
"""A boolean, or one of the words for it that both published APIs accept."""


def _strict_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidField(name, value, "it has to be true or false.")
    return value


strict_flag = FieldCheck(_strict_flag, {"type": "boolean"})
"""A JSON boolean, no word for one."""


def choice(*words: str) -> FieldCheck:
    """One of these strings."""

    def run(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise InvalidField(name, value, f"it has to be one of: {', '.join(words)}.")
        return value

    return FieldCheck(run, {"enum": [str(word) for word in words]})


def strings(*, low: int = 1, high: int = 255) -> FieldCheck:
    """A list of strings of that length."""
    item = text(low=low, high=high)

    def run(name: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise InvalidField(name, value, "it has to be a list of strings.")
        return tuple(item(name, member) for member in value)

    return FieldCheck(run, {"type": "array", "items": item.schema})


def mapping(*, scalars: bool = False) -> FieldCheck:
    """An object whose values are strings; with `scalars` numbers and booleans count, and become their text."""

    def run(name: str, value: Any) -> dict[str, str]:
        if not isinstance(value, dict):
            raise InvalidField(name, value, "it has to be an object of strings.")
        for key, member in value.items():
            good = isinstance(member, str) or (scalars and isinstance(member, bool | int | float))
            if not good:
                raise InvalidField(f"{name}/{key}", member, "it has to be a string.")
            if not key or not key.isprintable():
                raise InvalidField(
                    name, key, "a key must not be empty, and hold no line break or other control character."
                )
        return {key: str(member) for key, member in value.items()}

    member = {"type": ["string", "number", "boolean"] if scalars else "string"}
    return FieldCheck(run, {"type": "object", "propertyNames": {"minLength": 1}, "additionalProperties": member})


def check_unreserved(name: str, keys: Iterable[str]) -> None:
    """Raise `InvalidField` for a key that the service keeps for its own marks."""
    for key in keys:
        if is_reserved(key):
            raise InvalidField(f"{name}/{key}", key, "names that begin with 'jeroboam.' are the service's own.")


def unreserved(check: FieldCheck) -> FieldCheck:
    """The check of an object whose keys must not be among the service's own marks."""

    def run(name: str, value: Any) -> Any:
        members = check(name, value)
        check_unreserved(name, members)
        return members

    return FieldCheck(run, check.schema)


def _ignored(name: str, value: Any) -> None:
    del name, value


no_effect = FieldCheck(_ignored, {})
"""Tolerated, and of no effect."""


def read(body: Mapping[str, Any], table: Mapping[str, FieldCheck]) -> dict[str, Any]:
    """The checked values of the fields that are there. The caller has refused those that the table lacks."""
    return {name: table[name](name, value) for name, value in body.items()}


def body_of(table: Mapping[str, FieldCheck], *required_names: str) -> Schema:
    """The schema of a body with these fields, of which some have to be there, and no others."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: check.schema for name, check in table.items()},
        "additionalProperties": False,
    }
    return schema | {"required": list(required_names)} if required_names else schema
