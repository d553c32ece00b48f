"""A tour of `openstack volume` with containers that mount what it makes, on a real Engine."""

import asyncio
import time

import pytest

from tests.clients.openstack_shell import Shell
from tests.fault.installation import Installation

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SECONDS = 60.0


@pytest.fixture(scope="module")
def installation(tmp_path_factory, busybox):
    made = Installation(tmp_path_factory.mktemp("volumes"))
    asyncio.run(made.up())
    yield made
    made.down()


@pytest.fixture(scope="module")
def member(installation):
    shell = Shell(installation.state, "jeroboam")
    yield shell
    shell.close()


def until(look, wanted):
    """Look again in short intervals: the client tells no events."""
    deadline = time.monotonic() + SECONDS
    while not wanted(shown := look()):
        assert time.monotonic() < deadline, shown
        time.sleep(0.1)
    return shown


def run(member, name: str, image: str, *, mount: str, script: str) -> str:
    member(f"appcontainer run --name {name} --cpu 0.5 --memory 64 --mount {mount} {image} sh -c '{script}'")
    until(lambda: member.json(f"appcontainer show {name}"), lambda shown: shown["status"] == "Stopped")
    return member(f"appcontainer logs {name}")


def names_of(member) -> list[str]:
    return [row["Name"] for row in member.json("volume list")]


def test_a_volume_outlives_containers_and_is_told_of(member, busybox):
    created = member.json("volume create --size 1 --description notes data")
    assert (created["name"], created["size"], created["status"]) == ("data", 1, "available")
    run(member, "writer", busybox, mount="source=data,destination=/d", script="echo kept >/d/note")
    [row] = member.json("volume list")
    assert row["Status"] == "in-use"
    writer = member.json("appcontainer show writer")["uuid"]
    shown = member.json("volume show data")
    assert shown["attachments"][0]["server_id"] == writer
    member("appcontainer delete writer")
    until(lambda: member.json("volume show data"), lambda volume: volume["status"] == "available")
    assert run(member, "reader", busybox, mount="source=data,destination=/d", script="cat /d/note").strip() == "kept"
    member("appcontainer delete reader")
    member("volume set --name notes data")
    until(lambda: member.json("volume show notes"), lambda volume: volume["status"] == "available")
    member("volume delete notes")
    until(lambda: names_of(member), lambda names: names == [])


def test_a_volume_of_a_size_goes_with_its_container(member, busybox):
    text = run(member, "scratch", busybox, mount="size=1,destination=/d", script="df -m /d | tail -n 1")
    assert 900 < int(text.split()[1]) <= 1024
    assert len(names_of(member)) == 1
    member("appcontainer delete scratch")
    until(lambda: names_of(member), lambda names: names == [])


def test_types(member):
    assert {row["Name"] for row in member.json("volume type list")} == {"local", "shared"}
    assert member.json("volume create --size 1 --type shared both")["multiattach"] is True
    member("volume delete both")
