"""`--show-api` prints what the published client takes: run by it, the same is there."""

import json

from tests.cli.test_clusters import VERSION

COMPARED = ("master_count", "node_count", "labels", "flavor_id", "master_flavor_id", "master_lb_enabled", "coe")


async def test_a_cluster_made_by_the_printed_command_is_the_same(cli, tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text("masters: 3\nlabels: {a: 1, b: true}\nflavor: m1.large\nnode_groups: [{name: big, max_nodes: 2}]\n")
    create, wait, group = (await cli(f"cluster create one -f {file} --workers 2 --show-api")).splitlines()
    assert wait.startswith("while "), "groups are taken once the cluster is complete"
    assert json.loads(await cli("cluster list -o json")) == [], "nothing was changed"
    await cli.openstack(create)
    await cli(f"cluster create two -f {file} --workers 2")
    # The group is accepted as soon as the cluster is complete.
    await cli("cluster scale one 2")
    await cli.openstack(group)
    one, two = json.loads(await cli("cluster list -o json"))
    assert {key: one[key] for key in COMPARED} == {key: two[key] for key in COMPARED}


async def test_an_upgrade_by_the_printed_commands_is_the_same(cli):
    await cli("cluster create dev")
    template, upgrade = (await cli(f"cluster upgrade dev --version {VERSION} --show-api")).splitlines()
    await cli.openstack(template)
    await cli.openstack(upgrade)
    [cluster] = json.loads(await cli("cluster list -o json"))
    assert cluster["labels"] == {"kube_tag": VERSION}
    assert await cli(f"cluster upgrade dev --version {VERSION} --show-api") != f"{template}\n{upgrade}\n"


async def test_the_other_printed_commands_are_taken(cli):
    await cli("cluster create dev")
    for line in (
        "cluster list",
        "cluster nodes dev",
        "cluster kubeconfig dev",
        "cluster scale dev 2",
        "cluster delete dev",
    ):
        printed = await cli(f"{line} --show-api")
        await cli.openstack(printed)
