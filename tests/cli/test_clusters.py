"""`jeroboam cluster …` at a real API: what is asked for, shown and refused."""

import asyncio
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

from jeroboam.cli.clusters.create import _suggest_next
from jeroboam.cli.clusters.definition import ClusterDefinition
from jeroboam.cli.own_command import find_program
from jeroboam.domain.errors import Permanent
from tests.cli.rig import Typist

LINE = re.compile(r" *\d+\.\d s  (.+)")
VERSION = "v1.36.3"


def texts(output: str) -> list[str]:
    """The lines of progress, without their times."""
    return [match[1] for match in map(LINE.fullmatch, output.splitlines()) if match]


async def test_the_life_of_a_cluster(cli, service):
    created = await cli("cluster create dev --workers 2")
    shown = texts(created)
    requested = "Cluster requested from template kubernetes: default-master with 1 node, default-worker with 2 nodes."
    assert shown[0] == requested
    assert shown[-1] == "CREATE_COMPLETE"
    program = find_program("jeroboam")
    assert created.splitlines()[-1] == f"kubectl reaches it after: {program} cluster kubeconfig dev"
    elsewhere = (await cli("cluster create other --state '/a folder'")).splitlines()[-1]
    assert elsewhere == f"kubectl reaches it after: {program} cluster kubeconfig other --state '/a folder'"
    await cli("cluster delete other")
    listed = json.loads(await cli("cluster list -o json"))
    assert [(item["name"], item["coe"], item["node_count"]) for item in listed] == [("dev", "kubernetes", 2)]
    head, row = (await cli("cluster list")).splitlines()
    assert head.split() == ["NAME", "UUID", "NODES", "STATUS", "RUNS"]
    assert row.split() == ["dev", listed[0]["uuid"], "1+2", "CREATE_COMPLETE", "kubernetes", "1.0-fake"]

    scaled = texts(await cli("cluster scale dev 3"))
    assert requested not in scaled, "what was before is not told again"
    assert scaled[-1] == "UPDATE_COMPLETE"
    nodes = json.loads(await cli("cluster nodes dev -o json"))
    assert sorted(node["nodegroup"] for node in nodes) == ["default-master", *["default-worker"] * 3]

    assert texts(await cli("cluster delete dev"))[-1] == "DELETE_COMPLETE: The cluster is gone."
    assert json.loads(await cli("cluster list -o json")) == []
    assert not service.cloud.clusters


async def test_a_cluster_from_a_file(cli, tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text(
        f"""
name: dev
version: {VERSION}
masters: 3
workers: 2
labels:
  auto_healing_enabled: true
  audit_log_maxage: 7
node_groups:
  - name: big
    nodes: 1
    flavor: m1.large
    max_nodes: 3
"""
    )
    printed = (await cli(f"cluster create -f {file} --show-api")).splitlines()
    assert [line.split()[0] for line in printed[-3:]] == ["openstack", "while", "openstack"], (
        "groups wait for the cluster"
    )
    await cli(f"cluster create -f {file} --workers 1 --label extra=a=b")
    [cluster] = json.loads(await cli("cluster list -o json"))
    assert (cluster["master_count"], cluster["master_lb_enabled"]) == (3, True)
    wanted = {"kube_tag": VERSION, "auto_healing_enabled": "true", "audit_log_maxage": "7", "extra": "a=b"}
    assert cluster["labels"] == wanted
    nodes = json.loads(await cli("cluster nodes dev -o json"))
    groups = [node["nodegroup"] for node in nodes]
    assert {group: groups.count(group) for group in groups} == {"default-master": 3, "default-worker": 1, "big": 1}


async def test_without_a_template_one_is_made_and_then_used_again(bare_service):
    async with contextlib.aclosing(Typist(bare_service.environment())) as cli:
        template, _ = (await cli("cluster create one --coe swarm --show-api")).splitlines()
        await cli("cluster create one --coe swarm")
        await cli("cluster create two --coe swarm")
        clusters = json.loads(await cli("cluster list -o json"))
        assert len({cluster["cluster_template_id"] for cluster in clusters}) == 1
        shown = json.loads(await cli.openstack("openstack coe cluster template list -f json"))
        assert [item["name"] for item in shown] == ["jeroboam-swarm"]
        # A second template of that name is allowed; the printed command is taken.
        await cli.openstack(template)


async def test_the_hint_after_a_swarm_works_as_it_stands(cli, tmp_path):
    created = await cli("cluster create dev --coe swarm")
    hint = created.splitlines()[-1].removeprefix("docker reaches it after: ")
    bin_folder = pathlib.Path(sys.executable).parent
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f'{hint} && ls "$DOCKER_CERT_PATH" && echo $DOCKER_HOST'),
        # Another shell than that of the command: nothing there says who the user is.
        env={"PATH": f"{bin_folder}:{os.environ['PATH']}", "SHELL": "/bin/sh", "HOME": str(tmp_path)},
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    [cluster] = json.loads(await cli("cluster list -o json"))
    assert out.decode().split() == ["ca.pem", "cert.pem", "key.pem", cluster["api_address"]], err


