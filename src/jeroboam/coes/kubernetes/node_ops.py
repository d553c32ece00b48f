"""Requests to a Kubernetes cluster's own API: its nodes, their state, and changes of them.

Nodes are identified by name: a name is never used twice. Before pods are moved, a controller manager has to lead, since
the endpoints of services follow their pods only then. Whoever waits for something in a cluster should know when its
client asked first: a client that is refused asks again after 0.8, 1.6, 3.2 seconds. `docker logs -t NODE` has what the
kubelet, kube-proxy and flannel of a node say, with times. Neighbours: the COE, which decides what should happen.
"""

import asyncio
import datetime as dt
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

from jeroboam.clients.kubernetes import EvictionRefused, KubernetesApi, ObjectNotFound
from jeroboam.coes.base import Member
from jeroboam.coes.kubernetes import health
from jeroboam.coes.kubernetes import node_annotations as marks
from jeroboam.domain.errors import DriverError, Temporary
from jeroboam.kit.clock import Clock

DRAINED = "jeroboam.io/drained"
"""A node with this annotation was drained by us and accepts no work for a while."""
TRUST = "jeroboam.io/trust"
"""An annotation of pods with a digest of the authority that the cluster had when they were started."""
FOLLOWED = "jeroboam.io/followed"
"""A label that is set on a service; a working controller manager copies it to the endpoints."""
POLL_SECONDS = 0.1
_DESCRIBE_TRIES = 5
_SEALED_AT_ONCE = 20

