"""What a Kubernetes cluster may be asked for, checked before anything is made; and what its nodes boot with."""

import base64
import json
import re
import tomllib
from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path

import pytest

from jeroboam.coes.base import Authority, CoePlan, Member
from jeroboam.coes.kubernetes import components, flag_values
from jeroboam.coes.kubernetes.coe import KubernetesCoe
from jeroboam.coes.kubernetes.network import choose_pod_ranges
from jeroboam.coes.kubernetes.node_ops import KubernetesNode
from jeroboam.coes.kubernetes.options import read_networks
from jeroboam.domain.clusters import TemplateSpec
from jeroboam.domain.errors import Invalid
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.x509 import make_ca
from jeroboam.nodeimages import kubernetes

CLOCK = SystemClock()
SPEC = TemplateSpec(coe="kubernetes", image_id="kubernetes-node")


@pytest.fixture
def coe():
    return KubernetesCoe(clock=CLOCK)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kube_tag", "1.36.3"),
        ("kube_tag", "v1.36"),
        ("kube_tag", "v1.36.3; reboot"),
        ("flannel_network_cidr", "10.100.0.0"),
        ("flannel_network_cidr", "10.100.0.1/16"),
        ("flannel_network_cidr", "fd00::/64"),
        ("flannel_network_cidr", "10.254.0.0/16"),
        ("flannel_network_cidr", "10.0.0.0/30"),
        ("flannel_network_subnetlen", "16"),
        ("flannel_network_subnetlen", "29"),
        ("flannel_network_subnetlen", "x"),
        ("flannel_network_subnetlen", "²"),
        ("flannel_backend", "udp"),
        ("service_cluster_ip_range", "nonsense"),
        ("service_cluster_ip_range", "10.100.7.0/24"),
        ("api_server_cert_sans", "good.example,bad name"),
        ("kubelet_options", "--no-such-option=1"),
        ("kubelet_options", "--max-pods=many"),
        ("kubelet_options", "max-pods=5"),
        ("kubelet_options", "--max-pods=5 '"),
        ("kubelet_options", "--anonymous-auth=true"),
        ("kubelet_options", "--client-ca-file=/etc/ca"),
        ("kubelet_options", "--node-labels=a=b"),
        ("kubelet_options", "--root-dir=/"),
        ("kubelet_options", "--topology-manager-policy=all"),
        ("kubeapi_options", "--etcd-servers=http://10.0.0.1:2379"),
        ("kubeapi_options", "--anonymous-auth"),
        ("kubeapi_options", "--authorization-mode=AlwaysAllow"),
        ("kubeapi_options", "--tls-cert-file=/x"),
        ("kubeapi_options", "--bind-address=0.0.0.0"),
        ("kubeapi_options", "--disable-admission-plugins=PodSecurity"),
        ("kubeapi_options", "--feature-gates=NoSuchGate=true"),
        ("kubeapi_options", "--feature-gates=AllAlpha"),
        ("kubeapi_options", "--event-ttl=long"),
        *(
            ("kubelet_options", option)
            for option in (
                "--max-pods=-1",
                "--max-pods=3000000000",
                "--image-gc-high-threshold=101",
                "--image-gc-high-threshold=70",
                "--container-log-max-files=1",
                "--eviction-hard=memory.free<100Mi",
                "--eviction-hard=memory.available<much",
                "--eviction-soft=memory.available<200Mi",
                "--system-reserved=gpu=1",
                "--kube-reserved=memory",
                "--event-qps=-1",
            )
        ),
        ("kubeapi_options", "--emulated-version=1.20"),
        ("kubeapi_options", "--emulated-version=1.99"),
        ("kubeapi_options", "--min-compatibility-version=new"),
        ("kubeapi_options", "--goaway-chance=0.5"),
        ("kubecontroller_options", "--emulated-version=1.20"),
        ("kubecontroller_options", "--concurrent-deployment-syncs=0"),
        ("kubescheduler_options", "--kube-api-burst=-5"),
        ("kubeproxy_options", "--iptables-masquerade-bit=32"),
        ("kubescheduler_options", "--kubeconfig=/x"),
        ("kubecontroller_options", "--leader-elect=false"),
        ("kubecontroller_options", "--cluster-cidr=10.0.0.0/8"),
        ("kubeproxy_options", "--proxy-mode=ipvs"),
        ("kubeproxy_options", "--bind-address=0.0.0.0"),
        ("admission_control_list", "PodSecurityPolicy"),
        ("admission_control_list", "NodeRestriction,AlwaysPullImages"),
        ("audit_log_enabled", "perhaps"),
        ("metrics_server_enabled", "maybe"),
        ("local_storage_enabled", ""),
        ("container_infra_prefix", "https://registry.example/"),
        ("container_infra_prefix", "registry.example/UP"),
        ("audit_log_maxage", "0"),
        ("oidc_issuer_url", "http://plain.example"),
        ("oidc_issuer_url", "https://id.example"),
        ("oidc_client_id", "kubernetes"),
        ("oidc_ca", "somebody"),
    ],
)
def test_labels_that_cannot_be_are_refused_by_name(coe, name, value):
    with pytest.raises(Invalid) as refused:
        coe.check(replace(SPEC, labels={name: value}))
    assert refused.value.field in {f"labels/{name}", "labels/service_cluster_ip_range"}


