"""A tour of the published clients: every `openstack coe` command with each of its flags, on real Swarm clusters.

The tests are stages of one tour and run in order; while the clusters of the first one are made, others go on with what
needs none. Texts that users' scripts look for are those of python-magnumclient. The last stages are those of
openstacksdk, of what `jeroboam policy` explains, and of what the tour has left in the audit.
"""

import asyncio
import json
import re
import subprocess
from functools import partial
from importlib.metadata import entry_points
from types import SimpleNamespace

import openstack
import pytest
from openstack.exceptions import BadRequestException, ForbiddenException, HttpException, NotFoundException

from tests.api.loops import csr
from tests.clients.openstack_shell import Shell
from tests.fault.installation import BIN, Installation

pytestmark = [pytest.mark.docker, pytest.mark.slow]

COMMON = "--coe swarm --image swarm-node --external-network public"


@pytest.fixture(scope="module")
def installation(tmp_path_factory, busybox):
    """One for the whole tour, with a limit and an audit file."""
    folder = tmp_path_factory.mktemp("tour")
    limits = folder / "limits.yaml"
    limits.write_text("limits: [{name: nine, projects: [demo], max_nodes_per_cluster: 9}]\n")
    files = f"limits_file = {limits}\naudit_file = {folder / 'audit.json'}"
    made = Installation(folder, f"[api]\n{files}\n[clusters]\nca_overlap_seconds = 1\n")
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


@pytest.fixture(scope="module")
def tour():
    """What later stages have to know of earlier ones."""
    return SimpleNamespace(project="", uuids={})


def accepted(said: str) -> str:
    """The uuid in the text that scripts cut it out of."""
    found = re.fullmatch(r"Request to create cluster ([0-9a-f-]{36}) accepted", said)
    assert found, said
    return found[1]


def test_clusters_are_asked_for(member, tour):
    said = member(
        "coe cluster create --cluster-template swarm --discovery-url none --docker-volume-size 1 --labels team=a "
        "--labels tier=gold --master-count 1 --node-count 1 --timeout 20 --master-flavor m1.tiny --flavor m1.tiny "
        "--floating-ip-enabled --merge-labels --master-lb-enabled one"
    )
    tour.uuids["one"] = accepted(said)
    said = member(
        "coe cluster create --cluster-template swarm --keypair k --floating-ip-disabled --master-lb-disabled two"
    )
    tour.uuids["two"] = accepted(said)
    create = "coe cluster create --cluster-template swarm"
    # Named by quick starts and suites; nobody logs in to the nodes here.
    assert member.json("coe cluster show two")["keypair"] == "k"
    said = member.refused(f"{create} --fixed-network n --fixed-subnet s three")
    assert said.startswith("Invalid input for field 'fixed_network', value 'n': local cannot do it"), said
    assert member.refused(f"{create} --node-count 9 three").startswith("Limit nine: a cluster may have 9 nodes")
    shown = member.json("coe cluster show one")
    tour.project = shown["project_id"]
    assert (shown["uuid"], shown["status"], shown["create_timeout"]) == (tour.uuids["one"], "CREATE_IN_PROGRESS", 20)
    assert shown["labels"] == {"team": "a", "tier": "gold"}
    [last] = member.json("coe cluster list --limit 1 --sort-key name --sort-dir desc")
    assert last["name"] == "two"
    assert [each["name"] for each in member.json("coe cluster list --sort-dir asc")] == ["one", "two"]


