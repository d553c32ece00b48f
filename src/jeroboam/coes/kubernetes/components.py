"""What the programs of a node are set to: the kubelet, and the control plane by way of kubeadm.

Neighbours: `boot`, which writes it into nodes; `options` and `flags`, which read the labels; `security`, whose part of
the API server's settings this is with.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from jeroboam.coes.base import CoePlan, Member
from jeroboam.coes.kubernetes import flags, security
from jeroboam.coes.kubernetes.machine_id import provider_id
from jeroboam.coes.kubernetes.options import networks, sans
from jeroboam.domain.clusters import MASTER, WORKER

API_PORT = 6443
PKI = "/etc/kubernetes/pki"
SIGNING = f"{PKI}/signing.crt"
KUBELET_CERTIFICATE = f"{PKI}/kubelet.crt"
KUBELET_KEY = f"{PKI}/kubelet.key"
PROXY_ACCESS = "/etc/kubernetes/kube-proxy.conf"
PROXY_MODE = "@PROXY@"
"""Filled in where a proxy starts, with what that node's kernel can."""


# Memory that a node's programs take beside its pods, as it was measured, with a little more.
_OWN_PROGRAMS = {MASTER: "192Mi", WORKER: "128Mi"}
# When a node is short of something. Its memory is its own; the disk and the processes are the machine's, of which a
# part of a large machine is plenty, and on which nodes must not each take the filling for their own.
_EVICTION = {
    "memory.available": "5%",
    "nodefs.available": "1Gi",
    "nodefs.inodesFree": "1%",
    "imagefs.available": "1Gi",
    "imagefs.inodesFree": "1%",
    "pid.available": "1000",
}


def port(plan: CoePlan) -> int:
    """Where the API answers, on masters and on what stands before them."""
    return plan.template.apiserver_port or API_PORT


def api(plan: CoePlan) -> str:
    """Where the cluster's API answers: its load balancer, or its one master."""
    return f"https://{plan.balancer or plan.masters[0].address}:{port(plan)}"


def api_of(plan: CoePlan, master: Member) -> str:
    """Where that master's own API server answers."""
    return f"https://{master.address}:{port(plan)}"


def kubelet(plan: CoePlan, member: Member) -> dict[str, Any]:
    """The configuration of that node's kubelet."""
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
        "clusterDNS": [networks(plan.labels).dns],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "providerID": provider_id(member),
        "systemReserved": {"cpu": "100m", "memory": _OWN_PROGRAMS[member.role]},
        "evictionHard": _EVICTION,
        "imageGCHighThresholdPercent": 100,
        "failCgroupV1": False,
        "failSwapOn": False,
        # It looks often and tells what has changed; who said no more than that would tell all of it each time, and
        # every node hears what every other tells.
        "nodeStatusUpdateFrequency": "2s",
        "nodeStatusReportFrequency": "5m",
    }
    if member.role == MASTER:
        config["staticPodPath"] = "/etc/kubernetes/manifests"
        # Its programs end when the API is not there in time; ten seconds, twenty, forty are long for those who wait.
        config["crashLoopBackOff"] = {"maxContainerRestartPeriod": "1s"}
        taints.append({"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"})
    if taints:
        config["registerWithTaints"] = taints
    return config


def kubelet_options(plan: CoePlan, member: Member) -> list[str]:
    """What users set on that node's kubelet: its group's word counts more than the cluster's."""
    return flags.words(flags.of(flags.KUBELET, {**plan.labels, **member.options}))


def kubeadm(plan: CoePlan, member: Member) -> list[dict[str, Any]]:
    """What kubeadm makes of that master; the version is filled in where kubeadm is."""
    nets = networks(plan.labels)
    leader_election = [] if len(plan.masters) > 1 else [("leader-elect", "false")]
    endpoint = {} if plan.balancer is None else {"controlPlaneEndpoint": f"{plan.balancer}:{port(plan)}"}
    names = [member.name, member.address, *([plan.balancer] if plan.balancer else []), *sans(plan.labels)]
    # Who is alone need not wait for others' votes.
    etcd = [("heartbeat-interval", "50"), ("election-timeout", "250")]
    if len(plan.masters) > 1:
        etcd = [("initial-cluster", "@ETCD_MEMBERS@"), ("initial-cluster-state", "@ETCD_STATE@")]
    init = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        "localAPIEndpoint": {"advertiseAddress": member.address, "bindPort": port(plan)},
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
            "extraArgs": _args(
                [
                    *security.arguments(plan, api(plan)),
                    ("enable-admission-plugins", ",".join(flags.admission(plan.labels))),
                    ("kubelet-certificate-authority", f"{PKI}/ca.crt"),
                ],
                flags.of(flags.API_SERVER, plan.labels),
            ),
            "extraVolumes": security.volumes(),
        },
        "etcd": {"local": {"dataDir": "/var/lib/etcd", "extraArgs": _args(etcd, [])}},
        # By default it spends seconds on making a token for each of its parts, and nothing is made before.
        "controllerManager": {
            "extraArgs": _args(
                [
                    *leader_election,
                    # It signs with one authority, also while another is trusted beside it.
                    ("cluster-signing-cert-file", SIGNING),
                    ("kube-api-qps", "500"),
                    ("kube-api-burst", "1000"),
                    # Nodes get the addresses of their pods from us, before it has come up.
                    ("allocate-node-cidrs", "false"),
                ],
                flags.of(flags.CONTROLLER_MANAGER, plan.labels),
            )
        },
        "scheduler": {"extraArgs": _args(leader_election, flags.of(flags.SCHEDULER, plan.labels))},
    }
    return [init, cluster]


def proxy(plan: CoePlan) -> dict[str, Any]:
    """The configuration of kube-proxy, on every node the same but for what its kernel can."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": PROXY_MODE,
        "clientConnection": {"kubeconfig": PROXY_ACCESS},
        "clusterCIDR": str(networks(plan.labels).pods),
        # A node that is a container may not set these.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        **flags.proxy(plan.labels),
    }


def _args(defaults: Iterable[tuple[str, str]], overrides: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Options as kubeadm has them; what users set takes the place of ours."""
    overridden_names = {name for name, _ in overrides}
    merged_args = [*((name, value) for name, value in defaults if name not in overridden_names), *overrides]
    return [{"name": name, "value": value} for name, value in merged_args]
