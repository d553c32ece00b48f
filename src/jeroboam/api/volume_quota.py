"""The limits of a project's volumes, for both families that make volumes."""

from collections.abc import Sequence

from jeroboam.api.call import Call
from jeroboam.api.fields import InvalidField
from jeroboam.domain.errors import OverQuota
from jeroboam.domain.quotas import UNLIMITED
from jeroboam.store import Transaction


async def check_volume_quota(tx: Transaction, call: Call, project_id: str, sizes: Sequence[int]) -> None:
    """Raise unless the project may have so many GiB more in so many volumes. It holds the project's lock."""
    bounds = call.parts.options.volume_bounds
    for size in sizes:
        if size > bounds.maximum_size:
            raise InvalidField("size", size, f"a volume has at most {bounds.maximum_size} GiB.")
    if not sizes:
        return
    await tx.serialise(project_id, "volumes")
    count, gigabytes = await tx.volumes.use_of_project(project_id)
    limits = {
        "volumes": (bounds.max_volumes, count + len(sizes)),
        "gigabytes": (bounds.max_gigabytes, gigabytes + sum(sizes)),
    }
    over = [name for name, (limit, use) in limits.items() if limit != UNLIMITED and use > limit]
    if over:
        raise OverQuota(f"Quota exceeded for resources: {over}")
