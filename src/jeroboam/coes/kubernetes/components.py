"""What the programs of a node are set to: the kubelet, and the control plane by way of kubeadm.

Neighbours: `boot`, which writes it into nodes; `options`, which reads the labels.
"""

from typing import Any

from jeroboam.coes.base import CoePlan, Member
from jeroboam.coes.kubernetes.options import networks, sans
from jeroboam.domain.clusters import MASTER

API_PORT = 6443
PKI = "/etc/kubernetes/pki"


def port(plan: CoePlan) -> int:
    """Where the API answers, on masters and on what stands before them."""
    return plan.template.apiserver_port or API_PORT


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
        "cgroupDriver": "cgroupfs",
        "clusterDNS": [networks(plan.labels).dns],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        # Nodes that share a machine's disk must not each take its filling for their own.
        "evictionHard": {"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "failCgroupV1": False,
        "failSwapOn": False,
        "nodeStatusUpdateFrequency": "2s",
    }
    if member.role == MASTER:
        config["staticPodPath"] = "/etc/kubernetes/manifests"
        taints.append({"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"})
    if taints:
        config["registerWithTaints"] = taints
    return config


def kubeadm(plan: CoePlan, member: Member) -> list[dict[str, Any]]:
    """What kubeadm makes of that master; the version is filled in where kubeadm is."""
    nets = networks(plan.labels)
    waiting = [] if len(plan.masters) > 1 else [{"name": "leader-elect", "value": "false"}]
    endpoint = {} if plan.balancer is None else {"controlPlaneEndpoint": f"{plan.balancer}:{port(plan)}"}
    names = [member.name, member.address, *([plan.balancer] if plan.balancer else []), *sans(plan.labels)]
    together = [
        {"name": "initial-cluster", "value": "@ETCD_MEMBERS@"},
        {"name": "initial-cluster-state", "value": "@ETCD_STATE@"},
    ]
    init = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        "localAPIEndpoint": {
            "advertiseAddress": member.address,
            "bindPort": port(plan),
        },
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
        "apiServer": {"certSANs": names},
        "etcd": {"local": {"dataDir": "/var/lib/etcd", "extraArgs": together if len(plan.masters) > 1 else []}},
        # By default it spends seconds on making a token for each of its parts, and no node is ready before.
        "controllerManager": {
            "extraArgs": [
                *waiting,
                {"name": "kube-api-qps", "value": "500"},
                {"name": "kube-api-burst", "value": "1000"},
                {"name": "node-cidr-mask-size", "value": str(nets.node_bits)},
            ]
        },
        "scheduler": {"extraArgs": waiting},
    }
    return [init, cluster]


def proxy(plan: CoePlan) -> dict[str, Any]:
    """The configuration of kube-proxy, on every node the same."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": "/var/lib/kube-proxy/kubeconfig.conf"},
        "clusterCIDR": str(networks(plan.labels).pods),
        # A node that is a container may not set these.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
