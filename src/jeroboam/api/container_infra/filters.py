"""What narrows a list, read from its query. An extension: the published lists know none of these arguments.

A word that no object can have is refused rather than answered with an empty list: it is a slip, not a question.
"""

import re
from collections.abc import Collection

from jeroboam.api.call import Call
from jeroboam.api.wire import query_flag
from jeroboam.domain.clusters import Health, Operation, Outcome
from jeroboam.domain.errors import Invalid
from jeroboam.domain.states import cluster_status
from jeroboam.store import ClusterFilter, TemplateFilter

TOTAL = "with_count"
# What SQLite has no spelling for in the path to a label.
_UNSPOKEN = re.compile(r'["\\\x00-\x1f]')
CLUSTERS = frozenset({"name", "status", "coe", "label", "health_status", "cluster_template_id", TOTAL})
TEMPLATES = frozenset({"name", "coe", "driver", "public", "hidden", "label", TOTAL})
_STATUSES = tuple(cluster_status(operation, outcome) for operation in Operation for outcome in Outcome)


def of_clusters(call: Call) -> ClusterFilter:
    """The filter of a list of clusters."""
    return ClusterFilter(
        name=call.query.get("name"),
        statuses=_words(call, "status", _STATUSES),
        coes=_words(call, "coe"),
        healths=_words(call, "health_status", tuple(Health)),
        template=call.query.get("cluster_template_id"),
        labels=_labels(call),
    )


def of_templates(call: Call) -> TemplateFilter:
    """The filter of a list of templates."""
    return TemplateFilter(
        name=call.query.get("name"),
        coes=_words(call, "coe"),
        drivers=_words(call, "driver"),
        public=query_flag(call.query, "public") if "public" in call.query else None,
        hidden=query_flag(call.query, "hidden") if "hidden" in call.query else None,
        labels=_labels(call),
    )


def _values(call: Call, name: str) -> list[str]:
    """What was given, with commas or by repeating the argument."""
    return [word for said in call.every(name) for word in said.split(",") if word]


def _words(call: Call, name: str, known: Collection[str] | None = None) -> tuple[str, ...]:
    words = tuple(_values(call, name))
    for word in words:
        if known is not None and word not in known:
            raise Invalid(f"Invalid value for {name}: {word}. It has to be one of: {', '.join(known)}.", field=name)
    return words


def _labels(call: Call) -> tuple[tuple[str, str | None], ...]:
    labels = []
    for said in _values(call, "label"):
        key, equals, value = said.partition("=")
        if not key or _UNSPOKEN.search(key):
            raise Invalid(f"Invalid value for label: {said}. It has to be KEY or KEY=VALUE.", field="label")
        labels.append((key, value if equals else None))
    return tuple(labels)
