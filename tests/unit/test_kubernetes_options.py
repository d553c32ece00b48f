"""What a Kubernetes cluster may be asked for, checked before anything is made; and what its nodes boot with."""

import json
import tomllib
from dataclasses import replace
from importlib.resources import files

import pytest

from jeroboam.coes.base import Authority, CoePlan, Member
from jeroboam.coes.kubernetes import KubernetesCoe
from jeroboam.coes.kubernetes.fleet import FLANNEL_VERSION
from jeroboam.domain.clusters import TemplateSpec
from jeroboam.domain.errors import Invalid
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.x509 import make_ca

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
    ],
)
def test_labels_that_cannot_be_are_refused_by_name(coe, name, value):
    with pytest.raises(Invalid) as refused:
        coe.check(replace(SPEC, labels={name: value}))
    assert refused.value.field in {f"labels/{name}", "labels/service_cluster_ip_range"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tls_disabled", True),
        ("registry_enabled", True),
        ("network_driver", "calico"),
        ("volume_driver", "cinder"),
    ],
)
def test_fields_that_cannot_be_honoured_are_refused_by_name(coe, field, value):
    with pytest.raises(Invalid, match=field) as refused:
        coe.check(replace(SPEC, **{field: value}))
    assert refused.value.field == field


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
    def authority():
        made = make_ca(common_name="c", now=CLOCK.now())
        return Authority(pem=made.pem, key=made.key)

    uuids = ("3b5b9bf7-0000-4000-8000-000000000001", "3b5b9bf7-0000-4000-8000-000000000002")
    members = tuple(
        Member(uuid=uuid, name=f"n-{role}", role=role, group=f"default-{role}", address=f"10.9.0.{number}")
        for number, (uuid, role) in enumerate(zip(uuids, ("master", "worker"), strict=True), start=2)
    )
    return CoePlan(
        cluster_id="c",
        cluster_name="c",
        template=SPEC,
        labels=labels,
        members=members,
        authorities={kind: authority() for kind in coe.authorities},
    )


def test_the_network_is_of_the_version_that_every_node_image_brings():
    pinned = tomllib.loads((files("jeroboam.nodeimages.kubernetes") / "versions.toml").read_text())
    assert {version["flannel"] for version in pinned.values()} == {FLANNEL_VERSION}


def test_a_worker_has_no_authority_and_no_way_but_its_own(coe):
    made = plan(coe)
    laid = {file.path: file.content for file in coe.script(made, made.members[1]).files}
    assert not [path for path in laid if path.endswith(".key")]
    assert json.loads(laid["/etc/kubernetes/kubelet.yaml"])["authentication"]["anonymous"]["enabled"] is False
    access = json.loads(laid["/etc/kubernetes/kubelet.conf"])
    assert access["clusters"][0]["cluster"]["server"] == "https://10.9.0.2:6443"


def test_keys_lie_where_only_root_reads_them_and_are_not_shown(coe):
    made = plan(coe)
    script = coe.script(made, made.members[0])
    secret = [file for file in script.files if b"PRIVATE KEY" in file.content or file.path.endswith(".conf")]
    assert len(secret) == 5
    assert {file.mode for file in secret} == {0o600}
    assert "PRIVATE" not in repr(script)


def test_labels_reach_the_control_plane(coe):
    made = plan(coe, flannel_network_cidr="10.50.0.0/16", service_cluster_ip_range="10.60.0.0/16")
    laid = {file.path: file.content.decode() for file in coe.script(made, made.members[0]).files}
    config = laid["/etc/kubernetes/kubeadm.yaml"]
    assert '"podSubnet": "10.50.0.0/16"' in config
    assert '"serviceSubnet": "10.60.0.0/16"' in config
    assert json.loads(laid["/etc/kubernetes/kubelet.yaml"])["clusterDNS"] == ["10.60.0.10"]
