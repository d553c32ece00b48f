"""Which ports of a node a security group has to open: the API where it is served, and what users publish."""

from dataclasses import replace

import pytest

from jeroboam.coes.base import HasOpenPorts
from jeroboam.coes.kubernetes.coe import KubernetesCoe
from jeroboam.coes.swarm.coe import SwarmCoe
from jeroboam.domain.clusters import LOAD_BALANCER, MASTER, WORKER
from jeroboam.domain.nodes import PUBLISHED_PORTS, open_tcp
from jeroboam.kit.clock import SystemClock
from tests import builders

TEMPLATE = builders.template().spec


@pytest.mark.parametrize("port", [None, 7443])
def test_kubernetes_opens_the_api_on_masters_and_balancer_and_node_ports_on_nodes(port):
    coe = KubernetesCoe(clock=SystemClock())
    assert isinstance(coe, HasOpenPorts)
    template, api = replace(TEMPLATE, apiserver_port=port), open_tcp(port or 6443)
    assert list(coe.list_open_ports(template, MASTER)) == [api, *PUBLISHED_PORTS]
    assert list(coe.list_open_ports(template, WORKER)) == list(PUBLISHED_PORTS)
    assert list(coe.list_open_ports(template, LOAD_BALANCER)) == [api]


@pytest.mark.parametrize("port", [None, 7443])
def test_swarm_opens_each_engine_and_published_ports(port):
    coe = SwarmCoe(clock=SystemClock())
    assert isinstance(coe, HasOpenPorts)
    for role in (MASTER, WORKER):
        ports = coe.list_open_ports(replace(TEMPLATE, apiserver_port=port), role)
        assert list(ports) == [open_tcp(port or 2376), *PUBLISHED_PORTS]
