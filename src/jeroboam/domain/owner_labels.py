"""The labels by which the service finds what it made outside, and the label names that are reserved for them.

Neighbours: the API, which refuses these names from users; providers, COEs and runtimes, which write the labels. A label
alone proves nothing, since an image has labels too: an inventory compares the label of the kind, the other labels and
the name (`providers.local.nodes`, `runtimes.docker.spec`), and a new kind of object needs all three. A commit of a
container to an image, once there is one, has to leave these labels out.
"""

from collections.abc import Mapping
from enum import StrEnum

KIND = "jeroboam.kind"
"""The kind of the object. It is written last, over labels of a user or of an image."""

RESERVED = ("jeroboam.", "jeroboam/")
"""The prefixes that no label name of a user may have; `jeroboam.io/` is among them."""

_DOMAIN = ".jeroboam.io"


class ObjectKind(StrEnum):
    """The kinds of objects that carry our labels on a Docker Engine."""

    NODE = "node"
    NODE_VOLUME = "node-volume"
    CLUSTER_NETWORK = "cluster-network"
    PROBE = "probe"
    CONTAINER = "container"
    SANDBOX = "sandbox"
    SANDBOX_FOLDER = "sandbox-folder"
    MEMBER = "member"
    PROJECT_NETWORK = "project-network"
    NETWORK = "network"
    WORKLOAD = "workload"


def is_reserved(name: str) -> bool:
    """Whether a label, annotation or hint of that name is the service's own, in any case and spacing."""
    plain = name.strip().lower()
    domain, slash, _ = plain.rpartition("/")
    return plain.startswith(RESERVED) or bool(slash and domain.endswith(_DOMAIN))


def has_kind(labels: Mapping[str, str] | None, kind: ObjectKind) -> bool:
    """Whether the labels are those of such an object. An object without a kind, of an earlier version, counts too.

    The caller also compares the name, which a user cannot choose.
    """
    return (labels or {}).get(KIND, kind) == kind
