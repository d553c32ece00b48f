"""What a Kubernetes node says of the machine that it is: which server, how large, booted with what."""

import json
from dataclasses import replace

import pytest

from jeroboam.coes.kubernetes.coe import KubernetesCoe
from jeroboam.coes.kubernetes.machine_id import MachineId
from jeroboam.coes.kubernetes.node_ops import build_patch
from tests.unit.test_kubernetes_drain import NODE
from tests.unit.test_kubernetes_options import CLOCK, laid_for, plan

BOOTED = "/etc/kubernetes/booted-with"


@pytest.fixture
def coe():
    return KubernetesCoe(clock=CLOCK)


@pytest.mark.parametrize("number", [0, 1], ids=["master", "worker"])
def test_a_node_says_which_server_it_is_and_what_it_was_booted_with(coe, number):
    made = plan(coe)
    member = made.members[number]
    config = json.loads(laid_for(coe, number)["/etc/kubernetes/kubelet.yaml"])
    assert config["providerID"] == f"openstack:///{member.uuid}"
    commands = coe.build_script(made, member).commands
    assert f"--machine-id-file={BOOTED}" in commands[-1]
    booted = MachineId.of(made, member, CLOCK.now())
    assert f"echo {member.uuid} >/etc/machine-id; echo {booted} >{BOOTED}" in commands[0][-1]
    assert commands[1] == ("sh", "/etc/jeroboam/node/size.sh", member.uuid)


@pytest.mark.parametrize("number", [0, 1], ids=["master", "worker"])
def test_a_node_keeps_something_for_its_own_programs_and_says_when_it_is_short(coe, number):
    config = json.loads(laid_for(coe, number)["/etc/kubernetes/kubelet.yaml"])
    assert set(config["systemReserved"]) == {"cpu", "memory"}
    thresholds = config["evictionHard"]
    assert {name.partition(".")[0] for name in thresholds} == {"memory", "nodefs", "imagefs", "pid"}
    assert not [name for name, value in thresholds.items() if value.startswith("0")]


def test_a_worker_that_booted_before_takes_up_its_size_and_stays_the_same_to_us(coe):
    made = plan(coe)
    [*_, reload] = coe.build_script(made, made.members[1]).reload
    # Its kubelet reads the usual file until it boots again.
    assert f"[ -e {BOOTED} ] || {{ rm -f /etc/machine-id; ln -s {BOOTED} /etc/machine-id; }}" in reload
    assert reload.index("size.sh") < reload.index("killall kubelet")


def test_a_node_that_was_there_before_is_told_once_which_server_it_is(coe):
    member = replace(plan(coe).members[1], name=NODE.name)
    change = build_patch(replace(NODE, provider_id=""), member)
    assert change["spec"] == {"providerID": f"openstack:///{member.uuid}"}
    assert "spec" not in build_patch(NODE, member)


def test_a_node_whose_server_has_no_id_yet_boots_without_one(coe):
    made = plan(coe)
    member = replace(made.members[1], provider_id=None)
    files = {file.path: file.content for file in coe.build_script(made, member).files}
    assert "providerID" not in json.loads(files["/etc/kubernetes/kubelet.yaml"])
    assert "spec" not in build_patch(replace(NODE, provider_id=""), member)
