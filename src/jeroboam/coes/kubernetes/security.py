"""The security settings of a cluster's API server: encryption, admission of pods, authentication and audit.

By default secrets are encrypted in etcd, pods may not access their nodes, and anonymous users see nothing but health.
The key that encrypts secrets follows from the authority `encryption`, so a rotation replaces it too. The COE's
`announce_authorities` has every secret written again before the old key goes.
Labels enable an audit log and the tokens of an OIDC issuer. All of it is files on the masters and options of the API
server. Neighbours: `components`, which passes the options to kubeadm; `node_script`, which writes the files; `options`,
whose `check` checks the labels.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates

from jeroboam.coes.base import Authority, CoePlan
from jeroboam.coes.kubernetes.label_flags import read_label_flag
from jeroboam.domain.errors import bad_label
from jeroboam.domain.nodes import NodeFile

ENCRYPTION = "encryption"
"""The authority whose key encrypts the cluster's secrets; it signs nothing. Before it is removed, every secret has to
be encrypted with the key of its successor."""

AUDIT = "audit_log_enabled"
AUDIT_NUMBERS = {"audit_log_maxage": 30, "audit_log_maxbackup": 10, "audit_log_maxsize": 100}
"""Defaults: days and number of files to keep, and MB of one file."""
OIDC_ISSUER = "oidc_issuer_url"
OIDC_CLIENT = "oidc_client_id"
OIDC_CA = "oidc_ca"
_OIDC_WORDS = (
    OIDC_ISSUER,
    OIDC_CLIENT,
    "oidc_username_claim",
    "oidc_username_prefix",
    "oidc_groups_claim",
    "oidc_groups_prefix",
)
LABELS = frozenset({AUDIT, *AUDIT_NUMBERS, *_OIDC_WORDS, OIDC_CA})

_FOLDER = "/etc/kubernetes/security"
_AUDIT_FOLDER = "/var/lib/kubernetes/audit"
_FORMER_ISSUER = "https://kubernetes.default.svc.cluster.local"
_KEY_OCTETS = 32
_NAME_LETTERS = 12
_NUMBER = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_URL = re.compile(r"https://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?(/[A-Za-z0-9._~%/-]*)?", re.ASCII)
# Error texts repeat only so many characters of a value that may be a key by mistake.
_FEW = 10
_WORD = re.compile(r"[!-~]{1,200}", re.ASCII)
# Anonymous requests may read these: they show only that the server is healthy, and the kubelet's probes use them.
_HEALTH = ("/livez", "/readyz", "/healthz")
# Verifiers of service account tokens read these anonymously. They contain public keys.
_DISCOVERY = ("/.well-known/openid-configuration", "/openid/v1/jwks")


def check(labels: Mapping[str, str]) -> None:
    """Raise `Invalid` for a label with a bad value."""
    read_label_flag(AUDIT, labels.get(AUDIT))
    for name in AUDIT_NUMBERS:
        if (value := labels.get(name)) is not None and _NUMBER.fullmatch(value) is None:
            raise bad_label(name, value, "it has to be a number from 1 to 99999.")
    _check_issuer(labels)


def _check_issuer(labels: Mapping[str, str]) -> None:
    issuer = labels.get(OIDC_ISSUER)
    if issuer is not None and _URL.fullmatch(issuer) is None:
        raise bad_label(OIDC_ISSUER, issuer, "it has to be a URL with https and no query.")
    for name in (*_OIDC_WORDS, OIDC_CA):
        if (value := labels.get(name)) is None:
            continue
        if issuer is None:
            raise bad_label(name, value[:_FEW], f"it has no meaning without {OIDC_ISSUER}.")
        if name != OIDC_CA and _WORD.fullmatch(value) is None:
            raise bad_label(name, value, "it has to be letters, digits and signs without spaces.")
    if issuer is not None and OIDC_CLIENT not in labels:
        raise bad_label(OIDC_ISSUER, issuer, f"it has no meaning without {OIDC_CLIENT}.")
    if (value := labels.get(OIDC_CA)) is not None:
        try:
            _read_certificates(value)
        except ValueError as error:
            reason = "it has to be certificates in PEM and nothing else, as they are or in base64."
            raise bad_label(OIDC_CA, value[:_FEW], reason) from error


def _read_certificates(text: str) -> str:
    """Return the certificates in PEM. The text may be base64 of PEM, which is easier to pass on a command line.

    Raises `ValueError` for anything else, and for a key beside them, because labels are shown to others.
    """
    pem = text if "-----BEGIN" in text else base64.b64decode("".join(text.split()), validate=True).decode()
    load_pem_x509_certificates(pem.encode())
    if "KEY-----" in pem:
        raise ValueError("a key is not for others to see")
    return pem


def build_files(plan: CoePlan) -> list[NodeFile]:
    """Return the security files of a master."""
    configs = {
        "encryption": _encryption_config(plan),
        "admission": _admission_config(),
        "authentication": _authentication_config(plan.labels),
        "audit": _audit_policy(),
    }
    return [
        NodeFile(path=f"{_FOLDER}/{name}.yaml", content=_json(config), mode=0o600) for name, config in configs.items()
    ]


def list_api_server_options(plan: CoePlan, issuer: str) -> list[tuple[str, str]]:
    """Return options of the API server; `issuer`, its own URL, is the issuer of service account tokens."""
    options = [
        ("encryption-provider-config", f"{_FOLDER}/encryption.yaml"),
        ("admission-control-config-file", f"{_FOLDER}/admission.yaml"),
        ("authentication-config", f"{_FOLDER}/authentication.yaml"),
        # New tokens have the first issuer. The others are former issuers, whose tokens stay valid until they expire.
        ("service-account-issuer", issuer),
        ("service-account-issuer", f"{_FORMER_ISSUER}/clusters/{plan.cluster_id}"),
        ("service-account-issuer", _FORMER_ISSUER),
        ("service-account-jwks-uri", f"{issuer}{_DISCOVERY[1]}"),
    ]
    if read_label_flag(AUDIT, plan.labels.get(AUDIT)):
        options += [
            ("audit-policy-file", f"{_FOLDER}/audit.yaml"),
            ("audit-log-path", f"{_AUDIT_FOLDER}/audit.log"),
            *((name.replace("_", "-"), plan.labels.get(name, str(default))) for name, default in AUDIT_NUMBERS.items()),
        ]
    return options


def list_volumes() -> list[dict[str, object]]:
    """Return the volumes that the API server needs for these options."""
    return [
        {"name": "security", "hostPath": _FOLDER, "mountPath": _FOLDER, "readOnly": True, "pathType": "Directory"},
        {
            "name": "audit",
            "hostPath": _AUDIT_FOLDER,
            "mountPath": _AUDIT_FOLDER,
            "readOnly": False,
            "pathType": "DirectoryOrCreate",
        },
    ]


def _encryption_config(plan: CoePlan) -> dict[str, Any]:
    """Return the encryption configuration: the first key encrypts; older keys and plain secrets can still be read."""
    authority = plan.authorities[ENCRYPTION]
    keys = [_derive_key(plan.cluster_id, member) for member in (authority, *authority.peers)]
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": [{"secretbox": {"keys": keys}}, {"identity": {}}]}],
    }


def _derive_key(cluster_id: str, authority: Authority) -> dict[str, str]:
    """Return a key derived from the authority's key, under a name that reveals nothing of it."""
    private = load_pem_private_key(authority.key, password=None)
    key_bytes = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    derived_key = HKDF(
        algorithm=hashes.SHA256(), length=_KEY_OCTETS, salt=cluster_id.encode(), info=b"jeroboam secrets in etcd"
    ).derive(key_bytes)
    name = hashlib.sha256(authority.pem.encode()).hexdigest()[:_NAME_LETTERS]
    return {"name": f"key-{name}", "secret": base64.b64encode(derived_key).decode()}


