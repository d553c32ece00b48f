"""The size that a node sees: the limits of its container, not the size of the machine.

A kubelet reads the size from files of the kernel: `/proc/meminfo`, the list of cores that are online, the product's
uuid. `size.sh` covers them, so it runs before every program that reads them. Neighbours: the COEs, whose node scripts
run it.
"""

from importlib.resources import files

from jeroboam.domain.nodes import NodeFile

_PATH = "/etc/jeroboam/node/size.sh"


def build_script_file() -> NodeFile:
    """Return the script that the command runs in the node."""
    return NodeFile(path=_PATH, content=(files(__package__) / "size.sh").read_bytes())


def build_command(uuid: str) -> tuple[str, ...]:
    """Return the command. It has to run before any program that reads the size of the machine; it may run again."""
    return ("sh", _PATH, uuid)
