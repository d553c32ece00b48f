"""What a COE gives to a provider: the script that makes a server a node of a cluster, and the ports of nodes."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeFile:
    """A file to write into a node before its commands run."""

    path: str
    content: bytes = field(repr=False)
    """Not shown by `repr`: it may hold a key."""
    mode: int = 0o644


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeScript:
    """The script of a node: files, then commands in order, at every boot.

    Each command is an argument vector. The last one is the node's service and stays in the foreground.
    """

    files: tuple[NodeFile, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    reload: tuple[str, ...] = ()
    """A command with which a running node reads its files again; empty if that needs a restart."""
    diagnosis: tuple[str, ...] = ()
    """A command that prints which of a node's programs keeps ending, with its last output; empty: none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenPort:
    """Ports of a node that answer to the outside of its cluster, named as in a rule of a security group."""

    protocol: str
    """`tcp` or `udp`."""
    port_range_min: int
    port_range_max: int


# The ports of services that a cluster publishes on its nodes: the default of Kubernetes and of Swarm.
PUBLISHED_PORTS = tuple(
    OpenPort(protocol=protocol, port_range_min=30000, port_range_max=32767) for protocol in ("tcp", "udp")
)


def open_tcp(port: int) -> OpenPort:
    """Return one TCP port as open."""
    return OpenPort(protocol="tcp", port_range_min=port, port_range_max=port)


# The labels of a node image: `nodeimages` writes them, providers read them.
IMAGE_LABEL = "jeroboam.node-image"
"""The name in the catalogue, such as `swarm-node`."""
IMAGE_DISTRO_LABEL = "jeroboam.os-distro"
IMAGE_COES_LABEL = "jeroboam.coes"
"""Comma-separated; the COEs that can boot from it."""
IMAGE_DATA_LABEL = "jeroboam.node-data"
"""The folder that gets a volume of its own, and keeps what has to survive a new container."""
IMAGE_VERSION_LABEL = "jeroboam.kubernetes-version"
"""The Kubernetes version in a node image, such as `v1.36.3`."""

IMAGE_REPOSITORY = "jeroboam/"
"""The prefix of the Docker names of our own images. No user may pull an image with that prefix."""

COMMANDS_PATH = "/etc/jeroboam/node/commands"
"""The path at which a node image expects the script's commands, as one shell script."""


def image_name(ref: str) -> str:
    """Return the Docker name of a node image for its name in the catalogue, which may end with `:VERSION`."""
    name, _, version = ref.partition(":")
    return f"{IMAGE_REPOSITORY}{name}:{version or 'latest'}"