_OWN_NAMESPACES = ("kube-system", "local-path-storage")
_PROXY_HEALTH = 10256
# A service that exists in every cluster of ours.
_NAMES = "kube-dns"
_PLURALS = {
    "Namespace": "api/v1/namespaces/{name}",
    "ServiceAccount": "api/v1/namespaces/{namespace}/serviceaccounts/{name}",
    "ConfigMap": "api/v1/namespaces/{namespace}/configmaps/{name}",
    "ClusterRole": "apis/rbac.authorization.k8s.io/v1/clusterroles/{name}",
    "ClusterRoleBinding": "apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{name}",
    "DaemonSet": "apis/apps/v1/namespaces/{namespace}/daemonsets/{name}",
    "Deployment": "apis/apps/v1/namespaces/{namespace}/deployments/{name}",
    "Role": "apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/{name}",
    "RoleBinding": "apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings/{name}",
    "APIService": "apis/apiregistration.k8s.io/v1/apiservices/{name}",
    "StorageClass": "apis/storage.k8s.io/v1/storageclasses/{name}",
    "PersistentVolumeClaim": "api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}",
    "Service": "api/v1/namespaces/{namespace}/services/{name}",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class KubernetesNode:
    """A node as the API shows it."""

    name: str
    ready: bool
    reason: str
    since: dt.datetime | None
    """The time of the last transition between ready and not ready."""
    shortages: Mapping[str, str]
    """Its shortages by condition type, with the node's message."""
    pods: str
    """Its pod range, as `10.100.3.0/24`; empty until one is assigned."""
    has_pod_network: bool
    """Whether its pods reach those of other nodes. Flannel reports that once."""
    unschedulable: bool
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, str]]
    annotations: Mapping[str, str]
    resource_version: str
    """The resource version of the object."""
    machine: str
    """The machine id that its kubelet reports."""
    provider_id: str
    """The provider id, as `openstack:///UUID`; empty until it is set."""
    runtime: str
    """The container runtime, as `containerd://2.2.1`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterLoad:
    """Nodes, pods and volumes of a cluster, as the API shows them."""

    nodes: Sequence[dict[str, Any]] = ()
    pods: Sequence[dict[str, Any]] = ()
    volumes: Sequence[dict[str, Any]] = ()


class NodeOps:
    """The nodes of one cluster."""

    def __init__(self, api: KubernetesApi, clock: Clock) -> None:
        self._api = api
        self._clock = clock

    @property
    def api(self) -> KubernetesApi:
        """The client of the cluster's API, for requests that are not about nodes."""
        return self._api

    async def wait_until_reachable(self, *, patience: float) -> None:
        """Wait until the API answers at all; raise `Temporary` after `patience` seconds.

        An administrator can use the API then. Others have to wait until it is ready.
        """
        await self._retry(self.get_version, patience)

    async def wait_until_ready(self, *, patience: float) -> None:
        """Wait until the API reports that it is ready; raise `Temporary` after `patience` seconds."""
        await self._retry(self._api.ready, patience)

    async def wait_for_controllers(self, *, patience: float) -> None:
        """Wait until the controller manager works: before it has created the first service account, pods are refused.

        Raises `Temporary` after `patience` seconds.
        """
        first = "/api/v1/namespaces/default/serviceaccounts/default"
        await self._retry(lambda: self._api.get(first, "waiting for the controller manager"), patience)

    async def _retry(self, ask: Callable[[], Awaitable[object]], patience: float) -> None:
        deadline = self._clock.monotonic() + patience
        while True:
            try:
                await ask()
            except DriverError as error:
                if self._clock.monotonic() >= deadline:
                    raise Temporary(error.reason) from error
                await self._clock.sleep(POLL_SECONDS)
            else:
                return

    async def list_nodes(self) -> list[KubernetesNode]:
        """Return all nodes of the cluster."""
        answer = await self._api.get("/api/v1/nodes", "asking the cluster for its nodes")
        return [_read_node(item) for item in answer["items"]]

    async def get_version(self) -> str:
        """Return the API server's version, as `v1.36.3`."""
        return str((await self._api.get("/version", "asking for the version"))["gitVersion"])

    async def apply_access(self, *, flannel: bool) -> None:
        """Apply the roles that the cluster's own certificates need."""
        await self.apply_file("access.yaml", {})
        if flannel:
            await self.apply_file("flannel.yaml", {})

    async def apply_dns(self, dns: str) -> None:
        """Apply CoreDNS, which resolves names of services and pods at that address."""
        await self.apply_file("coredns.yaml", {"@DNS@": dns})

    async def apply_file(self, name: str, words: Mapping[str, object]) -> None:
        """Apply the objects of one of our YAML files, with these placeholders replaced."""
        for resource in _load_objects(name, words):
            await self.apply(_object_path(resource), resource)

    async def remove_file_objects(self, name: str, words: Mapping[str, object]) -> None:
        """Remove the objects of one of our YAML files, in reverse order."""
        for resource in reversed(_load_objects(name, words)):
            await self._api.delete(
                _object_path(resource), f"removing {resource['kind']} {resource['metadata']['name']}"
            )

    async def apply(self, path: str, resource: Mapping[str, Any]) -> None:
        """Apply that object."""
        await self._api.apply(path, resource, f"applying {resource['kind']} {resource['metadata']['name']}")

    async def get_annotations(self, path: str) -> Mapping[str, str] | None:
        """Return the annotations of the object at that path; None when there is no such object."""
        try:
            resource = await self._api.get(path, f"looking at {path}")
        except ObjectNotFound:
            return None
        annotations: Mapping[str, str] = resource["metadata"].get("annotations") or {}
        return annotations

    async def assign_pod_ranges(self, ranges: Mapping[str, str]) -> None:
        """Assign pod ranges to nodes by name. A node keeps its range for ever."""
        for name, addresses in ranges.items():
            change = {"spec": {"podCIDR": addresses, "podCIDRs": [addresses]}}
            # A node that somebody has just removed needs none.
            with suppress(ObjectNotFound):
                await self._api.patch(f"/api/v1/nodes/{name}", change, f"giving node {name} addresses for its pods")

    async def configure_node(self, node: KubernetesNode, member: Member) -> None:
        """Set the node's labels and taints, and make it schedulable if we have drained it and it is ready again.

        Labels and taints of users are kept.
        """
        path, action = f"/api/v1/nodes/{node.name}", f"describing node {node.name}"
        for tries_left in reversed(range(_DESCRIBE_TRIES)):
            change = build_patch(node, member)
            if not change:
                return
            try:
                await self._api.patch(path, change, action)
            except Temporary:
                # Its kubelet, which writes every few seconds, may have written in between.
                if not tries_left:
                    raise
                node = _read_node(await self._api.get(path, action))
            else:
                return

    async def wait_for_services(self, *, patience: float) -> None:
        """Wait until every ready node forwards traffic to services, but at most `patience` seconds."""
        deadline = self._clock.monotonic() + patience
        while self._clock.monotonic() < deadline:
            ready = [node.name for node in await self.list_nodes() if node.ready]
            if all(await asyncio.gather(*(self._has_healthy_proxy(name) for name in ready))):
                return
            await self._clock.sleep(POLL_SECONDS)

    async def wait_for_endpoints(self, *, patience: float) -> None:
        """Wait until a controller manager leads, since only then the endpoints of services follow their pods.

        When the master with the leader is removed, another one leads 15 seconds later. Raises `Temporary` after
        `patience` seconds.
        """
        mark, action = secrets.token_hex(8), "asking whether services follow their pods"
        selector = f"kubernetes.io%2Fservice-name%3D{_NAMES},{FOLLOWED.replace('/', '%2F')}%3D{mark}"
        slices = f"/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices?labelSelector={selector}"
        try:
            change = {"metadata": {"labels": {FOLLOWED: mark}}}
            await self._api.patch(f"/api/v1/namespaces/kube-system/services/{_NAMES}", change, action)
        except ObjectNotFound:
            return
        deadline = self._clock.monotonic() + patience
        while not (await self._api.get(slices, action))["items"]:
            if self._clock.monotonic() >= deadline:
                raise Temporary("no controller manager of the cluster does its work")
            await self._clock.sleep(POLL_SECONDS)

    async def _has_healthy_proxy(self, name: str) -> bool:
        """Whether the node's kube-proxy reports that its rules are set."""
        try:
            await self._api.text(
                f"/api/v1/nodes/{name}:{_PROXY_HEALTH}/proxy/healthz", f"asking {name} for its services"
            )
        except DriverError:
            return False
        return True

    async def restart_own_pods(self, mark: str) -> None:
        """Restart our own pods, a few at a time, unless they have that mark already."""
        for namespace in _OWN_NAMESPACES:
            for kind in ("daemonsets", "deployments"):
                path = f"/apis/apps/v1/namespaces/{namespace}/{kind}"
                for workload in (await self._api.get(path, f"asking for the {kind} of {namespace}"))["items"]:
                    name, template = workload["metadata"]["name"], workload["spec"]["template"]
                    if (template["metadata"].get("annotations") or {}).get(TRUST) != mark:
                        change = {"spec": {"template": {"metadata": {"annotations": {TRUST: mark}}}}}
                        await self._api.patch(f"{path}/{name}", change, f"restarting {name}")

    async def reseal_secrets(self) -> None:
        """Rewrite every secret unchanged: the API encrypts it with the first of its keys.

        A secret that has that key already costs no write.
        """
        action = "sealing the cluster's secrets"
        secret_names = await self._api.list_metadata("/api/v1/secrets", action)
        for start in range(0, len(secret_names), _SEALED_AT_ONCE):
            batch = secret_names[start : start + _SEALED_AT_ONCE]
            await asyncio.gather(*(self._rewrite_secret(secret["namespace"], secret["name"]) for secret in batch))

    async def _rewrite_secret(self, namespace: str, name: str) -> None:
        # A secret that somebody has just removed is no error.
        with suppress(ObjectNotFound):
            path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
            await self._api.patch(path, {}, f"sealing secret {namespace}/{name}")

    async def cordon(self, node: KubernetesNode) -> None:
        """Make the node unschedulable. A node that a user has cordoned stays so afterwards."""
        if not node.unschedulable:
            change = {"metadata": {"annotations": {DRAINED: "true"}}, "spec": {"unschedulable": True}}
            await self._api.patch(f"/api/v1/nodes/{node.name}", change, f"cordoning node {node.name}")

    async def remove_node(self, name: str) -> None:
        """Delete the node from the cluster."""
        await self._api.delete(f"/api/v1/nodes/{name}", f"removing node {name} from the cluster")

    async def read_load(self) -> ClusterLoad:
        """Return all nodes, pods and volumes, as the API shows them."""
        kinds = ("nodes", "pods", "persistentvolumes")
        requests = (self._api.get(f"/api/v1/{kind}", f"asking the cluster for its {kind}") for kind in kinds)
        nodes, pods, volumes = await asyncio.gather(*requests)
        return ClusterLoad(nodes=nodes["items"], pods=pods["items"], volumes=volumes["items"])

    async def list_movable_pods(self, node: KubernetesNode) -> list[dict[str, Any]]:
        """Return the node's pods that a drain evicts, as the API shows them, and those that terminate.

        Only the kubelet removes a terminated pod, which may take long after the kubelet has restarted.
        """
        query = f"/api/v1/pods?fieldSelector=spec.nodeName%3D{node.name}"
        answer = await self._api.get(query, f"asking what runs on node {node.name}")
        return [
            pod
            for pod in answer["items"]
            if not stays_on_drain(pod) or (is_terminating(pod) and not _belongs_to_node(pod))
        ]

    async def evict(self, pod: Mapping[str, Any]) -> str:
        """Evict the pod, so that its controller starts it elsewhere; return why it stays for now, or an empty text."""
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        }
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
        try:
            await self._api.post(path, body, f"moving pod {namespace}/{name} away")
        except ObjectNotFound:
            return ""
        except EvictionRefused as error:
            return f"is kept by a disruption budget: {error.rule}"
        except Temporary as error:
            return f"stays: {error.reason}"
        return ""


