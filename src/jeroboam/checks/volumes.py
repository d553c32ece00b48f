"""Volumes for the pods of a StatefulSet: from the cluster's default storage class, otherwise the check's own.

Neighbours: `workloads`. A volume of the check is a folder on one node. It proves that claims are bound and mounted,
and nothing about a storage system.
"""

from jeroboam.checks.manifests import Json
from jeroboam.checks.site import CheckContext

_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_SIZE = "16Mi"


async def claims(site: CheckContext, name: str, count: int) -> tuple[Json, str]:
    """Return the claim `data` of each pod of the set, and for the user the origin of its volumes."""
    classes = await site.api.get("/apis/storage.k8s.io/v1/storageclasses", "asking for storage classes")
    default = next((each for each in classes["items"] if _is_default(each)), None)
    spec: Json = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": _SIZE}}}
    if default is not None:
        return {"metadata": {"name": "data"}, "spec": spec}, f"storage class {default['metadata']['name']}"
    for number in range(count):
        volume = await site.apply(_volume(site, f"{name}-{number}", number))
        await _available(site, volume["metadata"]["name"])
    spec["storageClassName"] = ""
    return {"metadata": {"name": "data"}, "spec": spec}, "there is no default storage class: folders on nodes"


async def _available(site: CheckContext, name: str) -> None:
    """Wait until the volume is available. A claim that comes earlier may wait for a quarter of a minute."""

    async def look() -> str:
        return str((await site.get("PersistentVolume", name)).get("status", {}).get("phase"))

    await site.until(f"volume {name}", look, lambda phase: phase == "Available")


def _is_default(storage_class: Json) -> bool:
    return (storage_class["metadata"].get("annotations") or {}).get(_DEFAULT) == "true"


def _volume(site: CheckContext, owner: str, number: int) -> Json:
    """Return a volume for the claim of that pod: a folder on one node, which is lost when the node reboots."""
    node = site.workers[number % len(site.workers)].name
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    spec = {
        "capacity": {"storage": _SIZE},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
        "claimRef": {"namespace": site.namespace, "name": f"data-{owner}"},
        "hostPath": {"path": f"/tmp/{site.namespace}-{owner}", "type": "DirectoryOrCreate"},  # noqa: S108  # nosec B108  (a node)
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
    }
    name = f"{site.namespace}-{owner}"
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
