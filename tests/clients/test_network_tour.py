"""A tour of `openstack network`, `subnet`, `port`, `security group` and of containers on networks, on a real Engine."""

import asyncio
import time

import pytest

from tests.clients.openstack_shell import Shell
from tests.fault.installation import Installation

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SECONDS = 60.0
SERVER = "sh -c 'while true; do echo hello | nc -l -p 80; done'"
OLD = "--os-container-api-version 1.14"


@pytest.fixture(scope="module")
def installation(tmp_path_factory, busybox):
    made = Installation(tmp_path_factory.mktemp("tour"))
    asyncio.run(made.up())
    yield made
    made.down()


@pytest.fixture(scope="module")
def member(installation):
    shell = Shell(installation.state, "jeroboam")
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def old_client(installation):
    """The same user with an old client: a process of the command keeps to the version that it began with."""
    shell = Shell(installation.state, "jeroboam")
    yield lambda command: shell(f"{OLD} {command}")
    shell.close()


@pytest.fixture(scope="module")
def admin(installation):
    shell = Shell(installation.state, "jeroboam-admin")
    yield shell
    shell.close()


def until(look, holds):
    deadline = time.monotonic() + SECONDS
    while not holds(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)
    return seen


def running(member, name):
    return until(lambda: member.json(f"appcontainer show {name}"), lambda shown: shown["status"] == "Running")


def reaches(member, name, address) -> bool:
    command = f"appcontainer exec {name} sh -c 'nc -w 3 {address} 80 </dev/null || true'"
    return "hello" in member.run(command)["out"]


def test_networks_groups_and_ports_are_made(member, admin):
    member("network create backend")
    member("subnet create --network backend --subnet-range 10.77.0.0/24 backend-v4")
    member("security group create web")
    member("security group rule create --protocol tcp --dst-port 80 web")
    port = member.json("port create --network backend --fixed-ip ip-address=10.77.0.50 p1")
    assert port["fixed_ips"][0]["ip_address"] == "10.77.0.50"
    assert {row["Name"] for row in member.json("network list")} == {"default", "backend"}
    assert {row["Name"] for row in member.json("subnet list")} == {"default", "backend-v4"}
    assert {row["Name"] for row in member.json("security group list")} == {"default", "web"}
    assert len(member.json("security group rule list web")) == 3
    assert member.json("network show backend")["subnets"]
    assert member.json("subnet show backend-v4")["gateway_ip"] == "10.77.0.1"
    assert member.json("port list")[0]["Name"] == "p1"
    member("network set --description behind backend")
    member("port set --name p1 --description mine p1")
    member("security group set --description www web")
    member("network create front")
    assert "overlaps" in member.refused("subnet create --network front --subnet-range 10.77.0.0/16 x")
    member("network delete front")
    assert member.json("extension list")
    assert admin.json("network list")


def test_containers_run_on_them(member, busybox):
    net = "--net network=backend,v4-fixed-ip=10.77.0.9"
    member(f"appcontainer run --name db {net} --security-group web --cpu 0.2 --memory 32 {busybox} {SERVER}")
    member(f"appcontainer run --name peer --net network=backend --cpu 0.2 --memory 32 {busybox} {SERVER}")
    member(f"appcontainer run --name given --net port=p1 --cpu 0.2 --memory 32 {busybox} {SERVER}")
    member(f"appcontainer run --name plain --cpu 0.2 --memory 32 {busybox} {SERVER}")
    for name in ("db", "peer", "given", "plain"):
        running(member, name)
    assert "10.77.0.9" in running(member, "db")["addresses"]
    assert "10.77.0.9" in member("appcontainer exec db ip addr")
    assert "10.77.0.50" in member("appcontainer exec given ip addr")
    assert reaches(member, "peer", "db")
    # Members of the default group let each other in, and nobody else.
    assert reaches(member, "peer", "given")
    assert not reaches(member, "db", "peer")
    assert not reaches(member, "plain", "10.77.0.9")
    assert "and 2 more on it" in member.refused("network delete backend")


def test_rules_count_at_once(member, old_client):
    rules = member.json("security group rule list web")
    [rule] = [row["ID"] for row in rules if row["Direction"] == "ingress"]
    member(f"security group rule delete {rule}")
    until(lambda: reaches(member, "peer", "db"), lambda does: not does)
    member("security group rule create --protocol tcp --dst-port 80 --remote-group default web")
    until(lambda: reaches(member, "peer", "db"), bool)
    old_client("appcontainer add security group db default")
    until(lambda: reaches(member, "db", "peer"), bool)
    old_client("appcontainer remove security group db default")
    until(lambda: reaches(member, "db", "peer"), lambda does: not does)


def test_networks_are_attached_and_detached(member):
    assert not reaches(member, "plain", "db")
    member("appcontainer network attach --network backend --fixed-ip 10.77.0.77 plain")
    until(lambda: member("appcontainer exec plain ip addr"), lambda text: "10.77.0.77" in text)
    # `network list` of the published client breaks in its own formatter, whatever the answer is.
    assert "10.77.0.77" in member.json("appcontainer show plain")["addresses"]
    assert reaches(member, "plain", "db")
    member("appcontainer network detach --network backend plain")
    until(lambda: member("appcontainer exec plain ip addr"), lambda text: "10.77.0.77" not in text)
    actions = [row["action"] for row in member.json("appcontainer action list plain")]
    assert actions[:2] == ["network_detach", "network_attach"]


async def restart(installation) -> None:
    installation.kill()
    await installation.up()


def test_all_stands_after_a_kill_of_the_service(member, installation):
    asyncio.run(restart(installation))
    member("appcontainer restart db")
    running(member, "db")
    until(lambda: reaches(member, "peer", "db"), bool)
    assert not reaches(member, "db", "peer")


def test_it_all_goes(member, installation):
    member("appcontainer delete --stop db peer given plain")
    until(lambda: member.json("appcontainer list"), lambda rows: not rows)
    assert [row["Name"] for row in member.json("port list")] == ["p1"]
    member("port delete p1")
    member("network delete backend")
    member("security group delete web")
    assert [row["Name"] for row in member.json("network list")] == ["default"]
    installation.clean = True
