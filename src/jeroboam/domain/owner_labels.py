"""Marks: the labels by which the service finds again what it made outside, and the names that are kept for them.

Neighbours: the API, which refuses these names from users; providers, COEs and runtimes, which write marks. A mark
alone proves nothing, since an image has labels too: an inventory also compares the kind and the name.
"""

from collections.abc import Mapping
from enum import StrEnum

KIND = "jeroboam.kind"
"""What the object is for. Written last, over whatever a user or an image says."""

RESERVED = ("jeroboam.", "jeroboam/")
"""What no name of a user's may begin with; `jeroboam.io/` is among them."""

_DOMAIN = ".jeroboam.io"


class ObjectKind(StrEnum):
    """What carries our marks on a Docker Engine."""

    NODE = "node"
    NODE_VOLUME = "node-volume"
    CLUSTER_NETWORK = "cluster-network"
    PROBE = "probe"
    CONTAINER = "container"
    PROJECT_NETWORK = "project-network"
    WORKLOAD = "workload"


def is_reserved(name: str) -> bool:
    """Whether a label, annotation or hint of that name is the service's own, in whatever case and spacing."""
    plain = name.strip().lower()
    domain, slash, _ = plain.rpartition("/")
    return plain.startswith(RESERVED) or bool(slash and domain.endswith(_DOMAIN))


def has_kind(labels: Mapping[str, str] | None, kind: ObjectKind) -> bool:
    """Whether the labels are those of such an object. One that was made before there were kinds counts too.

    The caller compares the name as well: it is what a user cannot choose.
    """
    return (labels or {}).get(KIND, kind) == kind
