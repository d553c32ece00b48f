"""Templates that cannot work: a 400 that names the path, and nothing is stored."""

import json

import pytest

from tests.api.capsules import a_template
from tests.builders import host

BOX = {"image": "busybox"}
CINDER = "either volumeID or size"


def with_probe(**probe) -> dict:
    return a_template(BOX | {"ports": [{"containerPort": 80, "name": "web"}], "livenessProbe": probe})


def without(key: str) -> dict:
    return {name: value for name, value in a_template().items() if name != key}


BAD = [
    ("no json", "template", "an object, or JSON that holds one"),
    ("[]", "template", "it has to be an object"),
    (None, "template", "it is required"),
    ([], "template", "it has to be an object"),
    (without("kind"), "template/kind", "it is required"),
    (without("capsuleVersion"), "template/capsuleVersion", "it is required"),
    (without("metadata"), "template/metadata", "it is required"),
    (without("spec"), "template/spec", "it is required"),
    (a_template() | {"kind": "pod"}, "template/kind", "capsule, Capsule"),
    (a_template() | {"capsuleVersion": "v1"}, "template/capsuleVersion", "beta, Beta"),
    (a_template() | {"nets": []}, "template/nets", "there is no such field"),
    (a_template(name="-"), "template/metadata/name", "2 to 255"),
    (a_template() | {"metadata": {"namespace": "x"}}, "template/metadata/namespace", "there is no such field"),
    (a_template() | {"metadata": {"labels": {"a": 1}}}, "template/metadata/labels/a", "string"),
    (
        a_template() | {"metadata": {"annotations": {"jeroboam.x": "1"}}},
        "template/metadata/annotations/jeroboam.x",
        "service's own",
    ),
    (a_template() | {"spec": {"containers": []}}, "template/spec/containers", "1 to 32 members"),
    (a_template() | {"spec": {}}, "template/spec/containers", "it is required"),
    (a_template() | {"spec": {"containers": BOX}}, "template/spec/containers", "it has to be a list"),
    (a_template({}), "template/spec/containers/0/image", "it is required"),
    (a_template(BOX, {"image": "//"}), "template/spec/containers/1/image", "name an image"),
    (a_template(BOX | {"imagee": "x"}), "template/spec/containers/0/imagee", "there is no such field"),
    (a_template(init=({"image": 7},)), "template/spec/initContainers/0/image", "string"),
    (a_template(BOX | {"command": "sh"}), "template/spec/containers/0/command", "a list of strings"),
    (a_template(BOX | {"env": {"A": 1}}), "template/spec/containers/0/env/A", "string"),
    (a_template(BOX | {"env": "A=b"}), "template/spec/containers/0/env", "an object, or a list"),
    (a_template(BOX | {"env": [{"name": "A"}, {"name": "A"}]}), "template/spec/containers/0/env/1/name", "twice"),
    (a_template(BOX | {"workDir": "tmp"}), "template/spec/containers/0/workDir", "absolute path"),
    (a_template(BOX | {"imagePullPolicy": "x"}), "template/spec/containers/0/imagePullPolicy", "one of"),
    (a_template(BOX | {"tty": "perhaps"}), "template/spec/containers/0/tty", "true or false"),
    (
        a_template(BOX | {"resources": {"requests": {"cpu": 99}}}),
        "template/spec/containers/0/resources/requests/cpu",
        "from",
    ),
    (
        a_template(BOX | {"resources": {"requests": {"memory": "2Mi"}}}),
        "template/spec/containers/0/resources/requests/memory",
        "from",
    ),
    (
        a_template(BOX | {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": 1}}}),
        "template/spec/containers/0/resources/requests/cpu",
        "its limit is 1",
    ),
    (
        a_template(BOX | {"resources": {"claims": []}}),
        "template/spec/containers/0/resources/claims",
        "there is no such field",
    ),
    (
        a_template(BOX | {"ports": [{"containerPort": 70000}]}),
        "template/spec/containers/0/ports/0/containerPort",
        "from 1 to 65535",
    ),
    (a_template(BOX | {"ports": [{}]}), "template/spec/containers/0/ports/0/containerPort", "required"),
    (
        a_template(BOX | {"ports": [{"containerPort": 1, "protocol": "SCTP"}]}),
        "template/spec/containers/0/ports/0/protocol",
        "TCP, UDP",
    ),
    (a_template(restartPolicy="Sometimes"), "template/spec/restartPolicy", "Always, OnFailure, Never"),
    (a_template(restartPolicy="Never") | {"restartPolicy": "Always"}, "template/restartPolicy", "says Never"),
    (a_template(activeDeadlineSeconds=0), "template/spec/activeDeadlineSeconds", "from 1"),
    (a_template(hostname="a_b"), "template/spec/hostname", "letters, digits and -"),
    (a_template(hostNetwork=True), "template/spec/hostNetwork", "a capsule has nothing of its host"),
    (a_template(securityContext={"runAsUser": 1}), "template/spec/securityContext", "as their images say"),
    (a_template(nodeSelector={"a": "b"}), "template/spec/nodeSelector", "chosen by the service"),
    (
        a_template(BOX | {"securityContext": {"privileged": True}}),
        "template/spec/containers/0/securityContext",
        "images",
    ),
    (a_template(BOX | {"lifecycle": {"preStop": {}}}), "template/spec/containers/0/lifecycle", "no hook"),
    (a_template(volumes=[{"name": "v"}]), "template/spec/volumes/0", "emptyDir"),
    (a_template(volumes=[{"name": "v", "cinder": {}}]), "template/spec/volumes/0/cinder", CINDER),
    (
        a_template(volumes=[{"name": "v", "cinder": {"size": 1, "volumeID": "x" * 36}}]),
        "template/spec/volumes/0/cinder",
        CINDER,
    ),
    (a_template(volumes=[{"name": "v", "cinder": {"size": 1}}]), "template/spec/volumes/0/cinder", "Cinder"),
    (a_template(volumes=[{"name": "v", "hostPath": {}}]), "template/spec/volumes/0/hostPath", "no such field"),
    (a_template(volumes=[{"name": "v", "emptyDir": {}}]), "template/spec/volumes/0/name", "no container mounts it"),
    (
        a_template(volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}]),
        "template/spec/volumes/0/emptyDir/sizeLimit",
        "nothing limits",
    ),
    (
        a_template(BOX | {"volumeMounts": [{"name": "v", "mountPath": "/d"}]}),
        "template/spec/containers/0/volumeMounts/0/name",
        "the volumes of the template are: none",
    ),
    (
        a_template(
            BOX | {"volumeMounts": [{"name": "v", "mountPath": "/a/../b"}]}, volumes=[{"name": "v", "emptyDir": {}}]
        ),
        "template/spec/containers/0/volumeMounts/0/mountPath",
        "without . and ..",
    ),
    (
        a_template(BOX | {"env": {"P": {"valueFrom": {"secretKeyRef": {"name": "db", "key": "p"}}}}}),
        "template/spec/containers/0/env/P",
        "no such secret",
    ),
    (a_template(secrets=[{"name": "a", "stringData": {"x": 1}}]), "template/spec/secrets/0/stringData", "(not shown)"),
    (with_probe(), "template/spec/containers/0/livenessProbe", "exec, httpGet, tcpSocket"),
    (with_probe(exec={"command": []}), "template/spec/containers/0/livenessProbe/exec/command", "1 to 256"),
    (
        with_probe(exec={"command": ["true"]}, tcpSocket={"port": 80}),
        "template/spec/containers/0/livenessProbe",
        "it has to have one of",
    ),
    (with_probe(tcpSocket={"port": "ssh"}), "template/spec/containers/0/livenessProbe/tcpSocket/port", "names: web"),
    (
        with_probe(httpGet={"port": 80, "host": "10.0.0.1"}),
        "template/spec/containers/0/livenessProbe/httpGet/host",
        "the capsule's own address",
    ),
    (
        with_probe(httpGet={"port": 80, "path": "/a b"}),
        "template/spec/containers/0/livenessProbe/httpGet/path",
        "without spaces",
    ),
    (
        with_probe(httpGet={"port": 80, "httpHeaders": [{"name": "A", "value": "b\r\nC: d"}]}),
        "template/spec/containers/0/livenessProbe/httpGet/httpHeaders/0/value",
        "printable",
    ),
    (
        with_probe(tcpSocket={"port": 80}, successThreshold=2),
        "template/spec/containers/0/livenessProbe/successThreshold",
        "it has to be 1",
    ),
    (
        with_probe(tcpSocket={"port": 80}, periodSeconds=0),
        "template/spec/containers/0/livenessProbe/periodSeconds",
        "from 1",
    ),
    (with_probe(grpc={"port": 80}), "template/spec/containers/0/livenessProbe/grpc", "exec, httpGet and tcpSocket"),
    (
        a_template(init=(BOX | {"readinessProbe": {"tcpSocket": {"port": 1}}},)),
        "template/spec/initContainers/0/readinessProbe",
        "have no probes",
    ),
]


