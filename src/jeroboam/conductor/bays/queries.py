"""Live questions to clusters: the log of a container, the output of a command in one, a check of a manifest.

Questions run beside the loops and wait for no lease. Neighbours: `connector`; `conductor.gateway`, which asks for the
API.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from jeroboam.coes.base import DesiredManifest, SupportsContainers
from jeroboam.conductor.bays.connector import ClusterConnection, ClusterConnector
from jeroboam.domain.bay_manifests import BayManifest
from jeroboam.domain.errors import Conflict, Invalid, NotFound, Permanent, Temporary, Unavailable
from jeroboam.domain.ports import ExecResult
from jeroboam.kit.clock import Clock, DeadlineExceeded, run_within

T = TypeVar("T")

# So long a cluster may take to check a manifest; after that the manifest is accepted.
CHECK_SECONDS = 5.0


class BayQueries:
    """Asks a cluster's own API."""

    def __init__(self, *, connector: ClusterConnector, clock: Clock, execute_seconds: float) -> None:
        self._connector = connector
        self._clock = clock
        self._execute_seconds = execute_seconds

    async def logs(self, cluster_id: str, workload: str) -> str:
        """Return what the container printed. Raises `Unavailable`, `NotFound` or `Conflict`."""
        return await self._ask(cluster_id, workload, lambda bay: bay.coe.logs(bay.plan, workload))

    async def execute(self, cluster_id: str, workload: str, command: Sequence[str]) -> ExecResult:
        """Return the output of a command. Raises the same. A command that takes too long may go on in the container."""
        limit = self._execute_seconds
        return await self._ask(
            cluster_id, workload, lambda bay: bay.coe.execute(bay.plan, workload, command, limit=limit)
        )

    async def check(self, manifest: BayManifest) -> None:
        """Raise `Invalid` with the answer of its cluster for a manifest that the cluster refuses.

        A cluster that does not answer now refuses nothing. The status of the object then shows what becomes of the
        manifest.
        """
        try:
            await run_within(self._clock, CHECK_SECONDS, self._check(manifest))
        except (Temporary, DeadlineExceeded):
            return
        except Permanent as error:
            raise Invalid(f"The bay refuses the manifest: {error.reason}", field="manifest") from error

    async def _check(self, manifest: BayManifest) -> None:
        connection = await self._connector.connect_manifests(manifest.cluster_id)
        if connection is not None:
            desired_manifest = DesiredManifest(
                uuid=manifest.uuid, kind=manifest.kind, name=manifest.name, manifest=manifest.spec.manifest
            )
            await connection.coe.check(connection.plan, desired_manifest)

    async def _ask(
        self,
        cluster_id: str,
        workload: str,
        question: Callable[[ClusterConnection[SupportsContainers]], Awaitable[T | None]],
    ) -> T:
        try:
            connection = await self._connector.connect_containers(cluster_id)
            answer = None if connection is None else await question(connection)
        except Temporary as error:
            raise Unavailable(f"The bay cannot be asked now: {error.reason}") from error
        except Permanent as error:
            raise Conflict(f"The bay refused: {error.reason}") from error
        if answer is None:
            raise NotFound(f"Container {workload} is gone from its bay.")
        return answer
