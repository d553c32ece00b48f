"""The ports inside the service: what one part needs of another that it must not import.

Bootstrap chooses the implementation of each: in one process an in-memory one, in many a remote one.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from jeroboam.domain.archives import PathStat
from jeroboam.domain.bay_manifests import BayManifest
from jeroboam.domain.caller import Caller
from jeroboam.domain.clusters import Cluster, NodeGroup, TemplateSpec
from jeroboam.domain.limits import LimitOwner
from jeroboam.domain.streams import ByteStream, TerminalSize


class TokenValidator(Protocol):
    """Validates tokens."""

    async def caller(self, token: str) -> Caller | None:
        """Return the caller, or None for a token that is unknown, expired or not scoped to a project.

        Raises `Unavailable` if the identity service does not answer.
        """
        ...


class Projects(Protocol):
    """The projects of the identity service."""

    async def exists(self, project_id: str) -> bool:
        """Whether there is such a project."""
        ...

    async def describe(self, project_id: str) -> LimitOwner | None:
        """Return its name and its domain; None if there is no such project.

        Raises `Unavailable` if the identity service does not answer.
        """
        ...


class Admission(Protocol):
    """Checks before a wish is stored whether a provider and a COE can carry it out."""

    async def admit_template(self, spec: TemplateSpec, caller: Caller) -> TemplateSpec:
        """Return the spec with what the provider decides filled in (driver, cluster_distro, network_driver).

        Raises `Invalid`, `Conflict` or `NotFound` with the contract's texts for what cannot work.
        """
        ...

    async def admit_cluster(self, cluster: Cluster, groups: Sequence[NodeGroup], caller: Caller) -> None:
        """Raise `Invalid`, `Conflict` or `NotFound` if the cluster with these groups cannot be made."""
        ...

    async def admit_nodegroup(self, cluster: Cluster, group: NodeGroup, caller: Caller) -> None:
        """Raise `Invalid`, `Conflict` or `NotFound` if that group cannot be added to the cluster."""
        ...

    async def admit_growth(self, cluster: Cluster, group: NodeGroup, added_nodes: int) -> None:
        """Raise `Conflict` if there is no room for so many more nodes of that group."""
        ...

    async def admit_change(self, before: Cluster, after: Cluster, groups: Sequence[NodeGroup]) -> frozenset[str]:
        """Return the roles of the nodes that the change of labels or template makes anew.

        `groups` are those that change. Raises `Invalid`, `Conflict` or `NotFound` for what cannot be carried out.
        """
        ...

    async def admit_rotation(self, cluster: Cluster) -> None:
        """Raise `Invalid` if the cluster's authority cannot be replaced."""
        ...


class Sealer(Protocol):
    """Keeps secrets unreadable at rest."""

    def seal(self, plain: bytes, *, context: str) -> bytes:
        """Return the sealed form. `context` names what the secret belongs to, and is needed to open it."""
        ...

    def open(self, sealed_text: bytes, *, context: str) -> bytes:
        """Return the plain form. Raises `ValueError` for another key, another context or a changed text."""
        ...


