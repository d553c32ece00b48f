"""How a server becomes a node of a Kubernetes cluster: files and commands, for a master and for a worker.

All nodes may boot at the same moment: every kubelet has a client certificate of the cluster's authority from the
start, and waits for the API by itself. A master makes its own control plane with kubeadm, from authorities that are
laid into it; what lies in /etc is made again at every boot, what has to last is in the node's volume. What the node
image promises is said in `jeroboam.nodeimages.kubernetes`. Neighbours: `components` (what the programs are set to);
the COE, which asks.
"""

import base64
import json
import shlex
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from jeroboam.coes import sizes
from jeroboam.coes.base import Authority, CoePlan, Member
from jeroboam.coes.kubernetes import addons, network, proxies, registries, security
from jeroboam.coes.kubernetes.components import (
    KUBELET_CERTIFICATE,
    KUBELET_KEY,
    PKI,
    PROXY_ACCESS,
    SIGNING,
    kubeadm,
    kubelet,
    kubelet_options,
    port,
    proxy,
)
from jeroboam.coes.kubernetes.machine_id import MachineId
from jeroboam.domain.clusters import MASTER
from jeroboam.domain.nodes import NodeFile, NodeScript
from jeroboam.kit.clock import Clock
from jeroboam.kit.x509 import CLIENT, SERVER, KeyPair, issue, public_key

SERVICE_ACCOUNT = "service-account"
AUTHORITIES = ("main", "etcd", "front-proxy", SERVICE_ACCOUNT, security.ENCRYPTION)

_KUBEADM = "/etc/kubernetes/kubeadm.yaml"
_KUBELET = "/etc/kubernetes/kubelet.yaml"
_KUBELET_ACCESS = "/etc/kubernetes/kubelet.conf"
_ETCD_MEMBER = "/etc/kubernetes/etcd_member.sh"
_NODE = "/etc/kubernetes/node.sh"
_BOOTED = "/etc/kubernetes/booted-with"
# What kubeadm makes by itself; what is there from an earlier boot may be of an authority that is over.
_LEAVES = "rm -f " + " ".join(
    [
        f"{PKI}/{name}.{end}"
        for name in (
            *("apiserver", "apiserver-kubelet-client", "apiserver-etcd-client", "front-proxy-client"),
            *("etcd/server", "etcd/peer", "etcd/healthcheck-client"),
        )
        for end in ("crt", "key")
    ]
    + [f"/etc/kubernetes/{name}.conf" for name in ("admin", "super-admin", "controller-manager", "scheduler")]
)
_FOLDERS = {"main": "ca", "etcd": "etcd/ca", "front-proxy": "front-proxy-ca"}
# Of `kubeadm init` a node does what needs no API; what needs one comes afterwards, when there is one.
_LATER = (
    "preflight,kubelet-start,wait-control-plane,upload-config,upload-certs,mark-control-plane,bootstrap-token,"
    "kubelet-finalize,addon,show-join-command"
)


def script(plan: CoePlan, member: Member, clock: Clock) -> NodeScript:
    """How that node boots."""
    machine_id = MachineId.of(plan, member, clock.now())
    # Where the kernel knows no uuid of the system, the kubelet takes the machine's id for it.
    write_machine_id = (
        "sh",
        "-c",
        f"rm -f /etc/machine-id; echo {member.uuid} >/etc/machine-id; echo {machine_id} >{_BOOTED}",
    )
    size = sizes.command(member.uuid)
    beside = [_beside(plan, member, program) for program in _programs(plan)]
    is_master = member.role == MASTER
    program = ("sh", _NODE, "own-kubelet", *_server(plan, member), member.name) if is_master else ("kubelet",)
    stay = (
        *("/usr/lib/jeroboam/keep", *program, f"--config={_KUBELET}", f"--kubeconfig={_KUBELET_ACCESS}"),
        f"--machine-id-file={_BOOTED}",
        f"--node-ip={member.address}",
        f"--hostname-override={member.name}",
        *kubelet_options(plan, member),
    )
    if is_master:
        return _master(plan, member, _files(plan, member, clock), (write_machine_id, size), (*beside, stay))
    ca = NodeFile(path=f"{PKI}/ca.crt", content=plan.authorities["main"].trusted.encode())
    # What runs is kept: new ones read what is there by then, and pods run on meanwhile.
    # A kubelet that was started before this file was thought of reads the usual one.
    rewrite_machine_id = (
        f"[ -e {_BOOTED} ] || {{ rm -f /etc/machine-id; ln -s {_BOOTED} /etc/machine-id; }}; "
        f"echo {machine_id} >{_BOOTED}"
    )
    anew = (
        "sh",
        "-c",
        f"{rewrite_machine_id}; {shlex.join(size)}; killall kubelet {' '.join(_programs(plan).values())}",
    )
    wait_command = ("sh", _NODE, "kubelet", *_server(plan, member))
    files = (ca, *_files(plan, member, clock))
    return NodeScript(files=files, commands=(write_machine_id, size, wait_command, *beside, stay), reload=anew)


