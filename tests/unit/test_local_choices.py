"""The `local` provider's pure parts: subnets, addresses, containers' configuration, files, conditions."""

import io
import ipaddress
import subprocess
import tarfile
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jeroboam.conductor.clusters.plans import build_current_plan, build_plan
from jeroboam.domain.clusters import Node, NodeObserved, NodeState
from jeroboam.domain.nodes import COMMANDS_PATH, NodeFile, NodeScript
from jeroboam.domain.owner_labels import ObjectKind
from jeroboam.kit.clock import SystemClock
from jeroboam.providers.base import DesiredNode, Flavor, NodeAddress, ObservedInfra
from jeroboam.providers.local import subnets
from jeroboam.providers.local.catalog import DockerImage
from jeroboam.providers.local.engine import EngineCapabilities, list_host_configs
from jeroboam.providers.local.nodes import (
    NodePlacement,
    build_archive,
    build_container_config,
    build_labels,
    container_name,
    describe_failure,
)
from jeroboam.providers.local.provider import LocalProvider
from tests import builders

SMALL = ipaddress.IPv4Network("10.200.0.0/22")


@given(key=st.uuids().map(str), nodes=st.integers(0, 600), taken=st.sets(st.integers(0, 7), max_size=6))
def test_subnets_have_room_and_overlap_nothing(key, nodes, taken):
    pool = ipaddress.IPv4Network("10.200.0.0/19")
    used = list(pool.subnets(new_prefix=22))
    used = [used[number] for number in taken] + [ipaddress.IPv4Network("172.17.0.0/16")]
    found = list(subnets.list_candidates(key, nodes, used, pool))
    assert len(found) == len(set(found)) > 0
    for subnet in found:
        assert subnet.subnet_of(pool)
        assert subnet.prefixlen in {22, 23, 24}
        assert not any(subnet.overlaps(other) for other in used)
        assert subnet.prefixlen == 22 or subnet.num_addresses - 3 >= 2 * nodes
    assert found == list(subnets.list_candidates(key, nodes, used, pool))


def test_a_full_pool_has_no_candidates():
    assert list(subnets.list_candidates("k", 3, [ipaddress.IPv4Network("10.0.0.0/8")])) == []


def test_clusters_tend_to_different_subnets():
    firsts = {next(subnets.list_candidates(str(number), 3, [])) for number in range(50)}
    assert len(firsts) > 40


@given(keys=st.lists(st.uuids().map(str), min_size=1, max_size=60, unique=True))
def test_addresses_are_distinct_and_usable(keys):
    subnet = ipaddress.IPv4Network("10.200.3.0/26")
    used: set[str] = set()
    for key in keys:
        found = subnets.choose_address(key, subnet, used)
        assert found is not None
        assert found not in {subnets.gateway_of(subnet), str(subnet.network_address), str(subnet.broadcast_address)}
        assert ipaddress.ip_address(found) in subnet
        used.add(found)
    assert len(used) == len(keys)


def test_a_full_subnet_has_no_address():
    subnet = ipaddress.IPv4Network("10.200.3.0/29")
    used = {str(host) for host in subnet.hosts()}
    assert subnets.choose_address("k", subnet, used) is None
    assert subnets.choose_address("k", subnet, used - {"10.200.3.4"}) == "10.200.3.4"


WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@given(arguments=st.lists(WORDS, min_size=1, max_size=4))
def test_commands_reach_the_shell_as_they_are(arguments):
    script = NodeScript(commands=(("printf", "%s\\0", "before"), ("printf", "%s\\0", *arguments)))
    with tarfile.open(fileobj=io.BytesIO(build_archive(script))) as tar:
        text = tar.extractfile(COMMANDS_PATH.lstrip("/")).read()
    done = subprocess.run(["/bin/sh"], input=text, capture_output=True, check=True)
    assert done.stdout.split(b"\0")[:-1] == [b"before", *(word.encode() for word in arguments)]


def test_files_come_with_their_folders_and_modes():
    script = NodeScript(files=(NodeFile(path="/a/b/c", content=b"x", mode=0o600),), commands=(("true",),))
    with tarfile.open(fileobj=io.BytesIO(build_archive(script))) as tar:
        found = {info.name: (info.isdir(), info.mode) for info in tar}
    assert found["a"] == found["a/b"] == (True, 0o755)
    assert found["a/b/c"] == (False, 0o600)
    assert found[COMMANDS_PATH.lstrip("/")] == (False, 0o700)


WANT = DesiredNode(uuid="0123456789ab", name="n" * 80, group="g", role="worker", image="i", flavor="f")
GIFT = EngineCapabilities(host_config={"Privileged": True}, cpus=2, data_root="/nowhere/at/all", facts={})
IMAGE = DockerImage(id="sha256:1", data_folder="/data", machine=True)
PLACE = NodePlacement(network="net", network_id="n1", address="10.0.0.2", volume="vol", labels={"a": "b"})


