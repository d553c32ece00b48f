"""Checks that only container-infra objects need, and the refusal of unknown fields in this family."""

import ast
import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from jeroboam.api.fields import FieldCheck, InvalidField, check_not_reserved, integer, mapping, optional, read_fields
from jeroboam.api.wire import PatchOperation
from jeroboam.domain.errors import Invalid
from jeroboam.kit.ids import is_uuid

_WHOLE_LABELS = ("boot_volume_size", "min_node_count", "max_node_count")
_scalars = mapping(scalars=True)
_MOST_DIGITS = 9
# More than any provider can create, and few enough to plan in memory.
MOST_NODES = 10_000
NODES = integer(low=0, high=MOST_NODES)
"""The requested size of a node group."""


def refuse_unknown(
    body: Mapping[str, Any], names: Collection[str], argument: str, *, read_only: Collection[str] = ()
) -> None:
    """Raise `Invalid` for an attribute that the argument does not have, or that is read-only."""
    for name in body:
        if name in read_only:
            raise Invalid(f"Cannot set read only field: {name}.", field=name)
        if name not in names:
            raise Invalid(f"Unknown attribute for argument {argument}: {name}", field=name)


def read_renamed(
    body: Mapping[str, Any],
    table: Mapping[str, FieldCheck],
    argument: str,
    *,
    required: Collection[str],
    former_names: Mapping[str, str],
    read_only: Collection[str],
) -> dict[str, Any]:
    """The checked values of a body that may call fields by their former names (name: former name), by name.

    A refusal names a field as the body does.
    """
    written = {name: old for name, old in former_names.items() if old in body and name not in body}
    checks = {written.get(name, name): check for name, check in table.items()}
    refuse_unknown(body, checks, argument, read_only=read_only)
    for name in (written.get(name, name) for name in required):
        if body.get(name) is None:
            raise Invalid(f"Mandatory field missing: {name}.", field=name)
    values = read_fields(body, checks)
    return {name: values[written.get(name, name)] for name in table if written.get(name, name) in values}


def _labels(name: str, value: Any) -> dict[str, str]:
    result: dict[str, str] = _scalars(name, value)
    check_not_reserved(name, result)
    for key, member in result.items():
        if key != key.strip():
            raise InvalidField(f"{name}/{key}", member, "a key has no space at its start or end.")
    for key in _WHOLE_LABELS:
        number = result.get(key)
        if number is not None and not (number.isascii() and number.isdigit() and len(number) <= _MOST_DIGITS):
            raise InvalidField(f"{name}/{key}", number, "it has to be an integer.")
    return result


labels = FieldCheck(_labels, _scalars.schema)
"""Labels, as strings. Labels whose value is a number must hold one."""


def _uuid(name: str, value: Any) -> None:
    if not (isinstance(value, str) and is_uuid(value)):
        raise InvalidField(name, value, "it has to be a uuid.")


UNUSED_UUID = optional(FieldCheck(_uuid, {"type": "string", "format": "uuid"}))
"""The id in the body of a create, as Magnum's clients may send it. It is checked and replaced by a new one."""


def _ipv4_list(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidField(name, value, "it has to be a comma separated list of IPv4 addresses.")
    for address in value.split(","):
        try:
            ipaddress.IPv4Address(address.strip())
        except ValueError as error:
            raise InvalidField(name, value, f"'{address.strip()}' is not an IPv4 address.") from error
    return value


ipv4_list = FieldCheck(_ipv4_list, {"type": "string", "minLength": 1})
"""IPv4 addresses separated by commas."""


def parse_literal(text: str) -> Any:
    """The value of a text in JSON or in Python's notation. It is one that JSON can express. Raises `ValueError`."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        try:
            # Python knows more than JSON: keys that are no strings, lone surrogates, integers of any length.
            return msgspec.json.decode(msgspec.json.encode(ast.literal_eval(text)))
        except (SyntaxError, ArithmeticError, RecursionError, MemoryError, TypeError) as error:
            raise ValueError(text) from error


def decode_labels(change: PatchOperation) -> PatchOperation:
    """The change with its labels decoded. A patch has them as text: JSON, or Python's notation of a dictionary."""
    if change.root != "labels":
        return change
    if change.member is not None:
        return replace(change, value=None if change.value is None else str(change.value))
    if change.op == "remove":
        return change
    try:
        return replace(change, value=parse_literal(str(change.value)))
    except ValueError as error:
        raise InvalidField("labels", change.value, "it has to be an object of strings, in JSON.") from error