@pytest.mark.parametrize("is_sourced", [False, True])
def test_the_hint_logs_in_by_a_file_and_stops_at_a_failure(tmp_path, monkeypatch, is_sourced):
    (tmp_path / "openrc").write_text("export OS_AUTH_URL=x\nexport OS_USERNAME=demo\n")
    (tmp_path / "clouds.yaml").touch()
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}")
    if is_sourced:
        monkeypatch.setenv("OS_AUTH_URL", "x")
        monkeypatch.setenv("OS_USERNAME", "demo")
    hint = _suggest_next(ClusterDefinition(name="dev", coe="swarm"), tmp_path)
    line = hint.removeprefix("docker reaches it after: ")
    script = f"openstack() {{ echo $OS_AUTH_URL >&2; return 3; }}; {line}; echo $? $DOCKER_HOST"
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("3\n", "x\n")


async def test_an_upgrade_makes_a_template_with_the_version_and_uses_it_again(cli):
    await cli("cluster create dev")
    upgraded = await cli(f"cluster upgrade dev --version {VERSION}")
    assert f"Upgrade to template kubernetes-{VERSION} requested: default-master, default-worker." in texts(upgraded)
    assert upgraded.splitlines()[-1] == "dev runs 1.0-fake"
    [cluster] = json.loads(await cli("cluster list -o json"))
    assert cluster["labels"] == {"kube_tag": VERSION}
    await cli("cluster create other")
    await cli(f"cluster upgrade other --version {VERSION}")
    first, second = json.loads(await cli("cluster list -o json"))
    assert first["cluster_template_id"] == second["cluster_template_id"]


async def test_an_upgrade_to_the_version_that_runs_does_nothing(cli, service):
    service.coe.version = VERSION
    await cli("cluster create dev")
    [before] = json.loads(await cli("cluster list -o json"))
    assert await cli(f"cluster upgrade dev --version {VERSION}") == f"dev runs {VERSION} already; nothing was changed\n"
    assert json.loads(await cli("cluster list -o json")) == [before]


async def test_an_upgrade_is_not_held_back_by_the_version_that_the_cluster_was_made_with(cli):
    await cli("cluster create dev --version v1.35.4")
    await cli(f"cluster upgrade dev --version {VERSION}")
    [cluster] = json.loads(await cli("cluster list -o json"))
    assert cluster["labels"] == {"kube_tag": VERSION}


async def test_a_failure_is_told_with_its_reason_and_where_it_happened(cli, service):
    service.provider.faults.fail("boot", Permanent("no room for node"))
    done = await cli.run("cluster create dev")
    assert done.status == 1
    assert done.err == "jeroboam: cluster dev: CREATE_FAILED: no room for node\n"


async def test_nobody_has_to_wait(cli, service):
    service.provider.faults.hold("boot")
    uuid = (await cli("cluster create dev --no-wait")).strip()
    [cluster] = json.loads(await cli("cluster list -o json"))
    assert (cluster["uuid"], cluster["status"]) == (uuid, "CREATE_IN_PROGRESS")
    service.provider.faults.mend("boot")


async def test_what_is_waited_for_is_shown_while_it_lasts(cli, service):
    service.provider.faults.hold("boot")
    creation = asyncio.ensure_future(cli.run("cluster create dev"))
    await service.provider.faults.event_for("boot").wait()
    assert not creation.done()
    service.provider.faults.mend("boot")
    done = await creation
    assert done.status == 0
    assert texts(done.out)[-1] == "CREATE_COMPLETE"