def _master(
    plan: CoePlan,
    member: Member,
    node_files: list[NodeFile],
    first: tuple[tuple[str, ...], ...],
    last: tuple[tuple[str, ...], ...],
) -> NodeScript:
    """A master, from what every node has, and does first and last."""
    config = b"---\n".join(_json(document) + b"\n" for document in kubeadm(plan, member))
    init = f'sed -i "s/@VERSION@/$(kubeadm version -o short)/" {_KUBEADM}'
    etcd_commands = _etcd(plan, member)
    local = ("kubeadm", "init", f"--config={_KUBEADM}", f"--skip-phases={_LATER}", "--ignore-preflight-errors=all")
    after = ("sh", _NODE, "control-plane", *_server(plan, member), "together" if etcd_commands else "alone")
    script_files = (
        *_authorities(plan),
        *security.files(plan),
        *node_files,
        NodeFile(path=_KUBEADM, content=config, mode=0o600),
    )
    script_files += (_shipped(_ETCD_MEMBER),) if etcd_commands else ()
    commands = (*first, ("sh", "-c", _LEAVES), ("sh", "-c", init), *etcd_commands, local, after, *last)
    return NodeScript(files=script_files, commands=commands, diagnosis=("sh", _NODE, "why"))


def _programs(plan: CoePlan) -> dict[str, str]:
    """What runs beside a node's kubelet, with the name of its process."""
    has_custom_network = network.driver(plan.template) == network.OWN
    return {"kube-proxy": "kube-proxy"} if has_custom_network else {"kube-proxy": "kube-proxy", "flannel": "flanneld"}


def _beside(plan: CoePlan, member: Member, program: str) -> tuple[str, ...]:
    """The command that starts it."""
    words = " ".join(["/usr/lib/jeroboam/keep", "sh", _NODE, program, *_server(plan, member), member.name])
    return ("sh", "-c", f"{words} &")


def _files(plan: CoePlan, member: Member, clock: Clock) -> list[NodeFile]:
    """What every node has."""

    def access(path: str, name: str, organizations: Sequence[str] = ()) -> NodeFile:
        content = _access(plan, member, clock, common_name=name, organizations=organizations)
        return NodeFile(path=path, content=_json(content), mode=0o600)

    registry = addons.registry_address(plan.labels)
    node_files = [
        _shipped(_NODE),
        sizes.script_file(),
        NodeFile(path=_KUBELET, content=_json(kubelet(plan, member))),
        access(_KUBELET_ACCESS, f"system:node:{member.name}", ["system:nodes"]),
        NodeFile(path="/etc/kubernetes/kube-proxy.yaml", content=_json(proxy(plan))),
        access(PROXY_ACCESS, "system:kube-proxy"),
        *_serving(plan, member, clock),
        *network.files(plan),
        *registries.files(plan, registry),
        *proxies.files(plan, registry),
    ]
    if "flannel" in _programs(plan):
        node_files.append(access("/etc/kubernetes/flannel.conf", "jeroboam:flannel"))
    return node_files


def _shipped(path: str) -> NodeFile:
    """The file of that name that lies beside this module."""
    return NodeFile(path=path, content=(files(__package__) / path.rpartition("/")[2]).read_bytes())


