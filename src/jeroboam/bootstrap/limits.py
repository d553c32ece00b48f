"""The operator's file of limits, read once at the start. Neighbours: `service`; `explain`; `cli`."""

from typing import Any

from jeroboam.domain.limits import Limit, list_limit_faults, parse_limits
from jeroboam.kit.controls import escape_line
from jeroboam.kit.operator_file import read_operator_yaml


def read_limits(file: str) -> tuple[Limit, ...]:
    """Return the limits in that YAML file; none if no file is named.

    Raises `ValueError` with one line that names the file, and the limit or the line in it.
    """
    if not file:
        return ()
    try:
        return parse_limits(_read_document(file))
    except ValueError as error:
        raise ValueError(_describe_fault(file, error)) from error


def list_faults(file: str) -> list[str]:
    """Return everything that is wrong with that file of limits, in a line each; nothing if no file is named."""
    if not file:
        return []
    try:
        faults = list_limit_faults(_read_document(file))
    except ValueError as error:
        return [_describe_fault(file, error)]
    return [_describe_fault(file, fault) for fault in faults]


def _read_document(file: str) -> Any:
    """Return the content of the file. Raises `ValueError` with the reason."""
    try:
        return read_operator_yaml(file)
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error


def _describe_fault(file: str, fault: object) -> str:
    return escape_line(f"limits file {file}: {fault}")
