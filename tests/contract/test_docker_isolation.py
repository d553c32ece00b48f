"""What containers of one project can reach and use up, on a real Engine: nothing of others, nothing without end."""

import asyncio
import ipaddress
import uuid as uuids
from typing import Any

import pytest
from structlog.testing import capture_logs

from jeroboam.domain.containers import ContainerSpec, RuntimeState
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.runtimes.base import ImageRegistryUnreachable, RuntimeOptions
from jeroboam.runtimes.docker.networks import ProjectNetworks
from jeroboam.runtimes.docker.runtime import DockerRuntime
from tests.contract.rigs import docker_runtime
from tests.engine_proxy import proxied
from tests.unit.test_manifest_url import own_address

pytestmark = [pytest.mark.docker, pytest.mark.security]

SECONDS = 20.0
SECRET = b'<html>{"role": "admin", "key": "AKIA-not-yours"}</html>'


@pytest.fixture
async def runtime(busybox):
    async with docker_runtime(options=RuntimeOptions(max_processes=32)) as made:
        yield made


async def a_container(runtime, project, *command):
    """A running container of that project, with its address."""
    uuid = str(uuids.uuid4())
    spec = ContainerSpec(image="busybox", command=command or ("sleep", "600"), cpu=0.2, memory=64)
    await runtime.create(uuid, "a", spec, project=project)
    return await runtime.start(uuid)


async def a_server(runtime, project):
    return await a_container(runtime, project, "sh", "-c", "while true; do echo hello | nc -l -p 8080; done")


async def reaches(runtime, container, address, port) -> bool:
    """Whether the container can connect to the port; what listens says hello."""
    command = ["sh", "-c", f"nc -w 2 {address} {port} </dev/null"]
    return "hello" in (await runtime.execute(container.uuid, command, limit=SECONDS)).output


async def test_projects_do_not_reach_each_other(runtime):
    one, two = await a_server(runtime, "one"), await a_container(runtime, "one")
    other = await a_container(runtime, "two")
    (address,) = one.addresses
    assert await reaches(runtime, two, address.addr, 8080)
    assert not await reaches(runtime, other, address.addr, 8080)
    assert {address.network} == {each.network for each in two.addresses}
    assert {address.network} != {each.network for each in other.addresses}


