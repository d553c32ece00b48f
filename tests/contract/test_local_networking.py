"""Networks of projects on a real Engine: addresses, names, more networks than one, and security groups."""

import asyncio
import uuid as uuids
from dataclasses import replace

import pytest

from jeroboam.domain.containers import ContainerSpec
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.domain.host_ports import FilterRule, HostPort
from jeroboam.domain.networks import Direction, build_mac_address
from jeroboam.networking.base import NetworkingSettings
from jeroboam.networking.local.driver import LocalNetworking
from jeroboam.runtimes.base import NetworkMissing, RuntimeOptions
from jeroboam.runtimes.docker.runtime import DockerRuntime
from tests.contract.rigs import docker_runtime

pytestmark = [pytest.mark.docker, pytest.mark.security]

SECONDS = 20.0
WAIT = 2
OUT = FilterRule(direction=Direction.EGRESS)
MEMBERS = FilterRule(direction=Direction.INGRESS, remote_group="default")
WEB = FilterRule(direction=Direction.INGRESS, protocol="tcp", port_min=8080, port_max=8080)
SERVER = ("sh", "-c", "while true; do echo hello | nc -l -p 8080; done")


def a_network(third: int):
    """Makes ports of a network, by the last part of their addresses."""
    network = str(uuids.uuid4())

    def port(last: int, *rules: FilterRule, groups: tuple[str, ...] = ("default",)) -> HostPort:
        address = f"10.215.{third}.{last}"
        return HostPort(
            uuid=str(uuids.uuid4()),
            network_id=network,
            cidr=f"10.215.{third}.0/24",
            gateway=f"10.215.{third}.1",
            address=address,
            mac_address=build_mac_address(address),
            security_groups=groups,
            rules=rules or (OUT, MEMBERS),
        )

    return port


class Host:
    """A runtime and a networking driver, as an agent has them."""

    def __init__(self, runtime: DockerRuntime) -> None:
        self.runtime = runtime
        self.networking = LocalNetworking.from_settings(NetworkingSettings(installation=runtime.installation))
        self.ports: dict[str, tuple[HostPort, ...]] = {}
        self.names: dict[str, str] = {}

    async def run(self, name: str, *ports: HostPort, command: tuple[str, ...] = SERVER, project: str = "one") -> str:
        uuid = str(uuids.uuid4())
        self.ports[uuid], self.names[uuid] = ports, name
        spec = ContainerSpec(image="busybox", command=command, cpu=0.2, memory=64)
        await self.runtime.create(uuid, name, spec, project=project, ports=ports)
        await self.filter()
        await self.runtime.start(uuid)
        return uuid

    async def filter(self, *, is_fresh: bool = False) -> None:
        await self.networking.set_ports([port for ports in self.ports.values() for port in ports], is_fresh=is_fresh)

    async def plug(self, uuid: str, *ports: HostPort) -> None:
        self.ports[uuid] = ports
        await self.filter()
        await self.runtime.plug(uuid, self.names[uuid], project="one", ports=ports)

    async def ask(self, uuid: str, command: str) -> str:
        return (await self.runtime.execute(uuid, ["sh", "-c", command], limit=SECONDS)).output

    async def reaches(self, uuid: str, address: str, port: int = 8080) -> bool:
        return "hello" in await self.ask(uuid, f"nc -w {WAIT} {address} {port} </dev/null")

    async def remove(self, uuid: str) -> None:
        del self.ports[uuid]
        await self.runtime.remove(uuid, force=True)


async def list_networks(docker, network_id: str) -> list[str]:
    """The ids of the Engine's networks that are that one."""
    filters = {"label": [f"jeroboam.network={network_id}"]}
    return [network["Id"] for network in await docker.networks.list(filters=filters)]


async def list_rules() -> str:
    process = await asyncio.create_subprocess_exec("iptables-save", "-t", "filter", stdout=asyncio.subprocess.PIPE)
    return (await process.communicate())[0].decode()


@pytest.fixture
async def host(busybox):
    async with docker_runtime(options=RuntimeOptions(max_processes=32)) as runtime:
        made = Host(runtime)
        try:
            yield made
        finally:
            await made.networking.set_ports([], is_fresh=True)
            assert made.networking._chain not in await list_rules()


