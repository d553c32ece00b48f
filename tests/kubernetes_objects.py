"""Objects that tests hand to kubectl: a Deployment of busybox as users write one, and what stands beside it."""

import json

BUSYBOX = {"image": "docker.io/library/busybox:latest", "imagePullPolicy": "IfNotPresent"}


def written(version: str, kind: str, name: str, spec: dict) -> dict:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def deployment(name: str, *command: str, grace_seconds: int, spread: bool = False, **container) -> dict:
    """Two replicas, on different nodes where they are to be `spread`; what else is given is their container's."""
    labels = {"app": name}
    pod = {
        "terminationGracePeriodSeconds": grace_seconds,
        "containers": [{"name": name, **BUSYBOX, "command": list(command), **container}],
    }
    if spread:
        pod["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels},
            }
        ]
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return written("apps/v1", "Deployment", name, spec)


def service(name: str, *, node_port: int | None = None) -> dict:
    """Port 80 of the Deployment of that name, on every node too if a port is named."""
    spec = {"selector": {"app": name}}
    if node_port is None:
        return written("v1", "Service", name, spec | {"ports": [{"port": 80}]})
    return written("v1", "Service", name, spec | {"type": "NodePort", "ports": [{"port": 80, "nodePort": node_port}]})


def listed(*objects: dict) -> str:
    """What kubectl takes for all of them."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