async def test_neither_the_machine_nor_a_bridge_of_somebody_else_is_reached(runtime, docker):
    async def greet(_, writer):
        writer.write(b"hello\n")
        writer.close()

    server = await asyncio.start_server(greet, "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    network = await docker.networks.create({"Name": f"nodes-{uuids.uuid4()}", "Driver": "bridge"})
    config = {
        "Image": "busybox",
        "Cmd": ["sh", "-c", "while true; do echo hello | nc -l -p 8080; done"],
        "HostConfig": {"NetworkMode": network.id},
    }
    node = await docker.containers.create(config)
    try:
        await node.start()
        shown = (await network.show())["Containers"][node.id]["IPv4Address"].partition("/")[0]
        mine = await a_container(runtime, "one")
        gateway = (
            await runtime.execute(
                mine.uuid, ["sh", "-c", "ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'"], limit=SECONDS
            )
        ).output.strip()
        assert ipaddress.ip_address(gateway), "there is a way out"
        for address in (gateway, own_address(), "172.17.0.1"):
            assert not await reaches(runtime, mine, address, port), address
        assert not await reaches(runtime, mine, shown, 8080)
    finally:
        server.close()
        await node.delete(force=True)
        await network.delete()


async def test_a_network_that_cannot_be_shielded_is_closed(runtime, docker, monkeypatch):
    """As on a machine where this process may not set rules of the packet filter."""
    monkeypatch.setenv("PATH", "/nowhere")
    mine, peer = await a_container(runtime, "closed"), await a_server(runtime, "closed")
    address = peer.addresses[0].addr
    assert await reaches(runtime, mine, address, 8080)
    shown = await (await docker.networks.get(peer.addresses[0].network)).show()
    assert shown["Internal"]
    # Nobody answers for the bridge itself, which is the way to the machine.
    gateway = shown["IPAM"]["Config"][0]["Gateway"]
    peer_and_gateway = f"nc -w 2 {gateway} 22; nc -w 2 {address} 8080 </dev/null; cat /proc/net/arp"
    lines = (await runtime.execute(mine.uuid, ["sh", "-c", peer_and_gateway], limit=SECONDS)).output.splitlines()
    neighbours = {line.split()[0] for line in lines if len(line.split()) == 6 and line.split()[2] == "0x2"}
    assert address in neighbours
    assert gateway not in neighbours


async def test_a_network_goes_with_the_last_container_and_stays_before(runtime, docker):
    networks = ProjectNetworks(lambda: docker, runtime.installation)
    mine = await a_container(runtime, "one")
    await networks.tidy()
    assert len(await networks._list_networks()) == 1
    await runtime.remove(mine.uuid, force=True)
    async with networks.hold_network("one"):
        await networks.tidy()
        assert len(await networks._list_networks()) == 1
    await networks.tidy()
    assert await networks._list_networks() == []


@pytest.fixture
async def restarted(runtime):
    """Another process for the same containers, as after a restart, when nothing is known of the packet filter."""
    made = DockerRuntime(installation=runtime.installation)
    yield made
    await made.close()


async def is_closed(docker, container) -> bool:
    (address,) = container.addresses
    return (await (await docker.networks.get(address.network)).show())["Internal"]


async def test_an_open_network_gets_no_container_once_the_machine_is_not_shielded(
    runtime, restarted, docker, monkeypatch
):
    stands, runs = await a_container(runtime, "one"), await a_container(runtime, "one")
    await runtime.stop(stands.uuid, 0)
    assert not await is_closed(docker, runs)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Temporary, match="cannot be set any more"):
        await a_container(restarted, "one")
    with pytest.raises(Temporary, match="cannot be set any more"):
        await restarted.start(stands.uuid)
    assert (await restarted.start(runs.uuid)).state is RuntimeState.RUNNING
    with capture_logs() as logs:
        await restarted.tidy()
        await restarted.tidy()
    assert [(line["log_level"], line["event"]) for line in logs] == [
        ("error", "containers on open networks may reach the Engine's machine")
    ]
    # As soon as nothing runs on it, it is a closed one for those that come, old and new.
    await restarted.stop(runs.uuid, 0)
    assert await is_closed(docker, await restarted.start(stands.uuid))
    assert await is_closed(docker, await restarted.start(runs.uuid))