def test_what_was_refused_is_said_with_the_reason(coe):
    with pytest.raises(Invalid, match=r"labels/kubeapi_options.*--tls-cert-file.*names a file"):
        coe.check(replace(SPEC, labels={"kubeapi_options": "--v=2 --tls-cert-file=/x"}))


@pytest.mark.parametrize(
    "labels",
    [
        {"kubelet_options": "--max-pods=50 --eviction-hard=memory.available<100Mi --v=3 --seccomp-default"},
        {"kubeapi_options": "--runtime-config=api/all=true --feature-gates=AllAlpha=false --event-ttl=1h30m"},
        {"kubeapi_options": "--service-node-port-range=30000-31000 --tls-min-version=VersionTLS13"},
        {"kubecontroller_options": "--node-monitor-grace-period=30s --terminated-pod-gc-threshold=100"},
        {"kubescheduler_options": "--v=4"},
        {"kubelet_options": "--pod-max-pids=-1 --image-gc-high-threshold=90 --system-reserved=cpu=200m,memory=1Gi"},
        {"kubelet_options": "--eviction-soft=pid.available<10% --eviction-soft-grace-period=pid.available=1m"},
        {"kubeapi_options": "--emulated-version=1.34 --min-compatibility-version=kube=1.33"},
        {"kubeapi_options": "--emulated-version=1.32", "kube_tag": "v1.35.4"},
        {"kubecontroller_options": "--terminated-pod-gc-threshold=-1 --horizontal-pod-autoscaler-tolerance=0.2"},
        {"kubeproxy_options": "--proxy-mode=iptables --nodeport-addresses=10.0.0.0/8,192.168.0.0/16"},
        {"admission_control_list": "NodeRestriction,PodNodeSelector"},
        {"audit_log_enabled": "True", "audit_log_maxage": "7"},
        {"oidc_issuer_url": "https://id.example/realms/a", "oidc_client_id": "k", "oidc_username_prefix": "-"},
    ],
)
def test_what_operators_set_is_taken(coe, labels):
    coe.check(replace(SPEC, labels=labels))


def test_a_version_is_emulated_as_far_back_as_that_of_the_cluster_can(coe):
    labels = {"kubeapi_options": "--emulated-version=1.32", "kube_tag": "v1.36.3"}
    with pytest.raises(Invalid, match=r"--emulated-version=1\.32.*a version from 1\.33 to 1\.36"):
        coe.check(replace(SPEC, labels=labels))
    minors = {int(name.split(".")[1]) for name in kubernetes.list_versions()}
    assert (min(minors), max(minors)) == (flag_values.OLDEST, flag_values.NEWEST)


@pytest.mark.parametrize(
    ("old", "new", "good"),
    [
        ("v1.35.4", "v1.36.3", True),
        ("v1.35.4", "v1.35.9", True),
        ("v1.35.4", "v1.35.4", True),
        ("v1.36.3", "v1.35.4", False),
        ("v1.34.1", "v1.36.3", False),
        ("v1.36.3", "v2.0.0", False),
    ],
)
def test_versions_go_up_one_minor_at_a_time(coe, old, new, good):
    before, after = (replace(SPEC, labels={"kube_tag": tag}) for tag in (old, new))
    if good:
        coe.check_change(before, after)
        return
    with pytest.raises(Invalid) as refused:
        coe.check_change(before, after)
    assert refused.value.field == "labels/kube_tag"


