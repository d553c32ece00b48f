"""Labels and taints that a node gets from its node group, and their removal when the group does not have them any more.

The annotation `jeroboam.io/given` records which ones we have set, and only those are removed again; labels and taints
that users set on a node are kept. Pure. Neighbours:
`node_ops`, which sends the patch.
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


def build_patch(
    labels: Mapping[str, str], taints: Sequence[Taint], annotations: Mapping[str, str], member: Member
) -> dict[str, Any]:
    """Return the merge patch that gives the node the member's labels and taints; empty when it has them.

    Taints are a list, which is replaced as a whole: the sender has to exclude concurrent writes.
    """
    role = "control-plane" if member.role == MASTER else "worker"
    own_labels = {NODE_LABEL: member.uuid, GROUP_LABEL: member.group, f"{_ROLE}{role}": ""}
    former = _read_record(annotations)
    desired_labels = {**member.labels, **own_labels}
    label_changes: dict[str, str | None] = {
        key: value for key, value in desired_labels.items() if labels.get(key) != value
    }
    label_changes |= {key: None for key in former.get("labels", ()) if key not in desired_labels and key in labels}
    meta: dict[str, Any] = {"labels": label_changes} if label_changes else {}
    record = {"labels": sorted(member.labels), "taints": sorted(_taint_key(taint) for taint in member.taints)}
    if record != former and (any(record.values()) or former):
        meta["annotations"] = {GIVEN: json.dumps(record)}
    ours = {_taint_key(taint) for taint in member.taints} | set(former.get("taints", ()))
    current_taints = [_normalize_taint(taint) for taint in taints if _taint_key(taint) in ours]
    patch: dict[str, Any] = {"metadata": meta} if meta else {}
    if sorted(current_taints, key=_taint_key) != sorted(
        (_normalize_taint(taint) for taint in member.taints), key=_taint_key
    ):
        patch["spec"] = {
            "taints": [*(taint for taint in taints if _taint_key(taint) not in ours), *map(dict, member.taints)]
        }
    return patch


def _read_record(annotations: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the names of labels and taints that we have set; empty for an annotation that is not ours."""
    try:
        record = json.loads(annotations.get(GIVEN, "{}"))
        return {kind: [str(name) for name in record.get(kind, ())] for kind in ("labels", "taints")} if record else {}
    except (ValueError, TypeError, AttributeError):
        return {}


def _taint_key(taint: Taint) -> str:
    """Return what identifies the taint on a node."""
    return f"{taint['key']}:{taint['effect']}"


def _normalize_taint(taint: Taint) -> dict[str, str]:
    return {"key": taint["key"], "effect": taint["effect"], "value": taint.get("value") or ""}
