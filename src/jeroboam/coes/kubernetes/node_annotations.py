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
    own = {NODE_LABEL: member.uuid, GROUP_LABEL: member.group, f"{_ROLE}{role}": ""}
    given = _given(annotations)
    wanted = {**member.labels, **own}
    changed: dict[str, str | None] = {key: value for key, value in wanted.items() if labels.get(key) != value}
    changed |= {key: None for key in given.get("labels", ()) if key not in wanted and key in labels}
    meta: dict[str, Any] = {"labels": changed} if changed else {}
    now = {"labels": sorted(member.labels), "taints": sorted(_name(each) for each in member.taints)}
    if now != given and (any(now.values()) or given):
        meta["annotations"] = {GIVEN: json.dumps(now)}
    ours = {_name(each) for each in member.taints} | set(given.get("taints", ()))
    there = [_plain(each) for each in taints if _name(each) in ours]
    found: dict[str, Any] = {"metadata": meta} if meta else {}
    if sorted(there, key=_name) != sorted((_plain(each) for each in member.taints), key=_name):
        found["spec"] = {"taints": [*(each for each in taints if _name(each) not in ours), *map(dict, member.taints)]}
    return found


def _given(annotations: Mapping[str, str]) -> dict[str, list[str]]:
    """What the node was given; a text of somebody else's tells nothing."""
    try:
        said = json.loads(annotations.get(GIVEN, "{}"))
        return {kind: [str(name) for name in said.get(kind, ())] for kind in ("labels", "taints")} if said else {}
    except (ValueError, TypeError, AttributeError):
        return {}


def _name(taint: Taint) -> str:
    """What tells a taint from others on the same node."""
    return f"{taint['key']}:{taint['effect']}"


def _plain(taint: Taint) -> dict[str, str]:
    return {"key": taint["key"], "effect": taint["effect"], "value": taint.get("value") or ""}
