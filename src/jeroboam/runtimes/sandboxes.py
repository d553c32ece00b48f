"""The optional contract of sandboxes: what the containers of a capsule share on a host.

Neighbours: `base`, the contract of runtimes; the `docker` and `fake` runtimes, which implement it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jeroboam.domain.capsules import SandboxSpec
from jeroboam.domain.containers import Address, ContainerSpec, RuntimeState
from jeroboam.runtimes.base import ContainerState


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxState:
    """A sandbox as the runtime shows it, with the containers in it."""

    uuid: str
    runtime_id: str
    state: RuntimeState
    """ABSENT: only containers of it are left."""
    addresses: tuple[Address, ...] = ()
    members: tuple[ContainerState, ...] = ()


@runtime_checkable
class SupportsSandboxes(Protocol):
    """Optional: the runtime can run sandboxes: what the containers of a capsule share.

    The members of a sandbox share its network, its ipc namespace with /dev/shm, and its hostname; not its processes. A
    sandbox has the uuid of its capsule, a member one of its own. Members are stopped, killed, removed, inspected and
    asked with the methods for containers; `list_owned` leaves sandboxes and members out, and `events` yields the
    sandbox's uuid for both. The runtime restarts nothing here: the agent does.
    """

    async def run_sandbox(self, spec: SandboxSpec) -> SandboxState:
        """Create the sandbox and start it, on the network of its project. One that runs is returned unchanged.

        Raises `Permanent` for one that has stopped: it has to be removed first.
        """
        ...

    async def stop_sandbox(self, uuid: str) -> None:
        """Stop the sandbox and kill what runs in it. No error when it does not run or is gone.

        What members wrote can still be read.
        """
        ...

    async def remove_sandbox(self, uuid: str) -> None:
        """Remove the sandbox with all its members and folders, also while they run. One that is gone is no error."""
        ...

    async def inspect_sandbox(self, uuid: str) -> SandboxState:
        """Return its present state with its members. Raises `ContainerGone` when nothing of it is left."""
        ...

    async def list_sandboxes(self) -> Sequence[SandboxState]:
        """Return all sandboxes with our tag, also those of which only members are left."""
        ...

    async def create_member(self, sandbox: SandboxSpec, uuid: str, name: str, spec: ContainerSpec) -> ContainerState:
        """Create a container in the sandbox, which runs, without starting it. An existing one is returned unchanged.

        A mount of type `EMPTY_DIR` is a folder of the sandbox.
        """
        ...

    async def start_member(self, uuid: str) -> ContainerState:
        """Start a member that was never started. No error when it runs already."""
        ...
