"""What a Kubernetes cluster's own API says of its nodes, and what is done to them there.

Neighbours: the COE, which decides what should happen. Nodes are known by name: names of nodes are never used twice.
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
from jeroboam.coes.kubernetes.machine_id import provider_id
from jeroboam.domain.errors import DriverError, Temporary
from jeroboam.kit.clock import Clock

DRAINED = "jeroboam.io/drained"
"""A node with this annotation takes no work for a while, by our doing."""
TRUST = "jeroboam.io/trust"
"""Pods with this annotation were started after the cluster's authority was replaced by the one that it names."""
FOLLOWED = "jeroboam.io/followed"
"""What this label of a service says, its endpoints say after it as soon as somebody keeps them."""
POLL_SECONDS = 0.1
_DESCRIBE_TRIES = 5
_SEALED_AT_ONCE = 20

_OWN_NAMESPACES = ("kube-system", "local-path-storage")
_PROXY_HEALTH = 10256
# The service that every cluster of ours has.
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
    """Since when it is ready, or is not."""
    shortages: Mapping[str, str]
    """What it runs short of, with its word on that."""
    pods: str
    """The addresses of its pods, as `10.100.3.0/24`; empty until it is given some."""
    networked: bool
    """Whether its pods reach those of other nodes: flannel says so, once."""
    unschedulable: bool
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, str]]
    annotations: Mapping[str, str]
    written: str
    """Which of its states this is."""
    machine: str
    """What its kubelet says its machine is."""
    provider_id: str
    """Which server it is, as `openstack:///UUID`; empty until somebody says."""
    runtime: str
    """What runs its containers, as `containerd://2.2.1`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterLoad:
    """What a cluster has to do, and where: objects as the API shows them."""

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
        """The cluster's API, for what is not about nodes that are there."""
        return self._api

    async def serves(self, *, patience: float) -> None:
        """Wait until the API answers at all; raises `Temporary` after so many seconds.

        Whoever may do everything can be served then; what is for others to do waits until it is ready.
        """
        await self._patiently(self.version, patience)

    async def answers(self, *, patience: float) -> None:
        """Wait until the API says that it is ready; raises `Temporary` after so many seconds."""
        await self._patiently(self._api.ready, patience)

    async def works(self, *, patience: float) -> None:
        """Wait until what is wanted is made to be: pods are refused until the controller manager has done its first.

        Raises `Temporary` after so many seconds.
        """
        first = "/api/v1/namespaces/default/serviceaccounts/default"
        await self._patiently(lambda: self._api.get(first, "waiting for the controller manager"), patience)

    async def _patiently(self, ask: Callable[[], Awaitable[object]], patience: float) -> None:
        until = self._clock.monotonic() + patience
        while True:
            try:
                await ask()
            except DriverError as error:
                if self._clock.monotonic() >= until:
                    raise Temporary(error.reason) from error
                await self._clock.sleep(POLL_SECONDS)
            else:
                return

    async def all(self) -> list[KubernetesNode]:
        """Every node that the cluster has."""
        answer = await self._api.get("/api/v1/nodes", "asking the cluster for its nodes")
        return [_node(item) for item in answer["items"]]

    async def version(self) -> str:
        """The API server's version, as `v1.36.3`."""
        return str((await self._api.get("/version", "asking for the version"))["gitVersion"])

    async def access(self, *, flannel: bool) -> None:
        """Let the cluster's own certificates do what they are for."""
        await self.have("access.yaml", {})
        if flannel:
            await self.have("flannel.yaml", {})

    async def names(self, dns: str) -> None:
        """Have names of services and pods, answered by CoreDNS at that address."""
        await self.have("coredns.yaml", {"@DNS@": dns})

    async def have(self, name: str, words: Mapping[str, object]) -> None:
        """Apply the objects of one of our files, with these words filled in."""
        for resource in _objects(name, words):
            await self.apply(_path(resource), resource)

    async def lack(self, name: str, words: Mapping[str, object]) -> None:
        """Remove the objects of one of our files, the last first."""
        for resource in reversed(_objects(name, words)):
            await self._api.delete(_path(resource), f"removing {resource['kind']} {resource['metadata']['name']}")

    async def apply(self, path: str, resource: Mapping[str, Any]) -> None:
        """Have that object so."""
        await self._api.apply(path, resource, f"applying {resource['kind']} {resource['metadata']['name']}")

    async def annotations(self, path: str) -> Mapping[str, str] | None:
        """Those of the object at that path; None where there is no such object."""
        try:
            resource = await self._api.get(path, f"looking at {path}")
        except ObjectNotFound:
            return None
        annotations: Mapping[str, str] = resource["metadata"].get("annotations") or {}
        return annotations

    async def number(self, ranges: Mapping[str, str]) -> None:
        """Give the addresses of pods to nodes that have none, by name: for good, a node cannot get others."""
        for name, addresses in ranges.items():
            change = {"spec": {"podCIDR": addresses, "podCIDRs": [addresses]}}
            # One that somebody has just removed needs none.
            with suppress(ObjectNotFound):
                await self._api.patch(f"/api/v1/nodes/{name}", change, f"giving node {name} addresses for its pods")

    async def describe(self, node: KubernetesNode, member: Member) -> None:
        """Give the node its labels and taints, and work if it was drained by us and is well again.

        What users added stays.
        """
        path, action = f"/api/v1/nodes/{node.name}", f"describing node {node.name}"
        for tries_left in reversed(range(_DESCRIBE_TRIES)):
            change = description(node, member)
            if not change:
                return
            try:
                await self._api.patch(path, change, action)
            except Temporary:
                # Its kubelet may have written in between, as it does every few seconds.
                if not tries_left:
                    raise
                node = _node(await self._api.get(path, action))
            else:
                return

    async def serve(self, *, patience: float) -> None:
        """Wait until services are reached through every node that is ready, or so many seconds."""
        until = self._clock.monotonic() + patience
        while self._clock.monotonic() < until:
            ready = [node.name for node in await self.all() if node.ready]
            if all(await asyncio.gather(*(self._proxies(name) for name in ready))):
                return
            await self._clock.sleep(POLL_SECONDS)

    async def follow(self, *, patience: float) -> None:
        """Wait until services follow their pods: nobody sees to that before a controller manager leads.

        When a master goes with the one that led, another takes its place 15 seconds later. Raises `Temporary` after so
        many seconds.
        """
        mark, action = secrets.token_hex(8), "asking whether services follow their pods"
        selector = f"kubernetes.io%2Fservice-name%3D{_NAMES},{FOLLOWED.replace('/', '%2F')}%3D{mark}"
        slices = f"/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices?labelSelector={selector}"
        try:
            change = {"metadata": {"labels": {FOLLOWED: mark}}}
            await self._api.patch(f"/api/v1/namespaces/kube-system/services/{_NAMES}", change, action)
        except ObjectNotFound:
            return
        until = self._clock.monotonic() + patience
        while not (await self._api.get(slices, action))["items"]:
            if self._clock.monotonic() >= until:
                raise Temporary("no controller manager of the cluster does its work")
            await self._clock.sleep(POLL_SECONDS)

    async def _proxies(self, name: str) -> bool:
        """Whether that node's kube-proxy says that its rules are there."""
        try:
            await self._api.text(
                f"/api/v1/nodes/{name}:{_PROXY_HEALTH}/proxy/healthz", f"asking {name} for its services"
            )
        except DriverError:
            return False
        return True

    async def restart_own(self, mark: str) -> None:
        """Have pods of ours made anew, a few at a time, unless they bear that mark already."""
        for namespace in _OWN_NAMESPACES:
            for kind in ("daemonsets", "deployments"):
                path = f"/apis/apps/v1/namespaces/{namespace}/{kind}"
                for workload in (await self._api.get(path, f"asking for the {kind} of {namespace}"))["items"]:
                    name, template = workload["metadata"]["name"], workload["spec"]["template"]
                    if (template["metadata"].get("annotations") or {}).get(TRUST) != mark:
                        change = {"spec": {"template": {"metadata": {"annotations": {TRUST: mark}}}}}
                        await self._api.patch(f"{path}/{name}", change, f"restarting {name}")

    async def seal(self) -> None:
        """Have every secret written once more as it is: the API seals it with the first of its keys.

        One that is sealed with that already costs no write.
        """
        action = "sealing the cluster's secrets"
        secret_names = await self._api.outlines("/api/v1/secrets", action)
        for at in range(0, len(secret_names), _SEALED_AT_ONCE):
            batch = secret_names[at : at + _SEALED_AT_ONCE]
            await asyncio.gather(*(self._rewrite(secret["namespace"], secret["name"]) for secret in batch))

    async def _rewrite(self, namespace: str, name: str) -> None:
        # One that somebody has just removed needs it no more.
        with suppress(ObjectNotFound):
            path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
            await self._api.patch(path, {}, f"sealing secret {namespace}/{name}")

    async def cordon(self, node: KubernetesNode) -> None:
        """Let no new work come to it; a node that its user has cordoned stays that way afterwards."""
        if not node.unschedulable:
            change = {"metadata": {"annotations": {DRAINED: "true"}}, "spec": {"unschedulable": True}}
            await self._api.patch(f"/api/v1/nodes/{node.name}", change, f"cordoning node {node.name}")

    async def forget(self, name: str) -> None:
        """Take the node off the cluster's list."""
        await self._api.delete(f"/api/v1/nodes/{name}", f"removing node {name} from the cluster")

    async def load(self) -> ClusterLoad:
        """All nodes, pods and volumes, as the API shows them."""
        kinds = ("nodes", "pods", "persistentvolumes")
        requests = (self._api.get(f"/api/v1/{kind}", f"asking the cluster for its {kind}") for kind in kinds)
        nodes, pods, volumes = await asyncio.gather(*requests)
        return ClusterLoad(nodes=nodes["items"], pods=pods["items"], volumes=volumes["items"])

    async def movable(self, node: KubernetesNode) -> list[dict[str, Any]]:
        """Its pods that a drain moves away, as the API shows them; also those that have ended while they go.

        Only its kubelet takes them off the list, and may be long about it after it was started anew.
        """
        query = f"/api/v1/pods?fieldSelector=spec.nodeName%3D{node.name}"
        answer = await self._api.get(query, f"asking what runs on node {node.name}")
        return [pod for pod in answer["items"] if not stays(pod) or (is_going(pod) and not _is_own(pod))]

    async def evict(self, pod: Mapping[str, Any]) -> str:
        """Have the pod end, for its controller to start it elsewhere; why it stays for now, if it does."""
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


