"""Volumes for the pods of a set: the cluster's own where it has some to give, else some of the check's.

Neighbours: `workloads`. A volume of the check's is a folder on one node, so it proves that claims are bound and
mounted, and nothing about a storage system.
"""

from jeroboam.checks.manifests import Json
from jeroboam.checks.site import CheckContext

_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_SIZE = "16Mi"


async def claims(site: CheckContext, name: str, count: int) -> tuple[Json, str]:
    """The claim `data` that each pod of the set makes, and where its volume comes from, for the user."""
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
    """A claim that comes before the cluster has looked at its volume may wait for a quarter of a minute."""

    async def look() -> str:
        return str((await site.get("PersistentVolume", name)).get("status", {}).get("phase"))

    await site.until(f"volume {name}", look, lambda phase: phase == "Available")


def _is_default(storage_class: Json) -> bool:
    return (storage_class["metadata"].get("annotations") or {}).get(_DEFAULT) == "true"


def _volume(site: CheckContext, owner: str, number: int) -> Json:
    """A folder on one node, for the claim of that pod. It is gone when the node boots next."""
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
