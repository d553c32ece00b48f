"""Volumes on the disk of one node: the claims that are bound to the node, and what stays when it is gone. Pure.

Neighbours: `demand`, which places pods, and `leftovers`, which removes the volumes of removed nodes.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

HOST = "kubernetes.io/hostname"
# The keys by which a volume names its node.
_NAMES = frozenset({HOST, "metadata.name"})

Claim = tuple[str, str]
"""Namespace and name."""


def nodes_of(volume: Mapping[str, Any]) -> set[str] | None:
    """Return the names of the nodes that the volume is on; None for a volume that is not bound to a node."""
    node_selector = (volume["spec"].get("nodeAffinity") or {}).get("required")
    if node_selector is None:
        return None
    names: set[str] = set()
    for term in node_selector["nodeSelectorTerms"]:
        requirements = [*(term.get("matchExpressions") or ()), *(term.get("matchFields") or ())]
        names |= {
            name
            for requirement in requirements
            if requirement["key"] in _NAMES
            for name in requirement.get("values") or ()
        }
    return names


def claim_of(volume: Mapping[str, Any]) -> Claim:
    """Return the claim that is bound to the volume."""
    claim = volume["spec"].get("claimRef") or {}
    return claim.get("namespace", ""), claim.get("name", "")


def claims_of(pod: Mapping[str, Any]) -> set[Claim]:
    """Return the claims that the pod mounts."""
    volumes = pod["spec"].get("volumes") or ()
    claim_names = (
        volume["persistentVolumeClaim"]["claimName"] for volume in volumes if volume.get("persistentVolumeClaim")
    )
    return {(pod["metadata"]["namespace"], name) for name in claim_names}


def list_lost_volumes(volumes: Iterable[Mapping[str, Any]], present: Collection[str]) -> list[Mapping[str, Any]]:
    """Return the volumes that were only on nodes that do not exist any more."""
    return [volume for volume in volumes if (names := nodes_of(volume)) and not names & set(present)]
