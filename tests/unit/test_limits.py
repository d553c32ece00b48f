"""Limits: which hold for whom, what each bound says, and files that say nothing good."""

import pytest
import yaml

from jeroboam.domain.errors import Forbidden
from jeroboam.domain.limits import (
    Limit,
    LimitOwner,
    RequestedSize,
    check_limits,
    judge_request,
    list_limit_faults,
    parse_limits,
    select_limits,
)

DEMO = LimitOwner(project_id="p1", project_name="demo", domain_id="d1")
OTHER = LimitOwner(project_id="p2", project_name="other", domain_id="d2")


def limit(**bounds) -> Limit:
    return Limit(name="l", **bounds)


@pytest.mark.parametrize(
    ("selectors", "holds"),
    [
        ({}, (True, True)),
        ({"projects": ("p1",)}, (True, False)),
        ({"projects": ("demo",)}, (True, False)),
        ({"domains": ("d2",)}, (False, True)),
        ({"domains": ("d2",), "projects": ("demo",)}, (True, True)),
        ({"except_projects": ("demo",)}, (False, True)),
        ({"domains": ("d1",), "except_projects": ("p1",)}, (False, False)),
    ],
)
def test_whom_a_limit_concerns(selectors, holds):
    limits = (limit(max_nodes_per_cluster=1, **selectors),)
    assert (bool(select_limits(limits, DEMO)), bool(select_limits(limits, OTHER))) == holds


def test_a_project_without_a_name_is_not_meant_by_an_empty_one():
    assert not select_limits((limit(max_nodes_per_cluster=1, projects=("x",)),), LimitOwner(project_id="p"))


GOOD_AND_BAD = [
    ({"allowed_templates": ("swarm",)}, {"template": ("u", "swarm")}, {"template": ("u", "big")}, "swarm"),
    ({"allowed_templates": ("u",)}, {"template": ("u", "swarm")}, {"template": ("v", "swarm")}, "may be u"),
    ({"allowed_flavors": ("m1.t*",)}, {"flavors": ("m1.tiny",)}, {"flavors": ("m1.tiny", "m1.large")}, "m1.large"),
    ({"allowed_flavors": ()}, {}, {"flavors": ("m1.tiny",)}, "none at all"),
    ({"allowed_coes": ("swarm",)}, {"coe": "swarm"}, {"coe": "kubernetes"}, "kubernetes"),
    ({"allowed_providers": ("local",)}, {"provider": "local"}, {"provider": "heat"}, "heat"),
    ({"cluster_name": "[a-z]+-prod"}, {"cluster_name": "a-prod"}, {"cluster_name": "a-prod2"}, "a-prod2"),
    ({"max_nodes_per_cluster": 3}, {"cluster_nodes": 3}, {"cluster_nodes": 4}, "may have 3 nodes"),
    ({"max_nodes_per_project": 0}, {"project_nodes": 0}, {"project_nodes": 1}, "it would have 1"),
    ({"forbidden_labels": ("x-*",)}, {"labels": {"y": "1"}}, {"labels": {"x-a": "1"}}, "x-a"),
    (
        {"required_labels": {"team": "[a-z]+"}},
        {"labels": {"team": "a"}, "labels_complete": True},
        {"labels": {"team": "a1"}, "labels_complete": True},
        "team",
    ),
    ({"required_labels": {"team": ".*"}}, {"labels": {}}, {"labels": {}, "labels_complete": True}, "there is none"),
]


@pytest.mark.parametrize(("bounds", "good", "bad", "said"), GOOD_AND_BAD)
def test_each_bound_lets_pass_and_refuses_by_name(bounds, good, bad, said):
    limits = (limit(**bounds),)
    check_limits(limits, RequestedSize(**good))
    with pytest.raises(Forbidden, match=r"^Limit l: ") as refused:
        check_limits(limits, RequestedSize(**bad))
    assert said in refused.value.detail
    assert refused.value.field


def test_what_a_wish_does_not_say_is_not_judged():
    everything = {key: value for bounds, *_ in GOOD_AND_BAD for key, value in bounds.items()}
    assert list(judge_request((limit(**everything),), RequestedSize())) == []


def test_all_limits_hold_together():
    limits = (limit(max_nodes_per_cluster=9), Limit(name="tight", max_nodes_per_cluster=2))
    with pytest.raises(Forbidden, match="Limit tight"):
        check_limits(limits, RequestedSize(cluster_nodes=5))
    assert [verdict.is_allowed for verdict in judge_request(limits, RequestedSize(cluster_nodes=5))] == [True, False]


