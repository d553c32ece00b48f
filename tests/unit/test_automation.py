"""Labels by which a cluster looks after itself, and what its nodes' own words come to."""

import datetime as dt

import pytest

from jeroboam.coes.kubernetes import options
from jeroboam.coes.kubernetes.health import list_shortages, ready_transition_time
from jeroboam.coes.swarm.options import check as check_swarm
from jeroboam.domain import automation
from jeroboam.domain.errors import Invalid

NODE = {
    "status": {
        "conditions": [
            {"type": "DiskPressure", "status": "True", "message": "kubelet has disk pressure"},
            {"type": "MemoryPressure", "status": "True", "reason": "KubeletHasInsufficientMemory"},
            {"type": "PIDPressure", "status": "False", "message": "kubelet has sufficient PID available"},
            {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-02T03:04:05Z"},
        ]
    }
}


@pytest.mark.parametrize("check", [options.check, check_swarm, automation.check_labels])
@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ({"auto_healing_enabled": "maybe"}, "auto_healing_enabled"),
        ({"auto_scaling_enabled": "2"}, "auto_scaling_enabled"),
        ({"max_node_count": "many"}, "max_node_count"),
        ({"min_node_count": "-1"}, "min_node_count"),
        ({"min_node_count": "٣"}, "min_node_count"),
        ({"min_node_count": "3", "max_node_count": "2"}, "min_node_count"),
    ],
)
def test_labels_that_cannot_be(check, labels, name):
    with pytest.raises(Invalid, match=name) as caught:
        check(labels)
    assert caught.value.field == f"labels/{name}"


@pytest.mark.parametrize("check", [options.check, check_swarm])
def test_labels_that_can(check):
    check({"auto_healing_enabled": "True", "auto_scaling_enabled": "no", "min_node_count": "0", "max_node_count": "3"})


@pytest.mark.parametrize(
    ("said", "wanted"), [("true", True), ("True", True), (" 1 ", True), ("false", False), ("", False), (None, False)]
)
def test_who_wants_it(said, wanted):
    labels = {} if said is None else {"auto_healing_enabled": said}
    assert automation.is_enabled(labels, automation.HEALING) is wanted


def test_they_mean_something_everywhere():
    assert options.build_labels_condition(dict.fromkeys(automation.LABELS, "1")).status is True


def test_what_a_node_runs_short_of():
    assert list_shortages(NODE) == {
        "DiskPressure": "kubelet has disk pressure",
        "MemoryPressure": "KubeletHasInsufficientMemory",
    }
    assert ready_transition_time(NODE) == dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    assert (list_shortages({"status": {}}), ready_transition_time({"status": {}})) == ({}, None)
