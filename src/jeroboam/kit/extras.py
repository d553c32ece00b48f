"""Extras of the package: dependencies that only some commands need. Neighbours: what needs them."""

import importlib.util


def describe_missing_extra(subject: str, extra: str) -> str:
    """Return the line that says what needs the extra, and how to install it."""
    return f"{subject} is not installed: pip install 'jeroboam[{extra}]'"


def has_modules(*names: str) -> bool:
    """Whether all these top-level modules are installed. None of them is loaded."""
    return all(importlib.util.find_spec(name) is not None for name in names)
