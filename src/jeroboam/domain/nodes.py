"""How a server becomes a node of a cluster: what a COE hands to a provider."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeFile:
    """A file to lay into a node before its commands run."""

    path: str
    content: bytes = field(repr=False)
    """Not shown by `repr`: it may be a key."""
    mode: int = 0o644


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeScript:
    """How a server becomes a node: files, then commands in order, at every boot.

    Each command is an argument vector. The last one is the node's service and stays in the foreground.
    """

    files: tuple[NodeFile, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    reload: tuple[str, ...] = ()
    """A command that has a running node take up its files again; empty: it has to be restarted for that."""
    diagnosis: tuple[str, ...] = ()
    """A command that prints which of a running node's programs keeps ending, with its last words; empty: none can."""


# What a node image says of itself, in labels: `nodeimages` writes them, providers read them.
IMAGE_LABEL = "jeroboam.node-image"
"""The name in the catalogue, as `swarm-node`."""
IMAGE_DISTRO_LABEL = "jeroboam.os-distro"
IMAGE_COES_LABEL = "jeroboam.coes"
"""Comma-separated; the COEs that can boot from it."""
IMAGE_DATA_LABEL = "jeroboam.node-data"
"""The folder that wants a volume of its own, and keeps what has to survive a new container."""
IMAGE_VERSION_LABEL = "jeroboam.kubernetes-version"
"""Of the Kubernetes that a node image carries, as `v1.36.3`."""

IMAGE_REPOSITORY = "jeroboam/"
"""What the Docker names of our own images begin with. No user's pull may bring one of that name."""

COMMANDS_PATH = "/etc/jeroboam/node/commands"
"""Where a node image looks for the script's commands, as one shell script."""


def image_name(ref: str) -> str:
    """The Docker name of a node image from its name in the catalogue, which may have a version behind a colon."""
    name, _, version = ref.partition(":")
    return f"{IMAGE_REPOSITORY}{name}:{version or 'latest'}"
