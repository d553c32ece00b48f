"""Seams inside the service: what one part needs of another that it must not import.

Bootstrap decides which implementation stands behind each: in one process an in-memory one, in many a remote one.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from jeroboam.domain.bay_manifests import BayManifest
from jeroboam.domain.caller import Caller
from jeroboam.domain.clusters import Cluster, NodeGroup, TemplateSpec
from jeroboam.domain.limits import LimitOwner


class TokenValidator(Protocol):
    """Who a token belongs to."""

    async def caller(self, token: str) -> Caller | None:
        """The caller, or None for a token that is unknown, expired or not scoped to a project.

        Raises `Unavailable` when the identity service does not answer.
        """
        ...


class Projects(Protocol):
    """What the identity service knows of projects."""

    async def exists(self, project_id: str) -> bool:
        """Whether there is such a project."""
        ...

    async def describe(self, project_id: str) -> LimitOwner | None:
        """Its name and its domain; None where there is no such project.

        Raises `Unavailable` when the identity service does not answer.
        """
        ...


class Admission(Protocol):
    """Whether a provider and a COE could carry out a wish; asked before the wish is stored."""

    async def template(self, spec: TemplateSpec, caller: Caller) -> TemplateSpec:
        """The spec with what the provider decides filled in (driver, cluster_distro, network_driver).

        Raises `Invalid`, `Conflict` or `NotFound` with the contract's texts for what cannot work.
        """
        ...

    async def cluster(self, cluster: Cluster, groups: Sequence[NodeGroup], caller: Caller) -> None:
        """Raise `Invalid`, `Conflict` or `NotFound` if these could not be made."""
        ...

    async def nodegroup(self, cluster: Cluster, group: NodeGroup, caller: Caller) -> None:
        """Raise `Invalid`, `Conflict` or `NotFound` if that group could not be added to the cluster."""
        ...

    async def growth(self, cluster: Cluster, group: NodeGroup, added_nodes: int) -> None:
        """Raise `Conflict` if so many more nodes of that group have no room where the cluster is."""
        ...

    async def change(self, before: Cluster, after: Cluster, groups: Sequence[NodeGroup]) -> frozenset[str]:
        """The roles of nodes that the labels or the template that differ reach, so that they have to be made anew.

        `groups` are those that change. Raises `Invalid`, `Conflict` or `NotFound` for what cannot be carried out.
        """
        ...

    async def rotation(self, cluster: Cluster) -> None:
        """Raise `Invalid` if the cluster's authority cannot be replaced."""
        ...


class Sealer(Protocol):
    """Keeps secrets unreadable at rest."""

    def seal(self, plain: bytes, *, context: str) -> bytes:
        """The sealed form; `context` names what it belongs to and is needed to open it."""
        ...

    def open(self, sealed_text: bytes, *, context: str) -> bytes:
        """The plain form. Raises `ValueError` for another key, another context or a changed text."""
        ...


class Bus(Protocol):
    """Carries hints: *look at this object now*. Losing one costs time, never correctness."""

    def publish(self, topic: str, key: str) -> None:
        """Tell every subscriber of the topic; never blocks, never fails."""
        ...

    def subscribe(self, topic: str) -> AsyncIterator[str]:
        """Keys as they are published, from the moment of the call on."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecResult:
    """What a command in a container answered."""

    output: str
    exit_code: int


class HostGateway(Protocol):
    """Live questions to the agent that holds a container: api → dispatch → agent.

    All raise `Unavailable` when the host's agent is away, `NotFound` when the container is gone there and
    `Conflict` when its state forbids it or the time limit is over.
    """

    async def logs(
        self,
        host_id: str,
        container: str,
        *,
        stdout: bool,
        stderr: bool,
        timestamps: bool,
        tail: int | None,
        since: float | None,
    ) -> str:
        """The log text; `tail` counts lines, `since` is a Unix time in seconds."""
        ...

    async def execute(self, host_id: str, container: str, command: Sequence[str]) -> ExecResult:
        """Run a command to its end and give its output, both streams in order."""
        ...

    async def top(self, host_id: str, container: str, ps_args: str | None) -> Mapping[str, object]:
        """`{"Titles": [...], "Processes": [[...], ...]}` as the runtime's ps answers."""
        ...

    async def stats(self, host_id: str, container: str) -> Mapping[str, str | float]:
        """One sample: cpu_percent, memory_mib, memory_limit_mib, block_read, block_write, net_rx, net_tx (bytes)."""
        ...


class BayGateway(Protocol):
    """Live questions to what is inside a cluster: api → conductor → the cluster's own API.

    Those to a container raise `Unavailable` when the cluster does not answer, `NotFound` when the container is gone
    there and `Conflict` when its state forbids it or the time limit is over.
    """

    async def logs(self, cluster_id: str, workload: str) -> str:
        """What it printed, both streams in order."""
        ...

    async def execute(self, cluster_id: str, workload: str, command: Sequence[str]) -> ExecResult:
        """Run a command to its end and give its output, both streams in order."""
        ...

    async def check(self, manifest: BayManifest) -> None:
        """Raise `Invalid` with the words of its cluster for a manifest that it would refuse.

        A cluster that is not up, or does not answer within some seconds, refuses nothing.
        """
        ...


class ManifestSource(Protocol):
    """Where manifests lie that users only point to."""

    async def fetch(self, url: str, *, most: int) -> bytes:
        """What is there, of so many octets at the most.

        Raises `Invalid` with the reason, naming `manifest_url`: it leads where nobody may be led, answers nothing, too
        slowly or too much.
        """
        ...