@pytest.mark.parametrize("name", ["flannel_network_cidr", "service_cluster_ip_range", "flannel_backend"])
def test_networks_stay(coe, name):
    with pytest.raises(Invalid, match="cannot be changed"):
        coe.check_change(SPEC, replace(SPEC, labels={name: "anything"}))


def test_the_label_says_which_image_nodes_boot_from(coe):
    assert coe.image("kubernetes-node", {"kube_tag": "v1.36.3"}) == "kubernetes-node:v1.36.3"
    assert coe.image("kubernetes-node:v1.35.4", {"kube_tag": "v1.36.3"}) == "kubernetes-node:v1.35.4"
    assert coe.image("kubernetes-node", {}) == "kubernetes-node"


def plan(coe, **labels) -> CoePlan:
    pairs = [(kind, make_ca(common_name="c", now=CLOCK.now())) for kind in coe.authorities]
    uuids = ("3b5b9bf7-0000-4000-8000-000000000001", "3b5b9bf7-0000-4000-8000-000000000002")
    members = tuple(
        Member(
            uuid=uuid,
            name=f"n-{role}",
            role=role,
            group=f"default-{role}",
            address=f"10.9.0.{number}",
            provider_id=f"openstack:///{uuid}",
        )
        for number, (uuid, role) in enumerate(zip(uuids, ("master", "worker"), strict=True), start=2)
    )
    return CoePlan(
        cluster_id="c",
        cluster_name="c",
        template=SPEC,
        labels=labels,
        members=members,
        authorities={kind: Authority(pem=pair.pem, key=pair.key) for kind, pair in pairs},
    )


def test_what_is_applied_names_images_that_every_node_image_brings():
    layers = tomllib.loads((files("jeroboam.nodeimages.kubernetes") / "layers.toml").read_text())
    brought = [name for layer in layers.values() for name in layer.get("names", ())]
    applied = "".join(each.read_text() for each in Path(str(files("jeroboam.coes.kubernetes"))).glob("*.yaml"))
    named = set(re.findall(r"image: (\S+)", applied))
    assert named - set(layers["busybox"]["names"]) == {name for name in brought if name.endswith(":node")}


def test_a_worker_has_no_authority_and_no_way_but_its_own(coe):
    made = plan(coe)
    laid = {file.path: file.content for file in coe.build_script(made, made.members[1]).files}
    assert [path for path in laid if path.endswith(".key")] == ["/etc/kubernetes/pki/kubelet.key"]
    assert json.loads(laid["/etc/kubernetes/kubelet.yaml"])["authentication"]["anonymous"]["enabled"] is False
    access = json.loads(laid["/etc/kubernetes/kubelet.conf"])
    assert access["clusters"][0]["cluster"]["server"] == "https://10.9.0.2:6443"


def test_keys_lie_where_only_root_reads_them_and_are_not_shown(coe):
    made = plan(coe)
    script = coe.build_script(made, made.members[0])
    secret = [file for file in script.files if b"PRIVATE KEY" in file.content or file.path.endswith(".conf")]
    assert len(secret) == 8, [file.path for file in secret]
    assert {file.mode for file in secret} == {0o600}
    assert "PRIVATE" not in repr(script)


def test_labels_reach_the_control_plane(coe):
    made = plan(coe, flannel_network_cidr="10.50.0.0/16", service_cluster_ip_range="10.60.0.0/16")
    laid = {file.path: file.content.decode() for file in coe.build_script(made, made.members[0]).files}
    config = laid["/etc/kubernetes/kubeadm.yaml"]
    assert '"podSubnet": "10.50.0.0/16"' in config
    assert '"serviceSubnet": "10.60.0.0/16"' in config
    assert json.loads(laid["/etc/kubernetes/kubelet.yaml"])["clusterDNS"] == ["10.60.0.10"]


def laid_for(coe, number=0, **labels) -> dict[str, str]:
    """What a node boots with, by path."""
    made = plan(coe, **labels)
    return {file.path: file.content.decode() for file in coe.build_script(made, made.members[number]).files}


