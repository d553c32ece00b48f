"""Labels and taints of nodes follow their groups, and what users put there themselves stays."""

import json

import pytest

from jeroboam.coes.base import Member
from jeroboam.coes.kubernetes import node_annotations as marks
from jeroboam.coes.swarm.options import merge_labels

OWN = {marks.NODE_LABEL: "u", marks.GROUP_LABEL: "g", "node-role.kubernetes.io/worker": ""}
THEIRS = {"key": "theirs", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}
OURS = {"key": "ours", "value": "1", "effect": "NoSchedule"}


def member(labels=None, taints=()):
    return Member(
        uuid="u", name="n", role="worker", group="g", address="10.0.0.2", labels=labels or {}, taints=tuple(taints)
    )


def given(labels=(), taints=()):
    return {marks.GIVEN: json.dumps({"labels": list(labels), "taints": list(taints)})}


def merged(labels, taints, annotations, of):
    """What a node is after the change, and that another one changes nothing."""
    found = marks.build_patch(labels, taints, annotations, of)
    meta = found.get("metadata", {})
    after = {key: value for key, value in {**labels, **meta.get("labels", {})}.items() if value is not None}
    left = found.get("spec", {}).get("taints", taints)
    notes = {**annotations, **meta.get("annotations", {})}
    assert marks.build_patch(after, left, notes, of) == {}
    return after, list(left), notes


def test_a_node_as_it_should_be_is_left_alone():
    assert marks.build_patch(OWN, [THEIRS], {}, member()) == {}


def test_what_a_group_gets_its_nodes_get():
    labels, taints, notes = merged({"x": "user"}, [THEIRS], {}, member({"disk": "ssd"}, [OURS]))
    assert labels == {**OWN, "x": "user", "disk": "ssd"}
    assert taints == [THEIRS, OURS]
    assert notes == given(["disk"], ["ours:NoSchedule"])


def test_what_a_group_has_no_more_goes_and_nothing_else():
    before = {**OWN, "disk": "ssd", "x": "user"}
    labels, taints, notes = merged(before, [THEIRS, OURS], given(["disk"], ["ours:NoSchedule"]), member())
    assert (labels, taints, notes) == ({**OWN, "x": "user"}, [THEIRS], given())


def test_another_value_takes_the_place_of_the_first():
    before = {**OWN, "disk": "ssd"}
    changed = {**OURS, "value": "2"}
    labels, taints, _ = merged(before, [OURS], given(["disk"], ["ours:NoSchedule"]), member({"disk": "hdd"}, [changed]))
    assert (labels["disk"], taints) == ("hdd", [changed])


def test_only_what_was_written_down_is_ours_to_take():
    before = {**OWN, "disk": "user's own"}
    assert marks.build_patch(before, [OURS], {}, member()) == {}


@pytest.mark.parametrize("text", ["", "[", "7", "null", '"x"', '{"labels": 7}'])
def test_a_note_that_somebody_spoilt_tells_nothing(text):
    labels, _, _ = merged({**OWN, "disk": "ssd"}, [], {marks.GIVEN: text}, member({"a": "b"}))
    assert labels == {**OWN, "disk": "ssd", "a": "b"}


def test_labels_of_a_swarms_nodes_follow_too():
    first = merge_labels({"x": "user"}, {"disk": "ssd", "tier": "a"}, "g")
    assert {name: first[name] for name in ("x", "disk", "tier")} == {"x": "user", "disk": "ssd", "tier": "a"}
    assert merge_labels(first, {"disk": "ssd", "tier": "a"}, "g") == first
    then = merge_labels(first, {"tier": "b"}, "g")
    assert "disk" not in then
    assert (then["x"], then["tier"]) == ("user", "b")
    assert merge_labels(then, {}, "g") == {"x": "user", "jeroboam.group": "g"}
