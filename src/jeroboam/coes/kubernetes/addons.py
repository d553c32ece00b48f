"""Add-ons that labels of a cluster enable: metrics of nodes and pods, local volumes, a registry.

They are applied when nodes have joined, and nobody waits until their pods run. The node image brings their images.
Neighbours: the COE, which calls; `node_ops`, which uses the cluster's API; the YAML files beside this, which define
the objects of each add-on.
"""

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from jeroboam.coes.base import Authority, CoePlan
from jeroboam.coes.kubernetes.label_flags import read_label_flag
from jeroboam.coes.kubernetes.node_ops import NodeOps
from jeroboam.coes.kubernetes.options import read_networks
from jeroboam.domain.clusters import TemplateSpec
from jeroboam.domain.errors import Invalid, bad_label
from jeroboam.kit.clock import Clock
from jeroboam.kit.x509 import SERVER, KeyPair, issue

METRICS = "metrics_server_enabled"
STORAGE = "local_storage_enabled"
LABELS = frozenset({METRICS, STORAGE})

_AUTHORITY = "jeroboam.io/authority"
_SERVING = "/api/v1/namespaces/kube-system/secrets/metrics-server"


@dataclass(frozen=True, kw_only=True, slots=True)
class _AddOn:
    """One add-on: the file with its objects, and the path of an object that exists only with the add-on."""

    file: str
    marker_path: str
    enabled: bool
    substitutions: Mapping[str, object] = field(default_factory=dict)


def check(template: TemplateSpec) -> None:
    """Raise `Invalid` for bad values of labels and fields."""
    for name in LABELS:
        read_label_flag(name, template.labels.get(name))
    if template.registry_enabled and not _is_enabled(STORAGE, template.labels):
        text = f"registry_enabled cannot be true where {STORAGE} is false: the registry keeps images on such a volume."
        raise Invalid(text, field="registry_enabled")


def check_change(old: TemplateSpec, new: TemplateSpec) -> None:
    """Raise `Invalid` for a change that would remove an add-on in use."""
    if _is_enabled(STORAGE, old.labels) and not _is_enabled(STORAGE, new.labels):
        raise bad_label(
            STORAGE, "false", "the storage class cannot be taken away: existing volumes could not be deleted any more."
        )


def registry_address(labels: Mapping[str, str]) -> str:
    """Return the address of the cluster's own registry inside the cluster: the one after CoreDNS's."""
    return str(read_networks(labels).services[11])


async def apply_addons(ops: NodeOps, plan: CoePlan, clock: Clock) -> None:
    """Apply the enabled add-ons and remove the others."""
    main = plan.authorities["main"]
    authority = hashlib.sha256(main.trust_bundle.encode()).hexdigest()[:16]
    ca = _b64(main.trust_bundle.encode())
    metrics = _is_enabled(METRICS, plan.labels)
    addons = (
        _AddOn(
            file="metrics_server.yaml",
            marker_path="/apis/apps/v1/namespaces/kube-system/deployments/metrics-server",
            enabled=metrics,
            substitutions={"@AUTHORITY@": authority, "@CA@": ca},
        ),
        _AddOn(
            file="local_storage.yaml",
            marker_path="/apis/storage.k8s.io/v1/storageclasses/local-path",
            enabled=_is_enabled(STORAGE, plan.labels),
        ),
        _AddOn(
            file="registry.yaml",
            marker_path="/apis/apps/v1/namespaces/kube-system/deployments/registry",
            enabled=plan.template.registry_enabled,
            substitutions={"@ADDRESS@": registry_address(plan.labels)},
        ),
    )
    if metrics:
        await _issue_metrics_certificate(ops, main, authority, clock)
    await asyncio.gather(*(_apply_addon(ops, addon) for addon in addons))


async def _apply_addon(ops: NodeOps, addon: _AddOn) -> None:
    if addon.enabled:
        await ops.apply_file(addon.file, addon.substitutions)
    elif await ops.get_annotations(addon.marker_path) is not None:
        await ops.remove_file_objects(addon.file, addon.substitutions)


async def _issue_metrics_certificate(ops: NodeOps, main: Authority, authority: str, clock: Clock) -> None:
    """Create the certificate of metrics-server, and replace it when the cluster's authority has changed."""
    annotations = await ops.get_annotations(_SERVING)
    if annotations is not None and annotations.get(_AUTHORITY) == authority:
        return
    certificate = issue(
        ca=KeyPair(pem=main.pem, key=main.key),
        common_name="metrics-server",
        dns=["metrics-server.kube-system.svc"],
        usages=[SERVER],
        now=clock.now(),
    )
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "metrics-server", "namespace": "kube-system", "annotations": {_AUTHORITY: authority}},
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": _b64(certificate.pem.encode()), "tls.key": _b64(certificate.key)},
    }
    await ops.apply(_SERVING, secret)


def _is_enabled(name: str, labels: Mapping[str, str]) -> bool:
    return read_label_flag(name, labels.get(name, "true"))


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()
