"""Options that users set on Kubernetes' own programs, as `--a=b --c=d` in a label: their parsing and validation.

A program exits at once when it does not know an option, and the cluster would wait for it until its deadline. So names
are checked against `flags.toml`, which `scripts/kubernetes_flags.py` writes from the programs themselves: run it when a
version is added. Values are checked by `flag_values`. Options that are ours, since another value would break the
cluster or its security, are named here and refused, with the reason. Neighbours: `components`, which writes the options
into configuration; `options`, whose `check` calls this.
"""

import functools
import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files

from jeroboam.coes.kubernetes import flag_values
from jeroboam.domain.errors import bad_label

KUBELET = "kubelet_options"
API_SERVER = "kubeapi_options"
SCHEDULER = "kubescheduler_options"
CONTROLLER_MANAGER = "kubecontroller_options"
PROXY = "kubeproxy_options"
ADMISSION = "admission_control_list"
"""Admission plugins of the API server, with commas, besides its default ones."""

_PROGRAMS = {
    KUBELET: "kubelet",
    API_SERVER: "kube-apiserver",
    SCHEDULER: "kube-scheduler",
    CONTROLLER_MANAGER: "kube-controller-manager",
}
_FLAG = re.compile(r"--([A-Za-z0-9][A-Za-z0-9-]*)(?:=(.*))?", re.DOTALL)

# Options that users may not set, with the reason; the first match counts.
_OWNED = tuple(
    (re.compile(names), reason)
    for names, reason in (
        (r"help|version|runonce|exit-on-lock-contention|write-config-to", "it ends the program"),
        (r"oidc-.*", "set the labels oidc_issuer_url, oidc_client_id and the other oidc labels instead"),
        (r"audit-log-max.*", "set the labels audit_log_maxage, audit_log_maxbackup and audit_log_maxsize instead"),
        (r"audit-.*", "set the label audit_log_enabled instead"),
        (r"(enable|disable)-admission-plugins|admission-control", f"set the label {ADMISSION} instead"),
        (r"service-cluster-ip-range|cluster-dns", "set the label service_cluster_ip_range instead"),
        (r"(cluster|pod)-cidr|node-cidr-mask-size.*|.*-node-cidrs", "set the labels flannel_network_* instead"),
        (r"node-labels", "set the field node_labels of a node group instead"),
        (r"register-with-taints", "set the field node_taints of a node group instead"),
        (r"runtime-config", ""),
        (r"(.*-)?(files?|dirs?|directory|path|socket|kubeconfig|config)", "it names a file, and nodes have their own"),
        (r"pv-recycler-pod-template-.*|.*-manifest", "it names a file, and nodes have their own"),
        (r"manifest-url.*|tls-sni-cert-key|tracing-.*|container-hints", "it needs something that nodes do not have"),
        (
            r"etcd-.*|storage-(backend|media-type)|encryption-.*|storage-driver-.*",
            "the service decides where the cluster stores its state",
        ),
        (r"service-account-.*|api-audiences|cluster-signing-.*", "the service decides what the cluster signs"),
        (r"anonymous-.*|auth.*|client-ca.*|token-auth.*|requestheader-.*|enable-bootstrap-token-auth", "access"),
        (r"use-service-account-credentials|rotate-.*|controller-start-interval", "access"),
        (r"(.*-)?(bind-address(-hard-fail)?|address|port)|advertise-.*|external-hostname", "address"),
        (r"healthz-.*|permit-(address|port)-sharing|enable-server|peer-.*", "address"),
        (r"service-node-port-range|kubernetes-service-node-port", ""),
        (
            r"kubelet-.*|proxy-client-.*|master|cluster-name|.*leader.*|controllers",
            "the service decides how the components of the cluster connect",
        ),
        (r"endpoint-reconciler-type|allow-privileged", "the service decides how the components of the cluster connect"),
        (r"cloud-provider|external-cloud-volume-plugin", "nodes here have no cloud provider"),
        (
            r"node-ip|hostname-override|register-node|provider-id|cluster-domain|resolv-conf",
            "the service sets the name and the network of each node",
        ),
        (r"cgroup.*|(image|container)-.*-endpoint|containerd.*|.*-cgroups?|root-dir|fail-.*", "machine"),
        (r"kernel-memcg-.*|protect-kernel-.*|make-iptables-.*|enforce-node-.*|oom-score-adj", "machine"),
    )
)
_REASONS = {
    "access": "the service controls authentication and authorization",
    "address": "the service sets the addresses of the components",
    "machine": "it does not fit the machine that a node runs on",
}
_GATES = "feature-gates"
_VERSION = "kube_tag"
# With any of these the cluster would not come up.
_PLUGINS = {
    "AlwaysDeny": "it rejects every request",
    "AlwaysPullImages": "the images that are part of a node are in no registry",
    "EventRateLimit": "it needs a file that nodes do not have",
    "ImagePolicyWebhook": "it needs a file that nodes do not have",
}
# kube-proxy's configuration file overrides its options: the field of the file for each option.
_PROXY = {
    "config-sync-period": ("duration", ("configSyncPeriod",)),
    "feature-gates": ("mapStringBool", ("featureGates",)),
    "iptables-localhost-nodeports": ("bool", ("iptables", "localhostNodePorts")),
    "iptables-masquerade-bit": ("int", ("iptables", "masqueradeBit")),
    "iptables-min-sync-period": ("duration", ("iptables", "minSyncPeriod")),
    "iptables-sync-period": ("duration", ("iptables", "syncPeriod")),
    "masquerade-all": ("bool", ("linux", "masqueradeAll")),
    "nodeport-addresses": ("strings", ("nodePortAddresses",)),
    "profiling": ("bool", ("enableProfiling",)),
    "proxy-mode": ("string", ("mode",)),
    "v": ("int", ("logging", "verbosity")),
}


