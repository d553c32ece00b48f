"""What `up` prints: its steps with their times, and the greeting, whose lines are for pasting.

Nothing here is broken over lines. A program that is not on the PATH has its full path. Neighbour: `up`.
"""

import shlex
import shutil
import sys
from pathlib import Path

from jeroboam.cli.terminal import show_line
from jeroboam.kit.clock import Clock
from jeroboam.settings import default_state


class StartSteps:
    """Shows what the start does, in a line a step, with the time since its begin."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begin = clock.monotonic()

    def show(self, text: str) -> None:
        """Show a step."""
        show_line(f"  {self._clock.monotonic() - self._begin:4.1f} s  {text}")


def find_program(name: str) -> str:
    """Return how a user calls that program: its name, or the path of the one beside this Python."""
    beside = Path(sys.executable).with_name(name)
    return name if shutil.which(name) or not beside.exists() else shlex.quote(str(beside))


def format_greeting(state: Path, api: str, keystone: str, *, end: str) -> str:
    """Return the greeting; `end` says how the service ends."""
    jeroboam, openstack = find_program("jeroboam"), find_program("openstack")
    folder = _format_options(state)
    return (
        f"jeroboam is up: {api}  (Keystone: {keystone})\n"
        "clusters (Kubernetes, or a Swarm with --coe swarm) and containers, with no other client:\n"
        f"  {jeroboam} cluster create dev{folder}\n"
        f"  {jeroboam} run --name hello{folder} busybox sleep 600\n"
        "the same with the clients of OpenStack, as the user demo (openrc-admin: as the admin):\n"
        f"  source {shlex.quote(str(state / 'openrc'))}\n"
        f"  {openstack} coe cluster create --cluster-template swarm --node-count 2 demo\n"
        f"  {openstack} appcontainer run --name hello busybox sleep 600\n"
        f"{end}; clusters and containers stay"
    )


def format_stop(state: Path) -> str:
    """Return the command that ends a service in the background."""
    return f"{find_program('jeroboam')} stop{_format_options(state)}"


def _format_options(state: Path) -> str:
    return "" if state == default_state() else f" --state {shlex.quote(str(state))}"
