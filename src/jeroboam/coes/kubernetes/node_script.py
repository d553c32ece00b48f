"""The script that makes a server a node of a Kubernetes cluster: files and commands, for masters and for workers.

All nodes may boot at the same moment: every kubelet has a client certificate of the cluster's authority from the start,
and waits for the API by itself. A master creates its own control plane with kubeadm, from authorities in its files.
Files in /etc are written again at every boot; persistent data is in the node's volume. kube-proxy and flannel are
programs of the node and no pods (decision 0013): `node.sh` starts them. It also ends a master's API server before the
kubelet starts (`own-kubelet`): without its etcd that API server keeps the kubelet waiting for two minutes. The module
`jeroboam.nodeimages.kubernetes` documents what the node image provides. Neighbours: `components` (the configuration of
the programs); the COE, which calls.
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
    api_port,
    build_kubeadm_config,
    build_kubelet_config,
    build_proxy_config,
    list_kubelet_arguments,
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
# The files that kubeadm creates. Those of an earlier boot may be of an authority that was replaced.
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
# Phases of `kubeadm init` that need an API. They run afterwards, when the API is there.
_LATER = (
    "preflight,kubelet-start,wait-control-plane,upload-config,upload-certs,mark-control-plane,bootstrap-token,"
    "kubelet-finalize,addon,show-join-command"
)


def build_script(plan: CoePlan, member: Member, clock: Clock) -> NodeScript:
    """Return the script that the node boots with."""
    machine_id = MachineId.of(plan, member, clock.now())
    # Without a system uuid in the kernel, the kubelet uses the machine id instead.
    write_machine_id = (
        "sh",
        "-c",
        f"rm -f /etc/machine-id; echo {member.uuid} >/etc/machine-id; echo {machine_id} >{_BOOTED}",
    )
    size_command = sizes.build_command(member.uuid)
    background_commands = [_background_command(plan, member, program) for program in _programs(plan)]
    is_master = member.role == MASTER
    program = ("sh", _NODE, "own-kubelet", *_api_endpoint(plan, member), member.name) if is_master else ("kubelet",)
    main_command = (
        *("/usr/lib/jeroboam/keep", *program, f"--config={_KUBELET}", f"--kubeconfig={_KUBELET_ACCESS}"),
        f"--machine-id-file={_BOOTED}",
        f"--node-ip={member.address}",
        f"--hostname-override={member.name}",
        *list_kubelet_arguments(plan, member),
    )
    if is_master:
        return _build_master_script(
            plan,
            member,
            _build_node_files(plan, member, clock),
            (write_machine_id, size_command),
            (*background_commands, main_command),
        )
    ca = NodeFile(path=f"{PKI}/ca.crt", content=plan.authorities["main"].trust_bundle.encode())
    # Programs are restarted by `keep` and then read the new files; pods run on meanwhile.
    # A kubelet of an earlier release reads /etc/machine-id instead of this file.
    rewrite_machine_id = (
        f"[ -e {_BOOTED} ] || {{ rm -f /etc/machine-id; ln -s {_BOOTED} /etc/machine-id; }}; "
        f"echo {machine_id} >{_BOOTED}"
    )
    reload_command = (
        "sh",
        "-c",
        f"{rewrite_machine_id}; {shlex.join(size_command)}; killall kubelet {' '.join(_programs(plan).values())}",
    )
    wait_command = ("sh", _NODE, "kubelet", *_api_endpoint(plan, member))
    files = (ca, *_build_node_files(plan, member, clock))
    return NodeScript(
        files=files,
        commands=(write_machine_id, size_command, wait_command, *background_commands, main_command),
        reload=reload_command,
    )


def _build_master_script(
    plan: CoePlan,
    member: Member,
    node_files: list[NodeFile],
    first_commands: tuple[tuple[str, ...], ...],
    last_commands: tuple[tuple[str, ...], ...],
) -> NodeScript:
    """Return a master's script, given the files of every node and the first and last commands."""
    config = b"---\n".join(_json(document) + b"\n" for document in build_kubeadm_config(plan, member))
    fill_version = f'sed -i "s/@VERSION@/$(kubeadm version -o short)/" {_KUBEADM}'
    etcd_commands = _etcd_commands(plan, member)
    init_command = (
        "kubeadm",
        "init",
        f"--config={_KUBEADM}",
        f"--skip-phases={_LATER}",
        "--ignore-preflight-errors=all",
    )
    after_command = (
        "sh",
        _NODE,
        "control-plane",
        *_api_endpoint(plan, member),
        "together" if etcd_commands else "alone",
    )
    script_files = (
        *_authority_files(plan),
        *security.build_files(plan),
        *node_files,
        NodeFile(path=_KUBEADM, content=config, mode=0o600),
    )
    script_files += (_package_file(_ETCD_MEMBER),) if etcd_commands else ()
    commands = (
        *first_commands,
        ("sh", "-c", _LEAVES),
        ("sh", "-c", fill_version),
        *etcd_commands,
        init_command,
        after_command,
        *last_commands,
    )
    return NodeScript(files=script_files, commands=commands, diagnosis=("sh", _NODE, "why"))


