"""A node of the real Kubernetes image: what it promises to a COE, on a real Engine.

The image is not made here: `make kubernetes-image` makes it.
"""

import asyncio
import tomllib
import uuid
from dataclasses import replace
from importlib.resources import files

import aiodocker
import pytest

from jeroboam.bootstrap.images import machine_of
from jeroboam.clients.docker import connect
from jeroboam.domain.nodes import NodeFile, NodeScript
from jeroboam.kit.clock import SystemClock
from jeroboam.nodeimages import kubernetes
from jeroboam.nodeimages.host import RootRecipe, resolve_recipe
from jeroboam.nodeimages.kubernetes.layers import Layer, pack_layers
from jeroboam.nodeimages.programs import ProgramCache
from jeroboam.providers.local.catalog import LocalCatalog
from jeroboam.providers.local.nodes import build_archive
from jeroboam.settings import load
from tests.unit.test_programs import Told

pytestmark = [pytest.mark.docker, pytest.mark.kubernetes]

REPOSITORY = "jeroboam-test/kubernetes-node"
SECONDS = 60
# The shell would take busybox's `ip`, which knows no namespaces.
POD = """
PATH=/usr/sbin; i=/usr/sbin/ip
$i netns add pod && $i link add outside type veth peer name inside netns pod && $i addr add 10.9.9.1/24 dev outside &&
$i link set outside up && $i -n pod addr add 10.9.9.2/24 dev inside && $i -n pod link set inside up &&
$i -n pod route add default via 10.9.9.1 && $i netns exec pod busybox nslookup {name} {gateway}
"""
WHICH = ("/usr/sbin/busybox", "sed", "s/^/from /", "/which")
STDOUT = 1


class Node:
    """A container that plays a node on a volume, which the next one may have."""

    def __init__(self, docker, image: str, volume: str) -> None:
        self._docker = docker
        self._image = image
        self._volume = volume
        self._container: aiodocker.containers.DockerContainer
        self._exists = False

    async def start(self, *commands: tuple[str, ...], network: str = "none", laid: tuple[NodeFile, ...] = ()) -> "Node":
        config = await machine_of(self._docker)(self._image)
        data = {"Type": "volume", "Source": self._volume, "Target": "/var/lib"}
        host = {**config, "NetworkMode": network, "Mounts": [*config.get("Mounts", ()), data]}
        self._container = await self._docker.containers.create({"Image": self._image, "HostConfig": host})
        self._exists = True
        last = ("sh", "-c", "touch /run/up; exec /usr/lib/jeroboam/keep sleep 600")
        await self._container.put_archive("/", build_archive(NodeScript(files=laid, commands=(*commands, last))))
        await self._container.start()
        async with asyncio.timeout(SECONDS):
            while await self.status("test", "-f", "/run/up") != 0:
                await asyncio.sleep(0.05)
        return self

    async def status(self, *command: str) -> int:
        return (await self._run(*command))[0]

    async def says(self, *command: str) -> str:
        status, said = await self._run(*command)
        assert status == 0, said
        return said

    async def images(self) -> set[str]:
        said = await self.says("ctr", "-n", "k8s.io", "images", "ls", "-q")
        return {name for name in said.split() if not name.startswith("sha256:")}

    async def runs(self, image: str, *command: str) -> str:
        return await self.says("ctr", "-n", "k8s.io", "run", "--rm", image, uuid.uuid4().hex, *command)

    async def _run(self, *command: str) -> tuple[int, str]:
        execution = await self._container.exec(list(command))
        said = []
        async with execution.start() as stream:
            while (message := await stream.read_out()) is not None:
                if message.stream == STDOUT:
                    said.append(message.data.decode())
        return (await execution.inspect())["ExitCode"], "".join(said)

    async def kill(self) -> None:
        await self._container.kill()
        await self._container.start()
        async with asyncio.timeout(SECONDS):
            while await self.status("test", "-f", "/run/up") != 0:
                await asyncio.sleep(0.05)

    async def remove(self) -> None:
        if self._exists:
            await self._container.delete(force=True)
            self._exists = False


@pytest.fixture
async def docker():
    async with connect() as client:
        yield client


