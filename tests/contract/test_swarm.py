"""Swarm for real: what a user of the cluster does with a docker command line, and what happens to nodes."""

import asyncio
import dataclasses
import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from jeroboam.clients.docker import connect
from jeroboam.domain.clusters import Health, TemplateSpec
from jeroboam.domain.errors import Invalid, Temporary
from jeroboam.kit.x509 import KeyPair, sign_csr
from jeroboam.providers.local.nodes import volume_name
from tests.contract.rigs import CLOCK, eventually, last, ready, swarm_rig

pytestmark = pytest.mark.docker


@pytest.fixture
async def rig():
    made = await swarm_rig()
    yield made
    await made.infra.close()


class User:
    """Someone with a docker command line and what `coe cluster config` wrote: a key of their own, a signed request."""

    def __init__(self, rig, folder: Path) -> None:
        key = rsa.generate_private_key(65537, 2048)
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, "admin"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
            ]
        )
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        csr = request.public_bytes(serialization.Encoding.PEM).decode()
        ca = KeyPair(pem=rig.authority.pem, key=rig.authority.key)
        pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (folder / "ca.pem").write_text(rig.authority.pem)
        (folder / "cert.pem").write_text(sign_csr(ca=ca, csr=csr, now=CLOCK.now()))
        (folder / "key.pem").write_bytes(key.private_bytes(pem, pkcs8, plain))
        self.folder = folder
        self.address = f"tcp://{rig.members[0].address}:2376"

    async def docker(self, *words: str, stdin: bytes | None = None, address: str | None = None) -> str:
        client = shutil.which("docker") or "docker"
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "DOCKER_CERT_PATH": str(self.folder)}
        process = await asyncio.create_subprocess_exec(
            client,
            f"--host={address or self.address}",
            "--tlsverify",
            *words,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin)
        assert process.returncode == 0, f"docker {' '.join(words)}: {err.decode()}"
        return out.decode()

    async def nodes(self) -> dict[str, str]:
        shown = await self.docker("node", "ls", "--format", "{{.Hostname}} {{.Status}}")
        return dict(line.split() for line in shown.splitlines())

    async def running(self, service: str) -> dict[str, int]:
        """How many tasks run, by node."""
        shown = await self.docker("service", "ps", service, "--format", "{{.Node}} {{.CurrentState}}")
        found: dict[str, int] = {}
        for line in shown.splitlines():
            node, state, *_ = line.split()
            if state == "Running":
                found[node] = found.get(node, 0) + 1
        return found


def busybox() -> bytes:
    """A tar of a root folder with nothing but a static busybox."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(shutil.which("busybox") or "busybox", "bin/busybox")
        for name in ("sh", "sleep", "nc", "cat", "echo", "timeout", "nslookup"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
    return out.getvalue()


async def give_busybox(rig, user: User) -> None:
    image = busybox()
    await asyncio.gather(
        *(
            user.docker("import", "-", "busybox:latest", stdin=image, address=f"tcp://{member.address}:2376")
            for member in rig.members
        )
    )


async def serve(user: User, name: str, replicas: int) -> None:
    """A service of the kind that works without IPVS; every task answers with its host's name on port 8080."""
    await user.docker("network", "create", "-d", "overlay", "--attachable", f"{name}-net")
    script = "trap 'exit 0' TERM; while :; do echo hello | nc -l -p 8080; done & wait"
    await user.docker(
        "service", "create", "--detach", "--name", name, "--replicas", str(replicas), "--endpoint-mode", "dnsrr",
        "--network", f"{name}-net", "--no-resolve-image", "--stop-grace-period", "1s",
        "--constraint", "node.labels.tier==worker", "busybox:latest", "sh", "-c", script,
    )  # fmt: skip


