"""Loads a user's own images onto the nodes of a cluster, where there is no registry. For the command line.

The cluster is looked up in the store, its nodes on the Engine. Loaded images are on the disks of the nodes and survive
a rebuild. Nodes that are created later do not have them. Neighbours: `cli`; `state`.
"""

from collections.abc import Sequence

from jeroboam.bootstrap.database import open_store
from jeroboam.bootstrap.state import StateFolder
from jeroboam.clients.docker import connect
from jeroboam.providers.local.images import copy_images
from jeroboam.settings import Settings

_COE = "kubernetes"
_PROVIDER = "local"


async def load_images(settings: Settings, cluster: str, images: Sequence[str]) -> Sequence[str]:
    """Load these images of the Engine onto every node of the cluster. Return the names of the nodes.

    Raises `ValueError` for an unknown cluster or one that cannot take images, and `Permanent` as `copy_images` does.
    """
    folder = StateFolder(settings.state)
    folder.check_exists()
    uuid = await _find_cluster(settings, cluster)
    docker = connect(settings.docker_url)
    try:
        return await copy_images(
            docker,
            installation=folder.installation(),
            cluster_id=uuid,
            images=images,
            command=lambda path: ("/usr/local/bin/ctr", "-n", "k8s.io", "images", "import", "--local", path),
        )
    finally:
        await docker.close()


async def _find_cluster(settings: Settings, ident: str) -> str:
    async with open_store(settings) as store, store.read() as tx:
        matches = await tx.clusters.find(ident)
    if not matches:
        raise ValueError(f"there is no cluster {ident}")
    if len(matches) > 1:
        raise ValueError(f"there are several clusters {ident}; name one by its uuid")
    template = matches[0].spec.template
    if (template.coe, template.driver) != (_COE, _PROVIDER):
        raise ValueError(
            f"images are brought onto nodes of {_COE} on {_PROVIDER} only, "
            f"and {ident} is {template.coe} on {template.driver}"
        )
    return matches[0].uuid
