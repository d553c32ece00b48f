"""Images that reach the nodes of a Kubernetes cluster through a proxy of its users', for real.

The proxy is one of the test's own, where the cluster's network meets this machine. It answers for a registry that is
nowhere else.
"""

import asyncio
import base64
import dataclasses
import hashlib
import io
import json
import platform
import shutil
import tarfile
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.contract.rigs import eventually, gateway, kubernetes_rig, on_node, ready
from tests.contract.test_kubernetes import User
from tests.contract.test_kubernetes_settings import runs, shown

pytestmark = [pytest.mark.docker, pytest.mark.kubernetes, pytest.mark.slow]

REGISTRY = "registry.invalid"
OCI = "application/vnd.oci.image"
POD = """
apiVersion: v1
kind: Pod
metadata: {name: @NAME@}
spec:
  nodeName: @NODE@
  containers: [{name: c, image: "@IMAGE@", imagePullPolicy: Always, command: [/busybox, sleep, "600"]}]
"""


class Proxy:
    """Writes down what it was asked for, lets nobody through, and has one image to answer with itself."""

    def __init__(self, name: str) -> None:
        self.asked: list[tuple[str, str]] = []
        """Methods with targets, in order."""
        self.shown: set[str | None] = set()
        """Who people said that they are."""
        self._has: dict[str, tuple[str, bytes]] = {}
        layer = self._blob(name, f"{OCI}.layer.v1.tar", layer_of(shutil.which("busybox") or "busybox"))
        words = {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        }
        kind = f"{OCI}.manifest.v1+json"
        config = self._blob(name, f"{OCI}.config.v1+json", json.dumps(words).encode())
        manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]}).encode()
        self._has |= {f"/v2/{name}/manifests/{tag}": (kind, manifest) for tag in ("v1", digest_of(manifest))}

    def _blob(self, name: str, kind: str, content: bytes) -> dict[str, object]:
        digest = digest_of(content)
        self._has[f"/v2/{name}/blobs/{digest}"] = (kind, content)
        return {"mediaType": kind, "digest": digest, "size": len(content)}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        self.asked.append((method, target))
        self.shown.add(headers.get("proxy-authorization"))
        kind, content = self._has.get(urlsplit(target).path, ("text/plain", b""))
        status = "502 Bad Gateway" if method == "CONNECT" else "200 OK" if content else "404 Not Found"
        answer = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(content)}", "Connection: close"]
        answer += [f"Docker-Content-Digest: {digest_of(content)}"] if content else []
        writer.write("\r\n".join([*answer, "", ""]).encode() + (content if method == "GET" else b""))
        await writer.drain()
        writer.close()


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer_of(program: str) -> bytes:
    """A tar with nothing but that program."""
    content = Path(program).read_bytes()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("busybox")
        info.size, info.mode = len(content), 0o755
        tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@asynccontextmanager
async def proxied(proxy: Proxy, host: str):
    """The port that it has there."""
    server = await asyncio.start_server(proxy.serve, host, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def rig():
    made = await kubernetes_rig()
    yield made
    await made.infra.close()


def waits(word: str):
    """Whether a pod waits for its image with that word in the reason."""

    def says(pod) -> bool:
        states = [each["state"] for each in pod["status"].get("containerStatuses", ())]
        return any(word in state.get("waiting", {}).get("message", "") for state in states)

    return says


async def test_images_come_through_the_proxy_and_what_is_near_without(rig):
    nodes = rig.nodes(1, 0)
    [reserved] = (await rig.provider.reserve(rig.want(nodes))).values()
    host = await gateway(rig.cluster_id)
    proxy = Proxy("team/app")
    async with proxied(proxy, host) as port:
        url = f"http://user:p%40ss@{host}:{port}"
        fields = {"http_proxy": url, "https_proxy": url, "no_proxy": "near.invalid", "insecure_registry": REGISTRY}
        template = dataclasses.replace(rig.plan().template, **fields)
        rig.coe.check(template)
        made = rig.plan
        rig.plan = lambda **more: made(**{"template": template, **more})
        await rig.boot(nodes)
        assert all(ready(await rig.coe.join(rig.plan())).values())
        user = User(rig)

        near = f"{reserved.address}:5999"
        images = {"far": f"{REGISTRY}/team/app:v1", "own": f"{near}/team/app:v1", "near": "near.invalid/team/app:v1"}
        pods = "---".join(
            POD.replace("@NAME@", name).replace("@NODE@", nodes[0].name).replace("@IMAGE@", image)
            for name, image in images.items()
        )
        await eventually(lambda: user("apply", "-f", "-", stdin=pods), bool, seconds=60)

        # It is an insecure registry: the safe way is tried first, and both lead through the proxy.
        await eventually(lambda: shown(user, "pod", "far"), runs, seconds=90)
        assert proxy.asked[0] == ("CONNECT", f"{REGISTRY}:443")
        assert ("HEAD", f"http://{REGISTRY}/v2/team/app/manifests/v1") in proxy.asked
        assert proxy.shown == {f"Basic {base64.b64encode(b'user:p@ss').decode()}"}

        # The node itself, and whom users name, were asked directly: nobody listens there, and nobody knows that name.
        await eventually(lambda: shown(user, "pod", "own"), waits(f"dial tcp {near}: connect: connection refused"))
        await eventually(lambda: shown(user, "pod", "near"), waits("lookup near.invalid"), seconds=60)
        assert {urlsplit(target).hostname or target.partition(":")[0] for _, target in proxy.asked} == {REGISTRY}

    # Nothing that speaks to the cluster goes that way.
    for program in ("kubelet", "kube-apiserver", "kube-proxy", "etcd"):
        environment = await on_node(rig, 0, "sh", "-c", f"cat /proc/$(pidof {program})/environ")
        assert "PATH=" in environment
        assert "PROXY=" not in environment