async def test_a_user_runs_a_service_and_the_cluster_shrinks_under_it(rig, tmp_path):
    await rig.boot(rig.nodes(1, 2))
    await rig.coe.join(rig.plan())
    user = User(rig, tmp_path)
    assert await user.nodes() == {member.name: "Ready" for member in rig.members}

    await give_busybox(rig, user)
    await serve(user, "web", 4)
    workers = [member for member in rig.members if member.role == "worker"]
    spread = await eventually(lambda: user.running("web"), lambda found: sum(found.values()) == 4)
    assert spread == {worker.name: 2 for worker in workers}

    # One task reaches the others over the overlay, from the master, by the service's name.
    answer = await user.docker(
        "run", "--rm", "--network", "web-net", "busybox:latest", "sh", "-c",
        "for i in 1 2 3 4 5 6 7 8; do timeout 2 nc web 8080 && exit 0; done; exit 1",
    )  # fmt: skip
    assert answer == "hello\n"

    gone = workers[1]
    rig.members.remove(gone)
    await rig.coe.leave(rig.plan(), [gone.name])
    assert gone.name not in await user.nodes()
    await rig.provider.remove(rig.cluster_id, [gone.uuid])
    await eventually(lambda: user.running("web"), lambda found: found == {workers[0].name: 4})


async def test_a_host_port_is_reached_from_outside(rig, tmp_path):
    await rig.boot(rig.nodes(1, 0))
    await rig.coe.join(rig.plan())
    user = User(rig, tmp_path)
    await give_busybox(rig, user)
    await user.docker(
        "service", "create", "--detach", "--name", "web", "--no-resolve-image",
        "--publish", "published=8080,target=8080,mode=host", "--stop-grace-period", "1s",
        "busybox:latest", "sh", "-c", "while :; do echo hello | nc -l -p 8080; done",
    )  # fmt: skip

    async def ask() -> bytes:
        try:
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_connection(rig.members[0].address, 8080)
                said = await reader.read(100)
                writer.close()
        except (OSError, TimeoutError) as error:
            raise Temporary(str(error)) from error
        return said

    assert await eventually(ask, lambda said: said == b"hello\n")


async def test_a_stranger_is_not_let_in(rig):
    await rig.boot(rig.nodes(1, 0))
    await rig.coe.join(rig.plan())
    other = await swarm_rig()
    with pytest.raises(Temporary, match="no manager"):
        await rig.coe.observe(rig.plan(authorities={"main": other.authority}))


@pytest.mark.slow
async def test_a_killed_worker_is_started_and_ready_again_by_itself(rig):
    await rig.boot(rig.nodes(1, 1))
    await rig.coe.join(rig.plan())
    victim = rig.members[1]
    await rig.infra.kill(rig.cluster_id, victim.uuid)
    seen = await eventually(lambda: rig.coe.observe(rig.plan()), lambda found: not ready(found)[victim.uuid])
    assert seen.health is Health.UNHEALTHY
    assert seen.health_reasons[f"{victim.name}.Ready"] == "False"
    await rig.start_all()
    await eventually(lambda: rig.coe.observe(rig.plan()), lambda found: all(ready(found).values()))


async def test_a_killed_master_takes_its_swarm_up_again(rig):
    await rig.boot(rig.nodes(1, 1))
    first = await rig.coe.join(rig.plan())
    await rig.infra.kill(rig.cluster_id, rig.members[0].uuid)
    with pytest.raises(Temporary):
        await rig.coe.observe(rig.plan())
    await rig.start_all()
    again = await eventually(lambda: rig.coe.join(rig.plan()), lambda found: all(ready(found).values()))
    assert again.strangers == first.strangers == ()


@pytest.mark.slow
async def test_a_node_that_lost_its_disk_comes_back_once(rig):
    await rig.boot(rig.nodes(1, 1))
    await rig.coe.join(rig.plan())
    victim = rig.members[1]
    [before] = await lives(rig, victim)
    await lose_with_disk(rig, victim.uuid)
    await rig.start_all()

    # Until the swarm has missed it, its former life still counts as ready and nobody joins anew.
    async def joined():
        return await rig.coe.join(rig.plan()), await lives(rig, victim)

    def is_back_once(found) -> bool:
        return [node.ready and node.id != before.id for node in found[1]] == [True]

    again, _ = await eventually(joined, is_back_once)
    assert again.strangers == ()
    assert all(ready(again).values())