def _etcd(plan: CoePlan, member: Member) -> tuple[tuple[str, ...], ...]:
    """The commands that find out how this master's etcd comes together with the others'."""
    if len(plan.masters) == 1:
        return ()
    initial_cluster = ",".join(f"{master.name}=https://{master.address}:2380" for master in plan.masters)
    peers = " ".join(master.address for master in plan.masters if master.uuid != member.uuid)
    certs = tuple(
        ("kubeadm", "init", "phase", "certs", name, f"--config={_KUBEADM}")
        for name in ("etcd-ca", "etcd-healthcheck-client")
    )
    configure = (
        f"set -- $(sh {_ETCD_MEMBER} {member.name} {member.address} {initial_cluster} {peers}); "
        f'sed -i "s#@ETCD_STATE@#$1#; s#@ETCD_MEMBERS@#$2#" {_KUBEADM}'
    )
    return (*certs, ("sh", "-c", configure))


def _authorities(plan: CoePlan) -> list[NodeFile]:
    """What a master signs with."""
    files = []
    for kind, name in _FOLDERS.items():
        authority = plan.authorities[kind]
        files.append(NodeFile(path=f"{PKI}/{name}.crt", content=authority.trusted.encode()))
        files.append(NodeFile(path=f"{PKI}/{name}.key", content=authority.key, mode=0o600))
    files.append(NodeFile(path=SIGNING, content=plan.authorities["main"].pem.encode()))
    tokens = plan.authorities[SERVICE_ACCOUNT]
    files.append(NodeFile(path=f"{PKI}/sa.key", content=tokens.key, mode=0o600))
    publics = "".join(public_key(authority.pem) for authority in (tokens, *tokens.also))
    files.append(NodeFile(path=f"{PKI}/sa.pub", content=publics.encode()))
    return files


def _serving(plan: CoePlan, member: Member, clock: Clock) -> list[NodeFile]:
    """What the kubelet shows to those who ask it, which they can look at."""
    # Masters are told first: they accept the newest, whatever they show themselves.
    main = plan.authorities["main"].newest
    certificate = issue(
        ca=KeyPair(pem=main.pem, key=main.key),
        common_name=f"system:node:{member.name}",
        organizations=["system:nodes"],
        dns=[member.name],
        ips=[member.address],
        usages=[SERVER],
        now=clock.now(),
    )
    return [
        NodeFile(path=KUBELET_CERTIFICATE, content=certificate.pem.encode()),
        NodeFile(path=KUBELET_KEY, content=certificate.key, mode=0o600),
    ]


def _access(
    plan: CoePlan, member: Member, clock: Clock, *, common_name: str, organizations: Sequence[str]
) -> dict[str, Any]:
    """A program's way from that node to the API, with a certificate that says who it is."""
    main = plan.authorities["main"]
    newest = main.newest
    certificate = issue(
        ca=KeyPair(pem=newest.pem, key=newest.key),
        common_name=common_name,
        organizations=organizations,
        usages=[CLIENT],
        now=clock.now(),
    )
    server = "https://{}:{}".format(*_server(plan, member))
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "own", "cluster": {"server": server, "certificate-authority-data": _trust(main)}}],
        "users": [
            {
                "name": "own",
                "user": {
                    "client-certificate-data": _b64(certificate.pem.encode()),
                    "client-key-data": _b64(certificate.key),
                },
            }
        ],
        "contexts": [{"name": "own", "context": {"cluster": "own", "user": "own"}}],
        "current-context": "own",
    }


def _server(plan: CoePlan, member: Member) -> tuple[str, str]:
    """Address and port of the API server that this node asks: a master its own."""
    if member.role == MASTER:
        return member.address, str(port(plan))
    return plan.balancer or plan.masters[0].address, str(port(plan))


def _trust(authority: Authority) -> str:
    return _b64(authority.trusted.encode())


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _json(content: dict[str, Any]) -> bytes:
    """JSON is YAML too, and every program here reads it."""
    return json.dumps(content, indent=1).encode()
