"""Labels and taints of a node, as its group has them: what was given goes again when the group has it no more.

What we gave is written beside it, in an annotation; whatever users put on a node themselves stays. Pure. Neighbours:
`fleet`, which sends what comes out.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jeroboam.coes.base import Member
from jeroboam.domain.clusters import MASTER

GROUP_LABEL = "jeroboam.io/group"
NODE_LABEL = "jeroboam.io/node"
GIVEN = "jeroboam.io/given"
"""Names of the labels and taints that a node has from its group."""

_ROLE = "node-role.kubernetes.io/"
Taint = Mapping[str, str]


def change(
    labels: Mapping[str, str], taints: Sequence[Taint], annotations: Mapping[str, str], member: Member
) -> dict[str, Any]:
    """What to merge into a node with these to make it the member's; empty when it is.

    Taints are a list, which is replaced as a whole: who sends it has to see to it that nobody else writes meanwhile.
    """
    role = "control-plane" if member.role == MASTER else "worker"
    own_labels = {NODE_LABEL: member.uuid, GROUP_LABEL: member.group, f"{_ROLE}{role}": ""}
    former = _given(annotations)
    desired_labels = {**member.labels, **own_labels}
    label_changes: dict[str, str | None] = {
        key: value for key, value in desired_labels.items() if labels.get(key) != value
    }
    label_changes |= {key: None for key in former.get("labels", ()) if key not in desired_labels and key in labels}
    meta: dict[str, Any] = {"labels": label_changes} if label_changes else {}
    record = {"labels": sorted(member.labels), "taints": sorted(_name(taint) for taint in member.taints)}
    if record != former and (any(record.values()) or former):
        meta["annotations"] = {GIVEN: json.dumps(record)}
    ours = {_name(taint) for taint in member.taints} | set(former.get("taints", ()))
    current_taints = [_plain(taint) for taint in taints if _name(taint) in ours]
    patch: dict[str, Any] = {"metadata": meta} if meta else {}
    if sorted(current_taints, key=_name) != sorted((_plain(taint) for taint in member.taints), key=_name):
        patch["spec"] = {
            "taints": [*(taint for taint in taints if _name(taint) not in ours), *map(dict, member.taints)]
        }
    return patch


def _given(annotations: Mapping[str, str]) -> dict[str, list[str]]:
    """What the node was given; a text of somebody else's tells nothing."""
    try:
        record = json.loads(annotations.get(GIVEN, "{}"))
        return {kind: [str(name) for name in record.get(kind, ())] for kind in ("labels", "taints")} if record else {}
    except (ValueError, TypeError, AttributeError):
        return {}


def _name(taint: Taint) -> str:
    """What tells a taint from others on the same node."""
    return f"{taint['key']}:{taint['effect']}"


def _plain(taint: Taint) -> dict[str, str]:
    return {"key": taint["key"], "effect": taint["effect"], "value": taint.get("value") or ""}