@pytest.mark.slow
async def test_a_membership_that_is_made_anew_keeps_what_its_user_gave(rig, tmp_path):
    await rig.boot(rig.nodes(1, 1))
    await rig.coe.join(rig.plan())
    user, worker = User(rig, tmp_path), rig.members[1]
    [node] = (await user.docker("node", "ls", "-q", "--filter", f"name={worker.name}")).split()
    await user.docker("node", "update", "--availability", "pause", "--label-add", "disk=ssd", node)
    # Its Engine is started anew without what it knew, and is another node to the swarm.
    await lose_with_disk(rig, worker.uuid)
    await eventually(lambda: rig.coe.observe(rig.plan()), lambda found: not ready(found)[worker.uuid])
    await rig.start_all()
    joined = await eventually(lambda: rig.coe.join(rig.plan()), lambda found: all(ready(found).values()))
    assert joined.strangers == ()
    shown = '{{.Spec.Availability}} {{index .Spec.Labels "disk"}} {{index .Spec.Labels "tier"}}'
    [again] = (await user.docker("node", "ls", "-q", "--filter", f"name={worker.name}")).split()
    assert again != node
    assert (await user.docker("node", "inspect", "--format", shown, again)).split() == ["pause", "ssd", "worker"]


@pytest.mark.slow
async def test_one_master_of_three_may_be_away_and_be_replaced(rig):
    nodes = rig.nodes(3, 0)
    await rig.boot(nodes)
    assert all(ready(await rig.coe.join(rig.plan())).values())
    victim = rig.members[0]
    await rig.infra.lose(rig.cluster_id, victim.uuid)
    await eventually(lambda: rig.coe.observe(rig.plan()), lambda seen: not ready(seen)[victim.uuid], seconds=90)
    assert (await rig.coe.observe(rig.plan())).api_address == f"tcp://{victim.address}:2376"
    rig.members.pop(0)
    await rig.coe.leave(rig.plan(), [victim.name])
    await rig.boot([*nodes[1:], *rig.nodes(1, 0, first=9)])
    joined = await eventually(lambda: rig.coe.join(rig.plan()), lambda found: all(ready(found).values()))
    assert len(joined.members) == 3
    assert joined.strangers == ()


@pytest.mark.slow
async def test_no_second_swarm_is_founded_beside_one_that_is_away(rig):
    nodes = rig.nodes(3, 0)
    await rig.boot(nodes)
    await rig.coe.join(rig.plan())
    first, *others = rig.members
    swarm = await swarm_id(rig, others[0].address)
    for member in others:
        await rig.infra.kill(rig.cluster_id, member.uuid)
    await lose_with_disk(rig, first.uuid)
    await last(rig.provider.ensure(rig.want(nodes[:1]), rig.scripts()))
    with pytest.raises(Temporary, match="no manager of the swarm answers"):
        await rig.coe.join(rig.plan())
    await rig.start_all()
    # Managers that lost their quorum answer only once they have elected a leader again: 10 to 30 s.
    again = await eventually(lambda: rig.coe.join(rig.plan()), lambda found: all(ready(found).values()), seconds=90)
    assert again.strangers == ()
    assert {await swarm_id(rig, member.address) for member in rig.members} == {swarm}


async def test_taints_are_said_not_to_hold(rig):
    await rig.boot(rig.nodes(1, 0))
    rig.members[0] = dataclasses.replace(rig.members[0], taints=({"key": "k", "effect": "NoSchedule"},))
    joined = await rig.coe.join(rig.plan())
    said = {each.type: each.status for each in joined.conditions}
    assert said == {"TaintsHonoured": False, "LabelsHonoured": True}