def description(node: KubernetesNode, member: Member) -> dict[str, Any]:
    """What to merge into the node so that it is as it should be."""
    change = marks.change(node.labels, node.taints, node.annotations, member)
    if "spec" in change:
        # Taints are replaced as a whole, and the cluster's own controllers set some: not unless nothing changed.
        change["metadata"] = {**change.get("metadata", {}), "resourceVersion": node.written}
    if not node.provider_id:
        # It was a node before its kubelet said this; once said it cannot be changed.
        change["spec"] = {**change.get("spec", {}), "providerID": provider_id(member)}
    if node.ready and DRAINED in node.annotations:
        meta = change.setdefault("metadata", {})
        meta["annotations"] = {**meta.get("annotations", {}), DRAINED: None}
        change["spec"] = {**change.get("spec", {}), "unschedulable": False}
    return change


def _objects(name: str, words: Mapping[str, object]) -> list[dict[str, Any]]:
    text = (files(__package__) / name).read_text()
    for word, value in words.items():
        text = text.replace(word, str(value))
    resources: list[dict[str, Any]] = yaml.safe_load(text)
    return resources


def _path(resource: Mapping[str, Any]) -> str:
    return "/" + _PLURALS[resource["kind"]].format_map({"namespace": "", **resource["metadata"]})


