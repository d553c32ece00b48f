"""Writes the OpenAPI documents and the table of routes, from the tables that the dispatcher works with.

`make docs` runs it; `make check` runs it with `--check`, which changes nothing and fails when a file is out of date.
"""

import json
import pathlib
import sys

from jeroboam.api.call import NEWEST, Family, Route
from jeroboam.api.container.family import ContainerFamily
from jeroboam.api.container_infra.family import ContainerInfraFamily
from jeroboam.api.openapi import document

DOCS = pathlib.Path(__file__).parents[1] / "docs"
FAMILIES: tuple[Family, ...] = (ContainerInfraFamily(), ContainerFamily())
HEAD = """\
# Routes

Every route of both families, written by `make docs` from the table that the dispatcher works with. The same table
makes the OpenAPI documents: [container-infra](openapi/container-infra.json), [container](openapi/container.json),
which a running service gives to anyone at `/container-infra/openapi.json` and `/container/openapi.json`.

Paths are below `/container-infra/v1` and `/container/v1`. *Versions* are the microversions that have the route; where
none is named, all have it. *Rule* is its [policy rule](operators.md#policy). What holds for all routes, such as a 4xx
for malformed input and a 409 for what the state forbids, is in the [API notes](api-notes.md).
"""


def routes(family: Family) -> str:
    """A row a route."""
    rows = ["| method | path | versions | rule | beside " + family.peer + " |", "|---|---|---|---|---|"]
    for route in family.routes:
        rule = "none" if route.rule is None else f"`{route.rule}`"
        differs = route.differs.replace("|", "\\|") or f"as {family.peer}"
        cells = (route.method, f"`{route.path}`", _versions(route), rule, differs)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _versions(route: Route) -> str:
    first = f"1.{route.since}" if route.since > 1 else ""
    last = f"1.{route.until}" if route.until != NEWEST else ""
    if first and last:
        return f"{first} to {last}"
    return f"from {first}" if first else f"to {last}" if last else ""


def files() -> dict[pathlib.Path, str]:
    """Everything that is written, by its place."""
    tables = [f"\n## {family.prefix}\n\n{routes(family)}\n" for family in FAMILIES]
    written = {DOCS / "routes.md": HEAD + "".join(tables)}
    for family in FAMILIES:
        text = json.dumps(document(family), indent=1, ensure_ascii=False)
        written[DOCS / "openapi" / f"{family.prefix}.json"] = text + "\n"
    return written


def main() -> int:
    """Write, or with `--check` compare."""
    stale = {path: text for path, text in files().items() if not path.is_file() or path.read_text() != text}
    if sys.argv[1:] == ["--check"]:
        for path in stale:
            print(f"{path.name} is out of date; `make docs` writes it")
        return 1 if stale else 0
    for path, text in stale.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
