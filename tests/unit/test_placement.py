"""The scheduler is a function: what fits goes to the least used host, what does not comes back with reasons."""

import datetime as dt
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from jeroboam.domain.containers import ContainerSpec
from jeroboam.domain.quotas import ContainerUse
from jeroboam.scheduler.placement import (
    CandidateHost,
    Placement,
    PlacementRefusal,
    PlacementRequest,
    PlacementRules,
    place_containers,
)
from tests import builders

RULES = PlacementRules(now=builders.NOW)


def want(**spec) -> PlacementRequest:
    return PlacementRequest(uuid=builders.new_uuid(), spec=ContainerSpec(image="busybox", **spec))


def candidate(name: str, *, memory: int = 8192, use: int = 0, **changes) -> CandidateHost:
    host = builders.host(hostname=name)
    facts = replace(host.facts, hostname=name, mem_total=memory, labels=changes.pop("labels", {}))
    return CandidateHost(host=replace(host, facts=facts, **changes), use=ContainerUse(containers=1, memory=use))


def one(want: PlacementRequest, *candidates: CandidateHost) -> Placement | PlacementRefusal:
    return place_containers([want], candidates, RULES)[want.uuid]


def test_the_least_used_host_takes_it():
    assert one(want(), candidate("busy", use=4096), candidate("idle")).host.hostname == "idle"


def test_a_host_with_fewer_cores_than_asked_for_takes_it_not():
    small = candidate("small")
    refusal = one(want(cpu=4.5), small)
    assert refusal == PlacementRefusal(
        text="There are not enough hosts available. 1 host: has fewer cores", temporary=False
    )
    large = replace(small.host, hostname="large", facts=replace(small.host.facts, cpus=8))
    assert one(want(cpu=4.5), small, CandidateHost(host=large)).host.hostname == "large"


def test_a_batch_spreads_because_each_counts_for_the_next():
    wants = [want(memory=1024) for _ in range(4)]
    placed = place_containers(wants, [candidate("a"), candidate("b")], RULES)
    assert sorted(placement.host.hostname for placement in placed.values()) == ["a", "a", "b", "b"]


def test_a_refusal_counts_its_reasons():
    silent = builders.NOW - dt.timedelta(seconds=181)
    refusal = one(
        want(memory=9000),
        candidate("a", memory=1000),
        candidate("b", memory=1000),
        candidate("c", disabled=True),
        candidate("d", memory=64000, last_seen=silent),
    )
    expected = "There are not enough hosts available. 2 hosts: not enough memory; 1 host: disabled; 1 host: down"
    assert refusal == PlacementRefusal(text=expected, temporary=True)


def test_only_hosts_that_may_come_back_make_it_temporary():
    assert not one(want(memory=9000), candidate("a", memory=1000)).temporary
    assert one(want(), candidate("a", runtime_error="away")).temporary
    assert one(want()).temporary


def test_zone_host_runtime_label_and_disk_are_kept():
    ssd = candidate("ssd", labels={"disk": "ssd"})
    plain = candidate("plain")
    assert one(want(hints={"label:disk": "ssd"}), plain, ssd).host.hostname == "ssd"
    assert one(want(host="plain"), plain, ssd).host.hostname == "plain"
    assert "another availability zone" in one(want(availability_zone="z2"), plain).text
    assert "no runtime kata" in one(want(runtime="kata"), plain).text
    assert "cannot limit disk" in one(want(disk=5), plain).text


@given(st.lists(st.integers(4, 4096), max_size=30), st.lists(st.integers(256, 8192), min_size=1, max_size=5))
def test_no_host_is_ever_fuller_than_its_ratio(memories, hosts):
    wants = [want(memory=memory, cpu=0.1) for memory in memories]
    candidates = [candidate(f"h{index}", memory=memory) for index, memory in enumerate(hosts)]
    placed = place_containers(wants, candidates, RULES)
    assert set(placed) == {each.uuid for each in wants}
    for each in candidates:
        taken = sum(w.spec.memory for w in wants if placed[w.uuid] == each.host)
        assert taken <= each.host.facts.mem_total * RULES.memory_ratio


def pinning(name: str, *cpus: int) -> CandidateHost:
    made = candidate(name)
    facts = replace(made.host.facts, cpus=4, dedicated_cpus=cpus)
    return replace(made, host=replace(made.host, facts=facts))


def test_dedicated_cores_are_given_once():
    wants = [want(cpu=cpu, cpu_policy="dedicated") for cpu in (2.0, 1.0, 1.0)]
    placed = place_containers(wants, [pinning("a", 1, 2, 3)], RULES)
    first, second, third = (placed[each.uuid] for each in wants)
    assert (first.cpuset, second.cpuset) == ((1, 2), (3,))
    assert "1 host: not enough dedicated cores are free" in third.text


def test_cores_that_others_have_are_not_given():
    host = replace(pinning("a", 1, 2), pinned_cpus=frozenset({1}))
    assert one(want(cpu=1.0, cpu_policy="dedicated"), host).cpuset == (2,)


def test_containers_that_share_cores_have_no_dedicated_ones():
    host = pinning("a", 2, 3)
    assert one(want(cpu=2.0), host).cpuset == ()
    assert "has fewer cores" in one(want(cpu=3.0), host).text
    assert "has fewer dedicated cores" in one(want(cpu=3.0, cpu_policy="dedicated"), host).text
