"""Addresses of subnets, and the rules of security groups in the language of the packet filter."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jeroboam.domain.bridges import name_bridge
from jeroboam.domain.errors import BadValue, Conflict
from jeroboam.domain.host_ports import FilterRule, HostPort, needs_filter
from jeroboam.domain.networks import (
    AddressInUse,
    Direction,
    NoFreeAddress,
    Subnet,
    allocate_address,
    build_mac_address,
    default_group_id,
    default_network_id,
    default_subnet_id,
    find_overlap,
    parse_subnet,
)
from jeroboam.networking.local.rules import build_rules, name_chain
from tests.builders import NOW, new_uuid

OUT = FilterRule(direction=Direction.EGRESS)
MEMBERS = FilterRule(direction=Direction.INGRESS, remote_group="default")
WEB = FilterRule(direction=Direction.INGRESS, protocol="tcp", port_min=80, port_max=81)
CHAIN = name_chain("i")


def subnet(cidr: str, gateway: str | None = None) -> Subnet:
    first = str(IPv4Network(cidr).network_address + 1)
    return Subnet(
        uuid="s", name="", project_id="p", network_id="n", cidr=cidr, gateway_ip=gateway or first, created_at=NOW
    )


def port(last: int = 2, *rules: FilterRule, groups=("default",), network="n1") -> HostPort:
    address = f"10.0.0.{last}"
    return HostPort(
        uuid=new_uuid(),
        network_id=network,
        cidr="10.0.0.0/24",
        gateway="10.0.0.1",
        address=address,
        mac_address=build_mac_address(address),
        security_groups=groups,
        rules=rules or (OUT, MEMBERS),
    )


@given(prefix=st.integers(22, 29), taken=st.sets(st.integers(0, 1023)), gateway=st.integers(1, 6))
def test_the_lowest_free_address_is_given(prefix, taken, gateway):
    network = IPv4Network(f"10.0.0.0/{prefix}")
    hosts = [str(host) for host in network.hosts()]
    used = {str(network.network_address + number) for number in taken}
    here = subnet(str(network), hosts[gateway - 1])
    free = [host for host in hosts if host not in used and host != here.gateway_ip]
    if free:
        assert allocate_address(here, used, None, field="f") == free[0]
    else:
        with pytest.raises(NoFreeAddress):
            allocate_address(here, used, None, field="f")
    for host in hosts[:8]:
        if host in free:
            assert allocate_address(here, used, host, field="f") == host
        else:
            with pytest.raises(Conflict):
                allocate_address(here, used, host, field="f")


@pytest.mark.parametrize("wanted", ["10.0.0.0", "10.0.0.255", "10.0.1.1", "moon", "", "::1", "10.0.0.02"])
def test_what_is_no_address_of_a_host_there_is_refused_by_name(wanted):
    with pytest.raises(BadValue, match="nets/v4-fixed-ip"):
        allocate_address(subnet("10.0.0.0/24"), (), wanted, field="nets/v4-fixed-ip")


def test_an_address_that_is_in_use_is_a_conflict():
    with pytest.raises(AddressInUse, match=r"10\.0\.0\.9 .* is in use"):
        allocate_address(subnet("10.0.0.0/24"), {"10.0.0.9"}, "10.0.0.9", field="f")


@pytest.mark.parametrize(
    "cidr", ["10.0.0.0/30", "10.0.0.0/7", "11.0.0.0/24", "224.0.0.0/24", "0.0.0.0/8", "x", "fd::/64"]
)
def test_what_no_network_here_can_have(cidr):
    with pytest.raises(BadValue, match="cidr"):
        parse_subnet("cidr", cidr)


def test_overlaps():
    used = ["10.1.0.0/16", "192.168.0.0/24"]
    assert find_overlap(IPv4Network("10.1.2.0/24"), used) == "10.1.0.0/16"
    assert find_overlap(IPv4Network("192.168.0.0/16"), used) == "192.168.0.0/24"
    assert find_overlap(IPv4Network("10.2.0.0/16"), used) is None


def test_what_follows_from_a_project_and_from_an_address():
    uuids = {make(project) for make in (default_network_id, default_subnet_id, default_group_id) for project in "ab"}
    assert len(uuids) == 6
    assert default_network_id("a") == default_network_id("a")
    assert build_mac_address("10.77.0.9") == "02:42:0a:4d:00:09"


def test_ports_that_let_each_other_through_need_no_rules():
    assert not needs_filter([port(2), port(3)])
    everybody = FilterRule(direction=Direction.INGRESS)
    assert not needs_filter([port(2, OUT, everybody), port(3, OUT, everybody)])
    assert needs_filter([port(2), port(3, OUT, groups=("web",))])
    assert needs_filter([port(2, OUT), port(3, OUT)])
    assert needs_filter([port(2, MEMBERS), port(3, MEMBERS)])
    assert needs_filter([port(2, OUT, WEB), port(3, OUT, WEB)])
    assert needs_filter([port(2, OUT, replace(MEMBERS, remote_group="other"))])
    assert needs_filter([port(2, OUT, replace(MEMBERS, remote_prefix="10.0.0.0/30"))])


def rules_of(*ports: HostPort, old=()) -> list[str]:
    return build_rules(CHAIN, ports, lambda network: name_bridge("i", network), old).splitlines()


def test_a_network_of_its_own_kind_changes_no_other():
    quiet = [port(2, network="quiet"), port(3, network="quiet")]
    assert rules_of(*quiet) == rules_of()
    loud = port(2, OUT, WEB, groups=("web",), network="loud")
    lines = rules_of(*quiet, loud)
    assert lines == rules_of(loud)
    assert {line.split()[3] for line in lines if line.startswith(f"-A {CHAIN} -") and "jrb" in line} == {
        name_bridge("i", "loud")
    }


def test_rules_in_the_language_of_the_packet_filter():
    member, web = port(2), port(3, OUT, WEB, groups=("web",))
    lines = rules_of(member, web, old=[CHAIN, f"{CHAIN}-gone"])
    into_web, into_member, from_web = (
        f"{CHAIN}-{letter}{of.uuid.replace('-', '')[:12]}" for letter, of in (("i", web), ("i", member), ("e", web))
    )
    assert (lines[0], lines[-1]) == ("*filter", "COMMIT")
    assert lines.index(f":{CHAIN}-gone - [0:0]") < lines.index(f"-X {CHAIN}-gone")
    assert f"-A {into_web} -p tcp --dport 80:81 -j RETURN" in lines
    assert f"-A {into_web} -j DROP" in lines
    assert [line for line in lines if line.startswith(f"-A {into_member} ")] == [
        f"-A {into_member} -s 10.0.0.2/32 -j RETURN",
        f"-A {into_member} -j DROP",
    ]
    assert f"-A {from_web} -j RETURN" in lines
    dispatch = [line.split()[-1] for line in lines if line.startswith(f"-A {CHAIN} ")]
    assert dispatch[:2] == ["RETURN", "RETURN"]
    letters = [chain.removeprefix(f"{CHAIN}-")[0] for chain in dispatch[2:]]
    assert letters == ["e", "e", "i", "i"], "packets meet the port that they come from first"
    assert all(len(line.split()[0]) <= 29 for line in lines if line.startswith(":"))


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        ({"protocol": "udp", "port_min": 53}, "-p udp --dport 53:53 "),
        ({"protocol": "icmp"}, "-p icmp "),
        ({"protocol": "icmp", "port_min": 8}, "-p icmp --icmp-type 8 "),
        ({"protocol": "icmp", "port_min": 3, "port_max": 1}, "-p icmp --icmp-type 3/1 "),
        ({"protocol": "47", "remote_prefix": "10.0.0.0/8"}, "-s 10.0.0.0/8 -p 47 "),
    ],
)
def test_each_kind_of_rule(rule, match):
    one = port(2, OUT, FilterRule(direction=Direction.INGRESS, **rule), groups=("web",))
    assert any(line.endswith(f" {match}-j RETURN") for line in rules_of(one))


def test_a_rule_about_a_group_without_members_lets_nobody_in():
    one = port(2, OUT, FilterRule(direction=Direction.INGRESS, remote_group="nobody"))
    lines = rules_of(one)
    into = [line for line in lines if line.startswith(f"-A {CHAIN}-i")]
    assert [line.split()[-1] for line in into] == ["DROP"]
    assert IPv4Address(one.address)
