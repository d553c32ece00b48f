"""The client of 2015, unchanged, on a real Kubernetes: every pod-, rc- and coe-service- command.

The tests of this module are one story and run in their order: a bay is made once, and used until it is deleted. What
the client does with bays of any kind, and what it is told of a Swarm, is in `test_2015`.
"""

import asyncio
import http.server
import json
import subprocess
import threading
import time

import pytest

from tests.builders import manifest
from tests.clients.magnum import magnum_of
from tests.fault.installation import Installation
from tests.unit.test_manifest_url import own_address

pytestmark = [pytest.mark.docker, pytest.mark.kubernetes, pytest.mark.slow]

BAYMODEL = "--image-id kubernetes-node --keypair-id testkey --external-network-id public --coe kubernetes".split()
IMAGE = "docker.io/library/busybox:latest"
KINDS = {"pod": "Pod", "rc": "ReplicationController", "coe-service": "Service"}
SECONDS = 60.0


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    config = f"[clusters]\nmanifest_networks = {own_address()}/32\n"
    made = Installation(tmp_path_factory.mktemp("old"), config)
    asyncio.run(made.up())
    yield made
    made.down()


@pytest.fixture(scope="module")
def magnum(installation):
    return magnum_of(installation)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Manifests, as their users keep them."""
    made = tmp_path_factory.mktemp("manifests")
    pod = manifest(name="box")
    pod["spec"] = {"containers": [container()], "terminationGracePeriodSeconds": 1}
    service = manifest("service", "web")
    rc = manifest("rc", "web")
    template = {"metadata": {"labels": {"app": "x"}}, "spec": pod["spec"]}
    rc["spec"] = {"replicas": 2, "selector": {"app": "x"}, "template": template}
    for name, each in (("pod", pod), ("coe-service", service), ("rc", rc)):
        (made / f"{name}.json").write_text(json.dumps(each))
    return made


def container(**changes):
    return {"name": "it", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "600"], **changes}


@pytest.fixture(scope="module")
def files(folder):
    """The same folder on a file server."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given) -> None:
            super().__init__(*given, directory=str(folder))

        def log_message(self, *_) -> None:
            return

    with http.server.ThreadingHTTPServer((own_address(), 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{own_address()}:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def kubectl(magnum):
    """Somebody in the bay who does not ask the service."""
    uuid = magnum.shown("bay-show", "k")["uuid"]
    line = ["docker", "ps", "-q", "--filter", f"label=jeroboam.cluster={uuid}", "--filter", "name=master"]
    [node] = subprocess.run(line, capture_output=True, text=True, check=True).stdout.split()
    start = ["docker", "exec", node, "kubectl", "--kubeconfig=/etc/kubernetes/super-admin.conf"]

    def run(*words: str) -> str:
        return subprocess.run([*start, *words], capture_output=True, text=True, check=True, timeout=60).stdout

    return run


def gone(magnum, kind: str) -> None:
    """Once there is none of them in the bay any more."""
    end = time.monotonic() + SECONDS
    while magnum.listed(f"{kind}-list", "--bay", "k"):
        assert time.monotonic() < end


def test_a_bay_comes_up(magnum):
    magnum.shown("baymodel-create", "--name", "m", *BAYMODEL)
    magnum.shown("bay-create", "--name", "k", "--baymodel", "m", "--node-count", 1)
    assert magnum.until("CREATE_COMPLETE", "bay-show", "k")["api_address"].startswith("https://")


def test_a_pod_through_its_life(magnum, folder, kubectl):
    made = magnum.shown("pod-create", "--bay", "k", "--manifest", folder / "pod.json")
    assert (made["name"], made["labels"]) == ("box", "{'a': 'b'}")
    shown = magnum.until("Running", "pod-show", "--bay", "k", "box")
    assert shown["uuid"] == made["uuid"]
    assert (shown["host"], shown["images"]) == (node_of(kubectl, "box"), f"['{IMAGE}']")
    [row] = magnum.listed("pod-list", "--bay", "k")
    assert (row["uuid"], row["name"]) == (made["uuid"], "box")
    assert kubectl("get", "pod", "box", "-o", "jsonpath={.metadata.labels.jeroboam\\.io/workload}") == made["uuid"]

    other = json.loads((folder / "pod.json").read_text())
    other["metadata"]["labels"] = {"c": "d"}
    (folder / "other.json").write_text(json.dumps(other))
    magnum.shown("pod-update", "--bay", "k", "box", "replace", f"manifest={folder / 'other.json'}")
    until(lambda: magnum.shown("pod-show", "--bay", "k", "box")["labels"] == "{'c': 'd'}")

    # What somebody does behind our back.
    kubectl("delete", "pod", "box")
    lost = magnum.until("Error", "pod-show", "--bay", "k", "box")
    assert lost["status_reason"] == "The Pod is gone from its bay."
    assert magnum("pod-delete", "--bay", "k", "box") == ""
    gone(magnum, "pod")


def node_of(kubectl, pod: str) -> str:
    return kubectl("get", "pod", pod, "-o", "jsonpath={.spec.nodeName}")


def until(condition) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end


def test_a_service(magnum, folder, kubectl):
    made = magnum.shown("coe-service-create", "--bay", "k", "--manifest", folder / "coe-service.json")
    assert (made["name"], made["port"], made["selector"]) == ("web", "80", "{'app': 'x'}")
    shown = magnum.until("Running", "coe-service-show", "--bay", "k", "web")
    assert shown["ip"] == kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    assert shown["ip"].startswith("10.254.")
    [row] = magnum.listed("coe-service-list", "--bay", "k")
    assert (row["uuid"], row["bay_uuid"]) == (made["uuid"], made["bay_uuid"])
    other = json.loads((folder / "coe-service.json").read_text())
    other["spec"]["ports"] = [{"port": 8080}]
    (folder / "other.json").write_text(json.dumps(other))
    magnum.shown("coe-service-update", "--bay", "k", "web", "replace", f"manifest={folder / 'other.json'}")
    until(lambda: magnum.shown("coe-service-show", "--bay", "k", "web")["port"] == "8080")
    assert kubectl("get", "service", "web", "-o", "jsonpath={.spec.ports[*].port}") == "8080"
    assert magnum.shown("coe-service-show", "--bay", "k", "web")["ip"] == shown["ip"]
    assert magnum("coe-service-delete", "--bay", "k", "web") == ""
    gone(magnum, "coe-service")
    assert "web" not in kubectl("get", "services")


def test_a_replication_controller_from_a_url(magnum, files, folder, kubectl):
    made = magnum.shown("rc-create", "--bay", "k", "--manifest-url", f"{files}/rc.json")
    assert (made["name"], made["manifest_url"]) == ("web", f"{files}/rc.json")
    shown = magnum.until("Running", "rc-show", "--bay", "k", "web")
    assert (shown["replicas"], shown["images"]) == ("2", f"['{IMAGE}']")
    assert len(kubectl("get", "pods", "-l", "app=x", "-o", "name").split()) == 2
    [row] = magnum.listed("rc-list", "--bay", "k")
    assert row["name"] == "web"
    other = json.loads((folder / "rc.json").read_text())
    other["spec"]["replicas"] = 1
    (folder / "rc.json").write_text(json.dumps(other))
    magnum.shown("rc-update", "--bay", "k", "web", "replace", f"manifest_url={files}/rc.json")
    until(lambda: magnum.shown("rc-show", "--bay", "k", "web")["replicas"] == "1")
    # What somebody does behind our back.
    kubectl("scale", "rc", "web", "--replicas=3")
    until(lambda: magnum.shown("rc-show", "--bay", "k", "web")["replicas"] == "3")
    assert magnum("rc-delete", "--bay", "k", "web") == ""
    gone(magnum, "rc")
    assert kubectl("get", "pods", "-l", "app=x", "-o", "name") == "", "a controller takes its pods along"


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be(magnum, folder, files, kubectl, kind):
    def refused(content: str) -> str:
        (folder / "wrong").write_text(content)
        return magnum(f"{kind}-create", "--bay", "k", "--manifest", folder / "wrong")

    good = json.loads((folder / f"{kind}.json").read_text())
    assert "it is not YAML" in refused("a: b: c")
    assert "its kind is 'Deployment', and has to be" in refused(json.dumps(good | {"kind": "Deployment"}))
    assert "Field metadata['name'] can't be empty in manifest. (HTTP 400)" in refused(
        json.dumps(good | {"metadata": {}})
    )
    # The bay's own words.
    assert "unknown field" in refused(json.dumps(good | {"spec": {**good["spec"], "bogus": 1}}))
    named = "service/kubernetes" if kind == "coe-service" else None
    if named:
        taken = json.dumps(good | {"metadata": {"name": "kubernetes"}})
        assert "which was not made here" in refused(taken)
        assert named in kubectl("get", "service", "-o", "name")
    for url in ("http://127.0.0.1:5000/", "http://169.254.169.254/", "http://localhost/"):
        told = magnum(f"{kind}-create", "--bay", "k", "--manifest-url", url)
        assert "a network that manifests are not fetched from. (HTTP 400)" in told
    assert "answers 404" in magnum(f"{kind}-create", "--bay", "k", "--manifest-url", f"{files}/nothing")
    assert "manifest or manifest_url. (HTTP 400)" in magnum(f"{kind}-create", "--bay", "k")
    missing = f"{KINDS[kind]} x could not be found."
    assert missing in magnum(f"{kind}-show", "--bay", "k", "x")
    assert missing in magnum(f"{kind}-delete", "--bay", "k", "x")
    assert missing in magnum(f"{kind}-update", "--bay", "k", "x", "replace", f"manifest={folder / 'pod.json'}")
    assert magnum.listed(f"{kind}-list", "--bay", "k") == []


def test_a_bay_takes_all_of_them_along(magnum, folder, installation):
    for kind in KINDS:
        magnum.shown(f"{kind}-create", "--bay", "k", "--manifest", folder / f"{kind}.json")
        magnum.until("Running", f"{kind}-show", "--bay", "k", "box" if kind == "pod" else "web")
    refused = magnum("container-create", "--name", "c", "--image", "busybox", "--bay", "k")
    assert "Cannot fulfill request with a kubernetes bay, expecting a swarm bay. (HTTP 400)" in refused
    assert magnum("bay-delete", "k") == ""
    while magnum.listed("bay-list"):
        pass
    assert magnum("baymodel-delete", "m") == ""
    assert set(installation.rows().values()) == {0}
