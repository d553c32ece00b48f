"""Writes the OpenAPI documents and the tables of routes and fields, from the tables that the service uses.

`make docs-tables` runs it; `make check` runs it with `--check`, which fails when a file is out of date.
"""

import json
import pathlib
import sys
from collections.abc import Mapping

from jeroboam.api.bays import baymodels, bays
from jeroboam.api.call import NEWEST, Family, Route
from jeroboam.api.container import capsule_fields
from jeroboam.api.container import fields as container_fields
from jeroboam.api.container.family import ContainerFamily
from jeroboam.api.container_infra.clusters import fields as cluster_fields
from jeroboam.api.container_infra.family import ContainerInfraFamily
from jeroboam.api.container_infra.nodegroups import fields as group_fields
from jeroboam.api.container_infra.templates import fields as template_fields
from jeroboam.api.network.family import NetworkFamily
from jeroboam.api.openapi import build_document
from jeroboam.api.volume.family import VolumeFamily
from jeroboam.domain import action_fields, field_effects

DOCS = pathlib.Path(__file__).parents[1] / "docs"
FAMILIES: tuple[Family, ...] = (ContainerInfraFamily(), ContainerFamily(), NetworkFamily(), VolumeFamily())
HEAD = """\
# Routes

Every route of all families, written by `make docs` from the table that the dispatcher works with. The same table
makes the OpenAPI documents: [container-infra](openapi/container-infra.json), [container](openapi/container.json),
[network](openapi/network.json), which a running service gives to anyone at `/container-infra/openapi.json`,
`/container/openapi.json` and `/network/openapi.json`.

Paths are below `/container-infra/v1`, `/container/v1` and `/network`. *Versions* are the microversions that have the
route; where none is named, all have it. *Rule* is its [policy rule](operators.md#policy). What holds for all routes,
such as a 4xx for malformed input and a 409 for what the state forbids, is in the [API notes](api-notes.md).
"""


FIELDS_HEAD = """\
# What becomes of each field

Every field that a request may have, written by `make docs` from the table that the checks and the conditions work
with. A field is *carried out*; or it is *refused* with a 400 that names the field, the value and the reason, before
anything is stored; or it is taken *without effect*, and the cluster says so: `health_status_reason` has
`FieldsHonoured` with the fields that were set and do nothing (labels: `LabelsHonoured`). Of containers no field is
without effect: they are carried out or refused. Of a capsule's template, fields of Kubernetes and of Zun that say
nothing here are taken without effect ([capsules](capsules.md)). Null, an empty text and an empty list ask for nothing.

*Service* is what the service does itself; *local* is the provider, *swarm* and *kubernetes* are the COEs, *docker* is
the runtime.
"""
FIELD_TABLES = {
    "Cluster templates": template_fields.EFFECTS,
    "Clusters": cluster_fields.EFFECTS,
    "Node groups": group_fields.EFFECTS,
    "Containers": container_fields.CONTAINERS,
    "Templates of capsules": capsule_fields.EFFECTS,
    "Labels that providers read": field_effects.INFRA_LABELS,
    "Baymodels": baymodels.EFFECTS,
    "Bays": bays.EFFECTS,
}
ACTION_TABLES = {"container-infra": action_fields.CONTAINER_INFRA, "container": action_fields.CONTAINER}


def fields_table(table: field_effects.FieldTable) -> str:
    """Return a table with a row for each field."""
    rows = ["| field | what becomes of it |", "|---|---|"]
    for name, rules in sorted(table.items()):
        effects = {driver: describe_rule(rule) for driver, rule in rules.items()}
        if len(rules) > 1 and len(set(effects.values())) == 1:
            effects = {" and ".join(rules): next(iter(effects.values()))}
        rows.append(f"| `{name}` | {'; '.join(f'*{driver}*: {effect}' for driver, effect in effects.items())} |")
    return "\n".join(rows)


def actions_table(tables: Mapping[str, field_effects.FieldTable]) -> str:
    """Return a table with a row for each action."""
    rows = ["| action | what becomes of its fields and arguments |", "|---|---|"]
    for action, table in tables.items():
        plain = [f"`{name}`" for name, rules in table.items() if all(map(_is_plain, rules.values()))]
        told = [f"{', '.join(plain)}: carried out"] if plain else []
        for name, rules in table.items():
            if not all(map(_is_plain, rules.values())):
                effects = (
                    describe_rule(rule) if driver == field_effects.SERVICE else f"*{driver}*: {describe_rule(rule)}"
                    for driver, rule in rules.items()
                )
                told.append(f"`{name}`: {'; '.join(effects)}")
        rows.append(f"| `{action}` | {'. '.join(told)} |")
    return "\n".join(rows)


def _is_plain(rule: field_effects.FieldRule) -> bool:
    return rule.carries is None and not rule.note


def describe_rule(rule: field_effects.FieldRule) -> str:
    """Return the rule in words."""
    parts = []
    for values, effect in ((rule.carries, "carried out"), (rule.ignores, "without effect")):
        if values is None:
            parts.append(f"others {effect}" if parts else effect)
        elif values:
            parts.append(f"{', '.join(_value(value) for value in values)} {effect}")
    if rule.carries is not None and rule.ignores is not None:
        parts.append("others refused" if parts else "refused")
    return ", ".join(parts) + (f" ({rule.note})" if rule.note else "")


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return f"`{json.dumps(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def routes(family: Family) -> str:
    """Return a table with a row for each route."""
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
    """Return the content of each file by its path."""
    tables = [f"\n## {family.prefix}\n\n{routes(family)}\n" for family in FAMILIES]
    fields = [f"\n## {title}\n\n{fields_table(table)}\n" for title, table in FIELD_TABLES.items()]
    fields += [f"\n## Actions of {family}\n\n{actions_table(tables)}\n" for family, tables in ACTION_TABLES.items()]
    written = {DOCS / "routes.md": HEAD + "".join(tables), DOCS / "fields.md": FIELDS_HEAD + "".join(fields)}
    for family in FAMILIES:
        text = json.dumps(build_document(family), indent=1, ensure_ascii=False)
        written[DOCS / "openapi" / f"{family.prefix}.json"] = text + "\n"
    return written


def main() -> int:
    """Write the files; with `--check` compare them."""
    stale = {path: text for path, text in files().items() if not path.is_file() or path.read_text() != text}
    if sys.argv[1:] == ["--check"]:
        for path in stale:
            print(f"{path.name} is out of date; `make docs-tables` writes it")
        return 1 if stale else 0
    for path, text in stale.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
