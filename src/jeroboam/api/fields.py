"""Checks of single fields of a body, as data: a table of names and checks is a resource's schema.

A check takes the field's name and value. It returns the value in the domain's form, or raises `InvalidField`, whose
text names the field, the value and the rule. It also holds the rule as JSON Schema for the OpenAPI document. What the
schema refuses, the check refuses; the check may refuse more than a schema can express.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jeroboam.domain.booleans import FALSE_WORDS, TRUE_WORDS, read_flag
from jeroboam.domain.errors import BadValue
from jeroboam.domain.owner_labels import is_reserved

Schema = Mapping[str, Any]
"""JSON Schema of the 2020-12 draft, which OpenAPI 3.1 uses."""


@dataclass(frozen=True, slots=True)
class FieldCheck:
    """One rule for a value."""

    run: Callable[[str, Any], Any]
    schema: Schema

    def __call__(self, name: str, value: Any) -> Any:
        """The value in the domain's form."""
        return self.run(name, value)


@dataclass(frozen=True, slots=True)
class ListCheck(FieldCheck):
    """A rule for a query argument that may be repeated. It returns a tuple with the items of one occurrence."""


# The largest integer that every database can store and every client can read.
LARGEST = 2**31 - 1


class InvalidField(BadValue):
    """The value of a field breaks its rule."""

    code = "schema-validation-error"


def optional(check: FieldCheck) -> FieldCheck:
    """The same check, and null is accepted too."""

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
    """A string of that length. `rule` says in words what the pattern means.

    `secret`: the value may hold a password, so a refusal does not repeat it.
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
        # JSON Schema and Python write the ends of a text differently.
        schema["pattern"] = pattern.replace(r"\A", "^").replace(r"\Z", "$")
    return FieldCheck(run, schema)


def integer(*, low: int | None = None, high: int = LARGEST, strings: bool = True) -> FieldCheck:
    """An integer in that range. A numeric string is accepted too unless `strings` is false."""

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
"""A JSON boolean; words are refused."""


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


def list_of(check: FieldCheck, *, low: int = 0, high: int = 64) -> FieldCheck:
    """A list of that length. Its members are called by their number: `volumes/0`."""

    def run(name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise InvalidField(name, value, "it has to be a list.")
        if not low <= len(value) <= high:
            raise InvalidField(name, f"a list of {len(value)}", f"it has to have {low} to {high} members.")
        return tuple(check(f"{name}/{number}", member) for number, member in enumerate(value))

    return FieldCheck(run, {"type": "array", "items": check.schema, "minItems": low, "maxItems": high})


def object_of(table: Mapping[str, FieldCheck], *required_names: str, tolerates_others: bool = False) -> FieldCheck:
    """An object with these members, which are called by their path: `metadata/name`. A null counts as absent.

    Others are refused, or with `tolerates_others` left out. A refusal shows no value of theirs.
    """

    def run(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise InvalidField(name, type(value).__name__, "it has to be an object.")
        for key in value:
            if key not in table and not tolerates_others:
                rule = f"there is no such field. There are: {', '.join(sorted(table))}."
                raise InvalidField(f"{name}/{key[:LONGEST_KEY]}", "(not shown)", rule)
        for key in required_names:
            if value.get(key) is None:
                raise InvalidField(f"{name}/{key}", None, "it is required.")
        members = {key: member for key, member in value.items() if key in table and member is not None}
        return {key: table[key](f"{name}/{key}", member) for key, member in members.items()}

    schema = body_of({key: optional(check) for key, check in table.items()}, *required_names)
    return FieldCheck(run, {**schema, "additionalProperties": tolerates_others})


LONGEST_KEY = 255
LARGEST_MAPPING = 1 << 18
"""The most characters that keys and values of an object of strings have together."""
_HIDDEN_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def mapping(*, scalars: bool = False) -> FieldCheck:
    """An object whose values are strings. With `scalars` numbers and booleans are accepted too, and become strings.

    Values of that kind are shown on terminals: they have no control characters but line breaks and tabs.
    """

    def run(name: str, value: Any) -> dict[str, str]:
        if not isinstance(value, dict):
            raise InvalidField(name, value, "it has to be an object of strings.")
        for key, member in value.items():
            if not key or not key.isprintable() or len(key) > LONGEST_KEY:
                rule = "a line break or another control character"
                raise InvalidField(
                    name, key, f"a key must have 1 to {LONGEST_KEY} characters and must not contain {rule}."
                )
            good = isinstance(member, str) or (scalars and isinstance(member, bool | int | float))
            if not good:
                raise InvalidField(f"{name}/{key}", member, "it has to be a string.")
            if scalars and isinstance(member, str) and _HIDDEN_CHARACTER.search(member):
                raise InvalidField(f"{name}/{key}", repr(member), "it must not contain control characters.")
        members = {key: str(member) for key, member in value.items()}
        if sum(len(key) + len(member) for key, member in members.items()) > LARGEST_MAPPING:
            raise InvalidField(
                name, "(not shown)", f"keys and values have at most {LARGEST_MAPPING} characters together."
            )
        return members

    member = {"type": ["string", "number", "boolean"] if scalars else "string"}
    names = {"minLength": 1, "maxLength": LONGEST_KEY}
    return FieldCheck(run, {"type": "object", "propertyNames": names, "additionalProperties": member})


def check_not_reserved(name: str, keys: Iterable[str]) -> None:
    """Raise `InvalidField` for a key that is reserved for the service's own tags."""
    for key in keys:
        if is_reserved(key):
            raise InvalidField(f"{name}/{key}", key, "names that begin with 'jeroboam.' are the service's own.")


def without_reserved(check: FieldCheck) -> FieldCheck:
    """The same check for an object, and reserved keys are refused."""

    def run(name: str, value: Any) -> Any:
        members = check(name, value)
        check_not_reserved(name, members)
        return members

    return FieldCheck(run, check.schema)


def _ignore(name: str, value: Any) -> None:
    del name, value


no_effect = FieldCheck(_ignore, {})
"""Any value; it has no effect."""


def read_fields(body: Mapping[str, Any], table: Mapping[str, FieldCheck]) -> dict[str, Any]:
    """The checked values of the fields in the body. The caller has refused fields that are not in the table."""
    return {name: table[name](name, value) for name, value in body.items()}


def body_of(table: Mapping[str, FieldCheck], *required_names: str) -> Schema:
    """The schema of a body with these fields and no others. The named fields are required."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: check.schema for name, check in table.items()},
        "additionalProperties": False,
    }
    return schema | {"required": list(required_names)} if required_names else schema