def check(labels: Mapping[str, str]) -> None:
    """Raise `Invalid` for options that a program does not know, that users may not set, or with bad values."""
    for label in _PROGRAMS:
        parse_options(label, labels)
    build_proxy_options(labels)
    list_admission_plugins(labels)


def parse_options(label: str, labels: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the label's options as pairs of name (without dashes) and value. Raises `Invalid` as `check` does."""
    kinds = _load_known_flags()[_PROGRAMS[label]]
    options = _split_options(label, labels.get(label, ""))
    for name, value in options:
        if name not in kinds:
            raise bad_label(label, f"--{name}", f"{_PROGRAMS[label]} has no such option.")
        for names, reason in _OWNED:
            if names.fullmatch(name):
                if reason:
                    raise bad_label(label, f"--{name}", f"this option cannot be set: {_REASONS.get(reason, reason)}.")
                break
        _check_value(label, name, value, kinds[name], labels.get(_VERSION))
        if name == _GATES:
            _check_gates(label, value)
    if label == KUBELET and (reason := flag_values.explain_bad_combination(dict(options))):
        raise bad_label(label, labels.get(label, ""), reason)
    return options


def build_proxy_options(labels: Mapping[str, str]) -> dict[str, object]:
    """Return kube-proxy's options as fields of its configuration file. Raises `Invalid` as `check` does."""
    config: dict[str, object] = {}
    for name, value in _split_options(PROXY, labels.get(PROXY, "")):
        if name not in _PROXY:
            names = ", ".join(f"--{option}" for option in _PROXY)
            raise bad_label(PROXY, f"--{name}", f"only these options of kube-proxy can be set: {names}.")
        kind, (*above, last) = _PROXY[name]
        _check_value(PROXY, name, value, kind, None)
        if name == _GATES:
            _check_gates(PROXY, value)
        place = config
        for key in above:
            inner = place.setdefault(key, {})
            if not isinstance(inner, dict):
                raise TypeError(key)
            place = inner
        place[last] = _to_config_value(kind, value)
    return config


def list_admission_plugins(labels: Mapping[str, str]) -> list[str]:
    """Return the admission plugins besides the default ones. Raises `Invalid` for an unknown plugin."""
    plugins = [word.strip() for word in labels.get(ADMISSION, "").split(",") if word.strip()]
    for name in plugins:
        if name not in _load_known_flags()["admission"]:
            raise bad_label(ADMISSION, name, "the API server has no such admission plugin.")
        if name in _PLUGINS:
            raise bad_label(ADMISSION, name, f"a cluster cannot start with this plugin: {_PLUGINS[name]}.")
    return list(dict.fromkeys(["NodeRestriction", *plugins]))


def format_arguments(options: Sequence[tuple[str, str]]) -> list[str]:
    """Return options as arguments of a command line."""
    return [f"--{name}={value}" for name, value in options]


def _split_options(label: str, text: str) -> list[tuple[str, str]]:
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise bad_label(label, text, "a quote in it is not closed.") from error
    options = {}
    for part in parts:
        match = _FLAG.fullmatch(part)
        if match is None or not part.isprintable():
            raise bad_label(label, part, "it has to be options such as --name=value, with spaces between them.")
        options[match[1]] = "true" if match[2] is None else match[2]
    return list(options.items())


def _check_value(label: str, name: str, value: str, kind: str, tag: str | None) -> None:
    reason = flag_values.explain_bad_value(name, value, "mapStringBool" if name == _GATES else kind, tag)
    if reason:
        raise bad_label(label, f"--{name}={value}", reason)


def _check_gates(label: str, value: str) -> None:
    for word in value.split(","):
        if word.partition("=")[0] not in _load_known_flags()["gates"]:
            raise bad_label(label, f"--{_GATES}={word}", "there is no such feature gate.")


def _to_config_value(kind: str, value: str) -> object:
    """Return the value as a configuration file has it."""
    if kind == "int":
        return int(value)
    if kind == "bool":
        return value == "true"
    if kind == "strings":
        return value.split(",")
    if kind == "mapStringBool":
        return {key: setting == "true" for key, _, setting in (word.partition("=") for word in value.split(","))}
    return value


@functools.cache
def _load_known_flags() -> Mapping[str, Mapping[str, str]]:
    """Return the type of each option by program and name; feature gates and admission plugins are listed too."""
    table = tomllib.loads((files(__package__) / "flags.toml").read_text())
    return {
        program: {name: kind for kind, names in kinds.items() for name in names.split()}
        for program, kinds in table.items()
    }
