"""The configuration of kubectl for one cluster. Neighbours: `container_infra`, which gets the credentials."""

from base64 import b64encode
from typing import Any

from jeroboam.clients.container_infra import ClusterCredentials


def build_kubeconfig(*, cluster: str, user: str, context: str, access: ClusterCredentials) -> dict[str, Any]:
    """Return a configuration with one cluster, one user and one context of these names. JSON is YAML too."""
    server = {"server": access.url, "certificate-authority-data": _encode(access.ca_certificates.encode())}
    keys = {"client-certificate-data": _encode(access.own.pem.encode()), "client-key-data": _encode(access.own.key)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": server}],
        "users": [{"name": user, "user": keys}],
        "contexts": [{"name": context, "context": {"cluster": cluster, "user": user}}],
        "current-context": context,
    }


def _encode(content: bytes) -> str:
    return b64encode(content).decode()
