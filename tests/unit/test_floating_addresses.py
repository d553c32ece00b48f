"""A node with an address outside its cluster's network: it is found by it, and its certificates have it."""

import json
from dataclasses import replace

import pytest
from cryptography import x509

from jeroboam.coes.base import Authority, CoePlan, Member
from jeroboam.coes.kubernetes.components import build_kubeadm_config
from jeroboam.coes.swarm.coe import SwarmCoe
from jeroboam.domain.clusters import Node, NodeObserved, NodeState
from jeroboam.domain.nodeidents import find_node
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.x509 import make_ca
from tests import builders

CLOCK = SystemClock()
MEMBER = Member(
    uuid="3b5b9bf7-0000-4000-8000-000000000001",
    name="n",
    role="master",
    group="default-master",
    address="10.0.0.2",
    floating_address="203.0.113.7",
)


def a_plan(member: Member, **changes) -> CoePlan:
    pair = make_ca(common_name="c", now=CLOCK.now())
    plan = CoePlan(
        cluster_id="c",
        cluster_name="c",
        template=builders.template().spec,
        labels={},
        members=(member,),
        authorities={"main": Authority(pem=pair.pem, key=pair.key)},
    )
    return replace(plan, **changes)


@pytest.mark.parametrize("floating_address", [None, "203.0.113.7"])
def test_an_engine_shows_all_addresses_of_its_node(floating_address):
    member = replace(MEMBER, floating_address=floating_address)
    files = {file.path: file.content for file in SwarmCoe(clock=CLOCK).build_script(a_plan(member), member).files}
    certificate = x509.load_pem_x509_certificate(files["/etc/docker/cert.pem"])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert addresses == {"10.0.0.2", "127.0.0.1"} | ({floating_address} - {None})


def test_an_api_server_shows_all_addresses_of_its_node_and_of_the_load_balancer():
    plan = a_plan(MEMBER, balancer="10.0.0.9", balancer_floating_address="203.0.113.9")
    text = json.dumps(build_kubeadm_config(plan, MEMBER))
    for address in ("10.0.0.2", "203.0.113.7", "10.0.0.9", "203.0.113.9"):
        assert json.dumps(address) in text
    plain = json.dumps(build_kubeadm_config(a_plan(MEMBER), replace(MEMBER, floating_address=None)))
    assert "203.0.113" not in plain


@pytest.mark.parametrize(
    "ident", ["10.0.0.2", "203.0.113.7", "6C1F7E0E-1111-4222-8333-444455556666", "6c1f7e0e111142228333444455556666"]
)
def test_a_node_is_found_by_each_address_and_by_the_uuid_of_its_server(ident):
    """On a cloud the SystemUUID of a machine is the id of its server; the cluster autoscaler sends it."""
    node = Node(uuid=MEMBER.uuid, name="n-0")
    observed = NodeObserved(
        uuid=node.uuid,
        name=node.name,
        state=NodeState.RUNNING,
        address="10.0.0.2",
        floating_address="203.0.113.7",
        server_id="6c1f7e0e-1111-4222-8333-444455556666",
    )
    [group, _] = builders.groups(builders.cluster(builders.template()))
    assert find_node(replace(group, desired=(node,), observed=(observed,)), ident) == node
    assert find_node(replace(group, desired=(node,)), ident) is None