async def test_ctrl_c_ends_the_show_and_not_the_cluster(cli, service):
    service.provider.faults.hold("boot")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jeroboam", "cluster", "create", "dev"),
        env=cli.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert b"Cluster requested" in await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, err.decode()) == (130, "jeroboam: interrupted; what was asked for goes on\n")
    [cluster] = json.loads(await cli("cluster list -o json"))
    assert cluster["status"] == "CREATE_IN_PROGRESS"
    service.provider.faults.mend("boot")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("cluster create", "name: say what the cluster is to be called: jeroboam cluster create NAME"),
        ("cluster create dev --coe mesos", "coe: there is no mesos; possible are kubernetes, swarm"),
        ("cluster create dev --version 1.36", "version: a version is written as v1.36.3"),
        ("cluster create dev --coe swarm --version v1.36.3", "version: nodes of swarm have the version of their image"),
        ("cluster create dev --label nonsense", "--label nonsense: KEY=VALUE is expected"),
        ("cluster create dev --template nope", "looking for template nope: ClusterTemplate nope could not be found."),
        (
            "cluster create dev --coe swarm --template kubernetes",
            "template: kubernetes is for kubernetes, and the cluster is swarm",
        ),
        ("cluster delete nope", "looking for cluster nope: Cluster nope could not be found."),
        ("cluster scale nope 2", "looking for cluster nope: Cluster nope could not be found."),
        ("cluster upgrade nope --version 1.99", "version: a version is written as v1.36.3"),
        ("cluster upgrade nope", "say where to: --version v1.36.3, or --template NAME"),
        ("cluster kubeconfig nope", "looking for cluster nope: Cluster nope could not be found."),
        ("cluster logs nope", "there is no node nope; `jeroboam cluster nodes CLUSTER` shows the names"),
    ],
)
async def test_what_is_refused_is_one_line(cli, line, reason):
    assert await cli.refused(line) == f"jeroboam: {reason}"


async def test_what_the_service_refuses_names_the_cluster_as_the_user_does(cli):
    await cli("cluster create dev")
    assert (await cli.refused("cluster scale dev 2 --group nope")).startswith("jeroboam: scaling cluster dev: ")


async def test_a_name_that_is_taken_is_refused(cli):
    await cli("cluster create dev --no-wait")
    assert await cli.refused("cluster create dev") == "jeroboam: name: there is a cluster dev already"


async def test_of_several_those_that_can_be_deleted_are(cli):
    for name in ("one", "two"):
        await cli(f"cluster create {name}")
    done = await cli.run("cluster delete one nope two")
    assert (done.status, done.err) == (1, "jeroboam: looking for cluster nope: Cluster nope could not be found.\n")
    assert [line for line in done.out.splitlines() if line.endswith(":")] == ["one:", "two:"]
    assert json.loads(await cli("cluster list -o json")) == []


async def test_a_node_is_the_container_that_the_provider_names(cli):
    await cli("cluster create dev --workers 1")
    [node] = [
        node for node in json.loads(await cli("cluster nodes dev -o json")) if node["nodegroup"] == "default-worker"
    ]
    container = f"{node['name']}.{node['uuid'][:8]}"
    assert await cli(f"cluster logs {node['name']} --tail 5 --show-api") == f"docker logs --tail 5 -- {container}\n"
    assert (
        await cli(f"cluster shell --show-api {node['uuid']} ps -ef")
        == f"docker exec --interactive -- {container} ps -ef\n"
    )
    assert (
        await cli(f"cluster shell --show-api {node['name']} -- hostname")
        == f"docker exec --interactive -- {container} hostname\n"
    )


async def test_a_node_name_of_two_clusters_has_to_be_told_apart(cli):
    await cli("cluster create dev")
    await cli("cluster create dev2")
    names = [node["name"] for node in json.loads(await cli("cluster nodes dev -o json"))]
    others = [node["name"] for node in json.loads(await cli("cluster nodes dev2 -o json"))]
    assert not set(names) & set(others), "names begin with their cluster's"


async def test_others_see_nothing(cli, service):
    await cli("cluster create dev --no-wait")
    stranger = Typist(service.environment("stranger"))
    assert json.loads(await stranger("cluster list -o json")) == []
    assert "could not be found" in await stranger.refused("cluster delete dev")


async def test_an_engine_of_a_cluster_is_not_asked_for_nodes(cli):
    await cli("cluster create dev --coe swarm")
    [cluster] = json.loads(await cli("cluster list -o json"))
    [node, *_] = json.loads(await cli("cluster nodes dev -o json"))
    other = Typist(cli.environment | {"DOCKER_HOST": cluster["api_address"]})
    for line in (f"cluster logs {node['name']}", f"cluster shell --cluster dev {node['name']} ls"):
        assert await other.refused(line) == (
            f"jeroboam: DOCKER_HOST={cluster['api_address']} is not this installation's Engine; unset DOCKER_HOST"
        )