class Bus(Protocol):
    """Carries hints: *look at this object now*. Losing one costs time, never correctness."""

    def publish(self, topic: str, key: str) -> None:
        """Send a hint to every subscriber of the topic; never blocks, never fails."""
        ...

    def subscribe(self, topic: str) -> AsyncIterator[str]:
        """Yield keys as they are published, from the moment of the call on."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecResult:
    """The result of a command in a container."""

    output: str
    exit_code: int


class HostGateway(Protocol):
    """Live questions and streams to the agent that holds a container: api → dispatch → agent.

    All raise `Unavailable` if the host's agent is away, `NotFound` if the container is gone there, and `Conflict` if
    its state forbids it or the time limit is over.
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
        """Return the log text; `tail` counts lines, `since` is a Unix time in seconds."""
        ...

    async def execute(self, host_id: str, container: str, command: Sequence[str]) -> ExecResult:
        """Run a command to its end. Return its output, both streams in order."""
        ...

    async def top(self, host_id: str, container: str, ps_args: str | None) -> Mapping[str, object]:
        """Return `{"Titles": [...], "Processes": [[...], ...]}` as the runtime's ps answers."""
        ...

    async def stats(self, host_id: str, container: str) -> Mapping[str, str | float]:
        """One sample: cpu_percent, memory_mib, memory_limit_mib, block_read, block_write, net_rx, net_tx (bytes)."""
        ...

    async def follow_logs(
        self,
        host_id: str,
        container: str,
        *,
        stdout: bool,
        stderr: bool,
        timestamps: bool,
        tail: int | None,
        since: float | None,
    ) -> ByteStream:
        """Return a stream of what the container printed and prints, as it prints it. It ends with the container."""
        ...

    async def open_exec(
        self,
        host_id: str,
        container: str,
        command: Sequence[str],
        *,
        tty: bool,
        size: TerminalSize | None,
        exec_id: str | None = None,
    ) -> ByteStream:
        """Return a stream to a new command in the container; it ends with its exit code.

        With `tty` the command runs in a terminal, and what it writes as errors comes as output. `exec_id` names it for
        `resize_terminal`.
        """
        ...

    async def open_attach(self, host_id: str, container: str) -> ByteStream:
        """Return a stream to the container's own process, from now on; it ends with its exit code."""
        ...

    async def resize_terminal(self, host_id: str, container: str, exec_id: str | None, size: TerminalSize) -> None:
        """Set the size of the terminal of that command, or of the container's own process (None)."""
        ...

    async def stat_path(self, host_id: str, container: str, path: str) -> PathStat:
        """Return what is known of a file or folder in the container. Raises `Invalid` if there is none."""
        ...

    async def search_images(self, host_id: str, name: str, *, exact: bool, project_id: str) -> Sequence[str]:
        """Return the references of images on the host with that name in theirs, which the project may use."""
        ...

    async def read_archive(self, host_id: str, container: str, path: str) -> ByteStream:
        """Return a stream of a tar archive of that file or folder."""
        ...

    async def write_archive(self, host_id: str, container: str, path: str) -> ByteStream:
        """Return a stream that takes a tar archive and unpacks it into that folder; it ends once all is unpacked."""
        ...


class ManifestSource(Protocol):
    """Fetches manifests that users give by URL."""

    async def fetch(self, url: str, *, max_octets: int) -> bytes:
        """Return the content, at most so many octets.

        Raises `Invalid` for `manifest_url` with the reason: the address is forbidden, there is no answer, or the answer
        is too slow or too long.
        """
        ...


class Conductor(Admission, Protocol):
    """Everything live that a request of the API needs: api → conductor → drivers, clusters, other people's servers.

    The API itself reaches no Engine, no cloud, no cluster and no key of one. Every method raises `Unavailable`, which
    names what did not answer, if there is no answer in time.
    """

    async def read_bay_logs(self, cluster_id: str, workload: str) -> str:
        """Return what a container in a bay printed, both streams in order.

        Raises `NotFound` if the container is gone there, and `Conflict` if its state forbids it.
        """
        ...

    async def execute_in_bay(self, cluster_id: str, workload: str, command: Sequence[str]) -> ExecResult:
        """Run a command in a container in a bay, to its end. Return its output, both streams in order.

        Raises the same, and `Conflict` if the time limit is over.
        """
        ...

    async def check_manifest(self, manifest: BayManifest) -> None:
        """Raise `Invalid` with the answer of its cluster for a manifest that the cluster would refuse.

        A cluster that is not up, or does not answer within some seconds, refuses nothing.
        """
        ...

    async def fetch_manifest(self, url: str, *, max_octets: int) -> bytes:
        """Return the content at a URL that a user gave. Raises `Invalid` as `ManifestSource` does."""
        ...

    async def sign_csr(self, cluster_id: str, kind: str, csr: str) -> str:
        """Return a certificate (PEM) of the cluster's authority of that kind.

        Raises `Invalid` for a request that cannot be signed, and `NotFound` if there is no such authority.
        """
        ...
