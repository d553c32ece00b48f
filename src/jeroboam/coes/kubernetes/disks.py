"""Volumes that lie on the disk of one node: which claims are tied to it, and what is left when it is gone. Pure.

Neighbours: `demand`, which places pods, and `leftovers`, which clears away what removed nodes leave.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

HOST = "kubernetes.io/hostname"
# By what a volume says on which node it lies.
_NAMES = frozenset({HOST, "metadata.name"})

Claim = tuple[str, str]
"""Namespace and name."""


def nodes_of(volume: Mapping[str, Any]) -> set[str] | None:
    """The names of the nodes that the volume lies on; None for one that is tied to none."""
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
    """The claim that has the volume."""
    claim = volume["spec"].get("claimRef") or {}
    return claim.get("namespace", ""), claim.get("name", "")


def claims_of(pod: Mapping[str, Any]) -> set[Claim]:
    """The claims that the pod mounts."""
    volumes = pod["spec"].get("volumes") or ()
    claim_names = (
        volume["persistentVolumeClaim"]["claimName"] for volume in volumes if volume.get("persistentVolumeClaim")
    )
    return {(pod["metadata"]["namespace"], name) for name in claim_names}


def lost(volumes: Iterable[Mapping[str, Any]], present: Collection[str]) -> list[Mapping[str, Any]]:
    """The volumes that lay on nodes of which none is there any more."""
    return [volume for volume in volumes if (names := nodes_of(volume)) and not names & set(present)]