def _admission_config() -> dict[str, Any]:
    """Return the admission configuration: privileged pods are refused, unless their namespace allows them."""
    level = dict.fromkeys(("enforce", "warn"), "baseline")
    versions = {f"{mode}-version": "latest" for mode in level}
    security = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "defaults": {**level, **versions},
        "exemptions": {"usernames": [], "runtimeClasses": [], "namespaces": ["kube-system"]},
    }
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [{"name": "PodSecurity", "configuration": security}],
    }


def _authentication_config(labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the authentication configuration: anonymous users read health and public keys only; OIDC is optional."""
    config: dict[str, Any] = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": {"enabled": True, "conditions": [{"path": path} for path in (*_HEALTH, *_DISCOVERY)]},
    }
    if (issuer := labels.get(OIDC_ISSUER)) is not None:
        claim = labels.get("oidc_username_claim", "sub")
        # As with the API server's own options: the issuer prefixes user names, except for e-mail addresses.
        default_prefix = "" if claim == "email" else f"{issuer}#"
        prefix = labels.get("oidc_username_prefix", default_prefix)
        mappings = {"username": {"claim": claim, "prefix": "" if prefix == "-" else prefix}}
        if (groups := labels.get("oidc_groups_claim")) is not None:
            mappings["groups"] = {"claim": groups, "prefix": labels.get("oidc_groups_prefix", "")}
        issuer_config = {"url": issuer, "audiences": [labels[OIDC_CLIENT]]}
        if (authorities := labels.get(OIDC_CA)) is not None:
            issuer_config["certificateAuthority"] = _read_certificates(authorities)
        config["jwt"] = [{"issuer": issuer_config, "claimMappings": mappings}]
    return config


def _audit_policy() -> dict[str, Any]:
    """Return the audit policy: who did what to which object, without its content and without routine reads."""
    own_users = ["system:kube-controller-manager", "system:kube-scheduler", "system:apiserver", "system:kube-proxy"]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "nonResourceURLs": [f"{path}*" for path in _HEALTH]},
            {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
            {"level": "None", "users": own_users, "verbs": ["get", "list", "watch"]},
            {"level": "None", "userGroups": ["system:nodes"], "verbs": ["get", "list", "watch"]},
            {"level": "Metadata"},
        ],
    }


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1).encode()
