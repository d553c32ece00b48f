"""The client of 2015, unchanged, against the service: every command that it has, on a real Swarm.

The tests of this module are one story and run in their order: a bay is made once, and used until it is deleted.
"""

import asyncio
import json
import re

import pytest

from tests.clients.engine import Engine, new_key
from tests.clients.magnum import magnum_of
from tests.fault.installation import Installation

pytestmark = [pytest.mark.docker, pytest.mark.slow]

BAYMODEL = "--image-id swarm-node --keypair-id testkey --external-network-id public --coe swarm".split()
# What a Kubernetes bay has (`test_2015_kubernetes`): here it is refused, in words.
KUBERNETES = {"pod": "Pod", "rc": "ReplicationController", "coe-service": "Service"}


@pytest.fixture(scope="module")
def installation(tmp_path_factory, busybox):
    made = Installation(tmp_path_factory.mktemp("old"))
    asyncio.run(made.up())
    yield made
    made.down()


@pytest.fixture(scope="module")
def magnum(installation):
    return magnum_of(installation)


@pytest.fixture(scope="module")
def engine(magnum, tmp_path_factory):
    """Certificates by `ca-show` and `ca-sign`, and an image to run: there is no registry."""
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "request.csr").write_text(new_key(folder))
    (folder / "ca.pem").write_text(magnum("ca-show", "--bay", "b"))
    (folder / "cert.pem").write_text(magnum("ca-sign", "--bay", "b", "--csr", folder / "request.csr"))
    engine = Engine(folder, magnum.shown("bay-show", "b")["api_address"])
    engine.load("busybox:latest")
    return engine


def test_baymodels(magnum):
    made = magnum.shown("baymodel-create", "--name", "m", *BAYMODEL, "--labels", "a=b,c=d", "--flavor-id", "m1.small")
    assert (made["name"], made["coe"], made["labels"]) == ("m", "swarm", "{'a': 'b', 'c': 'd'}")
    assert magnum.shown("baymodel-show", "m") == made
    assert {row["name"] for row in magnum.listed("baymodel-list")} == {"swarm", "kubernetes", "m"}
    assert len(magnum.listed("baymodel-list", "--limit", 2, "--sort-key", "name", "--sort-dir", "asc")) == 2
    changed = magnum.shown("baymodel-update", "m", "replace", "flavor_id=m1.tiny", "labels/a=x")
    assert (changed["flavor_id"], changed["labels"]) == ("m1.tiny", "{'a': 'x', 'c': 'd'}")
    assert "Unable to find image nothing." in magnum(
        "baymodel-create", "--name", "n", *BAYMODEL, "--image-id", "nothing"
    )
    assert "BayModel nothing could not be found. (HTTP 404)" in magnum("baymodel-show", "nothing")


def test_a_bay_comes_up(magnum):
    made = magnum.shown("bay-create", "--name", "b", "--baymodel", "m", "--node-count", 1, "--timeout", 10)
    assert (made["status"], made["bay_create_timeout"]) == ("CREATE_IN_PROGRESS", "10")
    up = magnum.until("CREATE_COMPLETE", "bay-show", "b")
    assert up["api_address"].startswith("tcp://")
    [row] = magnum.listed("bay-list")
    assert (row["uuid"], row["node_count"], row["master_count"]) == (made["uuid"], "1", "1")
    assert "is referenced by one or multiple clusters" in magnum("baymodel-delete", "m")
    assert "Bay nothing could not be found. (HTTP 404)" in magnum("bay-show", "nothing")
    assert "cannot change bay property(ies) name." in magnum("bay-update", "b", "replace", "name=x")


def test_its_authority(magnum, engine, tmp_path):
    assert engine("version", "--format", "{{.Server.Version}}")
    (tmp_path / "bad.csr").write_text("nothing")
    assert "Received invalid csr: not a certificate request" in magnum(
        "ca-sign", "--bay", "b", "--csr", tmp_path / "bad.csr"
    )