@pytest.mark.parametrize(("vcpus", "cores"), [(1, 1), (2, 2), (8, 2), (0.5, 0.5)])
def test_limits_follow_the_flavour_and_the_host(vcpus, cores):
    flavor = Flavor(id="f", name="f", vcpus=vcpus, ram=512, disk=1)
    config = build_container_config(WANT, PLACE, IMAGE, flavor, GIFT)
    host = config["HostConfig"]
    assert host["NanoCpus"] == cores * 1e9
    assert host["Memory"] == host["MemorySwap"] == 512 << 20
    assert host["Mounts"] == [{"Type": "volume", "Source": "vol", "Target": "/data"}]
    assert host["Privileged"] is True
    assert len(config["Hostname"]) == 63
    assert config["NetworkingConfig"]["EndpointsConfig"]["net"]["IPAMConfig"] == {"IPv4Address": "10.0.0.2"}


def test_tags_say_whose_a_thing_is():
    tags = build_labels("here", "cluster", WANT, "10.0.0.2", ObjectKind.NODE)
    assert tags["jeroboam.installation"] == "here"
    assert tags["jeroboam.cluster"] == "cluster"
    assert tags["jeroboam.node"] == WANT.uuid
    assert container_name(WANT.name, WANT.uuid).endswith(".01234567")


@pytest.mark.parametrize(
    ("facts", "kind", "holds"),
    [
        ({"ipvs": "1"}, "VirtualIPs", True),
        ({"ipvs": "0"}, "VirtualIPs", False),
        ({"caps": "000001ffffffffff"}, "ResourceLimits", True),
        ({"caps": "000001fffeffffff"}, "ResourceLimits", False),
        ({"free_kib": str(6 << 20)}, "DiskSpace", True),
        ({"free_kib": str(4 << 20)}, "DiskSpace", False),
        ({}, "DiskSpace", False),
    ],
)
def test_what_is_missing_becomes_a_condition(facts, kind, holds):
    gift = EngineCapabilities(host_config={}, cpus=1, data_root="/nowhere/at/all", facts=facts)
    condition = next(each for each in gift.conditions() if each.type == kind)
    assert condition.status is holds
    assert holds == (condition.message == "")


ALL_CAPS = (1 << 41) - 1


def test_the_way_follows_what_this_machine_may_give():
    assert [way.get("Privileged", False) for way in list_host_configs(ALL_CAPS, modules=False)] == [True, False]
    assert [way.get("Privileged", False) for way in list_host_configs(None, modules=False)] == [True, False]
    hobbled = list_host_configs(ALL_CAPS & ~(1 << 24 | 1 << 16), modules=False)
    assert hobbled[0]["CapDrop"] == ["SYS_MODULE", "SYS_RESOURCE"]
    assert hobbled[1]["Privileged"]


def test_modules_are_shown_where_there_are_any_and_done_without_where_refused():
    found = list_host_configs(ALL_CAPS, modules=True)
    assert [bool(way.get("Mounts")) for way in found] == [True, True, False, False]
    assert found[0]["Mounts"][0]["ReadOnly"]
    gift = EngineCapabilities(host_config=found[0], cpus=1, data_root="/", facts={})
    flavor = Flavor(id="f", name="f", vcpus=1, ram=512, disk=1)
    config = build_container_config(WANT, PLACE, IMAGE, flavor, gift)
    assert [mount["Target"] for mount in config["HostConfig"]["Mounts"]] == ["/lib/modules", "/data"]


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("", ""),
        ("all is well\n", ""),
        ("node: kubelet ended with status 143; it is started again\n", ""),
        (
            (
                "Flag --max-pods has been deprecated\n"
                'E1129 03:05:18.63    1340 run.go:72] "command failed" err="maxPods -1 must not be negative"\n'
                "node: kubelet ended with status 1; it is started again\n"
                "Flag --max-pods has been deprecated\n"
            ),
            ('kubelet ended with status 1 and printed last: "command failed" err="maxPods -1 must not be negative"'),
        ),
        (
            "no such file\nnode: flanneld ended with status 2; it is started again\n",
            "flanneld ended with status 2 and printed last: no such file",
        ),
        ("node: sh ended with status 1; it is started again", "its service ended with status 1 and printed last: "),
    ],
)
def test_last_words_of_a_program_that_ended(printed, words):
    assert describe_failure(printed) == words


def test_the_plan_to_boot_from_has_the_ids_of_local_nodes():
    """A kubelet is told its provider id at its first boot: on this machine it follows from the node's uuid."""
    provider = LocalProvider(installation="here", clock=SystemClock())
    cluster = builders.cluster(builders.template())
    [master, _] = builders.groups(cluster)
    node = Node(uuid=builders.new_uuid(), name="n")
    addresses = {node.uuid: NodeAddress(address="10.0.0.2")}
    plan = build_plan(cluster, [replace(master, desired=(node,))], addresses, {}, provider)
    [member] = plan.members
    assert member.provider_id == f"openstack:///{node.uuid}"
    observed = NodeObserved(uuid=node.uuid, name="n", state=NodeState.RUNNING, server_id="c0ffee")
    assert build_current_plan(plan, ObservedInfra(nodes=(observed,)), provider) == plan