async def test_addresses_are_as_asked_and_names_are_in_dns(host):
    port = a_network(1)
    db = await host.run("db", port(9))
    web = await host.run("web", port(200))
    assert "10.215.1.9" in await host.ask(db, "ip -4 addr show eth0")
    assert "02:42:0a:d7:01:09" in await host.ask(db, "ip link show eth0")
    assert "10.215.1.9" in await host.ask(web, "nslookup db 127.0.0.11")
    assert await host.reaches(web, "db")
    assert await host.reaches(db, "web")
    # Nothing has to be filtered where all let each other through.
    assert host.networking._chain not in await list_rules()


async def test_networks_and_projects_do_not_reach_each_other(host):
    one, two = a_network(1), a_network(2)
    here = await host.run("here", one(2))
    await host.run("there", two(2))
    await host.run("theirs", a_network(3)(2), project="two")
    assert not await host.reaches(here, "10.215.2.2")
    assert not await host.reaches(here, "10.215.3.2")
    assert "10.215.2.2" not in await host.ask(here, "nslookup there 127.0.0.11")


async def test_more_networks_than_one_also_while_it_runs(host, docker):
    one, two, three = a_network(1), a_network(2), a_network(3)
    mine = await host.run("mine", one(2), two(2))
    peer, late = await host.run("peer", two(3)), await host.run("late", three(3))
    assert await host.reaches(mine, "peer")
    first, second = host.ports[mine]
    await host.plug(mine, first, second, three(2))
    await host.plug(mine, first, second, host.ports[mine][2])
    assert await host.reaches(mine, "late")
    assert await host.reaches(late, "mine")
    await host.plug(mine, host.ports[mine][2])
    assert await host.reaches(mine, "late")
    assert not await host.reaches(mine, "10.215.2.3")
    assert not await host.reaches(peer, "10.215.2.2")
    # What it was created on is no matter any more: that network may go, and the container starts without it.
    await host.runtime.stop(mine, 0)
    await host.runtime.tidy()
    assert await list_networks(docker, first.network_id) == []
    await host.runtime.start(mine)
    assert await host.reaches(mine, "late")
    addresses = await host.ask(mine, "ip -4 addr")
    assert "10.215.3.2/" in addresses
    assert "10.215.1.2/" not in addresses


async def test_a_container_may_have_no_network(host):
    mine = await host.run("mine", a_network(1)(2))
    await host.plug(mine)
    assert "eth0" not in await host.ask(mine, "ip addr")
    await host.runtime.stop(mine, 0)
    await host.runtime.start(mine)
    assert "eth0" not in await host.ask(mine, "ip addr")


async def test_groups_open_and_close_a_port_of_a_running_container(host):
    port = a_network(1)
    server_port, peer_port = port(2, OUT, groups=("web",)), port(3)
    server, peer = await host.run("server", server_port), await host.run("peer", peer_port)
    assert not await host.reaches(peer, "10.215.1.2")
    host.ports[server] = (replace(server_port, rules=(OUT, WEB)),)
    await host.filter()
    assert await host.reaches(peer, "10.215.1.2")
    # Members of the default group let in members only.
    assert not await host.reaches(server, "10.215.1.3")
    host.ports[server] = (replace(server_port, rules=(OUT, WEB), security_groups=("default", "web")),)
    await host.filter()
    assert await host.reaches(server, "10.215.1.3")
    host.ports[server] = (server_port,)
    await host.filter()
    assert not await host.reaches(peer, "10.215.1.2")
    await host.remove(server)
    await host.filter()
    assert host.networking._chain not in await list_rules()


async def test_a_rule_that_goes_ends_connections(host):
    port = a_network(1)
    server_port = port(2, OUT, WEB, groups=("web",))
    server = await host.run("server", server_port, command=("sh", "-c", "sleep 600 | nc -l -p 8080"))
    peer = await host.run("peer", port(3))
    await host.ask(peer, "mkfifo /tmp/in; (nc 10.215.1.2 8080 </tmp/in >/tmp/out &) ; (sleep 60 >/tmp/in &) ; sleep 1")
    flow = "netstat -tn | grep ':8080 .*ESTABLISHED' | awk '{print $2 $3}'"
    assert await host.ask(server, flow)
    host.ports[server] = (replace(server_port, rules=(OUT,)),)
    await host.filter()
    await host.ask(peer, "echo late >/tmp/in; sleep 1")
    # What was sent after the change has not come: it is still in the sender's queue.
    assert (await host.ask(peer, flow)).strip()[-1] != "0"