def test_templates(member, admin):
    said = member(
        f"coe cluster template create full {COMMON} --flavor m1.small --master-flavor m1.small --docker-volume-size 5 "
        "--docker-storage-driver overlay2 --dns-nameserver 8.8.4.4 --network-driver overlay --http-proxy http://p:1 "
        "--https-proxy http://p:2 --no-proxy localhost --labels a=b,c=d,e=f --server-type vm "
        "--master-lb-enabled --floating-ip-disabled --tags x,y --driver local --keypair k --visible"
    )
    assert said.startswith("Request to create cluster template full accepted")
    shown = member.json("coe cluster template show full")
    assert (shown["labels"], shown["keypair_id"]) == ({"a": "b", "c": "d", "e": "f"}, "k")
    assert sorted(shown["tags"].split(",")) == ["x", "y"], "in whatever order the client sends them"
    assert (shown["floating_ip_enabled"], shown["master_lb_enabled"], shown["dns_nameserver"]) == (
        False,
        True,
        "8.8.4.4",
    )
    member(f"coe cluster template create plain {COMMON} --floating-ip-enabled")
    fields = "--limit 2 --sort-key name --sort-dir desc --fields coe,image_id"
    assert [(each["name"], each["coe"]) for each in member.json(f"coe cluster template list {fields}")] == [
        ("swarm", "swarm"),
        ("plain", "swarm"),
    ]
    refused = {
        "--tls-disabled": "Invalid input for field 'tls_disabled', value 'true': swarm cannot do it",
        "--registry-enabled": "Invalid input for field 'registry_enabled', value 'true': swarm cannot do it",
        "--volume-driver cinder": "Invalid input for field 'volume_driver', value 'cinder': swarm takes rexray only",
        "--fixed-network n --fixed-subnet s": "Invalid input for field 'fixed_network', value 'n': local cannot do it",
        "--insecure-registry r:5 --public": "Not authorized to set public or hidden flag",
        "--hidden": "Not authorized to set public or hidden flag",
    }
    for flags, text in refused.items():
        assert member.refused(f"coe cluster template create no {COMMON} {flags}").startswith(text)
        assert member.refused(f"coe cluster template update plain {flags}").startswith(text)
    member(
        "coe cluster template update full --name fuller --image swarm-node --flavor m1.tiny --master-flavor m1.tiny "
        "--keypair k2 --external-network public --network-driver overlay --driver local --dns-nameserver 8.8.8.8 "
        "--docker-volume-size 6 --docker-storage-driver overlay2 --http-proxy http://q:1 --https-proxy http://q:2 "
        "--no-proxy x --label c=e --no-label a --tag z --private --tls-enabled --registry-disabled "
        "--master-lb-disabled --floating-ip-enabled --visible"
    )
    shown = member.json("coe cluster template show fuller")
    assert (shown["labels"], shown["tags"], shown["flavor_id"]) == ({"c": "e", "e": "f"}, "z", "m1.tiny")
    member("coe cluster template update plain --master-lb-enabled --floating-ip-disabled")
    assert member.json("coe cluster template show plain")["master_lb_enabled"] is True
    admin(f"coe cluster template create everyones {COMMON} --public --hidden")
    admin("coe cluster template update everyones --public --visible")
    assert member.json("coe cluster template show everyones")["public"] is True
    admin("coe cluster template update everyones --private --hidden")
    assert "could not be found" in member.refused("coe cluster template show everyones")
    said = member("coe cluster template delete plain fuller")
    for name in ("plain", "fuller"):
        assert f"Request to delete cluster template {name} has been accepted." in said
    admin("coe cluster template delete everyones")
    assert "Delete for cluster template plain failed" in member("coe cluster template delete plain")


def test_quotas_services_and_totals(member, admin, tour):
    mine = f"--project-id {tour.project} --resource Cluster"
    assert member.table(f"coe quotas show {mine}")["hard_limit"] == "20"
    assert admin.table(f"coe quotas create {mine} --hard-limit 7")["hard_limit"] == "7"
    listed = admin.rows("coe quotas list --all-tenants --limit 5 --sort-key id --sort-dir asc")
    assert listed == [[tour.project, "Cluster", "7"]]
    assert admin.rows("coe quotas list --sort-dir desc") == []
    assert admin.rows("coe quotas list --all-tenants --marker 1") == []
    assert admin.table(f"coe quotas update {mine} --hard-limit 8")["hard_limit"] == "8"
    assert member.table(f"coe quotas show {mine}")["hard_limit"] == "8"
    assert "Request to delete quota" in admin(f"coe quotas delete {mine}")
    said = member(f"coe quotas create {mine}")
    assert "failed: Policy doesn't allow quota:create" in said
    [service] = admin.json("coe service list")
    assert (service["binary"], service["state"]) == ("magnum-conductor", "up")
    assert "Policy doesn't allow magnum-service:get_all" in member.refused("coe service list")
    totals = member.table(f"coe stats list {tour.project}")
    assert (totals["clusters"], totals["nodes"]) == ("2", "4")


