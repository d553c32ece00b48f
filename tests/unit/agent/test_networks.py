"""Networks of containers: the agent on a fake runtime, with a networking driver that notes what it is told."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from jeroboam.agent.session import Agent
from jeroboam.domain.containers import OpKind, RestartPolicy, RuntimeState
from jeroboam.domain.errors import Temporary
from jeroboam.domain.host_ports import FilterRule, HostPort
from jeroboam.domain.networks import Direction, build_mac_address
from jeroboam.runtimes.base import NetworkMissing
from jeroboam.runtimes.fake import InjectedFault
from jeroboam.storage.fake import FakeStorage
from tests.agent_rig import CREATE, UUID, Rig, assignment, op
from tests.builders import new_uuid

VOLUME_MOUNT = {"type": "volume", "source": new_uuid(), "size": "1", "destination": "/data"}
OTHER = "c0ffee00-0000-4000-8000-000000000002"


def port(last: int, *rules: FilterRule) -> HostPort:
    address = f"10.0.0.{last}"
    return HostPort(
        uuid=new_uuid(),
        network_id=new_uuid(),
        cidr="10.0.0.0/24",
        gateway="10.0.0.1",
        address=address,
        mac_address=build_mac_address(address),
        rules=rules,
    )


class NotedPorts:
    """A networking driver that only notes the ports; it can be told to fail."""

    def __init__(self) -> None:
        self.calls: list[set[str]] = []
        self.fresh = 0
        self.fault: Temporary | None = None

    async def set_ports(self, ports: Sequence[HostPort], *, is_fresh: bool = False) -> None:
        if self.fault is not None:
            raise self.fault
        self.calls.append({port.address for port in ports})
        self.fresh += is_fresh


class NetworkRig(Rig):
    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.networking = NotedPorts()
        self.storage: FakeStorage | None = None

    def make_agent(self, **parts) -> Agent:
        return Agent(**parts, networking=self.networking, storage=self.storage)


@pytest.fixture
async def networked(tmp_path):
    rig = NetworkRig(tmp_path)
    yield rig
    await rig.kill()


def addresses_of(rig, uuid=UUID) -> list[str]:
    return [port.address for port in rig.runtime.ports[uuid]]


def wish(*ops, ports, **more):
    return replace(assignment(*ops, **more), ports=tuple(ports))


async def test_ports_are_safe_before_the_container_starts(networked):
    rig, gate = networked, None
    await rig.start()
    gate = rig.hold("start")
    await rig.assign(wish(CREATE, ports=[port(2), port(3)]))
    assert addresses_of(rig) == ["10.0.0.2", "10.0.0.3"]
    assert rig.networking.calls[-1] == {"10.0.0.2", "10.0.0.3"}
    rig.runtime.behave("start")
    gate.set()


async def test_a_container_whose_ports_are_not_safe_does_not_start(networked):
    rig = networked
    rig.networking.fault = Temporary("the security groups of its ports cannot be enforced: no iptables")
    await rig.start()
    await rig.assign(wish(CREATE, ports=[port(2)]))
    assert rig.runtime.containers[UUID].state is RuntimeState.CREATED
    assert "cannot be enforced" in rig.last().error
    rig.networking.fault = None
    await rig.clock.advance(60)
    assert rig.last().state is RuntimeState.RUNNING
    assert rig.last().error is None


async def test_attach_and_detach(networked):
    rig = networked
    one, two = port(2), port(3)
    await rig.start()
    await rig.assign(wish(CREATE, ports=[one]))
    await rig.assign(wish(op(2, OpKind.NETWORK_ATTACH), ports=[one, two], done=1))
    assert (rig.last().seq, addresses_of(rig)) == (2, ["10.0.0.2", "10.0.0.3"])
    assert "network_attaching" in [report.observed.step for report in rig.reports]
    await rig.assign(wish(op(3, OpKind.NETWORK_DETACH), ports=[two], done=2))
    assert (rig.last().seq, addresses_of(rig)) == (3, ["10.0.0.3"])
    assert rig.networking.calls[-1] == {"10.0.0.3"}
    assert rig.last().state is RuntimeState.RUNNING


@pytest.mark.parametrize("after", [False, True])
async def test_an_attach_that_was_killed_is_done_again(networked, after):
    rig = networked
    one, two = port(2), port(3)
    await rig.start()
    await rig.assign(wish(CREATE, ports=[one]))
    rig.hold("plug", after=after)
    await rig.assign(wish(op(2, OpKind.NETWORK_ATTACH), ports=[one, two], done=1))
    assert rig.last().seq == 1
    rig.runtime.behave("plug")
    await rig.restart()
    assert (rig.last().seq, addresses_of(rig)) == (2, ["10.0.0.2", "10.0.0.3"])


async def test_a_container_that_is_gone_is_attached_when_it_is_made_again(networked):
    rig = networked
    one, two = port(2), port(3)
    await rig.start()
    await rig.assign(wish(CREATE, ports=[one]))
    rig.runtime.lose(UUID)
    await rig.assign(wish(op(2, OpKind.NETWORK_ATTACH), ports=[one, two], done=1))
    assert (rig.last().seq, rig.last().error) == (2, None)
    rig.runtime.ports.clear()
    await rig.assign(wish(op(3, OpKind.START), ports=[one, two], done=2))
    assert addresses_of(rig) == ["10.0.0.2", "10.0.0.3"]


async def test_a_network_that_is_missing_is_plugged_again_before_the_start(networked):
    rig = networked
    await rig.start()
    fault = InjectedFault(error=NetworkMissing("gone"), times=1)
    rig.runtime.misbehave("start", fault)
    await rig.assign(wish(CREATE, ports=[port(2)]))
    assert rig.last().state is RuntimeState.RUNNING
    assert [name for name, _ in rig.runtime.calls if name in {"start", "plug"}] == ["start", "plug", "start"]


async def test_groups_change_without_a_touch_of_the_container(networked):
    rig = networked
    one = port(2)
    await rig.start()
    await rig.assign(wish(CREATE, ports=[one]))
    calls, starts = len(rig.networking.calls), rig.count("start")
    opened = port(2, FilterRule(direction=Direction.INGRESS))
    await rig.assign(wish(ports=[opened], done=1))
    assert len(rig.networking.calls) > calls
    await rig.assign(wish(op(2, OpKind.ADD_SECURITY_GROUP), ports=[opened], done=1))
    assert rig.last().seq == 2
    assert (rig.count("start"), rig.count("plug")) == (starts, 0)


async def test_ports_of_a_container_that_goes_are_taken_away(networked):
    rig = networked
    await rig.start()
    await rig.assign(wish(CREATE, ports=[port(2)]))
    await rig.assign(wish(CREATE, ports=[port(3)], uuid=OTHER))
    await rig.release(OTHER)
    assert rig.networking.calls[-1] == {"10.0.0.2"}


async def test_what_is_really_set_is_looked_at_now_and_then(networked):
    rig = networked
    await rig.start()
    await rig.assign(wish(CREATE, ports=[port(2)]))
    before = rig.networking.fresh
    await rig.clock.advance(61)
    assert rig.networking.fresh > before


async def test_after_a_restart_of_the_machine_nothing_starts_before_its_ports_are_safe(tmp_path):
    rig = NetworkRig(tmp_path)
    rig.storage = FakeStorage()
    wanted = assignment(CREATE, mounts=(VOLUME_MOUNT,), restart_policy=RestartPolicy(name="always"))
    wanted = replace(wanted, ports=(port(5),))
    await rig.start()
    await rig.assign(wanted)
    await rig.kill()
    rig.storage.restart_machine()
    rig.runtime.fail_to_start(UUID, "bind source path does not exist")
    rig.assigned[UUID] = replace(wanted, ops=(), done=1)
    rig.networking.fault = Temporary("no packet filter")
    starts = rig.count("start")
    await rig.start()
    assert rig.count("start") == starts
    rig.networking.fault = None
    await rig.clock.advance(10)
    assert rig.last().state is RuntimeState.RUNNING
    await rig.kill()
