"""What removed nodes leave in a cluster: volumes that were on their disks, and pods that wait for such a volume.

A volume without a claim is removed, because its provisioner would look for the node for ever. A volume with a claim
stays until its user deletes the claim, and the cluster's health shows the pods that wait for it. A removed node that
has left something counts as a stranger of the cluster once more, so the loop has it removed again. Neighbours: the COE,
which calls; `disks`, which reads volumes.
"""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from jeroboam.clients.kubernetes import KubernetesApi, ObjectNotFound
from jeroboam.coes.kubernetes import disks
from jeroboam.domain.progress import list_some

_VOLUMES = "/api/v1/persistentvolumes"
_PODS = "/api/v1/pods"
_OWN = "local-path-storage"
_HELPERS = f"/api/v1/namespaces/{_OWN}/pods"
_PROVISIONER = "rancher.io/local-path"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_UNCLAIMED = frozenset({"Released", "Failed"})
_OVER = frozenset({"Succeeded", "Failed"})
# The health shows this many names; there may be thousands.
_NAMED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class GoneNodeObjects:
    """What removed nodes have left."""

    nodes: frozenset[str] = frozenset()
    """Names of removed nodes with objects that can be removed too."""
    waiting_pods: Mapping[str, str] = field(default_factory=dict)
    """What pods wait for, by their namespace and name."""

    def reason(self) -> str:
        """Return the text for users of the cluster; empty when no pod waits."""
        pod_reasons = [f"pod {name} waits for {reason}" for name, reason in sorted(self.waiting_pods.items())]
        return list_some(pod_reasons, limit=_NAMED)


async def find_gone_objects(api: KubernetesApi, present: Collection[str]) -> GoneNodeObjects:
    """Find what nodes have left that are not in `present`."""
    volumes = (await api.get(_VOLUMES, "asking the cluster for its volumes"))["items"]
    lost_volumes = disks.list_lost_volumes(volumes, present)
    if not lost_volumes:
        return GoneNodeObjects()
    pods = (await api.get(_PODS, "asking the cluster for its pods"))["items"]
    return GoneNodeObjects(
        nodes=frozenset(
            name for volume in lost_volumes if _is_removable(volume) for name in disks.nodes_of(volume) or ()
        ),
        waiting_pods=_list_waiting_pods(lost_volumes, pods),
    )


async def remove_gone_objects(api: KubernetesApi, names: Collection[str], present: Collection[str]) -> None:
    """Remove what the named nodes have left, if they are not present and no claim uses it."""
    volumes = (await api.get(_VOLUMES, "asking the cluster for its volumes"))["items"]
    removable = [volume for volume in disks.list_lost_volumes(volumes, present) if _is_removable(volume)]
    removable = [volume for volume in removable if (disks.nodes_of(volume) or set()) & set(names)]
    await asyncio.gather(*(_remove_volume(api, volume["metadata"]["name"]) for volume in removable))
    if removable:
        helpers = (await api.get(_HELPERS, f"asking for the pods of {_OWN}"))["items"]
        helper_names = [pod["metadata"]["name"] for pod in helpers if pod["spec"].get("nodeName") in names]
        await asyncio.gather(
            *(api.delete(f"{_HELPERS}/{name}?gracePeriodSeconds=0", f"removing {name}") for name in helper_names)
        )


async def _remove_volume(api: KubernetesApi, name: str) -> None:
    action = f"removing volume {name}, whose node is gone"
    # The provisioner's finalizer would keep the volume until its folder is cleared, which is gone with the node.
    with suppress(ObjectNotFound):
        await api.patch(f"{_VOLUMES}/{name}", {"metadata": {"finalizers": None}}, action)
    await api.delete(f"{_VOLUMES}/{name}", action)


def _is_removable(volume: Mapping[str, Any]) -> bool:
    """Whether the volume is of our provisioner, has no claim and is not to be retained."""
    notes = volume["metadata"].get("annotations") or {}
    ours = notes.get(_PROVISIONED_BY) == _PROVISIONER
    is_unclaimed = (volume.get("status") or {}).get("phase") in _UNCLAIMED
    return ours and is_unclaimed and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"


def _list_waiting_pods(
    lost_volumes: Collection[Mapping[str, Any]], pods: Collection[Mapping[str, Any]]
) -> dict[str, str]:
    volumes_by_claim = {disks.claim_of(volume): volume for volume in lost_volumes}
    reasons = {}
    for pod in pods:
        meta, is_placed = pod["metadata"], bool(pod["spec"].get("nodeName"))
        if is_placed or meta.get("deletionTimestamp") or pod["status"].get("phase") in _OVER:
            continue
        for claim in sorted(disks.claims_of(pod) & volumes_by_claim.keys()):
            volume = volumes_by_claim[claim]
            nodes = ", ".join(sorted(disks.nodes_of(volume) or ()))
            reasons[f"{meta['namespace']}/{meta['name']}"] = (
                f"volume {volume['metadata']['name']} of claim {'/'.join(claim)}, which lay on node {nodes} "
                "that is gone: delete the claim and the pod, and a new volume is created"
            )
    return reasons
