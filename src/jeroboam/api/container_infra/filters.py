"""Filters of a list, as arguments of its query. They are an extension of the published lists.

A value that no object can have is refused, and not answered with an empty list, since it is a typing error. Neighbours:
`routes` and `clusters.routes` name the arguments; the store applies the filter.
"""

import re
from collections.abc import Sequence
from typing import Any

from jeroboam.api.call import Call
from jeroboam.api.fields import FieldCheck, InvalidField, ListCheck, flag, text
from jeroboam.domain.clusters import ClusterStatus, Health
from jeroboam.store import ClusterFilter, TemplateFilter

_STATUSES = tuple(ClusterStatus)
# Characters that SQLite cannot express in the path to a label are excluded.
_KEY = r'[^=,"\\\x00-\x1f]+'
_MOST_WORDS = 200
_LABEL = re.compile(rf"({_KEY})(?:=([^,]*))?", re.DOTALL)


def word_list(choices: Sequence[str] | None = None) -> ListCheck:
    """Words separated by commas; with `choices`, only these words."""

    def run(name: str, value: str) -> tuple[str, ...]:
        parts = tuple(word for word in value.split(",") if word)
        for word in parts:
            if choices is not None and word not in choices:
                raise InvalidField(name, value, f"it has to be one of: {', '.join(choices)}.")
        if not parts:
            raise InvalidField(name, value, "it must not be empty.")
        return parts

    one = "|".join(choices) if choices is not None else "[^,]+"
    return ListCheck(run, {"type": "string", "pattern": f"^({one})(,({one}))*$"})


def _labels(name: str, value: str) -> tuple[tuple[str, str | None], ...]:
    pairs = []
    for item in value.split(","):
        match = _LABEL.fullmatch(item)
        if match is None:
            raise InvalidField(name, value, "it has to be KEY or KEY=VALUE.")
        pairs.append((match[1], match[2]))
    return tuple(pairs)


LABELS = ListCheck(_labels, {"type": "string", "pattern": f"^{_KEY}(=[^,]*)?(,{_KEY}(=[^,]*)?)*$"})
TOTAL: dict[str, FieldCheck] = {"with_count": flag}
CLUSTERS: dict[str, FieldCheck] = {
    "name": text(),
    "status": word_list(_STATUSES),
    "coe": word_list(),
    "label": LABELS,
    "health_status": word_list(tuple(Health)),
    "cluster_template_id": text(),
    **TOTAL,
}
TEMPLATES: dict[str, FieldCheck] = {
    "name": text(),
    "coe": word_list(),
    "driver": word_list(),
    "public": flag,
    "hidden": flag,
    "label": LABELS,
    **TOTAL,
}


def _values_of(call: Call, name: str) -> tuple[Any, ...]:
    """The argument's values without duplicates. Raises `InvalidField` for more than a database takes in one query."""
    values: tuple[Any, ...] = tuple(dict.fromkeys(call.query.get(name, ())))
    if len(values) > _MOST_WORDS:
        raise InvalidField(name, f"{len(values)} of them", f"a list is narrowed by at most {_MOST_WORDS}.")
    return values


def read_cluster_filter(call: Call) -> ClusterFilter:
    """The filter of a list of clusters."""
    return ClusterFilter(
        name=call.query.get("name"),
        statuses=_values_of(call, "status"),
        coes=_values_of(call, "coe"),
        healths=_values_of(call, "health_status"),
        template=call.query.get("cluster_template_id"),
        labels=_values_of(call, "label"),
    )


def read_template_filter(call: Call) -> TemplateFilter:
    """The filter of a list of templates."""
    return TemplateFilter(
        name=call.query.get("name"),
        coes=_values_of(call, "coe"),
        drivers=_values_of(call, "driver"),
        public=call.query.get("public"),
        hidden=call.query.get("hidden"),
        labels=_values_of(call, "label"),
    )
