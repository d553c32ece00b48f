"""A tour of `openstack capsule` on a real Engine: a pod with an init container, asked for logs and run commands in."""

import asyncio
import json
import time

import pytest

from tests.clients.openstack_shell import Shell
from tests.fault.installation import Installation

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SECONDS = 120.0
TEMPLATE = """
kind: capsule
capsuleVersion: beta
metadata:
  name: web
  labels: {app: web}
  annotations: {note: a tour}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
    - image: IMAGE
      command: [sh, -c, "echo hello > /data/index.html"]
      resources: {requests: {cpu: 0.2, memory: 32}}
      volumeMounts: [{name: site, mountPath: /data}]
  containers:
    - image: IMAGE
      command: [sh, -c]
      args: ["echo serving; exec httpd -f -p 8080 -h /data"]
      resources: {requests: {cpu: 0.2, memory: 32}}
      ports: [{containerPort: 8080, name: http}]
      volumeMounts: [{name: site, mountPath: /data, readOnly: true}]
      readinessProbe: {exec: {command: [test, -e, /data/index.html]}, periodSeconds: 1}
    - image: IMAGE
      command: [sleep, "600"]
      resources: {requests: {cpu: 0.2, memory: 32}}
      env:
        PLAIN: word
        SECRET: {valueFrom: {secretKeyRef: {name: login, key: password}}}
  volumes:
    - {name: site, emptyDir: {}}
  secrets:
    - {name: login, stringData: {password: s3cr3t}}
"""


@pytest.fixture(scope="module")
def installation(tmp_path_factory, busybox):
    made = Installation(tmp_path_factory.mktemp("capsules"))
    asyncio.run(made.up())
    yield made
    made.down()


@pytest.fixture(scope="module")
def member(installation):
    shell = Shell(installation.state, "jeroboam")
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def template(tmp_path_factory, busybox):
    path = tmp_path_factory.mktemp("templates") / "web.yaml"
    path.write_text(TEMPLATE.replace("IMAGE", busybox))
    return path


def until(member, status: str) -> dict:
    deadline = time.monotonic() + SECONDS
    while (shown := member.json("capsule show web"))["status"] != status:
        assert time.monotonic() < deadline, shown
        assert shown["status"] != "Error", shown
        time.sleep(0.2)
    return shown


def parse(value):
    return json.loads(value) if isinstance(value, str) else value


def test_create_show_and_list(member, template):
    created = member.json(f"capsule create --file {template}")
    assert (created["name"], created["status"]) == ("web", "Creating")
    shown = until(member, "Running")
    assert parse(shown["labels"]) == {"app": "web"}
    assert (parse(shown["cpu"]), shown["memory"]) == (0.4, "64")
    [init] = parse(shown["init_containers"])
    assert init["status"] == "Stopped"
    assert [container["status"] for container in parse(shown["containers"])] == ["Running", "Running"]
    [listed] = member.json("capsule list")
    assert (listed["name"], listed["status"], listed["addresses"]) == ("web", "Running", shown["addresses"])
    assert "s3cr3t" not in json.dumps(shown)


def test_members_are_asked_by_uuid(member):
    server, sidecar = (container["uuid"] for container in parse(member.json("capsule show web")["containers"]))
    assert "serving" in member(f"appcontainer logs {server}")
    deadline = time.monotonic() + SECONDS
    while (
        "hello" not in (page := member.run(f"appcontainer exec {sidecar} wget -q -O - http://127.0.0.1:8080/"))["out"]
    ):
        assert time.monotonic() < deadline, page
        time.sleep(0.2)
    assert "hello" in member(f"appcontainer exec {server} cat /data/index.html")
    words = member(f"appcontainer exec {sidecar} env").split()
    assert {"PLAIN=word", "SECRET=s3cr3t"} <= set(words)
    assert member(f"appcontainer exec {server} hostname") == member(f"appcontainer exec {sidecar} hostname")
    assert member.json(f"appcontainer show {server}")["status"] == "Running"
    assert member.json("appcontainer list") == []
    done = member.run(f"appcontainer stop {server}")
    assert "belongs to the capsule web" in done["out"] + done["err"]


def test_a_bad_template_names_the_path(member, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(TEMPLATE.replace("IMAGE", "//"))
    assert "template/spec/initContainers/0/image" in member.refused(f"capsule create --file {path}")


def test_delete_leaves_nothing(member, installation):
    member("capsule delete web")
    deadline = time.monotonic() + SECONDS
    while member.json("capsule list"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert "s3cr3t" not in installation.log.read_text()
    installation.clean = True
