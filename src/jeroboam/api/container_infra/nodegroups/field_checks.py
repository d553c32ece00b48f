"""The checks of single fields of a node group: its name, and the labels and taints of its nodes.

The rules for keys and values are those that Kubernetes publishes. The statuses are those of the container-infra
contract, section 7: a wrong type is a 400, a label or taint that no node may have is a 409. Neighbour: `fields`, the
table that uses them.
"""

import re
from typing import Any

from jeroboam.api.fields import FieldCheck, InvalidField, check_not_reserved, mapping, text
from jeroboam.domain.errors import Conflict

_scalars = mapping(scalars=True)
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_TAINT_KEYS = frozenset({"key", "value", "effect"})
_WORD = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", re.ASCII)
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.ASCII)
_DOMAIN_MOST = 253
# Of the keys that Kubernetes reserves a node may set only these.
_RESERVED = ("kubernetes.io", "k8s.io")
_FREE_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_FREE_KEYS = frozenset(
    "kubernetes.io/hostname kubernetes.io/arch kubernetes.io/os beta.kubernetes.io/arch beta.kubernetes.io/os "
    "beta.kubernetes.io/instance-type failure-domain.beta.kubernetes.io/region "
    "failure-domain.beta.kubernetes.io/zone topology.kubernetes.io/region topology.kubernetes.io/zone".split()
)


def _check_key(kind: str, key: str) -> None:
    check_not_reserved(kind, [key])
    domain, slash, word = key.rpartition("/")
    if slash and (len(domain) > _DOMAIN_MOST or _DOMAIN.fullmatch(domain) is None):
        raise Conflict(f"{kind} key '{key}' is invalid: what is before the slash has to be a domain name.", field=kind)
    if _WORD.fullmatch(word) is None:
        raise Conflict(
            f"{kind} key '{key}' is invalid: a name has 1 to 63 letters, digits and -_. between two letters or digits.",
            field=kind,
        )


def _check_value(kind: str, key: str, value: str) -> None:
    if value and _WORD.fullmatch(value) is None:
        raise Conflict(f"{kind} value '{value}' of key '{key}' is invalid: it has to look like a name.", field=kind)


def _within(domain: str, *parents: str) -> bool:
    return any(domain == parent or domain.endswith(f".{parent}") for parent in parents)


def _node_labels(name: str, value: Any) -> dict[str, str]:
    result: dict[str, str] = _scalars(name, value)
    for key, member in result.items():
        _check_key(name, key)
        _check_value(name, key, member)
        domain = key.rpartition("/")[0]
        if _within(domain, *_RESERVED) and not _within(domain, *_FREE_DOMAINS) and key not in _FREE_KEYS:
            raise Conflict(f"{name} key '{key}' is invalid: Kubernetes keeps it for itself.", field=name)
    return result


def _node_taints(name: str, value: Any) -> tuple[dict[str, str], ...]:
    if not isinstance(value, list | tuple):
        raise InvalidField(name, value, "it has to be a list of taints.")
    return tuple(_taint(name, taint) for taint in value)


def _taint(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise InvalidField(name, value, "a taint is an object with key, value and effect.")
    for key, member in value.items():
        if key not in _TAINT_KEYS:
            raise Conflict(f"{name} is invalid: a taint has no '{key}'.", field=name)
        if not isinstance(member, str):
            raise InvalidField(name, member, f"the {key} of a taint has to be a string.")
    for key in ("key", "effect"):
        if not value.get(key):
            raise Conflict(f"{name} is invalid: a taint needs '{key}'.", field=name)
    if value["effect"] not in _EFFECTS:
        effects = ", ".join(_EFFECTS)
        raise Conflict(f"{name} effect '{value['effect']}' is invalid: it has to be one of {effects}.", field=name)
    _check_key(name, value["key"])
    _check_value(name, value["key"], value.get("value", ""))
    return dict(value)


NODE_LABELS = FieldCheck(_node_labels, _scalars.schema)
"""Labels of nodes."""
NODE_TAINTS = FieldCheck(
    _node_taints,
    {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"key": {"type": "string"}, "value": {"type": "string"}, "effect": {"enum": list(_EFFECTS)}},
            "required": ["key", "effect"],
            "additionalProperties": False,
        },
    },
)
"""Taints of nodes."""
# It becomes a label of each node, and a part of the node's name.
GROUP_NAME = text(
    high=63,
    pattern=r"\A[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?\Z",
    rule="it has to be letters, digits and _.- with a letter or a digit first and last, since its nodes are named "
    "after it.",
)
