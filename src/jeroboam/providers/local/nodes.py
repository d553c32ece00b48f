"""A node as a container: its configuration, its files, and its state from the Engine's answer.

Neighbours: `provider` and `inventory`, which send the requests. Pure.
"""

import io
import re
import shlex
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from jeroboam.clients.docker_types import DockerContainer, JSONValue
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
# The message of the node's `keep` script, with the program and its exit status. TERM and KILL come from others.
_ENDED = re.compile(r"node: (\S+) ended with status (\d{1,3}); it is started again")
# The name of a program that runs under a shell.
_SERVICE = "its service"
_BY_SIGNAL = frozenset({0, 137, 143})
_WORDS_BEFORE = 20
_COMPLAINT = re.compile(r"^[EF]\d{4} |^panic: |^fatal |^[Ee]rror: |\blevel=(error|fatal)\b")
# Severity, time, process and place: the prefix of log lines of Kubernetes' programs.
_PREFIX = re.compile(r"^[A-Z]\d{4} \S+ +\d+ \S+\] ")
# The weight of CPU time when it is short, in the Engine's unit; other nodes have 1024.
_MASTER_SHARES = 65536
_STATES = {
    "created": NodeState.CREATING,
    "running": NodeState.RUNNING,
    "removing": NodeState.GONE,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class NodePlacement:
    """Network, address, volume and labels of a node, chosen before its container exists."""

    network: str
    network_id: str
    address: str
    volume: str
    labels: Mapping[str, str]


def container_name(name: str, uuid: str) -> str:
    """Return the container's name. Node names are unique in their cluster, container names on the whole Engine."""
    return f"{name}.{uuid[:8]}"


def volume_name(node_uuid: str) -> str:
    """Return the name of a node's volume on the Engine."""
    return f"jeroboam-{node_uuid}"


def network_name(cluster_id: str) -> str:
    """Return the name of a cluster's network on the Engine."""
    return f"jeroboam-{cluster_id}"


def build_container_config(
    want: DesiredNode, placement: NodePlacement, image: DockerImage, flavor: Flavor, capabilities: EngineCapabilities
) -> dict[str, JSONValue]:
    """Return the request body that creates the node's container."""
    memory = flavor.ram << 20
    privileges = capabilities.host_config if image.machine else {}
    host_config: dict[str, JSONValue] = {
        **privileges,
        "NanoCpus": int(min(flavor.vcpus, capabilities.cpus) * 1e9),
        "Memory": memory,
        "MemorySwap": memory,
        # On an overloaded machine masters come first, because the rest of the cluster waits for them.
        **({"CpuShares": _MASTER_SHARES} if want.role == MASTER else {}),
        "NetworkMode": placement.network,
        "Mounts": [
            *privileges.get("Mounts", ()),
            {"Type": "volume", "Source": placement.volume, "Target": image.data_folder},
        ],
        # A node restarts with the machine, and when its service exits.
        "RestartPolicy": {"Name": "unless-stopped"},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
    }
    endpoint = {"IPAMConfig": {"IPv4Address": placement.address}}
    return {
        "Image": image.id,
        "Hostname": want.name[:_HOSTNAME_LETTERS].rstrip(".-_"),
        "Labels": dict(placement.labels),
        "HostConfig": host_config,
        "NetworkingConfig": {"EndpointsConfig": {placement.network: endpoint}},
    }


def build_labels(
    installation: str, cluster_id: str, want: DesiredNode, address: str, kind: ObjectKind
) -> dict[str, str]:
    """Return the labels of a resource of the node."""
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


def build_archive(script: NodeScript) -> bytes:
    """Return the script's files and commands as a tar archive for the node's root folder."""
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
    """Whether we have created the container as a node: its labels are complete and match its name."""
    build = tags.get(BUILD, "0")
    if (
        not has_kind(tags, ObjectKind.NODE)
        or not tags.keys() >= _NODE_TAGS
        or not (build.isascii() and build.isdigit())
    ):
        return False
    return container_name(tags[NODE_NAME], tags[NODE]) in names


def is_node_volume(tags: Mapping[str, str], name: str) -> bool:
    """Whether we have created the volume with these labels and this name for a node."""
    has_node_tags = has_kind(tags, ObjectKind.NODE_VOLUME) and tags.keys() >= _NODE_TAGS
    return has_node_tags and volume_name(tags[NODE]) == name and subnets.is_address(tags[ADDRESS])


def is_cluster_network(tags: Mapping[str, str], name: str) -> bool:
    """Whether we have created the network with these labels and this name for a cluster."""
    return has_kind(tags, ObjectKind.CLUSTER_NETWORK) and network_name(tags.get(CLUSTER, "")) == name


def describe_failure(output: str) -> str:
    """Return which program of a node exited by itself lately, with its last error line; empty when none did."""
    lines = output.splitlines()
    for index in reversed(range(len(lines))):
        match = _ENDED.search(lines[index])
        if match is None or int(match[2]) in _BY_SIGNAL:
            continue
        lines_before = lines[max(0, index - _WORDS_BEFORE) : index]
        words = next(
            (line for line in reversed(lines_before) if _COMPLAINT.search(line)),
            lines_before[-1] if lines_before else "",
        )
        program = _SERVICE if match[1] == "sh" else match[1]
        return f"{program} ended with status {match[2]} and printed last: {_PREFIX.sub('', words.strip())}"
    return ""


def read_node(container: DockerContainer) -> NodeObserved:
    """Return the node from an entry of the Engine's container list; the caller has checked that it is one."""
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
