"""Checks that the cluster admits the right users and lets them do what their roles allow and nothing else.

Neighbours: `site`, which gives connections as other users.
"""

import json
from base64 import urlsafe_b64decode
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from jeroboam.checks.base import ClusterCheck
from jeroboam.checks.manifests import data
from jeroboam.checks.site import CheckContext, CheckFailed
from jeroboam.clients.kubernetes import AccessDenied, KubernetesApi

_NAME = "reader"
_RULE = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}
_DISCOVERY = "/.well-known/openid-configuration"
_GROUP = "rbac.authorization.k8s.io"


async def _rbac(site: CheckContext) -> str:
    await site.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": _NAME}})
    await site.apply(data("ConfigMap", "read", {"by": _NAME}))
    token_request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600},
    }
    token = await site.api.post(f"{site.path('ServiceAccount', _NAME)}/token", token_request, "asking for a token")
    own_path, system_path = site.path("ConfigMap", "read"), "/api/v1/namespaces/kube-system/configmaps"
    async with site.bearer(token["status"]["token"]) as reader:
        await _check_refused(reader, own_path, HTTPStatus.FORBIDDEN)
        role = {"apiVersion": f"{_GROUP}/v1", "kind": "Role", "metadata": {"name": _NAME}, "rules": [_RULE]}
        await site.apply(role)
        await site.apply(_build_role_binding(site))

        async def reads() -> bool:
            return await _read_status(reader, own_path) == HTTPStatus.OK

        await site.until("a role that was given", reads, bool)
        await _check_refused(reader, site.path("Secret"), HTTPStatus.FORBIDDEN)
        await _check_refused(reader, system_path, HTTPStatus.FORBIDDEN)
        await _check_refused(reader, "/api/v1/nodes", HTTPStatus.FORBIDDEN)
        await site.api.delete(site.path("RoleBinding", _NAME), "taking a role away")

        async def refused() -> bool:
            return await _read_status(reader, own_path) == HTTPStatus.FORBIDDEN

        await site.until("a role that was taken away", refused, bool)
    async with site.bearer("no-token-of-anybody") as stranger:
        await _check_refused(stranger, own_path, HTTPStatus.UNAUTHORIZED)
    return ""


def _build_role_binding(site: CheckContext) -> dict[str, object]:
    subject = {"kind": "ServiceAccount", "name": _NAME, "namespace": site.namespace}
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": _NAME},
        "roleRef": {"apiGroup": _GROUP, "kind": "Role", "name": _NAME},
        "subjects": [subject],
    }


async def _issuer(site: CheckContext) -> str:
    name = "shown"
    await site.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
    token_request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600},
    }
    token = await site.api.post(f"{site.path('ServiceAccount', name)}/token", token_request, "asking for a token")
    head, claims = (_decode_part(part) for part in token["status"]["token"].split(".")[:2])
    document = await site.api.get(_DISCOVERY, "asking for the issuer's document")
    if document["issuer"] != claims["iss"]:
        raise CheckFailed(f"tokens are of {claims['iss']}, and the document is of {document['issuer']}")
    keys = json.loads(await site.api.text(urlsplit(document["jwks_uri"]).path, "asking for the issuer's keys"))
    if head["kid"] not in {key["kid"] for key in keys["keys"]}:
        raise CheckFailed(
            f"the token is signed with {head['kid']}, which is not among the keys of {document['jwks_uri']}"
        )
    async with site.bearer("") as stranger:
        is_public = await _read_status(stranger, _DISCOVERY) == HTTPStatus.OK
    return f"{claims['iss']}; {'anybody' if is_public else 'nobody without a name'} may ask"


def _decode_part(part: str) -> dict[str, Any]:
    """Return a part of a token. The signature is not verified."""
    content: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return content


async def _read_status(user: KubernetesApi, path: str) -> int:
    """Return the status of the API's answer when that user reads the path."""
    try:
        await user.get(path, "reading as another user")
    except AccessDenied as denied:
        return denied.status
    return HTTPStatus.OK


async def _check_refused(user: KubernetesApi, path: str, expected_status: HTTPStatus) -> None:
    status = await _read_status(user, path)
    if status != expected_status:
        raise CheckFailed(f"{path} should be refused with {expected_status:d}, and the answer is {status:d}")


CHECKS = (
    ClusterCheck(name="rbac", about="users may do what their roles say, and strangers nothing", run=_rbac),
    ClusterCheck(
        name="issuer", about="whoever is shown a service account's token can look up whose it is", run=_issuer
    ),
)
