"""Writes commands of ours that somebody may copy: they run as they stand, and on the same installation.

Neighbours: all that print such commands. `jeroboam.settings` has the usual state folder.
"""

import shlex
import shutil
import sys
from pathlib import Path

from jeroboam import settings as options


def find_program(name: str) -> str:
    """Return how a user calls that program: its name, or the path of the one beside this Python."""
    beside = Path(sys.executable).with_name(name)
    return name if shutil.which(name) or not beside.exists() else shlex.quote(str(beside))


def format_command(command: str, state: Path, arguments: str = "", *, config: Path | None = None) -> str:
    """Return `jeroboam COMMAND --state STATE ARGUMENTS`; the usual state folder is not named.

    `command` and `arguments` are words of a shell.
    """
    flags = "" if state == options.default_state() else f" --state {shlex.quote(str(state))}"
    flags += "" if config is None else f" --config {shlex.quote(str(config.absolute()))}"
    return f"{find_program('jeroboam')} {command}{flags}{arguments and f' {arguments}'}"


def format_own_command(command: str, *, state: str | None, config: Path | None) -> str:
    """Return the same for the options of a command."""
    return format_command(command, options.load(config, state=state).state, config=config)