def build_patch(node: KubernetesNode, member: Member) -> dict[str, Any]:
    """Return the merge patch that brings the node to its desired state; empty when it has it."""
    change = marks.build_patch(node.labels, node.taints, node.annotations, member)
    if "spec" in change:
        # Taints are replaced as a whole, and the cluster's controllers set some too: the version excludes lost updates.
        change["metadata"] = {**change.get("metadata", {}), "resourceVersion": node.resource_version}
    if not node.provider_id and member.provider_id is not None:
        # Kubelets of earlier releases did not set it, nor can one whose server had no id yet when its script was
        # written. Once set it cannot be changed.
        change["spec"] = {**change.get("spec", {}), "providerID": member.provider_id}
    if node.ready and DRAINED in node.annotations:
        meta = change.setdefault("metadata", {})
        meta["annotations"] = {**meta.get("annotations", {}), DRAINED: None}
        change["spec"] = {**change.get("spec", {}), "unschedulable": False}
    return change


def _load_objects(name: str, words: Mapping[str, object]) -> list[dict[str, Any]]:
    text = (files(__package__) / name).read_text()
    for word, value in words.items():
        text = text.replace(word, str(value))
    resources: list[dict[str, Any]] = yaml.safe_load(text)
    return resources


def _object_path(resource: Mapping[str, Any]) -> str:
    return "/" + _PLURALS[resource["kind"]].format_map({"namespace": "", **resource["metadata"]})