async def test_labels_without_a_meaning_are_named(rig):
    await rig.boot(rig.nodes(1, 0))
    await rig.coe.join(rig.plan())
    seen = await rig.coe.observe(
        rig.plan(labels={"kube_tag": "v1", "docker_log_max_size": "1m", "min_node_count": "1"})
    )
    [said] = [each for each in seen.conditions if each.type == "LabelsHonoured"]
    assert (said.status, said.message) == (False, "These labels have no effect on a Swarm: kube_tag.")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("docker_log_max_size", "10 m"),
        ("docker_log_max_size", "0"),
        ("docker_log_max_file", "3"),
        ("docker_registry_mirror", "mirror.example"),
        ("docker_registry_mirror", "https://user@mirror.example"),
        ("docker_registry_mirror", "http://[mirror"),
    ],
)
def test_labels_that_an_engine_would_not_start_with_are_refused(rig, name, value):
    with pytest.raises(Invalid, match=name) as caught:
        rig.coe.check(TemplateSpec(coe="swarm", image_id="swarm-node", labels={name: value}))
    assert caught.value.field == f"labels/{name}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tls_disabled", True),
        ("network_driver", "flannel"),
        ("volume_driver", "cinder"),
        ("registry_enabled", True),
        ("docker_storage_driver", "bogus"),
        ("insecure_registry", "a b"),
        ("insecure_registry", "r:5000,http://r"),
        ("insecure_registry", "r\nx"),
        ("insecure_registry", "10.0.0.0/33"),
    ],
)
def test_fields_that_swarm_cannot_honour_are_named(rig, field, value):
    with pytest.raises(Invalid, match=field) as caught:
        rig.coe.check(TemplateSpec(coe="swarm", image_id="swarm-node", **{field: value}))
    assert caught.value.field == field


async def test_a_node_has_the_memory_of_its_flavour(rig, tmp_path):
    await rig.boot(rig.nodes(1, 0))
    await rig.coe.join(rig.plan())
    shown = await User(rig, tmp_path).docker(
        "node", "inspect", "self", "--format", "{{.Description.Resources.MemoryBytes}}"
    )
    assert int(shown) == 2048 << 20


async def test_template_fields_reach_the_engines(rig):
    template = TemplateSpec(
        coe="swarm",
        image_id="swarm-node",
        apiserver_port=3376,
        dns_nameserver="192.0.2.53",
        insecure_registry="registry.example:5000",
        docker_storage_driver="overlay2",
        http_proxy="http://proxy.example:3128",
        # Nobody answers there: nodes find each other without it.
        https_proxy="http://192.0.2.1:3128",
        no_proxy="example.org",
    )
    made = rig.plan
    rig.plan = lambda **changes: made(**{"template": template, **changes})
    rig.options = {
        "docker_log_max_size": "1m",
        "docker_log_max_file": "2",
        "docker_registry_mirror": "https://mirror.example",
    }
    await rig.boot(rig.nodes(1, 1))
    joined = await eventually(lambda: rig.coe.join(rig.plan()), lambda found: all(ready(found).values()))
    assert joined.api_address == f"tcp://{rig.members[0].address}:3376"
    async with rig.coe._connect(rig.plan()) as fleet:
        info = await fleet.client_of(rig.members[0].address).system.info()
    assert info["Driver"] == "overlay2"
    assert "registry.example:5000" in info["RegistryConfig"]["IndexConfigs"]
    assert info["HttpProxy"] == "http://proxy.example:3128"
    direct = ["example.org", "localhost", "127.0.0.1", *(each.address for each in rig.members)]
    assert info["NoProxy"].split(",") == direct
    assert info["RegistryConfig"]["Mirrors"] == ["https://mirror.example/"]
    daemon = next(file for file in rig.scripts()[rig.members[0].uuid].files if file.path.endswith("daemon.json"))
    config = json.loads(daemon.content)
    assert config["dns"] == ["192.0.2.53"]
    assert config["log-opts"] == {"max-size": "1m", "max-file": "2"}


async def lives(rig, member):
    """What the swarm has under the name of that node: each time that it joined anew is another one."""
    async with rig.coe._connect(rig.plan()) as fleet:
        return [node for node in await fleet.nodes(rig.members[0].address) if node.name == member.name]


async def swarm_id(rig, address: str) -> str:
    async with rig.coe._connect(rig.plan()) as fleet:
        return (await fleet.client_of(address).system.info())["Swarm"]["Cluster"]["ID"]


async def lose_with_disk(rig, node_uuid: str) -> None:
    await rig.infra.lose(rig.cluster_id, node_uuid)
    async with connect() as docker:
        await (await docker.volumes.get(volume_name(node_uuid))).delete()
