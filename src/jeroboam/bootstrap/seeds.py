"""The templates of a new installation. Neighbour: `service`, which adds them at the first start."""

from dataclasses import replace

from jeroboam.domain.clusters import Template, TemplateSpec
from jeroboam.kit.ids import Ids
from jeroboam.store import Store

_COMMON = TemplateSpec(
    coe="",
    image_id="",
    flavor_id="m1.small",
    master_flavor_id="m1.small",
    external_network_id="public",
    dns_nameserver="8.8.8.8",
    driver="local",
    cluster_distro="jeroboam",
)
SPECS = {
    "swarm": replace(_COMMON, coe="swarm", image_id="swarm-node", network_driver="overlay"),
    "kubernetes": replace(
        _COMMON,
        coe="kubernetes",
        image_id="kubernetes-node",
        network_driver="flannel",
    ),
}


async def seed(store: Store, ids: Ids, *, project_id: str, user_id: str) -> None:
    """Create those templates that the project does not have."""
    async with store.write() as tx:
        names = {template.name for template in await tx.templates.select({"project_id": project_id})}
        for name, spec in SPECS.items():
            if name in names:
                continue
            await tx.templates.insert(
                Template(
                    uuid=ids.uuid(),
                    name=name,
                    project_id=project_id,
                    user_id=user_id,
                    spec=spec,
                    public=True,
                    created_at=tx.now,
                )
            )
