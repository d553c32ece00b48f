"""The published client with registries and images: each command with its flags, on a real registry with a password.

The tests are stages of one tour and run in order.
"""

import asyncio
import io
import socket
import tarfile
import threading
import time

import pytest

from jeroboam.clients.docker import connect
from tests.clients.openstack_shell import Shell
from tests.docker_registry import LOGIN, push, running_registry
from tests.fault.installation import Installation

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
]

PATIENCE = 60.0
MOST_SECONDS = 30.0
"""Until a pull that cannot end well has failed."""
RUN = "appcontainer run --cpu 0.1 --memory 64"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """A registry with a password on a loop of its own, with an image; its domain and the image's name there."""
    folder, ready, stop = tmp_path_factory.mktemp("registry"), threading.Event(), asyncio.Event()
    made: dict[str, str] = {}
    loop = asyncio.new_event_loop()

    async def run() -> None:
        async with running_registry(folder, login=True) as running:
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w") as tar:
                tar.add("/bin/busybox", "busybox")
            async with connect() as docker:
                image = await push(docker, running.domain, out.getvalue(), login=LOGIN)
            made["domain"], _, made["image"] = image.partition("/")
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert ready.wait(PATIENCE)
    yield made["domain"], made["image"]
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def installation(tmp_path_factory, busybox):
    made = Installation(tmp_path_factory.mktemp("tour"), "[containers]\nregistry_networks = 127.0.0.0/8\n")
    asyncio.run(made.up())
    yield made
    made.down()


@pytest.fixture(scope="module")
def member(installation):
    shell = Shell(installation.state, "jeroboam")
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def admin(installation):
    shell = Shell(installation.state, "jeroboam-admin")
    yield shell
    shell.close()


@pytest.fixture
def silent_domain():
    """Where somebody listens and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def wait_for(look, wanted):
    """What a look shows once it is as wanted."""
    deadline = time.monotonic() + PATIENCE
    while True:
        shown = look()
        if wanted(shown):
            return shown
        assert time.monotonic() < deadline, shown
        time.sleep(0.2)


def is_settled(shown) -> bool:
    return shown["status"] in {"Running", "Error"}


def test_registries(member, admin, registry):
    domain, _ = registry
    shown = member.json(
        f"appcontainer registry create --name ours --username anna --password '{LOGIN.registry_password}' "
        f"--domain {domain}"
    )
    assert (shown["name"], shown["domain"], shown["username"], shown["password"]) == ("ours", domain, "anna", "***")
    member("appcontainer registry create --name wrong --username anna --password x --domain r.example")
    shown = member.json(f"appcontainer registry update wrong --name bad --username bert --password y --domain {domain}")
    assert (shown["name"], shown["username"], shown["domain"]) == ("bad", "bert", domain)
    assert member.json("appcontainer registry show ours")["password"] == "***"
    listed = member.json("appcontainer registry list --limit 5 --sort-key name --sort-dir desc")
    assert [row["name"] for row in listed] == ["ours", "bad"]
    assert [row["name"] for row in member.json("appcontainer registry list --username bert")] == ["bad"]
    filters = f"--name ours --domain {domain} --project-id {shown['project_id']} --user-id {shown['user_id']}"
    [row] = member.json(f"appcontainer registry list {filters}")
    assert (row["name"], row["password"]) == ("ours", "***")
    assert admin.json("appcontainer registry list") == []
    assert len(admin.json("appcontainer registry list --all-projects")) == 2


def test_a_container_from_a_registry_with_a_password(member, admin, registry, silent_domain):
    domain, image = registry
    member(f"appcontainer registry create --name silent --username anna --password x --domain {silent_domain}")
    asked = time.monotonic()
    member(f"{RUN} --name silent --registry silent app")
    for name, flags in (("none", ""), ("bad", "--registry bad")):
        member(f"{RUN} --name {name} {flags} {domain}/{image}")
        shown = wait_for(lambda name=name: member.json(f"appcontainer show {name}"), is_settled)
        assert shown["status"] == "Error"
        assert "its registry has no such image, or keeps it private" in shown["status_reason"]
    began = time.monotonic()
    member(f"{RUN} --name good --registry ours {image}")
    shown = wait_for(lambda: member.json("appcontainer show good"), is_settled)
    assert shown["status"] == "Running", shown
    assert time.monotonic() - began < PATIENCE / 2
    assert (shown["image"], shown["registry_id"]) == (image, member.json("appcontainer registry show ours")["uuid"])
    # The image lies on the host now, and another project may not use it.
    admin(f"{RUN} --name theirs --image-pull-policy never {domain}/{image}")
    shown = wait_for(lambda: admin.json("appcontainer show theirs"), is_settled)
    assert shown["status"] == "Error"
    assert "keeps it private" in shown["status_reason"]
    assert "could not be found" in member.refused(f"{RUN} --registry nosuch {image}")
    assert "is in use: container" in member("appcontainer registry delete ours")
    shown = wait_for(lambda: member.json("appcontainer show silent"), is_settled)
    assert time.monotonic() - asked < MOST_SECONDS
    assert (shown["status"], "its registry does not answer" in shown["status_reason"]) == ("Error", True)


def test_images(member, admin, registry):
    domain, image = registry
    repository = image.partition(":")[0]
    [found] = member.json(f"appcontainer image search {repository} --exact-match --image-driver docker")
    assert (found["Name"], found["Tags"]) == (f"{domain}/{repository}", ["1"])
    assert admin.json(f"appcontainer image search {repository}") == []
    [host] = admin.json("appcontainer host list")
    hostname = host["hostname"]
    admin(f"appcontainer image pull {domain}/{image} {hostname}")
    [row] = wait_for(
        lambda: admin.json("appcontainer image list --limit 5 --sort-key repo --sort-dir asc"), lambda rows: rows
    )
    shown = wait_for(
        lambda: admin.json(f"appcontainer image show {row['uuid']}"), lambda shown: shown["status"] != "Pulling"
    )
    # There is no way to name a registry here, so what it keeps private stays there.
    assert (shown["status"], shown["host"], shown["tag"]) == ("Error", hostname, "1")
    assert "keeps it private" in shown["status_reason"]
    assert "Policy doesn't allow image:get_all" in member.refused("appcontainer image list")
    member("appcontainer delete good none bad silent --stop")
    wait_for(lambda: member.json("appcontainer list"), lambda rows: not rows)
    admin(f"appcontainer image delete {row['uuid']}")
    wait_for(lambda: admin.json("appcontainer image list"), lambda rows: not rows)
    assert member.json(f"appcontainer image search {repository}") == []
    assert "accepted" in member("appcontainer registry delete ours bad silent")
    assert member.json("appcontainer registry list") == []


def test_no_password_is_in_the_log_or_the_database(installation):
    for file in [installation.log, *installation.state.rglob("*")]:
        if file.is_file():
            assert LOGIN.registry_password.encode() not in file.read_bytes(), file