async def test_a_closed_network_is_opened_when_the_machine_is_shielded_and_nothing_runs(
    runtime, restarted, docker, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nowhere")
        first = await a_container(runtime, "one")
    assert await is_closed(docker, first)
    assert await is_closed(docker, await a_container(restarted, "one"))
    for seen in await restarted.list_owned():
        await restarted.stop(seen.uuid, 0)
    assert not await is_closed(docker, await a_container(restarted, "one"))
    assert not await is_closed(docker, await restarted.start(first.uuid))


async def test_a_network_that_is_lost_is_made_again_by_the_next_start(runtime, docker):
    """As after `docker network prune`, which counts containers that run."""
    was, never_ran = await a_container(runtime, "one"), str(uuids.uuid4())
    spec = ContainerSpec(image="busybox", command=("sleep", "600"), cpu=0.2, memory=64)
    await runtime.create(never_ran, "a", spec, project="one")
    await runtime.stop(was.uuid, 0)
    await (await docker.networks.get(was.addresses[0].network)).delete()
    one, two = await runtime.start(was.uuid), await runtime.start(never_ran)
    assert one.addresses[0].network == two.addresses[0].network != was.addresses[0].network
    assert not await is_closed(docker, one)


class Meanwhile:
    """The Engine, where something happens between its first list of containers and whoever reads that."""

    def __init__(self, docker, happens):
        self.networks, self.system, self.containers = docker.networks, docker.system, self
        self._docker, self._happens = docker, happens

    async def list(self, **asked):
        found = await self._docker.containers.list(**asked)
        happens, self._happens = self._happens, None
        if happens is not None:
            await happens
        return found


async def test_a_network_stays_for_containers_that_do_not_run(runtime, docker):
    """Also for one that comes while it is looked for what may go: the Engine itself would let the network go."""
    mine, late = await a_container(runtime, "one"), str(uuids.uuid4())
    await runtime.stop(mine.uuid, 0)
    networks = ProjectNetworks(lambda: docker, runtime.installation)
    await networks.tidy()
    [network] = await networks._list_networks()
    await runtime.remove(mine.uuid, force=True)
    coming = runtime.create(late, "a", ContainerSpec(image="busybox", cpu=0.2, memory=64), project="one")
    engine: Any = Meanwhile(docker, coming)
    await ProjectNetworks(lambda: engine, runtime.installation).tidy()
    assert [each["Id"] for each in await networks._list_networks()] == [network["Id"]]


async def test_one_network_that_cannot_be_removed_keeps_no_other_and_no_listing(runtime, docker, tmp_path):
    for project in ("one", "two"):
        await runtime.remove((await a_container(runtime, project)).uuid, force=True)
    networks = ProjectNetworks(lambda: docker, runtime.installation)
    stuck, _ = await networks._list_networks()
    async with proxied(tmp_path / "engine.sock") as (proxy, url):
        through = DockerRuntime(installation=runtime.installation, url=url)
        proxy.refuse(rf"DELETE \S+/networks/{stuck['Id']}", 500, "error while removing network")
        try:
            with pytest.raises(Temporary, match="error while removing network"):
                await through.tidy()
            assert [each["Name"] for each in await networks._list_networks()] == [stuck["Name"]]
            assert await through.list_owned() == []
        finally:
            await through.close()


async def test_no_container_makes_up_frames_or_has_a_right_too_many(runtime):
    mine = await a_container(runtime, "one")
    status = (await runtime.execute(mine.uuid, ["cat", "/proc/self/status"], limit=SECONDS)).output
    caps = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff"))
    assert not caps >> 13 & 1, "CAP_NET_RAW"
    assert not caps >> 12 & 1, "CAP_NET_ADMIN"


async def test_processes_have_a_limit(runtime):
    mine = await a_container(runtime, "one")
    bomb = "for n in $(seq 200); do sleep 60 & done; wait"
    output = (await runtime.execute(mine.uuid, ["sh", "-c", f"({bomb}) 2>&1 | head -n 1"], limit=SECONDS)).output
    assert "fork" in output
    assert (await runtime.inspect(mine.uuid)).state is RuntimeState.RUNNING


async def test_what_is_kept_of_output_has_a_limit(runtime, docker):
    mine = await a_container(runtime, "one")
    shown = await docker.containers.container(mine.runtime_id).show()
    config = shown["HostConfig"]
    assert config["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}}
    assert config["PidsLimit"] == 32


# ---------------------------------------------------------------------------------------------- registries as a way in


@pytest.fixture
async def listener():
    """Something on this machine that is no registry, and whose answers are nobody's business. Its port and requests."""
    met = []

    async def answer(reader, writer):
        met.append(await reader.readline())
        writer.write(b"HTTP/1.1 500 X\r\nContent-Length: %d\r\n\r\n" % len(SECRET) + SECRET)
        writer.close()

    server = await asyncio.start_server(answer, "0.0.0.0", 0)
    yield server.sockets[0].getsockname()[1], met
    server.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "169.254.169.254", "own", "0.0.0.0"])
async def test_no_pull_leads_into_the_services_own_networks(runtime, listener, host):
    port, met = listener
    name = own_address() if host == "own" else host
    with pytest.raises(Permanent, match="a network that images are not pulled from"):
        await runtime.pull(f"{name}:{port}/a/b:1", None)
    assert met == []


async def test_what_answers_a_pull_is_not_repeated(listener):
    port, met = listener
    options = RuntimeOptions(registry_networks=(ipaddress.ip_network("127.0.0.0/8"),))
    async with docker_runtime(options=options) as runtime:
        with pytest.raises(ImageRegistryUnreachable) as caught:
            await runtime.pull(f"127.0.0.1:{port}/a/b:1", None)
    assert met
    assert "AKIA" not in caught.value.reason
    assert "html" not in caught.value.reason
