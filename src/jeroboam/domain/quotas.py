"""The limits of a project's resources, and what it uses."""

import datetime as dt
from dataclasses import dataclass, field

UNLIMITED = -1
DEFAULT_CLASS = "default"


def class_owner(name: str) -> str:
    """Return the owner under which the limits of a quota class are stored: no project has such an id."""
    return f"class/{name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """A limit that somebody set for one project. `resource` is `Cluster`, `containers`, `memory`, `cpu`, `disk`."""

    id: int | None = field(default=None, compare=False)
    """The store's number for it, which the published object shows; None until it is stored."""
    project_id: str
    resource: str
    hard_limit: int
    created_at: dt.datetime
    updated_at: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerUse:
    """What containers use together: a count, MiB, cores, GiB."""

    containers: int = 0
    memory: int = 0
    cpu: float = 0.0
    disk: int = 0


def list_exceeded(limits: dict[str, int], current: ContainerUse, extra: ContainerUse) -> list[str]:
    """Return the resources whose limit the sum of both exceeds, in the order of the published API."""
    resources = []
    for resource in ("containers", "memory", "cpu", "disk"):
        limit = limits[resource]
        if limit != UNLIMITED and getattr(current, resource) + getattr(extra, resource) > limit:
            resources.append(resource)
    return resources