def stays_on_drain(pod: Mapping[str, Any]) -> bool:
    """Whether a drain leaves the pod alone: it belongs to the node, or it has ended."""
    return _belongs_to_node(pod) or pod["status"].get("phase") in {"Succeeded", "Failed"}


def _belongs_to_node(pod: Mapping[str, Any]) -> bool:
    meta = pod["metadata"]
    owners: Iterable[Mapping[str, Any]] = meta.get("ownerReferences") or ()
    has_node_owner = any(owner["kind"] in {"DaemonSet", "Node"} for owner in owners)
    return has_node_owner or "kubernetes.io/config.mirror" in (meta.get("annotations") or {})


def is_terminating(pod: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _read_node(resource: Mapping[str, Any]) -> KubernetesNode:
    conditions: Sequence[Mapping[str, str]] = resource["status"].get("conditions") or ()
    ready, network = (
        next((condition for condition in conditions if condition["type"] == kind), {})
        for kind in ("Ready", "NetworkUnavailable")
    )
    return KubernetesNode(
        name=resource["metadata"]["name"],
        ready=ready.get("status") == "True",
        reason=ready.get("message", "it has not said anything yet"),
        since=health.ready_transition_time(resource),
        shortages=health.list_shortages(resource),
        pods=resource["spec"].get("podCIDR", ""),
        has_pod_network=network.get("status") == "False",
        unschedulable=bool(resource["spec"].get("unschedulable")),
        labels=resource["metadata"].get("labels") or {},
        taints=resource["spec"].get("taints") or (),
        annotations=resource["metadata"].get("annotations") or {},
        resource_version=resource["metadata"]["resourceVersion"],
        machine=resource["status"]["nodeInfo"]["machineID"],
        provider_id=resource["spec"].get("providerID", ""),
        runtime=resource["status"]["nodeInfo"]["containerRuntimeVersion"],
    )