def test_a_container_through_its_life(magnum, engine):
    line = ("--name", "box", "--image", "busybox", "--bay", "b", "--command", "top -b", "--memory", "32m")
    made = magnum.shown("container-create", *line)
    uuid = made["uuid"]
    assert magnum.until("Stopped", "container-show", "box")["uuid"] == uuid
    assert engine.state(uuid)["Status"] == "created"
    [row] = magnum.listed("container-list", "--bay", "b")
    assert (row["name"], row["status"], row["bay_uuid"]) == ("box", "Stopped", made["bay_uuid"])
    assert json.loads(magnum("container-show", "--json", "box"))["memory"] == "32m"

    assert magnum("container-start", "box") == ""
    magnum.until("Running", "container-show", "box")
    assert (
        magnum("container-exec", "box", "--command", "sh -c 'echo seen inside; hostname'") == f"seen inside\n{uuid}\n\n"
    )
    assert "Mem:" in magnum("container-logs", "box")
    assert engine("inspect", "--format", "{{.HostConfig.Memory}}", f"jeroboam-{uuid}").strip() == str(32 << 20)

    assert magnum("container-pause", "box") == ""
    magnum.until("Paused", "container-show", "box")
    assert engine.state(uuid)["Paused"] is True
    assert "in Paused status (HTTP 409)" in magnum("container-exec", "box", "--command", "true")
    assert "in Paused status (HTTP 409)" in magnum("container-pause", "box")
    assert magnum("container-unpause", "box") == ""
    magnum.until("Running", "container-show", "box")
    assert engine.state(uuid)["Paused"] is False

    before = engine.state(uuid)["StartedAt"]
    # One after the other, as a script of the time would: nothing waits for anything.
    assert (
        magnum("container-reboot", "box") == magnum("container-stop", "box") == magnum("container-start", "box") == ""
    )
    shown = magnum.until("Running", "container-show", "box")
    while engine.state(uuid)["StartedAt"] == before or shown["status_reason"] != "None":
        shown = magnum.shown("container-show", "box")
    assert magnum("container-stop", "box") == ""
    magnum.until("Stopped", "container-show", "box")
    assert engine.state(uuid)["Status"] == "exited"

    assert magnum("container-delete", "box") == ""
    while magnum.listed("container-list"):
        pass
    assert engine.uuids() == []


def test_what_cannot_be(magnum, engine):
    wrong = magnum("container-create", "--image", "busybox", "--bay", "b", "--memory", "much")
    assert "Invalid input for field 'memory'" in wrong
    small = magnum.shown("container-create", "--name", "small", "--image", "busybox", "--bay", "b", "--memory", "1k")
    assert "memory limit" in magnum.until("Error", "container-show", "small")["status_reason"].lower()
    gone = magnum.shown(
        "container-create", "--name", "gone", "--image", "busybox", "--bay", "b", "--command", "sleep 600"
    )
    assert magnum("container-start", "gone") == ""
    magnum.until("Running", "container-show", "gone")
    engine("rm", "--force", f"jeroboam-{gone['uuid']}")
    assert magnum.until("Error", "container-show", "gone")["status_reason"] == "The container is gone from its bay."
    assert "Delete for container nothing failed: Container nothing could not be found." in magnum(
        "container-delete", small["uuid"], gone["uuid"], "nothing"
    )
    while magnum.listed("container-list"):
        pass


@pytest.mark.parametrize("kind", KUBERNETES)
def test_what_needs_kubernetes(magnum, tmp_path, kind):
    manifest = tmp_path / "it.json"
    manifest.write_text("{}")
    assert magnum.listed(f"{kind}-list", "--bay", "b") == []
    refused = magnum(f"{kind}-create", "--bay", "b", "--manifest", manifest)
    assert "Cannot fulfill request with a swarm bay, expecting a kubernetes bay. (HTTP 400)" in refused
    missing = f"{KUBERNETES[kind]} x could not be found."
    assert missing in magnum(f"{kind}-show", "--bay", "b", "x")
    assert missing in magnum(f"{kind}-delete", "--bay", "b", "x")
    assert missing in magnum(f"{kind}-update", "--bay", "b", "x", "replace", "manifest=x")


def test_a_bay_grows_and_takes_its_containers_along(magnum, engine, installation):
    for number in range(2):
        magnum("container-create", "--name", f"c{number}", "--image", "busybox", "--bay", "b")
        magnum.until("Stopped", "container-show", f"c{number}")
    changed = magnum.shown("bay-update", "b", "replace", "node_count=2")
    assert (changed["status"], changed["node_count"]) == ("UPDATE_IN_PROGRESS", "2")
    assert len(json.loads(magnum.until("UPDATE_COMPLETE", "bay-show", "b")["node_addresses"].replace("'", '"'))) == 2
    assert len(engine("node", "ls", "-q").split()) == 3
    assert magnum("bay-delete", "b") == ""
    assert "Delete for bay nothing failed: Bay nothing could not be found." in magnum("bay-delete", "nothing")
    while magnum.listed("bay-list"):
        pass
    assert magnum.listed("container-list") == []
    assert magnum("baymodel-delete", "m") == ""
    assert "BayModel m could not be found." in magnum("baymodel-delete", "m")
    assert set(installation.rows().values()) == {0}


def test_the_service_list_is_for_admins(magnum):
    assert "Policy doesn't allow magnum-service:get_all to be performed." in magnum("service-list")


def test_no_command_was_forgotten(magnum):
    all_of_them = re.findall(r"^    ([a-z-]+) {2,}\S", magnum("help"), re.MULTILINE)
    assert len(all_of_them) > 30
    assert set(all_of_them) - magnum.typed == {"bash-completion"}
