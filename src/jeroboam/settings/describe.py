"""Describes options to operators: the sample file, and the effective values with where each comes from.

Neighbours: the package itself, which declares the options; `scripts/options_doc.py`, which makes the table in the docs.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oslo_config import cfg

from jeroboam.settings.database import mask_passwords

_WIDTH = 100
_KINDS = {"Bool": "true or false", "Str": "text", "Int": "whole number", "Float": "number"}
_SOURCES = {
    cfg.Locations.opt_default: "default",
    cfg.Locations.set_override: "command line",
    cfg.Locations.environment: "environment",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class EffectiveOption:
    """The value of an option as the service takes it, with passwords masked, and its source."""

    group: str
    name: str
    value: str
    source: str
    """`default`, `command line`, `environment VARIABLE` or the name of the file."""


def describe_values(option: Any) -> str:
    """Return in words which values an option may have."""
    if getattr(option.type, "choices", None):
        return ", ".join(f"`{choice}`" for choice in option.type.choices)
    word = _KINDS.get(type(option).__name__.removesuffix("Opt"), "words with commas between")
    least = getattr(option.type, "min", None)
    return word if least is None else f"{word}, at least {least:g}"


def format_value(value: Any) -> str:
    """Return the value as a configuration file has it."""
    match value:
        case None:
            return ""
        case list():
            return ",".join(map(str, value))
        case bool():
            return str(value)
        case float():
            return f"{value:g}"
    return str(value)


def build_sample(groups: Mapping[str, Sequence[Any]]) -> str:
    """Return a configuration file in which every option stands in a comment, with its help and its default."""
    lines = [
        "# The configuration of Jeroboam, for `jeroboam up --config FILE`. Every option is here with its default;",
        "# take away the # in front of those that are to differ.",
    ]
    for group, options in groups.items():
        lines += ["", f"[{group}]"]
        for option in options:
            note = f"{option.help} ({describe_values(option).replace('`', '')})"
            lines += ["", *textwrap.wrap(note, _WIDTH, initial_indent="# ", subsequent_indent="# ")]
            lines.append(f"#{option.name} = {format_value(option.default)}".rstrip())
    return "\n".join(lines) + "\n"


def list_effective(
    options: cfg.ConfigOpts, groups: Mapping[str, Sequence[Any]], derived: Mapping[tuple[str, str], tuple[str, str]]
) -> Iterator[EffectiveOption]:
    """Yield every option with its effective value. `derived` has what an empty value stands for, and its source."""
    for group, members in groups.items():
        section = None if group == "DEFAULT" else group
        for member in members:
            value = format_value(getattr(options if section is None else options[section], member.name))
            source = describe_source(options.get_location(member.name, section))
            stand_in, origin = derived.get((group, member.name), ("", ""))
            if not value and stand_in:
                value, source = stand_in, origin
            if member.secret or "://" in value:
                value = mask_passwords(value)
            yield EffectiveOption(group=group, name=member.name, value=value, source=source)


def describe_source(location: cfg.LocationInfo | None) -> str:
    """Return where a value comes from, in words."""
    if location is None:
        return "default"
    if location.location is cfg.Locations.user:
        return str(location.detail)
    words = _SOURCES.get(location.location, "default")
    return f"{words} {location.detail}" if location.location is cfg.Locations.environment else words
