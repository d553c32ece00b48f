"""The volumes that a new container mounts (contract: container, section 2, `mounts`).

A mount names a volume of the project, or a size: then a volume is made with the container, and goes with it. Both
happen in the transaction of the create. Neighbours: `containers`; `jeroboam.domain.volumes`.
"""

from dataclasses import replace

from jeroboam.api.call import Call
from jeroboam.api.container.refusals import VolumeNotFound
from jeroboam.api.fields import InvalidField
from jeroboam.api.volume_quota import check_volume_quota
from jeroboam.domain.containers import VOLUME, ContainerSpec
from jeroboam.domain.errors import Conflict
from jeroboam.domain.volumes import Volume, VolumeAttachment, check_attachable
from jeroboam.store import Transaction


async def attach_volumes(tx: Transaction, call: Call, spec: ContainerSpec, container_id: str) -> ContainerSpec:
    """Attach the volumes of the mounts to the container, and make those that are new.

    Return the spec with the uuid and the size of each. Raises for a volume that the container cannot mount.
    """
    mounts = [mount for mount in spec.mounts if mount["type"] == VOLUME]
    if not mounts:
        return spec
    if not call.parts.options.volume_bounds.is_offered:
        raise InvalidField("mounts", mounts[0]["destination"], "this service has no storage for volumes.")
    new_sizes = [int(mount["size"]) for mount in mounts if "size" in mount]
    await check_volume_quota(tx, call, call.caller.project_id, new_sizes)
    resolved_mounts, used_ids = [], set()
    for mount in spec.mounts:
        if mount["type"] != VOLUME:
            resolved_mounts.append(mount)
            continue
        volume = await _make_volume(tx, call, int(mount["size"])) if "size" in mount else await _find(tx, call, mount)
        if volume.uuid in used_ids:
            raise InvalidField("mounts", mount["source"], "a container mounts a volume once.")
        used_ids.add(volume.uuid)
        await tx.volumes.attach(
            volume,
            VolumeAttachment(
                uuid=call.parts.ids.uuid(),
                volume_id=volume.uuid,
                container_id=container_id,
                destination=mount["destination"],
                created_at=tx.now,
            ),
        )
        resolved_mounts.append({**mount, "source": volume.uuid, "size": str(volume.size)})
    return replace(spec, mounts=tuple(resolved_mounts))


async def _make_volume(tx: Transaction, call: Call, size: int) -> Volume:
    volume = Volume(
        uuid=call.parts.ids.uuid(),
        project_id=call.caller.project_id,
        user_id=call.caller.user_id,
        size=size,
        is_temporary=True,
        created_at=tx.now,
    )
    await tx.volumes.insert(volume)
    return volume


async def _find(tx: Transaction, call: Call, mount: dict[str, str]) -> Volume:
    ident = mount["source"]
    matches = await tx.volumes.find(ident, {"project_id": call.caller.project_id})
    if not matches:
        raise VolumeNotFound(f"Volume {ident[:80]} could not be found.", field="mounts")
    if len(matches) > 1:
        raise Conflict(
            f"Multiple volumes exist with the name {ident[:80]}, please use the uuid instead.", field="mounts"
        )
    check_attachable(matches[0])
    return matches[0]
