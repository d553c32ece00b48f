"""Connects the conductor to what users run inside a cluster: gives the cluster's COE and a plan of its known nodes.

Neighbours: `containers`, `manifests`, `strays` and `queries`, which use the connection. The cluster loop builds its
plans itself, from the addresses that it has just reserved. Here the plan comes from the stored addresses.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from jeroboam.coes.base import Coe, CoePlan, ManifestClient, SupportsContainers, SupportsManifests
from jeroboam.conductor.clusters.plans import balancer_uuid_of, build_plan
from jeroboam.conductor.clusters.records import ClusterState, load_state
from jeroboam.conductor.clusters.rotation import list_trusted_authorities
from jeroboam.conductor.clusters.sealed_keys import open_authorities
from jeroboam.domain.clusters import MAIN, MASTER, NodeGroup, Operation
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.domain.ports import Sealer
from jeroboam.providers.base import NodeAddress
from jeroboam.store import Store

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterConnection(Generic[T_co]):
    """A connection to a cluster."""

    coe: T_co
    """The part of its COE that is used."""
    plan: CoePlan


class ClusterConnector:
    """Builds connections to clusters."""

    def __init__(self, *, store: Store, coes: Mapping[str, Coe], sealer: Sealer) -> None:
        self._store = store
        self._coes = coes
        self._sealer = sealer

    async def connect_containers(self, cluster_id: str) -> ClusterConnection[SupportsContainers] | None:
        """Return the connection to its containers; None if the cluster is gone or is being deleted.

        Raises `Temporary` until the cluster is up, and `Permanent` if it cannot hold single containers.
        """
        return await self._connect(cluster_id, _containers_part, "single containers")

    async def connect_manifests(self, cluster_id: str) -> ClusterConnection[ManifestClient] | None:
        """Return the connection to what manifests made there. The same, for clusters that run Kubernetes."""
        return await self._connect(cluster_id, _manifests_part, "objects of Kubernetes")

    async def _connect(
        self, cluster_id: str, part: Callable[[Coe], T_co | None], content: str
    ) -> ClusterConnection[T_co] | None:
        state = await load_state(self._store, cluster_id)
        if state is None or state.cluster.operation is Operation.DELETE:
            return None
        cluster = state.cluster
        coe = self._coes.get(cluster.spec.template.coe)
        coe_part = None if coe is None else part(coe)
        if coe_part is None:
            raise Permanent(f"a cluster of {cluster.spec.template.coe} holds no {content}")
        kinds = {certificate.kind for certificate in state.certificates}
        addresses = _addresses_of(state)
        groups = [_keep_known_nodes(group, addresses) for group in state.groups]
        has_master = any(group.desired for group in groups if group.spec.role == MASTER)
        if cluster.observed.api_address is None or MAIN not in kinds or not has_master:
            reason = f": {cluster.status_reason}" if cluster.status_reason else ""
            raise Temporary(f"bay {cluster.name} is not up: it is {cluster.status}{reason}")
        authorities = open_authorities(self._sealer, state.certificates)
        plan = build_plan(cluster, groups, addresses, list_trusted_authorities(authorities))
        return ClusterConnection(coe=coe_part, plan=plan)


def _containers_part(coe: Coe) -> SupportsContainers | None:
    return coe if isinstance(coe, SupportsContainers) else None


def _manifests_part(coe: Coe) -> ManifestClient | None:
    return coe.manifests if isinstance(coe, SupportsManifests) else None


def _addresses_of(state: ClusterState) -> dict[str, NodeAddress]:
    """Return the last known addresses of the nodes, by uuid, and that of the load balancer if there is one."""
    cluster = state.cluster
    addresses = {
        node.uuid: NodeAddress(address=node.address, floating_address=node.floating_address)
        for group in state.groups
        for node in group.observed
        if node.address
    }
    known_hosts = {host for node in addresses.values() for host in (node.address, node.floating_address)}
    host = urlsplit(cluster.observed.api_address or "").hostname
    if host is not None and host not in known_hosts:
        addresses[balancer_uuid_of(cluster.uuid)] = NodeAddress(address=host)
    return addresses


def _keep_known_nodes(group: NodeGroup, addresses: Mapping[str, NodeAddress]) -> NodeGroup:
    """Return the group with those of its nodes that have an address."""
    return replace(group, desired=tuple(node for node in group.desired if node.uuid in addresses))