def arguments(laid: dict[str, str], part: str) -> list[tuple[str, str]]:
    """What kubeadm is told to start that part with."""
    cluster = json.loads(laid["/etc/kubernetes/kubeadm.yaml"].split("---\n")[1])
    return [(each["name"], each["value"]) for each in cluster[part]["extraArgs"]]


def test_options_reach_their_programs_and_take_the_place_of_ours(coe):
    labels = {
        "kubelet_options": "--max-pods=42",
        "kubeapi_options": "--event-ttl=2h",
        "kubecontroller_options": "--kube-api-qps=7",
        "kubescheduler_options": "--v=4",
        "kubeproxy_options": "--proxy-mode=iptables --v=3 --masquerade-all",
    }
    made = plan(coe, **labels)
    for member in made.members:
        assert "--max-pods=42" in coe.build_script(made, member).commands[-1]
    own = replace(made.members[1], options={"kubelet_options": "--max-pods=43"})
    assert "--max-pods=43" in coe.build_script(made, own).commands[-1]
    laid = laid_for(coe, **labels)
    assert ("event-ttl", "2h") in arguments(laid, "apiServer")
    assert [value for name, value in arguments(laid, "controllerManager") if name == "kube-api-qps"] == ["7"]
    assert ("v", "4") in arguments(laid, "scheduler")
    proxy = components.build_proxy_config(made)
    assert (proxy["mode"], proxy["logging"], proxy["linux"]) == ("iptables", {"verbosity": 3}, {"masqueradeAll": True})
    assert json.loads(laid["/etc/kubernetes/kube-proxy.yaml"]) == proxy


def test_secrets_are_sealed_with_a_key_of_the_clusters_own(coe):
    made = plan(coe)

    def keys(of):
        laid = {file.path: file for file in coe.build_script(of, of.members[0]).files}
        file = laid["/etc/kubernetes/security/encryption.yaml"]
        assert file.mode == 0o600
        [config] = json.loads(file.content)["resources"]
        assert (config["resources"], config["providers"][-1]) == (["secrets"], {"identity": {}})
        return config["providers"][0]["secretbox"]["keys"]

    [key] = keys(made)
    assert keys(made) == [key]
    assert len(base64.b64decode(key["secret"])) == 32
    [other] = keys(replace(made, cluster_id="another"))
    assert other["secret"] != key["secret"]
    # What was sealed with a key that another stands beside can still be read.
    second = replace(made.authorities["etcd"], peers=(made.authorities["encryption"],))
    assert keys(replace(made, authorities=made.authorities | {"encryption": second}))[1] == key
    # What other authorities become changes nothing.
    assert keys(replace(made, authorities=made.authorities | {"main": made.authorities["etcd"]})) == [key]
    worker = [file.path for file in coe.build_script(made, made.members[1]).files]
    assert not [path for path in worker if "security" in path]


def test_pods_are_held_to_baseline_and_nobody_is_anonymous(coe):
    laid = laid_for(coe)
    [plugin] = json.loads(laid["/etc/kubernetes/security/admission.yaml"])["plugins"]
    assert plugin["configuration"]["defaults"]["enforce"] == "baseline"
    assert plugin["configuration"]["exemptions"]["namespaces"] == ["kube-system"]
    authentication = json.loads(laid["/etc/kubernetes/security/authentication.yaml"])
    public = {"/livez", "/readyz", "/healthz", "/.well-known/openid-configuration", "/openid/v1/jwks"}
    assert {each["path"] for each in authentication["anonymous"]["conditions"]} == public
    assert "jwt" not in authentication
    given = arguments(laid, "apiServer")
    assert ("enable-admission-plugins", "NodeRestriction") in given
    assert not [name for name, _ in given if name.startswith("audit")]


def test_audit_and_admission_as_asked(coe):
    labels = {"audit_log_enabled": "true", "audit_log_maxage": "7", "admission_control_list": "PodNodeSelector"}
    given = arguments(laid_for(coe, **labels), "apiServer")
    assert ("audit-log-path", "/var/lib/kubernetes/audit/audit.log") in given
    numbers = {name: value for name, value in given if name.startswith("audit-log-max")}
    assert numbers == {"audit-log-maxage": "7", "audit-log-maxbackup": "10", "audit-log-maxsize": "100"}
    assert ("enable-admission-plugins", "NodeRestriction,PodNodeSelector") in given