def test_configuration_and_certificates(member, admin, tour, tmp_path):
    one = member.until("one", "CREATE_COMPLETE")
    member.until("two", "CREATE_COMPLETE")
    said = member(f"coe cluster config one --dir {tmp_path} --output-certs")
    address = one["api_address"].partition("//")[2]
    assert said.splitlines() == [
        f"export DOCKER_HOST=tcp://{address}",
        f"export DOCKER_CERT_PATH={tmp_path}",
        "export DOCKER_TLS_VERIFY=True",
    ]
    docker = ["docker", "-H", f"tcp://{address}", "--tlsverify"]
    for flag, file in (("--tlscacert", "ca.pem"), ("--tlscert", "cert.pem"), ("--tlskey", "key.pem")):
        docker += [flag, str(tmp_path / file)]
    nodes = subprocess.run([*docker, "node", "ls", "-q"], check=True, capture_output=True, text=True).stdout
    assert len(nodes.split()) == 2
    member(f"coe cluster config one --dir {tmp_path} --force --use-certificate")
    member(f"coe cluster config one --dir {tmp_path} --force --use-keystone")
    request = tmp_path / "request.pem"
    request.write_text(csr())
    for user in (member, admin):
        assert user("coe ca show one").startswith("-----BEGIN CERTIFICATE-----")
        assert user(f"coe ca sign one {request}").startswith("-----BEGIN CERTIFICATE-----")
    said = member("coe credential rotate one")
    assert said.startswith("Credential rotation failed: Rotating the credential is not supported")
    before = member("coe ca show one")
    said = f"Request to rotate the CA certificate for cluster {tour.uuids['one']} has been accepted."
    assert member("coe ca rotate one") == said
    member.until("one", "UPDATE_COMPLETE")
    assert member("coe ca show one") != before


def test_node_groups(member):
    said = member(
        "coe nodegroup create --docker-volume-size 1 --labels a=b --node-count 1 --min-nodes 1 --max-nodes 3 "
        "--role batch --image swarm-node --flavor m1.tiny --merge-labels --node-labels disk=ssd "
        "--node-taints a=b:NoSchedule two fast"
    )
    assert re.fullmatch(r"Request to create nodegroup [0-9a-f-]{36} accepted", said)
    member.until("two", "UPDATE_COMPLETE")
    shown = member.json("coe nodegroup show two fast")
    assert (shown["status"], shown["node_labels"], shown["role"]) == ("CREATE_COMPLETE", {"disk": "ssd"}, "batch")
    assert shown["node_taints"] == [{"key": "a", "value": "b", "effect": "NoSchedule"}]
    [group] = member.json("coe nodegroup list two --limit 1 --sort-key name --sort-dir desc --role batch")
    assert group["name"] == "fast"
    assert len(member.json("coe nodegroup list two")) == 3
    flags = "--min-nodes 0 --max-nodes 4 --node-labels disk=hdd --node-taints a=c:NoExecute"
    assert member(f"coe nodegroup update two fast {flags}") == "Request to update nodegroup fast has been accepted."
    member.until("two", "UPDATE_COMPLETE")
    assert member.json("coe nodegroup show two fast")["node_labels"] == {"disk": "hdd"}
    assert member("coe cluster resize two 2 --nodegroup fast") == "Request to resize cluster two has been accepted."
    member.until("two", "UPDATE_COMPLETE")
    assert member("coe nodegroup delete two fast") == "Request to delete nodegroup fast has been accepted."
    assert member.until("two", "UPDATE_COMPLETE")["node_count"] == 1


