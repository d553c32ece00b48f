"""What is known of this machine's surroundings: its routes, and where names lead."""

from ipaddress import IPv4Network

import pytest

from jeroboam.clients.addresses import Route, list_routes
from jeroboam.domain import subnets
from jeroboam.runtimes.docker_networks import list_taken

TABLE = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth1\t0000C80A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
tun0\t0000D20A\t0101080A\t0003\t0\t0\t0\t0000FEFF\t0\t0\t0
"""
CONNECTED = Route(network=IPv4Network("10.200.0.0/16"), has_gateway=False)
TUNNEL = Route(network=IPv4Network("10.210.0.0/15"), has_gateway=True)


def test_routes_of_the_host_are_read(tmp_path):
    table = tmp_path / "route"
    table.write_text(TABLE)
    assert list_routes(table) == [CONNECTED, TUNNEL]
    assert list_routes(tmp_path / "none") == []


def test_no_project_gets_a_subnet_that_is_reached_through_a_tunnel():
    engine = [{"IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}, {"Subnet": "fd00::/64"}]}}, {"IPAM": None}]
    taken = list_taken(engine, [CONNECTED, TUNNEL])
    assert taken == [IPv4Network("172.17.0.0/16"), CONNECTED.network, TUNNEL.network]
    found = list(subnets.list_candidates("k", 16, taken, subnets.PROJECTS))
    assert len(found) == 6
    assert not any(subnet.overlaps(TUNNEL.network) for subnet in found)


@pytest.mark.parametrize("wide", ["10.0.0.0/8", "0.0.0.0/1", "10.208.0.0/13"])
def test_a_route_to_the_whole_pool_leaves_room_if_it_leads_through_a_gateway(wide):
    route = Route(network=IPv4Network(wide), has_gateway=True)
    assert list_taken([], [route]) == []
    own = Route(network=IPv4Network(wide), has_gateway=False)
    assert list_taken([], [own]) == [own.network]