@pytest.mark.parametrize(("template", "path", "rule"), BAD)
async def test_a_bad_template_is_refused_with_the_path(zun, template, path, rule):
    refused = await zun.post("/v1/capsules", {"template": template})
    assert refused.status == 400, refused.body
    assert f"Invalid input for field '{path}', value '" in refused.error["title"]
    assert rule in refused.error["title"]
    assert (await zun.get("/v1/capsules")).json()["capsules"] == []


@pytest.mark.parametrize("body", [{}, {"template": a_template(), "name": "x"}, [], "x"])
async def test_a_bad_body(zun, body):
    assert (await zun.post("/v1/capsules", body)).status == 400


async def test_no_refusal_repeats_a_secret(zun):
    secret = {"name": "db", "stringData": {"password": "s3cr3t"}}
    for spec in (
        {"secrets": [secret | {"other": "s3cr3t"}]},
        {"secrets": [secret, secret]},
        {"secrets": [{"name": "db", "stringData": "s3cr3t"}]},
        {"secrets": [secret], "activeDeadlineSeconds": -1},
    ):
        refused = await zun.post("/v1/capsules", {"template": a_template(**spec)})
        assert refused.status == 400
        assert b"s3cr3t" not in refused.body
    text = json.dumps(a_template(secrets=[secret]))[:-1]
    refused = await zun.post("/v1/capsules", {"template": text})
    assert refused.status == 400
    assert b"s3cr3t" not in refused.body


@pytest.mark.parametrize(
    "spec", [{"dnsPolicy": "ClusterFirst"}, {"tolerations": [{}]}, {"somethingElse": 1}, {"hostNetwork": False}]
)
async def test_what_zun_tolerates_in_a_spec_is_taken(zun, spec):
    assert (await zun.post("/v1/capsules", {"template": a_template(**spec)})).status == 202


async def test_what_no_host_has_is_refused_once_hosts_are_known(zun, store):
    async with store.write() as tx:
        await tx.hosts.insert(host())
    for template, path, rule in (
        (a_template(*([BOX] * 5)), "template/spec/containers", "no host has more than 4 cores"),
        (a_template() | {"availabilityZone": "moon"}, "template/availabilityZone", "the zones of all hosts are: nova"),
    ):
        refused = await zun.post("/v1/capsules", {"template": template})
        assert (refused.status, f"field '{path}'" in refused.error["title"]) == (400, True), refused.body
        assert rule in refused.error["title"]
