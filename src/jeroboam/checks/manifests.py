"""The objects that checks create, as the Kubernetes API takes them.

Neighbours: `site` and the checks. The image contains busybox. A pod may run it with any Pod Security default of the
cluster, since the namespace sets the level *baseline*.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]

MARK = "jeroboam.io/check"
"""The label of all objects that checks create; its value is their namespace."""
PORT = 8080
"""The port on which servers in pods listen."""

PLURALS = {
    "Pod": "api/v1/namespaces/{namespace}/pods",
    "Service": "api/v1/namespaces/{namespace}/services",
    "ConfigMap": "api/v1/namespaces/{namespace}/configmaps",
    "Secret": "api/v1/namespaces/{namespace}/secrets",
    "ServiceAccount": "api/v1/namespaces/{namespace}/serviceaccounts",
    "PersistentVolumeClaim": "api/v1/namespaces/{namespace}/persistentvolumeclaims",
    "PersistentVolume": "api/v1/persistentvolumes",
    "DaemonSet": "apis/apps/v1/namespaces/{namespace}/daemonsets",
    "Deployment": "apis/apps/v1/namespaces/{namespace}/deployments",
    "ReplicaSet": "apis/apps/v1/namespaces/{namespace}/replicasets",
    "StatefulSet": "apis/apps/v1/namespaces/{namespace}/statefulsets",
    "Job": "apis/batch/v1/namespaces/{namespace}/jobs",
    "PodDisruptionBudget": "apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets",
    "Role": "apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
}

SLOW = ("DaemonSet", "Deployment", "StatefulSet", "Job", "Pod", "PersistentVolumeClaim")
"""The kinds whose deletion takes time: workloads, and the objects that workloads use."""


def namespace() -> Json:
    """Return a namespace whose name the API generates."""
    labels = {MARK: "namespace", "pod-security.kubernetes.io/enforce": "baseline"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"generateName": "jeroboam-check-", "labels": labels},
    }


def container(image: str, script: str, **fields: Any) -> Json:
    """Return a container that runs a script."""
    return {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        **fields,
    }


def server(image: str, says: str = "$POD", **fields: Any) -> Json:
    """Return a container that serves one line: `says`, by default its pod's name."""
    script = f'mkdir -p /www; echo "{says}" >/www/index.html; echo "$POD serves"; exec httpd -f -p {PORT} -h /www'
    name = {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    probe = {"tcpSocket": {"port": PORT}, "periodSeconds": 1}
    return container(image, script, env=[name], readinessProbe=probe, **fields)


def pod_spec(*containers: Json, grace: int = 1, **fields: Any) -> Json:
    """Return the spec of a check's pod: the pod holds no token and ends at once."""
    return {
        "terminationGracePeriodSeconds": grace,
        "automountServiceAccountToken": False,
        "containers": list(containers),
        **fields,
    }


def template(app: str, *containers: Json, grace: int = 1, **fields: Any) -> Json:
    """Return the pod template of a controller."""
    return {"metadata": {"labels": {"app": app}}, "spec": pod_spec(*containers, grace=grace, **fields)}


def daemon_set(app: str, *containers: Json) -> Json:
    """Return a DaemonSet: a pod on every node that takes work."""
    spec = {"selector": {"matchLabels": {"app": app}}, "template": template(app, *containers)}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": app}, "spec": spec}


def deployment(app: str, replicas: int, pods: Json, **fields: Any) -> Json:
    """Return a Deployment with `replicas` pods."""
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": pods, **fields}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": app}, "spec": spec}


def apart(app: str) -> Sequence[Json]:
    """Return the constraint that the pods of that app should run on different nodes."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": app}},
        }
    ]


def service(name: str, app: str, **fields: Any) -> Json:
    """Return a Service in front of the pods of an app."""
    spec = {"selector": {"app": app}, "ports": [{"port": 80, "targetPort": PORT}], **fields}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def data(kind: str, name: str, words: Mapping[str, str]) -> Json:
    """Return a ConfigMap or a Secret."""
    place = "stringData" if kind == "Secret" else "data"
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, place: dict(words)}