def test_changes_of_a_cluster(member):
    assert member("coe cluster resize one 2") == "Request to resize cluster one has been accepted."
    member.until("one", "UPDATE_COMPLETE")
    leaver = member.json("coe nodegroup show one default-worker")["node_addresses"][0]
    member(f"coe cluster resize one 1 --nodes-to-remove {leaver}")
    member.until("one", "UPDATE_COMPLETE")
    assert leaver not in member.json("coe cluster show one")["node_addresses"]
    said = member("coe cluster update one --name uno --node-count 2 --label team=b --no-label tier --rollback")
    assert said == "Request to update cluster one has been accepted."
    shown = member.until("uno", "UPDATE_COMPLETE")
    assert (shown["node_count"], shown["labels"]) == (2, {"team": "b"})
    said = member.refused("coe cluster update uno --master-count 3")
    assert said.startswith("cannot change cluster property(ies) master_count")
    assert member.refused("coe cluster resize uno 9").startswith("Limit nine: a cluster may have 9 nodes")
    said = member("coe cluster upgrade uno swarm --max-batch-size 2 --nodegroup default-worker")
    assert said == "Request to upgrade cluster uno has been accepted."
    member.until("uno", "UPDATE_COMPLETE")


def test_every_call_of_openstacksdk(installation, member):
    files = [str(installation.state / "clouds.yaml")]
    loader = openstack.config.OpenStackConfig(config_files=files, load_envvars=False)
    sdk = openstack.connection.Connection(config=loader.get_one("jeroboam")).container_infrastructure_management
    wish = {"coe": "swarm", "image_id": "swarm-node", "external_network_id": "public", "labels": {"a": "b"}}
    template = sdk.create_cluster_template(name="mine", **wish)
    assert {each.name for each in sdk.cluster_templates()} >= {"mine", "swarm"}
    mine = sdk.find_cluster_template("mine", ignore_missing=False)
    assert mine.uuid == sdk.get_cluster_template(template.id).uuid == template.uuid
    assert sdk.update_cluster_template(template, name="ours").name == "ours"
    assert {each.name for each in sdk.clusters()} == {"uno", "two"}
    cluster = sdk.find_cluster("two", ignore_missing=False)
    assert sdk.get_cluster(cluster).status == "UPDATE_COMPLETE"
    for method in (sdk.get_cluster, partial(sdk.find_cluster, ignore_missing=False)):
        with pytest.raises(NotFoundException):
            method("nothing")
    made = sdk.create_cluster(name="brief", cluster_template_id="ours", node_count=1)
    with pytest.raises(BadRequestException):
        sdk.delete_cluster_template(template)
    assert sdk.get_cluster_certificate(cluster.uuid).pem.startswith("-----BEGIN CERTIFICATE")
    signed = sdk.create_cluster_certificate(cluster_uuid=cluster.uuid, csr=csr())
    assert signed.pem.startswith("-----BEGIN CERTIFICATE")
    with pytest.raises(HttpException, match="406"):
        cluster.resize(sdk, node_count=2)
    sdk.default_microversion = "1.14"  # without one it asks for 1.1, which has no resize
    # What it makes of the answer is its own mistake; the wish has been accepted.
    with pytest.raises(TypeError):
        cluster.resize(sdk, node_count=2)
    assert member.until("two", "UPDATE_COMPLETE")["node_count"] == 2
    sdk.update_cluster(sdk.get_cluster(cluster.uuid), node_count=1)
    assert member.until("two", "UPDATE_COMPLETE")["node_count"] == 1
    with pytest.raises(TypeError):
        cluster.upgrade(sdk, cluster_template="swarm", max_batch_size=1)
    member.until("two", "UPDATE_COMPLETE")
    sdk.wait_for_status(made, "CREATE_COMPLETE", failures=["CREATE_FAILED"], interval=1, wait=60)
    sdk.delete_cluster(made)
    sdk.wait_for_delete(made, interval=1, wait=60)
    sdk.delete_cluster_template(template)
    with pytest.raises(ForbiddenException):
        list(sdk.services())


def test_the_end(member, tour):
    for name in ("uno", "two"):
        assert member(f"coe cluster delete {name}") == f"Request to delete cluster {name} has been accepted."
    for name in ("uno", "two"):
        member.until_gone(name)
    assert member.json("coe cluster list") == []
    totals = member.table(f"coe stats list {tour.project}")
    assert (totals["clusters"], totals["nodes"]) == ("0", "0")


