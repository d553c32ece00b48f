"""The second half of the demonstration: a Kubernetes cluster, from its node image to its last node.

The node image is built during the first half: minutes the first time, seconds afterwards.
Neighbours: `demo`, `stage`.
"""

import json
import pathlib
import shlex
import subprocess
import threading

from stage import BIN, OpenStack, StepFailed, console, expect, run, step, until

from jeroboam.nodeimages.kubectl import find_cached
from jeroboam.settings import default_cache

IMAGE = "docker.io/library/busybox:latest"
SERVE = "mkdir -p /www; echo served by $(hostname) >/www/index.html; exec httpd -f -p 80 -h /www"
# Names can be resolved, and a new service can be reached, some moments after a cluster is complete.
ASKED = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 web 80 | grep served"
ASK = f'timeout 20 sh -c "until {ASKED}; do sleep 0.3; done"'


class ImageBuild:
    """The build of the node image in a process of its own. Each line of its output is shown."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [BIN / "jeroboam", "node-image", "build", "kubernetes"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Ctrl-C is for the demonstration, which then ends the build.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                # Parts that exist already are not shown.
                if "there already" not in line:
                    console.print(f"            node image | {line.rstrip()}", style="dim", markup=False)

    def wait(self) -> None:
        """Wait until the node image is built, however slow the machine is: the build says what is left."""
        if self._process.wait() != 0:
            self._reader.join(timeout=5)
            raise StepFailed("jeroboam node-image build kubernetes: its last lines above say why")

    def stop(self) -> None:
        """Stop the build and its compilers. Finished parts are kept; the next run continues from them."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        self._reader.join(timeout=5)


class Kubectl:
    """kubectl, with the configuration that `openstack coe cluster config` wrote."""

    def __init__(self, config: pathlib.Path, version: str) -> None:
        # The kubectl of the node image's build has the cluster's version.
        self._program = find_cached(default_cache(), version) or "kubectl"
        self._config = config

    def __call__(self, *words: str) -> str:
        """Return the output; the command is shown as a user would type it."""
        console.print(f"            kubectl {shlex.join(words)}", style="dim", markup=False)
        return self.quietly(*words)

    def quietly(self, *words: str) -> str:
        """Return the output without showing the command, for repeated looks."""
        return run(self._program, "--kubeconfig", self._config, *words)

    def ready(self) -> list[bool]:
        """Return for each node whether it is ready."""
        nodes = json.loads(self.quietly("get", "nodes", "-o", "json"))["items"]
        conditions = [{each["type"]: each["status"] for each in node["status"]["conditions"]} for node in nodes]
        return [each["Ready"] == "True" for each in conditions]


def kubernetes(openstack: OpenStack, folder: pathlib.Path) -> None:
    """Show a cluster of three nodes: create, use, resize, look."""
    show = "coe cluster show kube -f value"

    def until_status(wanted: str) -> None:
        until("cluster status", lambda: openstack.quietly(f"{show} -c status").strip(), wanted)

    with step("a Kubernetes of 1 + 2 nodes, from the request to CREATE_COMPLETE"):
        said = openstack("coe cluster create --cluster-template kubernetes --master-count 1 --node-count 2 kube")
        if "accepted" not in said:
            raise StepFailed(said)
        until_status("CREATE_COMPLETE")
    with step("its configuration: kubectl get nodes"):
        exports = openstack(f"coe cluster config kube --dir {folder} --force")
        version = openstack.quietly(f"{show} -c coe_version").strip()
        kubectl = Kubectl(pathlib.Path(exports.strip().rpartition("=")[2]), version)
        console.print(kubectl("get", "nodes").rstrip())
        expect(kubectl.ready(), [True] * 3, "nodes that are ready")
    with step("a Deployment with a Service, asked from another node by its name"):
        _served(kubectl, folder)
    with step("one node more: coe cluster resize"):
        openstack("coe cluster resize kube 3")
        until_status("UPDATE_COMPLETE")
        console.print(kubectl("get", "nodes").rstrip())
        expect(kubectl.ready(), [True] * 4, "nodes that are ready")


def _served(kubectl: Kubectl, folder: pathlib.Path) -> None:
    """Show a pod that serves, a service in front of it, and a pod on another node that asks."""
    container = {"name": "web", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", SERVE]}
    labels = {"app": "web"}
    pods = {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}
    deployment = _object("apps/v1", "Deployment", "web", {"selector": {"matchLabels": labels}, "template": pods})
    service = _object("v1", "Service", "web", {"selector": labels, "ports": [{"port": 80}]})
    written = folder / "web.json"
    written.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [deployment, service]}))
    console.print(kubectl("apply", "-f", str(written)).rstrip())
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    home = kubectl.quietly("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].spec.nodeName}")
    other = next(name for name in _workers(kubectl) if name != home)
    user = container | {"name": "user", "command": ["sleep", "3600"]}
    asking = {"nodeName": other, "terminationGracePeriodSeconds": 0, "containers": [user]}
    written.write_text(json.dumps(_object("v1", "Pod", "user", asking)))
    console.print(kubectl("apply", "-f", str(written)).rstrip())
    kubectl.quietly("wait", "--for=condition=Ready", "pod/user", "--timeout=60s")
    console.print(answer := kubectl("exec", "user", "--", "sh", "-c", ASK).rstrip())
    console.print(f"            asked on {other}, answered on {home}")
    if not answer.startswith("served by web-"):
        raise StepFailed(f"the service answers {answer!r}")


def _workers(kubectl: Kubectl) -> list[str]:
    return (
        kubectl.quietly("get", "nodes", "-l", "node-role.kubernetes.io/worker", "-o", "name")
        .replace("node/", "")
        .split()
    )


def _object(version: str, kind: str, name: str, spec: dict[str, object]) -> dict[str, object]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
