"""What `up` prints: its steps with their times, and the greeting, whose lines are for pasting.

Nothing here is broken over lines. Neighbours: `up`; `own_command`.
"""

import shlex
from pathlib import Path

from jeroboam.cli.own_command import find_program, format_command
from jeroboam.cli.terminal import show_line
from jeroboam.kit.clock import Clock


class StartSteps:
    """Shows what the start does, in a line a step, with the time since its begin."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begin = clock.monotonic()

    def show(self, text: str) -> None:
        """Show a step."""
        show_line(f"  {self._clock.monotonic() - self._begin:4.1f} s  {text}")


def format_greeting(state: Path, api: str, keystone: str, *, end: str) -> str:
    """Return the greeting; `end` says how the service ends."""
    openstack = find_program("openstack")
    return (
        f"jeroboam is up: {api}  (Keystone: {keystone})\n"
        "clusters (Kubernetes, or a Swarm with --coe swarm) and containers, with no other client:\n"
        f"  {format_command('cluster create dev', state)}\n"
        f"  {format_command('run --name hello', state, 'busybox sleep 600')}\n"
        "the same with the clients of OpenStack, as the user demo (openrc-admin: as the admin):\n"
        f"  source {shlex.quote(str(state / 'openrc'))}\n"
        f"  {openstack} coe cluster create --cluster-template swarm --node-count 2 demo\n"
        f"  {openstack} appcontainer run --name box busybox sleep 600\n"
        f"{end}; clusters and containers stay"
    )