def hosts(coe, labels=None, **fields) -> dict[str, dict]:
    """What a worker's containerd is told of registries, by their names."""
    made = plan(coe, **(labels or {}))
    made = replace(made, template=replace(SPEC, **fields))
    laid = {file.path: file.content.decode() for file in coe.build_script(made, made.members[1]).files}
    folder = "/etc/containerd/certs.d/"
    found = {path.removeprefix(folder): text for path, text in laid.items() if path.startswith(folder)}
    return {path.removesuffix("/hosts.toml"): tomllib.loads(text) for path, text in found.items()}


def test_registries_are_asked_as_their_users_say(coe):
    assert hosts(coe) == {}
    assert hosts(coe, insecure_registry="reg.example:5000, other") == {
        name: {
            "server": f"http://{name}",
            "host": {f"https://{name}": {"capabilities": ["pull", "resolve"], "skip_verify": True}},
        }
        for name in ("reg.example:5000", "other")
    }
    [own] = hosts(coe, registry_enabled=True).items()
    assert own == (
        "localhost:5000",
        {
            "server": "http://10.254.0.11:5000",
            "host": {"http://10.254.0.11:5000": {"capabilities": ["pull", "resolve"], "skip_verify": True}},
        },
    )


def test_images_of_public_registries_are_looked_for_in_the_mirror_first(coe):
    mirrored = hosts(coe, {"container_infra_prefix": "mirror.example/kube/"})
    assert set(mirrored) == {"docker.io", "registry.k8s.io", "quay.io", "ghcr.io", "gcr.io"}
    asked = {"https://mirror.example/v2/kube": {"capabilities": ["pull", "resolve"], "override_path": True}}
    assert mirrored["docker.io"] == {"server": "https://registry-1.docker.io", "host": asked}
    plain = hosts(coe, {"container_infra_prefix": "mirror:5000"}, insecure_registry="mirror:5000")
    assert list(plain["quay.io"]["host"]) == ["https://mirror:5000", "http://mirror:5000"]


def test_the_registry_needs_a_volume(coe):
    coe.check(replace(SPEC, registry_enabled=True))
    with pytest.raises(Invalid, match="registry_enabled cannot be true where local_storage_enabled is false"):
        coe.check(replace(SPEC, registry_enabled=True, labels={"local_storage_enabled": "false"}))
    with pytest.raises(Invalid, match="cannot be taken away"):
        coe.check_change(SPEC, replace(SPEC, labels={"local_storage_enabled": "false"}))


def test_a_network_of_ones_own(coe):
    made = plan(coe)
    own = replace(made, template=replace(SPEC, network_driver="none"))
    laid = {file.path: file.content.decode() for file in coe.build_script(own, own.members[1]).files}
    assert 'conf_template = ""' in laid["/etc/containerd/conf.d/network.toml"]
    assert not [file for file in coe.build_script(made, made.members[1]).files if "conf.d" in file.path]
    coe.check_change(SPEC, replace(SPEC, network_driver="flannel"))
    with pytest.raises(Invalid, match="network_driver cannot be changed"):
        coe.check_change(SPEC, replace(SPEC, network_driver="none"))


def node(name: str, pods: str = "") -> KubernetesNode:
    """A node of which only that is told."""
    rest = {each.name: None for each in fields(KubernetesNode)}
    return KubernetesNode(**{**rest, "name": name, "pods": pods})


def test_nodes_get_addresses_that_no_other_has_as_far_as_they_reach():
    nets = read_networks({"flannel_network_cidr": "10.50.0.0/22", "flannel_network_subnetlen": "24"})
    found = [node("a", "10.50.1.0/24"), node("b"), node("c"), node("d"), node("e")]
    given = {"b": "10.50.0.0/24", "c": "10.50.2.0/24", "d": "10.50.3.0/24"}
    assert choose_pod_ranges(nets, found) == given
    assert choose_pod_ranges(nets, [node(name, addresses) for name, addresses in given.items()]) == {}