def flags_of(command: type) -> set[str]:
    """The options that the command has beyond those of every command of its kind."""
    kind = next(base for base in command.__mro__ if base.__module__.startswith("cliff."))
    plain = type("Plain", (kind,), {"take_action": None, "__abstractmethods__": frozenset()})

    def options(of: type) -> set[str]:
        actions = of(SimpleNamespace(), None).get_parser("x")._actions
        return {flag for action in actions for flag in action.option_strings if flag.startswith("--")}

    return options(command) - options(plain)


@pytest.mark.parametrize("entry", entry_points(group="openstack.container_infra.v1"), ids=lambda entry: entry.name)
def test_every_command_was_given_with_every_flag(entry, member):
    name = entry.name.replace("_", " ")
    spoken = [f"{line} " for line in member.spoken if line.startswith(f"{name} ") or line == name]
    assert spoken, f"nobody said {name}"
    assert {flag for flag in flags_of(entry.load()) if not any(f"{flag} " in line for line in spoken)} == set()


# --------------------------------------------------------------------------------------- what the operator sees of it


def policy(installation, *arguments: str) -> tuple[int, str]:
    command = [BIN, "policy", *arguments]
    if arguments[0] == "explain":
        command += ["--state", installation.state, "--config", installation.config]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr or done.stdout


def test_policy_explains(installation):
    status, said = policy(installation, "explain", "demo", "cluster:create", "template=swarm,node_count=5")
    assert status == 0
    assert "roles: member, reader" in said
    assert "rule cluster:create: (role:admin or (role:member and project_id:%(project_id)s)): passes" in said
    assert "limit nine: within: a cluster may have 9 nodes, masters included; it would have 6." in said
    status, said = policy(installation, "explain", "demo", "cluster:create", "node_count=9,flavor=m1.tiny")
    assert (status, said.splitlines()[-1]) == (1, "not allowed")
    assert "limit nine: BEYOND: " in said
    status, said = policy(installation, "explain", "demo", "clustertemplate:publish", "swarm")
    assert (status, "does not pass" in said) == (1, True)
    status, said = policy(installation, "explain", "admin", "cluster:create", "node_count=99", "--project", "admin")
    assert (status, "none concerns project admin" in said) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody", "cluster:create"), "there is no user nobody"),
        (("demo", "cluster:party"), "there is no action cluster:party"),
        (("demo", "cluster:create", "nothing"), "there is no cluster and no template nothing"),
        (("demo", "cluster:create", "colour=red"), "colour is not a known field"),
        (("demo", "cluster:create", "node_count=many"), "node_count has to be a whole number"),
        (("demo", "cluster:create", "swarm", "--project", "admin"), "name one of the projects"),
    ],
)
def test_policy_says_what_it_does_not_know(installation, arguments, said):
    status, complaint = policy(installation, "explain", *arguments)
    assert status == 1
    assert f"jeroboam: {said}" in " ".join(complaint.split())


def test_policy_checks_a_file(installation, tmp_path):
    file = tmp_path / "limits.yaml"
    file.write_text("limits: [{name: a, max_nodes_per_cluster: 3}]")
    status, said = policy(installation, "check", str(file))
    assert (status, said.strip().endswith(": 1 limit: a")) == (0, True)
    file.write_text("limits: [{name: a, max_nodes: 3}]")
    status, said = policy(installation, "check", str(file))
    assert (status, "max_nodes" in said) == (1, True)


def test_the_audit_has_every_write_and_no_secret(installation, tour):
    lines = (installation.state.parent / "audit.json").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert {record["outcome"] for record in records} == {"success", "denied", "failed"}
    made = [record for record in records if record["action"] == "cluster:create" and record["outcome"] == "success"]
    assert [record["object_id"] for record in made[:2]] == list(tour.uuids.values())
    assert all(record["user_name"] in {"demo", "admin"} and record["request_id"] for record in records)
    said = "".join(lines) + installation.said()
    assert "PRIVATE KEY" not in said
    assert "BEGIN CERTIFICATE" not in said
    for secret in json.loads((installation.state / "passwords.json").read_text()).values():
        assert secret not in said