def stays(pod: Mapping[str, Any]) -> bool:
    """Whether a drain leaves it: it is the node's own, or it has ended."""
    return _is_own(pod) or pod["status"].get("phase") in {"Succeeded", "Failed"}


def _is_own(pod: Mapping[str, Any]) -> bool:
    meta = pod["metadata"]
    owners: Iterable[Mapping[str, Any]] = meta.get("ownerReferences") or ()
    has_node_owner = any(owner["kind"] in {"DaemonSet", "Node"} for owner in owners)
    return has_node_owner or "kubernetes.io/config.mirror" in (meta.get("annotations") or {})


def is_going(pod: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _node(resource: Mapping[str, Any]) -> KubernetesNode:
    conditions: Sequence[Mapping[str, str]] = resource["status"].get("conditions") or ()
    ready, cut_off = (
        next((condition for condition in conditions if condition["type"] == kind), {})
        for kind in ("Ready", "NetworkUnavailable")
    )
    return KubernetesNode(
        name=resource["metadata"]["name"],
        ready=ready.get("status") == "True",
        reason=ready.get("message", "it has not said anything yet"),
        since=health.changed_at(resource),
        shortages=health.shortages(resource),
        pods=resource["spec"].get("podCIDR", ""),
        networked=cut_off.get("status") == "False",
        unschedulable=bool(resource["spec"].get("unschedulable")),
        labels=resource["metadata"].get("labels") or {},
        taints=resource["spec"].get("taints") or (),
        annotations=resource["metadata"].get("annotations") or {},
        written=resource["metadata"]["resourceVersion"],
        machine=resource["status"]["nodeInfo"]["machineID"],
        provider_id=resource["spec"].get("providerID", ""),
        runtime=resource["status"]["nodeInfo"]["containerRuntimeVersion"],
    )
