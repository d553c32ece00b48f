"""How the labels of an object differ from those of the object above it: a cluster's template, a group's cluster.

Neighbours: the tables of fields of clusters and node groups, which show it.
"""

from collections.abc import Mapping

import msgspec


class LabelDifference(msgspec.Struct, frozen=True, gc=False):
    """The labels that are added, overridden (with the parent's value) and skipped."""

    added: dict[str, str]
    overridden: dict[str, str]
    skipped: dict[str, str]


def compare_labels(own_labels: Mapping[str, str], parent_labels: Mapping[str, str]) -> LabelDifference:
    """The difference from the parent's labels."""
    if own_labels == parent_labels:
        return LabelDifference(added={}, overridden={}, skipped={})
    return LabelDifference(
        added={key: value for key, value in own_labels.items() if key not in parent_labels},
        overridden={
            key: value for key, value in parent_labels.items() if key in own_labels and own_labels[key] != value
        },
        skipped={key: value for key, value in parent_labels.items() if key not in own_labels},
    )
