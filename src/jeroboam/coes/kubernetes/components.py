"""The configuration of a node's programs: the kubelet, kube-proxy, and the control plane through kubeadm.

Neighbours: `node_script`, which writes it into nodes; `options` and `flags`, which read the labels; `security`, which
adds its part to the API server's settings.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from jeroboam.coes.base import CoePlan, Member
from jeroboam.coes.kubernetes import flags, security
from jeroboam.coes.kubernetes.options import list_sans, read_networks
from jeroboam.domain.clusters import MASTER, WORKER

API_PORT = 6443
PKI = "/etc/kubernetes/pki"
SIGNING = f"{PKI}/signing.crt"
KUBELET_CERTIFICATE = f"{PKI}/kubelet.crt"
KUBELET_KEY = f"{PKI}/kubelet.key"
PROXY_ACCESS = "/etc/kubernetes/kube-proxy.conf"
PROXY_MODE = "@PROXY@"
"""`node.sh` replaces it when kube-proxy starts, with the mode that the node's kernel supports."""


# Memory that a node's programs use besides its pods: measured, plus a small reserve.
_OWN_PROGRAMS = {MASTER: "192Mi", WORKER: "128Mi"}
# The thresholds of eviction. Memory is the node's own. Disk and processes are the machine's: a percentage of a large
# machine would be far too much, and all nodes would evict pods at once when the machine fills.
_EVICTION = {
    "memory.available": "5%",
    "nodefs.available": "1Gi",
    "nodefs.inodesFree": "1%",
    "imagefs.available": "1Gi",
    "imagefs.inodesFree": "1%",
    "pid.available": "1000",
}


def api_port(plan: CoePlan) -> int:
    """Return the port of the API, on masters and on the load balancer."""
    return plan.template.apiserver_port or API_PORT


def api_url(plan: CoePlan) -> str:
    """Return the URL of the cluster's API: that of the load balancer, or of the only master."""
    return f"https://{plan.balancer or plan.masters[0].address}:{api_port(plan)}"


def master_api_url(plan: CoePlan, master: Member) -> str:
    """Return the URL of that master's own API server."""
    return f"https://{master.address}:{api_port(plan)}"


def build_kubelet_config(plan: CoePlan, member: Member) -> dict[str, Any]:
    """Return the configuration of that node's kubelet."""
    taints = [dict(taint) for taint in member.taints]
    config: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{PKI}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": KUBELET_CERTIFICATE,
        "tlsPrivateKeyFile": KUBELET_KEY,
        "cgroupDriver": "cgroupfs",
        "clusterDNS": [read_networks(plan.labels).dns],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "systemReserved": {"cpu": "100m", "memory": _OWN_PROGRAMS[member.role]},
        "evictionHard": _EVICTION,
        "imageGCHighThresholdPercent": 100,
        "failCgroupV1": False,
        "failSwapOn": False,
        # The kubelet checks often and reports only changes. With the first setting alone it would report its whole
        # status each time, and every node hears the reports of all others.
        "nodeStatusUpdateFrequency": "2s",
        "nodeStatusReportFrequency": "5m",
    }
    if member.provider_id is not None:
        config["providerID"] = member.provider_id
    if member.role == MASTER:
        config["staticPodPath"] = "/etc/kubernetes/manifests"
        # The control plane's programs exit when the API is not ready in time; the default back-off (10 s, 20 s, 40 s)
        # would be a long wait.
        config["crashLoopBackOff"] = {"maxContainerRestartPeriod": "1s"}
        taints.append({"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"})
    if taints:
        config["registerWithTaints"] = taints
    return config


def list_kubelet_arguments(plan: CoePlan, member: Member) -> list[str]:
    """Return the user's arguments of that node's kubelet; the node group overrides the cluster."""
    return flags.format_arguments(flags.parse_options(flags.KUBELET, {**plan.labels, **member.options}))


def build_kubeadm_config(plan: CoePlan, member: Member) -> list[dict[str, Any]]:
    """Return kubeadm's configuration for that master; the node fills in the version."""
    nets = read_networks(plan.labels)
    leader_election = [] if len(plan.masters) > 1 else [("leader-elect", "false")]
    endpoint = {} if plan.balancer is None else {"controlPlaneEndpoint": f"{plan.balancer}:{api_port(plan)}"}
    names = [member.name, *member.addresses, *plan.balancer_addresses, *list_sans(plan.labels)]
    # A single member need not wait for the votes of others.
    etcd = [("heartbeat-interval", "50"), ("election-timeout", "250")]
    if len(plan.masters) > 1:
        etcd = [("initial-cluster", "@ETCD_MEMBERS@"), ("initial-cluster-state", "@ETCD_STATE@")]
    init = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        "localAPIEndpoint": {"advertiseAddress": member.address, "bindPort": api_port(plan)},
        "nodeRegistration": {
            "name": member.name,
            "criSocket": "unix:///run/containerd/containerd.sock",
            "imagePullPolicy": "IfNotPresent",
        },
    }
    cluster = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "clusterName": plan.cluster_name,
        **endpoint,
        "kubernetesVersion": "@VERSION@",
        "encryptionAlgorithm": "ECDSA-P256",
        "networking": {"podSubnet": str(nets.pods), "serviceSubnet": str(nets.services)},
        "apiServer": {
            "certSANs": names,
            "extraArgs": _merge_args(
                [
                    *security.list_api_server_options(plan, api_url(plan)),
                    ("enable-admission-plugins", ",".join(flags.list_admission_plugins(plan.labels))),
                    ("kubelet-certificate-authority", f"{PKI}/ca.crt"),
                ],
                flags.parse_options(flags.API_SERVER, plan.labels),
            ),
            "extraVolumes": security.list_volumes(),
        },
        "etcd": {"local": {"dataDir": "/var/lib/etcd", "extraArgs": _merge_args(etcd, [])}},
        # By default it spends seconds on creating a token for each of its controllers before any of them works.
        "controllerManager": {
            "extraArgs": _merge_args(
                [
                    *leader_election,
                    # It signs with one authority, also while another one is trusted.
                    ("cluster-signing-cert-file", SIGNING),
                    ("kube-api-qps", "500"),
                    ("kube-api-burst", "1000"),
                    # We assign the pod ranges of nodes, before the controller manager is up.
                    ("allocate-node-cidrs", "false"),
                ],
                flags.parse_options(flags.CONTROLLER_MANAGER, plan.labels),
            )
        },
        "scheduler": {"extraArgs": _merge_args(leader_election, flags.parse_options(flags.SCHEDULER, plan.labels))},
    }
    return [init, cluster]


def build_proxy_config(plan: CoePlan) -> dict[str, Any]:
    """Return the configuration of kube-proxy. Nodes differ only in the mode that their kernel supports."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": PROXY_MODE,
        "clientConnection": {"kubeconfig": PROXY_ACCESS},
        "clusterCIDR": str(read_networks(plan.labels).pods),
        # A node in a container may not set these sysctls.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        **flags.build_proxy_options(plan.labels),
    }


def _merge_args(defaults: Iterable[tuple[str, str]], overrides: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Return options in kubeadm's form; the user's replace our defaults."""
    overridden_names = {name for name, _ in overrides}
    merged_args = [*((name, value) for name, value in defaults if name not in overridden_names), *overrides]
    return [{"name": name, "value": value} for name, value in merged_args]
