"""Writes the tables of options and of policy rules into the operator's guide, from the code that reads them.

`make docs-tables` runs it; `make check` runs it with `--check`, which fails when a table is out of date.
"""

import pathlib
import sys
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from jeroboam.api.container.policies import RULES as CONTAINER
from jeroboam.api.container_infra.policies import RULES as CONTAINER_INFRA
from jeroboam.api.volume.policies import RULES as VOLUME
from jeroboam.settings import GROUPS
from jeroboam.settings.describe import describe_values, format_value

GUIDE = pathlib.Path(__file__).parents[1] / "docs" / "operators.md"
WHO = {"role:admin": "the admin role", "!": "nobody"}


def options() -> str:
    """Return a table with a row for each option."""
    rows = ["| group | option | default | values | what it is |", "|---|---|---|---|---|"]
    for group, members in GROUPS.items():
        for option in members:
            cells = (f"`[{group}]`", f"`{option.name}`", _default(option.default), describe_values(option), option.help)
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _default(value: Any) -> str:
    text = format_value(value)
    return f"`{text}`" if text else "empty"


def rules(family: Mapping[str, str]) -> str:
    """Return a table with a row for each default, with its rules."""
    by_check = defaultdict(list)
    for rule, check in family.items():
        by_check[check].append(f"`{rule}`")
    rows = ["| default | who that is | rules |", "|---|---|---|"]
    for check, names in by_check.items():
        shown = check.replace("|", "\\|")
        rows.append(f"| `{shown}` | {_who(check)} | {', '.join(names)} |")
    return "\n".join(rows)


def _who(check: str) -> str:
    if check in WHO:
        return WHO[check]
    roles = [role for role in ("reader", "member") if f"role:{role}" in check]
    whose = " or ".join(roles) + " of the project" if roles else "everybody in the project"
    return f"{whose}, or the admin role" if "role:admin" in check else whose


def filled(text: str, tables: Mapping[str, str]) -> str:
    """Return the text with each table between its two markers. Raises `LookupError` for a missing marker."""
    for name, table in tables.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        if start not in text or end not in text:
            raise LookupError(f"{GUIDE} has no markers for {name}")
        before, rest = text.split(start, 1)
        text = f"{before}{start}{table}\n{end}{rest.split(end, 1)[1]}"
    return text


def main() -> int:
    """Write the tables; with `--check` compare them."""
    tables = {
        "options": options(),
        "container-infra rules": rules(CONTAINER_INFRA),
        "container rules": rules(CONTAINER),
        "volume rules": rules(VOLUME),
    }
    old = GUIDE.read_text()
    new = filled(old, tables)
    if sys.argv[1:] != ["--check"]:
        GUIDE.write_text(new)
        return 0
    if old != new:
        print(f"{GUIDE.name}: the tables are out of date; `make docs-tables` writes them")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
