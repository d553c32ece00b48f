"""Finds sections and options of a configuration file that do not exist, and the nearest ones that do.

oslo.config itself ignores what it does not know. Neighbour: the package itself, which declares the options.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path
from typing import Any

from oslo_config import cfg, iniparser

_SIMILAR = 0.7
# How much more a name in the same section counts.
_BONUS = 0.1


def list_unknown_names(file: Path, groups: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return a fault for each unknown section and option of the file.

    Raises `ValueError` in one line for a file that cannot be parsed.
    """
    sections: dict[str, dict[str, Any]] = {}
    try:
        cfg.ConfigParser(str(file), sections).parse()
    except (iniparser.ParseError, OSError) as error:
        raise ValueError(f"{file}: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: this is no text in UTF-8") from error
    faults = []
    for section, values in sections.items():
        # oslo.config takes a section in any case, except for this one.
        group = section if section == "DEFAULT" else section.lower()
        if group not in groups:
            faults.append(f"[{section}]: there is no such section; {suggest_section(section, values, groups)}")
            continue
        known = [option.name for option in groups[group]]
        faults += [
            f"[{group}] {name}: there is no such option; {suggest_option(name, group, groups)}"
            for name in values
            if name not in known
        ]
    return faults


def suggest_section(section: str, options: Iterable[str], groups: Mapping[str, Sequence[Any]]) -> str:
    """Return a hint at the section that was meant: one with a similar name, or one that has these options."""
    by_lower = {group.lower(): group for group in groups}
    matches = [f"[{by_lower[name]}]" for name in get_close_matches(section.lower(), by_lower, n=1)]
    wanted = set(options)
    matches = matches or [
        f"[{group}]" for group, members in groups.items() if wanted & {option.name for option in members}
    ]
    return _ask(matches) or f"there are {', '.join(f'[{group}]' for group in groups)}"


def suggest_option(name: str, group: str, groups: Mapping[str, Sequence[Any]]) -> str:
    """Return a hint at the option that was meant: of that name elsewhere, or with a similar name, rather here."""
    plain = name.lower().replace("-", "_")
    places = [(other, option.name) for other, members in groups.items() for option in members]
    same = [f"[{other}] {option}" for other, option in places if option == plain and other != group]
    if same and (group, plain) not in places:
        return _ask(same)

    def score(place: tuple[str, str]) -> float:
        return SequenceMatcher(a=plain, b=place[1]).ratio() + (_BONUS if place[0] == group else 0)

    other, option = max(places, key=score)
    if score((other, option)) < _SIMILAR:
        return f"there are {', '.join(option.name for option in groups[group])}"
    return _ask([option if other == group else f"[{other}] {option}"])


def _ask(matches: Sequence[str]) -> str:
    return f"do you mean {' or '.join(matches)}?" if matches else ""
