"""What the API asks of the conductor. Implements the port `Conductor`, within one process by calls.

Each question has a deadline, so that a driver or a cluster that hangs costs a request no more than that.
Neighbours: `admission`, `bays.queries`, `clusters.certificates`, which answer.
"""

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from jeroboam.conductor.admission.admission import DriverAdmission
from jeroboam.conductor.bays.queries import BayQueries
from jeroboam.conductor.clusters.certificates import CertificateSigner
from jeroboam.domain.bay_manifests import BayManifest
from jeroboam.domain.caller import Caller
from jeroboam.domain.clusters import Cluster, NodeGroup, TemplateSpec
from jeroboam.domain.errors import Unavailable
from jeroboam.domain.ports import Conductor, ExecResult, ManifestSource
from jeroboam.kit.clock import Clock, DeadlineExceeded, run_within

T = TypeVar("T")


class ConductorGateway(Conductor):
    """Answers the API's questions."""

    def __init__(
        self,
        *,
        admission: DriverAdmission,
        bays: BayQueries,
        manifests: ManifestSource,
        signer: CertificateSigner,
        clock: Clock,
        answer_seconds: float,
        execute_seconds: float,
    ) -> None:
        """`answer_seconds` is the deadline; a command in a container may take `execute_seconds` more."""
        self._admission = admission
        self._bays = bays
        self._manifests = manifests
        self._signer = signer
        self._clock = clock
        self._answer_seconds = answer_seconds
        self._execute_seconds = execute_seconds

    async def admit_template(self, spec: TemplateSpec, caller: Caller) -> TemplateSpec:
        return await self._ask(f"driver {spec.driver or 'by default'}", self._admission.admit_template(spec, caller))

    async def admit_cluster(self, cluster: Cluster, groups: Sequence[NodeGroup], caller: Caller) -> None:
        await self._ask(_driver_of(cluster), self._admission.admit_cluster(cluster, groups, caller))

    async def admit_nodegroup(self, cluster: Cluster, group: NodeGroup, caller: Caller) -> None:
        await self._ask(_driver_of(cluster), self._admission.admit_nodegroup(cluster, group, caller))

    async def admit_growth(self, cluster: Cluster, group: NodeGroup, added_nodes: int) -> None:
        await self._ask(_driver_of(cluster), self._admission.admit_growth(cluster, group, added_nodes))

    async def admit_change(self, before: Cluster, after: Cluster, groups: Sequence[NodeGroup]) -> frozenset[str]:
        return await self._ask(_driver_of(after), self._admission.admit_change(before, after, groups))

    async def admit_rotation(self, cluster: Cluster) -> None:
        await self._ask(_driver_of(cluster), self._admission.admit_rotation(cluster))

    async def read_bay_logs(self, cluster_id: str, workload: str) -> str:
        return await self._ask(f"bay {cluster_id}", self._bays.logs(cluster_id, workload))

    async def execute_in_bay(self, cluster_id: str, workload: str, command: Sequence[str]) -> ExecResult:
        work = self._bays.execute(cluster_id, workload, command)
        return await self._ask(f"bay {cluster_id}", work, extra_seconds=self._execute_seconds)

    async def check_manifest(self, manifest: BayManifest) -> None:
        await self._ask(f"bay {manifest.cluster_id}", self._bays.check(manifest))

    async def fetch_manifest(self, url: str, *, max_octets: int) -> bytes:
        return await self._ask("the server of the manifest", self._manifests.fetch(url, max_octets=max_octets))

    async def sign_csr(self, cluster_id: str, kind: str, csr: str) -> str:
        return await self._ask(f"the authority of cluster {cluster_id}", self._signer.sign(cluster_id, kind, csr))

    async def _ask(self, subject: str, work: Coroutine[Any, Any, T], *, extra_seconds: float = 0.0) -> T:
        seconds = self._answer_seconds + extra_seconds
        try:
            return await run_within(self._clock, seconds, work)
        except DeadlineExceeded as error:
            text = f"The conductor did not answer within {seconds:g} seconds: it waits for {subject}."
            raise Unavailable(text) from error


def _driver_of(cluster: Cluster) -> str:
    return f"driver {cluster.spec.template.driver}"
