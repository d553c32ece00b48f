"""How a node looks as a container: its configuration, its files, and what the Engine's answer means.

Neighbours: `local`, which does the asking. Pure.
"""

import io
import re
import shlex
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aiodocker.containers import DockerContainer
from aiodocker.types import JSONValue

from jeroboam.domain.clusters import MASTER, NodeObserved, NodeState
from jeroboam.domain.nodes import COMMANDS_PATH, NodeScript
from jeroboam.domain.owner_labels import KIND, ObjectKind, has_kind
from jeroboam.providers.base import DesiredNode, Flavor
from jeroboam.providers.local import subnets
from jeroboam.providers.local.catalog import DockerImage
from jeroboam.providers.local.engine import EngineCapabilities

INSTALLATION = "jeroboam.installation"
CLUSTER = "jeroboam.cluster"
NODE = "jeroboam.node"
NODE_NAME = "jeroboam.node-name"
GROUP = "jeroboam.group"
ROLE = "jeroboam.role"
ADDRESS = "jeroboam.address"
BUILD = "jeroboam.build"

_NODE_TAGS = frozenset({CLUSTER, NODE, NODE_NAME, ADDRESS})
_HOSTNAME_LETTERS = 63
# What the keeper of a node's programs says, with the program and its status; TERM and KILL are others' doing.
_ENDED = re.compile(r"node: (\S+) ended with status (\d{1,3}); it is started again")
# Under a shell one program is as good as another.
_SERVICE = "its service"
_BY_SIGNAL = frozenset({0, 137, 143})
_WORDS_BEFORE = 20
_COMPLAINT = re.compile(r"^[EF]\d{4} |^panic: |^fatal |^[Ee]rror: |\blevel=(error|fatal)\b")
# Severity, time, process and place, as programs of Kubernetes begin their lines.
_PREFIX = re.compile(r"^[A-Z]\d{4} \S+ +\d+ \S+\] ")
# Of the machine's time where there is not enough: the Engine's own measure, of which others get 1024.
_MASTER_SHARES = 65536
_STATES = {
    "created": NodeState.CREATING,
    "running": NodeState.RUNNING,
    "removing": NodeState.GONE,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class NodePlacement:
    """Where a node goes: decided before its container exists."""

    network: str
    network_id: str
    address: str
    volume: str
    labels: Mapping[str, str]


def container_name(name: str, uuid: str) -> str:
    """Node names are unique in their cluster, container names on the whole Engine."""
    return f"{name}.{uuid[:8]}"


def volume_name(node_uuid: str) -> str:
    """The Engine's name for a node's volume."""
    return f"jeroboam-{node_uuid}"


def network_name(cluster_id: str) -> str:
    """The Engine's name for a cluster's network."""
    return f"jeroboam-{cluster_id}"


def container_config(
    want: DesiredNode, place: NodePlacement, image: DockerImage, flavor: Flavor, capabilities: EngineCapabilities
) -> dict[str, JSONValue]:
    """The Engine's words for that node."""
    memory = flavor.ram << 20
    rights = capabilities.host_config if image.machine else {}
    host_config: dict[str, JSONValue] = {
        **rights,
        "NanoCpus": int(min(flavor.vcpus, capabilities.cpus) * 1e9),
        "Memory": memory,
        "MemorySwap": memory,
        # Where nodes crowd a machine, a cluster waits for its masters and not the other way round.
        **({"CpuShares": _MASTER_SHARES} if want.role == MASTER else {}),
        "NetworkMode": place.network,
        "Mounts": [
            *rights.get("Mounts", ()),
            {"Type": "volume", "Source": place.volume, "Target": image.data_folder},
        ],
        # A node comes back with its machine, and when its service dies.
        "RestartPolicy": {"Name": "unless-stopped"},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
    }
    endpoint = {"IPAMConfig": {"IPv4Address": place.address}}
    return {
        "Image": image.id,
        "Hostname": want.name[:_HOSTNAME_LETTERS].rstrip(".-_"),
        "Labels": dict(place.labels),
        "HostConfig": host_config,
        "NetworkingConfig": {"EndpointsConfig": {place.network: endpoint}},
    }


def labels(installation: str, cluster_id: str, want: DesiredNode, address: str, kind: ObjectKind) -> dict[str, str]:
    """The tags of what is made for a node."""
    return {
        KIND: kind,
        INSTALLATION: installation,
        CLUSTER: cluster_id,
        NODE: want.uuid,
        NODE_NAME: want.name,
        GROUP: want.group,
        ROLE: want.role,
        ADDRESS: address,
        BUILD: str(want.build),
    }


def archive(script: NodeScript) -> bytes:
    """The script's files and commands, as a tar to lay over the node's root folder."""
    *before, last = (shlex.join(command) for command in script.commands)
    commands = "\n".join(["#!/bin/sh", "set -e", *before, f"exec {last}", ""])
    files = [(file.path, file.content, file.mode) for file in script.files]
    files.append((COMMANDS_PATH, commands.encode(), 0o700))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        folders = {str(folder) for path, _, _ in files for folder in _parents(path)}
        for folder in sorted(folders):
            info = tarfile.TarInfo(folder)
            info.type = tarfile.DIRTYPE
            info.mode = 0o755
            tar.addfile(info)
        for path, content, mode in files:
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size = len(content)
            info.mode = mode
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _parents(path: str) -> list[str]:
    parts = path.strip("/").split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def is_node(tags: Mapping[str, str], names: Collection[str]) -> bool:
    """Whether a container with these labels and names was made as a node: its marks are whole and fit its name."""
    build = tags.get(BUILD, "0")
    if (
        not has_kind(tags, ObjectKind.NODE)
        or not tags.keys() >= _NODE_TAGS
        or not (build.isascii() and build.isdigit())
    ):
        return False
    return container_name(tags[NODE_NAME], tags[NODE]) in names


def is_node_volume(tags: Mapping[str, str], name: str) -> bool:
    """Whether a volume with these labels and this name was made for a node."""
    has_node_tags = has_kind(tags, ObjectKind.NODE_VOLUME) and tags.keys() >= _NODE_TAGS
    return has_node_tags and volume_name(tags[NODE]) == name and subnets.is_address(tags[ADDRESS])


def is_cluster_network(tags: Mapping[str, str], name: str) -> bool:
    """Whether a network with these labels and this name was made for a cluster."""
    return has_kind(tags, ObjectKind.CLUSTER_NETWORK) and network_name(tags.get(CLUSTER, "")) == name


def last_words(output: str) -> str:
    """Of what a node printed lately: which program ended by itself and is started again, and its own last words."""
    lines = output.splitlines()
    for at in reversed(range(len(lines))):
        match = _ENDED.search(lines[at])
        if match is None or int(match[2]) in _BY_SIGNAL:
            continue
        before = lines[max(0, at - _WORDS_BEFORE) : at]
        words = next((line for line in reversed(before) if _COMPLAINT.search(line)), before[-1] if before else "")
        program = _SERVICE if match[1] == "sh" else match[1]
        return f"{program} ended with status {match[2]} and printed last: {_PREFIX.sub('', words.strip())}"
    return ""


def observed(container: DockerContainer) -> NodeObserved:
    """A node from the Engine's list of containers; the caller has seen that it is one."""
    tags = container["Labels"]
    state = _STATES.get(container["State"], NodeState.STOPPED)
    reason = (
        "" if state is NodeState.RUNNING else f"the node's container is {container['State']}: {container['Status']}"
    )
    return NodeObserved(
        uuid=tags[NODE],
        name=tags[NODE_NAME],
        state=state,
        address=tags[ADDRESS],
        server_id=container["Id"],
        build=int(tags.get(BUILD, "0")),
        reason=reason,
    )
