"""What is known of this machine's surroundings: its routes, and where names lead."""

import asyncio
import socket
import threading
from ipaddress import IPv4Address, IPv4Network

import pytest

from jeroboam.clients.addresses import HostRoute, list_routes, look_up
from jeroboam.domain import subnets
from jeroboam.runtimes.docker.bridges import list_used_subnets

TABLE = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth1\t0000C80A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
tun0\t0000D20A\t0101080A\t0003\t0\t0\t0\t0000FEFF\t0\t0\t0
"""
CONNECTED = HostRoute(network=IPv4Network("10.200.0.0/16"), has_gateway=False)
TUNNEL = HostRoute(network=IPv4Network("10.210.0.0/15"), has_gateway=True)


def test_routes_of_the_host_are_read(tmp_path):
    table = tmp_path / "route"
    table.write_text(TABLE)
    assert list_routes(table) == [CONNECTED, TUNNEL]
    assert list_routes(tmp_path / "none") == []


def test_no_project_gets_a_subnet_that_is_reached_through_a_tunnel():
    engine = [{"IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}, {"Subnet": "fd00::/64"}]}}, {"IPAM": None}]
    taken = list_used_subnets(engine, [CONNECTED, TUNNEL])
    assert taken == [IPv4Network("172.17.0.0/16"), CONNECTED.network, TUNNEL.network]
    found = list(subnets.list_candidates("k", 16, taken, subnets.PROJECTS))
    assert len(found) == 6
    assert not any(subnet.overlaps(TUNNEL.network) for subnet in found)


@pytest.mark.parametrize("wide", ["10.0.0.0/8", "0.0.0.0/1", "10.208.0.0/13"])
def test_a_route_to_the_whole_pool_leaves_room_if_it_leads_through_a_gateway(wide):
    route = HostRoute(network=IPv4Network(wide), has_gateway=True)
    assert list_used_subnets([], [route]) == []
    own = HostRoute(network=IPv4Network(wide), has_gateway=False)
    assert list_used_subnets([], [own]) == [own.network]


@pytest.fixture
def silence(monkeypatch):
    """A name server that never answers, until the test is over."""
    over = threading.Event()

    def never(*_, **__):
        over.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    yield
    over.set()


async def test_a_name_server_that_never_answers_holds_up_nothing_else(silence):
    """As many look-ups as there are containers to be pulled for; threads of the event loop stay free for others."""
    async with asyncio.timeout(20):
        waiting = [asyncio.ensure_future(look_up(f"r{number}.example.org", 443, seconds=0.5)) for number in range(40)]
        await asyncio.sleep(0)
        assert await asyncio.to_thread(lambda: "free") == "free"
        assert await look_up("192.0.2.1", 443) == [IPv4Address("192.0.2.1")]
        for answer in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(answer, TimeoutError)