def test_a_whole_file():
    text = """
    limits:
      - name: students
        projects: [demo]
        domains: [d9]
        except_projects: [p7]
        allowed_templates: [swarm]
        allowed_flavors: ["m1.*"]
        required_labels: {cost: "[0-9]{4}"}
        forbidden_labels: [boot_*]
        max_nodes_per_cluster: 5
        max_nodes_per_project: 20
        cluster_name: "[a-z-]+"
        max_age_days: 0.5
        at_max_age: delete
    """
    [read] = parse_limits(yaml.safe_load(text))
    assert (read.name, read.max_age_days, read.required_labels) == ("students", 0.5, {"cost": "[0-9]{4}"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "object"),
        ("limits: 3", "array"),
        ("limits: [{max_nodes_per_cluster: 3}]", "name"),
        ("limits: [{name: a, max_nodes: 3}]", "max_nodes"),
        ("limits: [{name: a, max_nodes_per_cluster: -1}]", "max_nodes_per_cluster"),
        ("limits: [{name: a, max_nodes_per_cluster: many}]", "max_nodes_per_cluster"),
        ("limits: [{name: a, max_age_days: 0}]", "max_age_days"),
        ("limits: [{name: a, max_age_days: 1, at_max_age: stop}]", "at_max_age"),
        ("limits: [{name: a, max_nodes_per_cluster: 1, at_max_age: delete}]", "at_max_age says nothing"),
        ("limits: [{name: a, projects: [b]}]", "limit a: it bounds nothing"),
        ("limits: [{name: a, cluster_name: '['}]", "limit a: cluster_name"),
        ("limits: [{name: a, required_labels: {b: '('}}]", "limit a: required_labels/b"),
        ("limits: [{name: a, max_nodes_per_cluster: 1}, {name: a, max_nodes_per_cluster: 2}]", "two of that name"),
        ("limits: [{name: a, projects: demo, max_nodes_per_cluster: 1}]", "projects"),
        ("limits: []\nmore: 1", "more"),
    ],
)
def test_a_file_that_is_wrong_says_where(text, said):
    with pytest.raises(ValueError, match=r".") as wrong:
        parse_limits(yaml.safe_load(text))
    assert said in str(wrong.value)


@pytest.mark.parametrize(
    "pattern", ["a{999999999999}", "(" * 3000 + ")" * 3000, "[", "*"], ids=["repetition", "depth", "class", "star"]
)
def test_a_pattern_that_cannot_be_compiled_is_named(pattern):
    for bounds, where in (({"cluster_name": pattern}, "cluster_name"), ({"required_labels": {"b": pattern}}, "/b")):
        with pytest.raises(ValueError, match=rf"^limit a: .*{where}: .* is no regular expression: .+"):
            parse_limits({"limits": [{"name": "a", **bounds}]})


@pytest.mark.parametrize("days", [1e300, float("inf"), float("nan"), 10**9])
def test_an_age_beyond_the_calendar_is_refused(days):
    with pytest.raises(ValueError, match="max_age_days"):
        parse_limits({"limits": [{"name": "a", "max_age_days": days}]})


def test_every_fault_is_listed():
    text = """
    limits:
      - {name: a, max_nodes: 3, max_nodes_per_cluster: -1, projects: [b, 5]}
      - {name: b, cluster_name: "["}
      - {max_nodes_per_cluster: 1}
      - {name: b, required_labels: {x: "("}, at_max_age: delete}
      - 5
      - {name: c, max_nodes_per_cluster: 1}
    """
    faults = list_limit_faults(yaml.safe_load(text))
    assert [fault.partition(" is no regular")[0] for fault in faults] == [
        "Object contains unknown field `max_nodes` - at `$.limits[0]`",
        "Expected `int` >= 0 - at `$.limits[0].max_nodes_per_cluster`",
        "Expected `str`, got `int` - at `$.limits[0].projects[1]`",
        "limit b: cluster_name: '['",
        "Object missing required field `name` - at `$.limits[2]`",
        "limit b: there are two of that name",
        "limit b: required_labels/x: '('",
        "limit b: at_max_age says nothing without max_age_days",
        "Expected `object`, got `int` - at `$.limits[4]`",
    ]


def test_an_empty_list_allows_nothing_and_is_a_bound():
    [none] = parse_limits({"limits": [{"name": "a", "allowed_flavors": []}]})
    assert none.allowed_flavors == ()
