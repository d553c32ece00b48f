"""How large a node takes itself to be: as large as its container may be, whatever the machine has.

Neighbours: the COEs, whose nodes boot with it.
"""

from importlib.resources import files

from jeroboam.domain.nodes import NodeFile

_PATH = "/etc/jeroboam/node/size.sh"


def script_file() -> NodeFile:
    """What the command needs in the node."""
    return NodeFile(path=_PATH, content=(files(__package__) / "size.sh").read_bytes())


def command(uuid: str) -> tuple[str, ...]:
    """Comes before whatever asks for the size of the machine; may be run again."""
    return ("sh", _PATH, uuid)
