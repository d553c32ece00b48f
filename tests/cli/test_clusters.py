"""`jeroboam cluster …` at a real API: what is asked for, shown and refused."""

import json
import re

LINE = re.compile(r" *\d+\.\d s  (.+)")


def texts(output: str) -> list[str]:
    """The lines of progress, without their times."""
    return [match[1] for match in map(LINE.fullmatch, output.splitlines()) if match]


async def test_the_life_of_a_cluster(cli, service):
    created = await cli("cluster create dev --workers 2")
    shown = texts(created)
    assert (
        shown[0]
        == "Cluster requested from template kubernetes: default-master with 1 node, default-worker with 2 nodes."
    )
    assert "CREATE_COMPLETE" in shown
    assert created.splitlines()[-1] == "kubectl reaches it after: jeroboam cluster kubeconfig dev"
    listed = json.loads(await cli("cluster list -o json"))
    assert [(cluster["name"], cluster["coe"], cluster["node_count"]) for cluster in listed] == [
        ("dev", "kubernetes", 2)
    ]
    head, row = (await cli("cluster list")).splitlines()
    assert head.split() == ["NAME", "UUID", "NODES", "STATUS", "RUNS"]
    assert row.split() == ["dev", listed[0]["uuid"], "1+2", "CREATE_COMPLETE", "kubernetes", "1.0-fake"]

    scaled = texts(await cli("cluster scale dev 3"))
    assert not any("Cluster requested" in line for line in scaled), "what was before is not told again"
    assert scaled[-1] == "UPDATE_COMPLETE"
    nodes = json.loads(await cli("cluster nodes dev -o json"))
    assert sorted(node["nodegroup"] for node in nodes) == ["default-master", *["default-worker"] * 3]

    assert texts(await cli("cluster delete dev"))[-1] == "cluster dev is gone"
    assert json.loads(await cli("cluster list -o json")) == []
    assert not service.cloud.clusters