async def test_egress_is_by_rule_too(host):
    port = a_network(1)
    await host.run("server", port(2, OUT, WEB, groups=("web",)))
    silent = await host.run("silent", port(3, FilterRule(direction=Direction.INGRESS), groups=("silent",)))
    assert not await host.reaches(silent, "10.215.1.2")
    to_web = FilterRule(direction=Direction.EGRESS, protocol="tcp", port_min=8080, remote_prefix="10.215.1.0/30")
    host.ports[silent] = (replace(host.ports[silent][0], rules=(to_web,)),)
    await host.filter()
    assert await host.reaches(silent, "10.215.1.2")


async def test_without_a_packet_filter_groups_are_not_promised(host, monkeypatch):
    port = a_network(1)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nowhere")
        await host.run("open", port(2))
        with pytest.raises(Temporary, match="security groups of its ports cannot be enforced"):
            await host.run("server", port(3, OUT, WEB, groups=("web",)))


async def test_rules_that_others_took_away_come_back(host):
    port = a_network(1)
    server, peer = await host.run("server", port(2, OUT, groups=("web",))), await host.run("peer", port(3))
    process = await asyncio.create_subprocess_exec("iptables", "-w", "5", "-F", host.networking._chain)
    await process.wait()
    assert await host.reaches(peer, "10.215.1.2")
    await host.filter(is_fresh=True)
    assert not await host.reaches(peer, "10.215.1.2")
    # Another process, as after a restart, knows nothing and finds out.
    again = LocalNetworking.from_settings(NetworkingSettings(installation=host.runtime.installation))
    await again.set_ports([port for ports in host.ports.values() for port in ports], is_fresh=True)
    assert not await host.reaches(peer, "10.215.1.2")
    assert server


async def test_a_network_that_is_lost_is_made_again(host, docker):
    port = a_network(1)
    mine = await host.run("mine", port(7))
    await host.runtime.stop(mine, 0)
    [network] = await list_networks(docker, port(2).network_id)
    await (await docker.networks.get(network)).delete()
    with pytest.raises(NetworkMissing):
        await host.runtime.start(mine)
    await host.plug(mine, *host.ports[mine])
    await host.runtime.start(mine)
    assert "10.215.1.7" in await host.ask(mine, "ip -4 addr show eth0")


async def test_a_subnet_of_a_network_that_was_deleted_is_free_at_once(host):
    former = await host.run("former", a_network(1)(2))
    with pytest.raises(Temporary, match="still has containers"):
        await host.run("early", a_network(1)(2))
    await host.remove(former)
    host.ports = {}
    late = await host.run("late", a_network(1)(2))
    assert "10.215.1.2" in await host.ask(late, "ip -4 addr show eth0")


async def test_a_network_of_somebody_else_stays_with_a_container(host, docker):
    mine = await host.run("mine", a_network(1)(2))
    foreign = await docker.networks.create({"Name": f"theirs-{uuids.uuid4()}"})
    try:
        await foreign.connect({"Container": f"jeroboam-{mine}"})
        await host.plug(mine, *host.ports[mine], a_network(2)(2))
        assert "eth2" in await host.ask(mine, "ip addr")
        await host.runtime.stop(mine, 0)
        await host.runtime.start(mine)
        assert "eth2" in await host.ask(mine, "ip addr")
    finally:
        await host.remove(mine)
        await foreign.delete()


async def test_a_subnet_that_the_machine_uses_is_told(host, docker):
    foreign = await docker.networks.create(
        {"Name": f"theirs-{uuids.uuid4()}", "IPAM": {"Config": [{"Subnet": "10.215.9.0/25"}]}}
    )
    try:
        facts = await host.runtime.facts()
        assert "10.215.9.0/25" in facts.used_subnets
        with pytest.raises(Permanent, match=r"subnet 10\.215\.9\.0/24 overlaps 10\.215\.9\.0/25"):
            await host.run("mine", a_network(9)(2))
    finally:
        await foreign.delete()


async def test_one_creation_that_was_broken_off_is_done_again(host):
    """A container that is there, and is on the first of its networks only."""
    one, two = a_network(1), a_network(2)
    uuid, ports = str(uuids.uuid4()), (one(2), two(2))
    spec = ContainerSpec(image="busybox", command=SERVER, cpu=0.2, memory=64)
    await host.runtime.create(uuid, "mine", spec, project="one", ports=ports[:1])
    await host.runtime.create(uuid, "mine", spec, project="one", ports=ports)
    await host.runtime.start(uuid)
    addresses = await host.ask(uuid, "ip -4 addr")
    assert "10.215.1.2/" in addresses
    assert "10.215.2.2/" in addresses