def _programs(plan: CoePlan) -> dict[str, str]:
    """Return the programs that run beside the kubelet, with the names of their processes."""
    has_custom_network = network.network_driver(plan.template) == network.OWN
    return {"kube-proxy": "kube-proxy"} if has_custom_network else {"kube-proxy": "kube-proxy", "flannel": "flanneld"}


def _background_command(plan: CoePlan, member: Member, program: str) -> tuple[str, ...]:
    """Return the command that starts the program in the background."""
    words = " ".join(["/usr/lib/jeroboam/keep", "sh", _NODE, program, *_api_endpoint(plan, member), member.name])
    return ("sh", "-c", f"{words} &")


def _build_node_files(plan: CoePlan, member: Member, clock: Clock) -> list[NodeFile]:
    """Return the files of every node."""

    def access(path: str, name: str, organizations: Sequence[str] = ()) -> NodeFile:
        content = _build_kubeconfig(plan, member, clock, common_name=name, organizations=organizations)
        return NodeFile(path=path, content=_json(content), mode=0o600)

    registry = addons.registry_address(plan.labels)
    node_files = [
        _package_file(_NODE),
        sizes.build_script_file(),
        NodeFile(path=_KUBELET, content=_json(build_kubelet_config(plan, member))),
        access(_KUBELET_ACCESS, f"system:node:{member.name}", ["system:nodes"]),
        NodeFile(path="/etc/kubernetes/kube-proxy.yaml", content=_json(build_proxy_config(plan))),
        access(PROXY_ACCESS, "system:kube-proxy"),
        *_issue_kubelet_files(plan, member, clock),
        *network.build_files(plan),
        *registries.build_files(plan, registry),
        *proxies.build_files(plan, registry),
    ]
    if "flannel" in _programs(plan):
        node_files.append(access("/etc/kubernetes/flannel.conf", "jeroboam:flannel"))
    return node_files


def _package_file(path: str) -> NodeFile:
    """Return the file of that name from this package."""
    return NodeFile(path=path, content=(files(__package__) / path.rpartition("/")[2]).read_bytes())


def _etcd_commands(plan: CoePlan, member: Member) -> tuple[tuple[str, ...], ...]:
    """Return the commands that find out how this master's etcd joins the other members; empty for a single master."""
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


def _authority_files(plan: CoePlan) -> list[NodeFile]:
    """Return the certificates and keys of the authorities, which a master signs with."""
    files = []
    for kind, name in _FOLDERS.items():
        authority = plan.authorities[kind]
        files.append(NodeFile(path=f"{PKI}/{name}.crt", content=authority.trust_bundle.encode()))
        files.append(NodeFile(path=f"{PKI}/{name}.key", content=authority.key, mode=0o600))
    files.append(NodeFile(path=SIGNING, content=plan.authorities["main"].pem.encode()))
    tokens = plan.authorities[SERVICE_ACCOUNT]
    files.append(NodeFile(path=f"{PKI}/sa.key", content=tokens.key, mode=0o600))
    publics = "".join(public_key(authority.pem) for authority in (tokens, *tokens.peers))
    files.append(NodeFile(path=f"{PKI}/sa.pub", content=publics.encode()))
    return files


def _issue_kubelet_files(plan: CoePlan, member: Member, clock: Clock) -> list[NodeFile]:
    """Return the serving certificate of the kubelet and its key."""
    # Masters load new authorities first: they trust the newest one before they use it themselves.
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


def _build_kubeconfig(
    plan: CoePlan, member: Member, clock: Clock, *, common_name: str, organizations: Sequence[str]
) -> dict[str, Any]:
    """Return a program's kubeconfig on that node, with a client certificate."""
    main = plan.authorities["main"]
    newest = main.newest
    certificate = issue(
        ca=KeyPair(pem=newest.pem, key=newest.key),
        common_name=common_name,
        organizations=organizations,
        usages=[CLIENT],
        now=clock.now(),
    )
    server = "https://{}:{}".format(*_api_endpoint(plan, member))
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "own", "cluster": {"server": server, "certificate-authority-data": _ca_data(main)}}],
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


def _api_endpoint(plan: CoePlan, member: Member) -> tuple[str, str]:
    """Return address and port of the API server that this node uses; a master uses its own."""
    if member.role == MASTER:
        return member.address, str(api_port(plan))
    return plan.balancer or plan.masters[0].address, str(api_port(plan))


def _ca_data(authority: Authority) -> str:
    return _b64(authority.trust_bundle.encode())


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _json(content: dict[str, Any]) -> bytes:
    """Return the content as JSON, which is valid YAML for every program here."""
    return json.dumps(content, indent=1).encode()