@pytest.fixture
async def node(docker):
    """Makes nodes; all that it makes on one volume."""
    volume, made = await docker.volumes.create({"Name": f"jeroboam-test-{uuid.uuid4().hex}"}), []

    def make(image: str) -> Node:
        made.append(Node(docker, image, volume.name))
        return made[-1]

    yield make
    for each in made:
        await each.remove()
    await volume.delete()


@pytest.fixture
async def image(docker) -> str:
    found = await LocalCatalog(lambda: docker).image(f"kubernetes-node:{kubernetes.find_version(None).name}")
    assert found is not None
    assert not found.unavailable_reason, found.unavailable_reason
    return found.id


async def test_a_node_boots_with_containerd_and_every_image(docker, node, image):
    clock = SystemClock()
    begun = clock.monotonic()
    up = await node(image).start()
    assert clock.monotonic() - begun < 10
    version = (await docker.images.inspect(image))["Config"]["Labels"]["jeroboam.kubernetes-version"]
    asked = (await up.says("kubeadm", "config", "images", "list", "--kubernetes-version", version)).split()
    there = await up.images()
    assert set(asked) <= there
    assert (await up.says("kubelet", "--version")).split()[-1] == version
    proxy = next(name for name in asked if "/kube-proxy:" in name)
    assert await up.runs(proxy, "kube-proxy", "--version") == f"Kubernetes {version}\n"
    assert await up.says("cat", "/etc/machine-id")
    assert await up.status("test", "-c", "/dev/kmsg") == 0


async def test_containerd_that_is_killed_and_a_node_that_is_killed_come_back(node, image):
    up = await node(image).start()
    machine = await up.says("cat", "/etc/machine-id")
    await up.says("sh", "-c", "kill -9 $(pidof containerd)")
    async with asyncio.timeout(SECONDS):
        while await up.status("ctr", "version") != 0:
            await asyncio.sleep(0.1)
    before = await up.images()
    await up.kill()
    assert await up.images() == before
    assert await up.says("cat", "/etc/machine-id") == machine


async def test_containerd_alone_has_the_environment_that_is_laid_as_it_is(node, image):
    lines = ["HTTP_PROXY=http://u:hunter2@p.invalid", r"""NO_PROXY= a $(touch /run/bad) `touch /run/bad` '"\n ;="""]
    file = NodeFile(
        path="/etc/containerd/environment", content="".join(f"{line}\n" for line in lines).encode(), mode=0o600
    )
    up = await node(image).start(laid=(file,))
    environment = "tr '\\0' '\\n' </proc/$(pidof %s)/environ"
    assert set(lines) <= set((await up.says("sh", "-c", environment % "containerd")).splitlines())
    assert await up.status("test", "-e", "/run/bad") == 1
    assert "PATH=" in (beside := await up.says("sh", "-c", environment % "sleep"))
    assert "PROXY" not in beside
    # Everybody on the machine sees what a process was called with.
    called = await up.says("sh", "-c", "cat /proc/[0-9]*/cmdline")
    assert "/usr/lib/jeroboam/keep" in called
    assert "hunter" not in called


@pytest.fixture
async def network(docker):
    made = await docker.networks.create({"Name": f"jeroboam-test-{uuid.uuid4().hex}", "CheckDuplicate": True})
    yield made.id
    await made.delete()


async def test_the_resolver_is_one_that_pods_reach(network, node, image):
    up = await node(image).start(network=network)
    for _ in range(2):
        name, gateway = await up.says("hostname"), await up.says("sed", "-n", "s/^nameserver //p", "/etc/resolv.conf")
        assert not gateway.startswith("127.")
        assert "Address" in await up.says("nslookup", name.strip(), gateway.strip())
        # From another network namespace, as a pod asks.
        await up.says("sh", "-c", POD.format(gateway=gateway.strip(), name=name.strip()))
        await up.kill()


