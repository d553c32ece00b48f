"""`cluster.yaml`: each mistake is told with the file and the field."""

import re

import pytest

from jeroboam.cli.clusters.definition import ClusterDefinition, NodeGroupDefinition, read_definition

FIELDS = "name, coe, version, masters, workers, template, flavor, master_flavor, labels, node_groups"
GROUP_FIELDS = "name, nodes, flavor, min_nodes, max_nodes, labels"


def test_all_that_may_be_said(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text(
        "name: dev\ncoe: kubernetes\nversion: v1.36.3\nmasters: 3\nworkers: 0\n"
        "template: t\nflavor: a\nmaster_flavor: b\n"
        "labels: {x: 1, y: true, z: text}\n"
        "node_groups: [{name: g, nodes: 0, flavor: c, min_nodes: 0, max_nodes: 4, labels: {w: 0.5}}]\n"
    )
    group = NodeGroupDefinition(name="g", nodes=0, flavor="c", min_nodes=0, max_nodes=4, labels={"w": 0.5})
    assert read_definition(file) == ClusterDefinition(
        name="dev",
        coe="kubernetes",
        version="v1.36.3",
        masters=3,
        workers=0,
        template="t",
        flavor="a",
        master_flavor="b",
        labels={"x": 1, "y": True, "z": "text"},
        node_groups=(group,),
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("workers: two", "workers: Expected int, got str"),
        ("workers: -1", "workers: Expected int >= 0"),
        ("masters: 0", "masters: Expected int >= 1"),
        ("masters: true", "masters: Expected int, got bool"),
        ("version: 1.36", "version: Expected str | null, got float"),
        ("coe: nomad", "coe: there is no nomad; possible are kubernetes, swarm"),
        (
            "nodes: 2",
            f"nodes: there is no such field; possible are {FIELDS}",
        ),
        ("wrokers: 2", "wrokers: there is no such field; do you mean workers?"),
        (
            "kind: Cluster",
            f"kind: there is no such field; possible are {FIELDS}",
        ),
        ("coe: swarn", "coe: there is no swarn; do you mean swarm?"),
        ("node_groups: [{name: a, nods: 1}]", "node_groups[0].nods: there is no such field; do you mean nodes?"),
        ("labels: [a]", "labels: Expected object, got array"),
        ("labels: {a: [1]}", "labels.a: a text, a number, true or false is expected"),
        (
            "node_groups: [{name: g, labels: {a: }}]",
            "node_groups[0].labels.a: a text, a number, true or false is expected",
        ),
        ("node_groups: [{nodes: 1}]", "node_groups[0]: Object missing required field name"),
        (
            "node_groups: [{name: a, size: 1}]",
            f"node_groups[0].size: there is no such field; possible are {GROUP_FIELDS}",
        ),
        ("node_groups: [{name: a}, {name: a}]", "node_groups[1].name: there are two groups a"),
        (
            "node_groups: [{name: a, nodes: 3, max_nodes: 2}]",
            "node_groups[0].max_nodes: it is less than nodes or min_nodes",
        ),
        ("coe: swarm\nversion: v1.36.3", "version: nodes of swarm have the version of their image"),
        ("version: v1.36.3\nlabels: {kube_tag: v1.35.4}", "version: the label kube_tag says it too; name one of them"),
        ("- name: dev", "fields such as `name: dev` are expected"),
        ("", "fields such as `name: dev` are expected"),
        ("1: 2", "the name of each field has to be a text"),
        ("name: [", "line 1: expected the node content, but found '<stream end>'"),
        ("name: \x00", "this is no text of YAML"),
    ],
)
def test_a_mistake_is_told_with_its_field(tmp_path, text, reason):
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{file}: {reason}')}$"):
        read_definition(file)