@pytest.fixture
async def variants(docker):
    """Two images of nothing but containerd, with one layer in common and one of their own."""
    cache = ProgramCache(load(None).image_cache, SystemClock(), Told())
    wanted = kubernetes.find_version(None)
    programs = [program for program in wanted.programs if program.name in {"runc", "containerd", "cni"}]
    made = await cache.get(kubernetes.build_modules(), programs)
    small = RootRecipe(name="small", programs=("busybox",), packages="busybox-static", directories=("tmp",))
    shape = replace(kubernetes.build_recipe("test.invalid/common:1"), repository=REPOSITORY, name="test-node")
    tree = resolve_recipe(shape, {f"usr/local/bin/{name}": path for name, path in made.items()}).tree(shape)
    images = []
    for name in ("first", "second"):
        brought = [
            Layer(
                names=(f"test.invalid/{each}:1",),
                config={"Env": ["PATH=/usr/sbin"]},
                tree=resolve_recipe(root := replace(small, contents={"which": (each, 0o644)})).tree(root),
            )
            for each in ("common", name)
        ]
        of = tree | pack_layers(brought)
        images.append(await kubernetes.assemble(docker, shape, of, name, name, machine_of(docker)))
    yield images
    for name in ("first", "second"):
        await docker.images.delete(f"{REPOSITORY}:{name}", force=True)


async def test_a_volume_outlives_the_image_that_filled_it(variants, node):
    first, second = variants
    old = await node(first).start()
    assert await old.images() == {"test.invalid/common:1", "test.invalid/first:1"}
    assert await old.runs("test.invalid/first:1", *WHICH) == "from first"
    await old.says("ctr", "-n", "k8s.io", "images", "tag", "test.invalid/common:1", "users.invalid/own:1")
    await old.remove()
    new = await node(second).start()
    assert await new.images() == {"test.invalid/common:1", "test.invalid/second:1", "users.invalid/own:1"}
    assert await new.runs("test.invalid/second:1", *WHICH) == "from second"
    assert await new.runs("users.invalid/own:1", *WHICH) == "from common"
    await new.remove()
    back = await node(first).start()
    assert await back.images() == {"test.invalid/common:1", "test.invalid/first:1", "users.invalid/own:1"}
    assert await back.runs("test.invalid/first:1", *WHICH) == "from first"


async def test_a_node_may_keep_its_images_for_the_next_one(variants, node):
    first, second = variants
    old = await node(first).start(("/usr/lib/jeroboam/images", "own"))
    await old.remove()
    new = await node(second).start()
    assert await new.images() == {"test.invalid/common:1", "test.invalid/first:1", "test.invalid/second:1"}
    assert await new.runs("test.invalid/first:1", *WHICH) == "from first"
    assert await new.runs("test.invalid/second:1", *WHICH) == "from second"


# In the node: what each program says of itself; those of the control plane lie in the layers of their images.
HELP = """
for program in kubelet kube-apiserver kube-controller-manager kube-scheduler; do
    found=$(ls /usr/local/bin/$program /usr/lib/jeroboam/layers/*/fs/usr/local/bin/$program 2>/dev/null | head -n 1)
    echo "@ $program"
    $found --help 2>&1
done
"""


OLDER, NEWEST = sorted(kubernetes.list_versions())


@pytest.mark.parametrize("version", [NEWEST, pytest.param(OLDER, marks=pytest.mark.long)])
async def test_programs_know_the_options_that_users_may_be_let_set(docker, version):
    # Without a network: an Engine may miss its own bridge while other containers come and go.
    isolated = {"NetworkMode": "none"}
    config = {
        "Image": f"jeroboam/kubernetes-node:{version}",
        "Entrypoint": ["/bin/sh", "-c", HELP],
        "HostConfig": isolated,
    }
    container = await docker.containers.create(config)
    try:
        await container.start()
        async with asyncio.timeout(SECONDS):
            await container.wait()
        said = "".join(await container.log(stdout=True, stderr=True)).split("@ ")[1:]
    finally:
        await container.delete(force=True)
    table = tomllib.loads((files("jeroboam.coes.kubernetes") / "flags.toml").read_text())
    helps = {text.partition("\n")[0]: text for text in said}
    for program, text in helps.items():
        names = [name for names in table[program].values() for name in names.split()]
        assert len(names) > 50
        assert not [name for name in names if f"--{name} " not in text and f"--{name}[" not in text]
    assert set(helps) == {"kubelet", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}
    server = helps["kube-apiserver"]
    assert not [gate for gate in table["gates"]["names"].split() if f"{gate}=true|false" not in server]
    assert not [plugin for plugin in table["admission"]["plugins"].split() if plugin not in server]
