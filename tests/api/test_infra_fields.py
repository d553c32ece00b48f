"""The tables of fields of templates, clusters and node groups: what is accepted reaches the spec and is shown.

Both ways for each table, and once with real requests that set every field to another value than its default.
"""

from dataclasses import fields

import pytest

from jeroboam.api.bays import baymodels, bays
from jeroboam.api.container_infra.clusters import fields as cluster_fields
from jeroboam.api.container_infra.nodegroups import fields as group_fields
from jeroboam.api.container_infra.templates import fields as template_fields
from jeroboam.domain.clusters import Cluster, ClusterSpec, NodeGroup, NodeGroupSpec, Template, TemplateSpec
from jeroboam.store import sort_keys
from tests.api.loops import settle

TABLES = {
    "templates": (template_fields, TemplateSpec),
    "clusters": (cluster_fields, ClusterSpec),
    "node groups": (group_fields, NodeGroupSpec),
}
ELSEWHERE = {
    "templates": {"uuid", "name", "public", "hidden"},
    # Sizes are those of the groups; what was read may be sent back.
    "clusters": {"uuid", "name", "cluster_template_id", "node_count", "master_count", "merge_labels"}
    | {"status", "status_reason", "health_status", "health_status_reason"},
    "node groups": {"uuid", "name"},
}
"""The accepted fields that are no part of the spec."""
SERVICE_WRITES = {"templates": set(), "clusters": set(), "node groups": {"is_default"}}
"""Attributes of the spec that are shown and that no request sets."""


def attributes_of(spec_type) -> set[str]:
    return {attribute.name for attribute in fields(spec_type)}


@pytest.mark.parametrize("resource", TABLES)
def test_every_accepted_field_reaches_the_spec_or_is_known_to_lie_elsewhere(resource):
    table, spec_type = TABLES[resource]
    accepted = {field.spec_attribute for field in table.FIELDS if field.check is not None}
    assert accepted & attributes_of(spec_type) == accepted - ELSEWHERE[resource]
    assert attributes_of(spec_type) - accepted == table.HIDDEN | SERVICE_WRITES[resource]


@pytest.mark.parametrize("resource", TABLES)
def test_every_attribute_of_the_spec_is_shown_or_named_as_hidden(resource):
    table, spec_type = TABLES[resource]
    shown = {field.spec_attribute for field in table.FIELDS if field.type is not None}
    assert attributes_of(spec_type) - shown == table.HIDDEN


@pytest.mark.parametrize("resource", TABLES)
def test_every_accepted_field_has_an_effect_and_no_field_is_declared_twice(resource):
    table, _ = TABLES[resource]
    names = [field.name for field in table.FIELDS]
    assert len(names) == len(set(names))
    assert all(table.EFFECTS[field.name] for field in table.FIELDS if field.check is not None)


@pytest.mark.parametrize(
    ("object_type", "table", "own_columns"),
    [
        (Template, template_fields, {"id"}),
        (Cluster, cluster_fields, {"id", "deadline_at", "generation", "operation", "template_id"}),
        (NodeGroup, group_fields, {"deleting", "next_index"}),
    ],
)
def test_lists_are_sorted_by_the_fields_of_the_table_that_say_so(object_type, table, own_columns):
    """And by columns that are not shown, by which lists of former versions were sorted too."""
    sortable = {field.name for field in table.FIELDS if field.type is not None and field.sortable}
    assert set(sort_keys(object_type)) == sortable | own_columns


UUID = "00000000-0000-4000-8000-00000000beef"
TEMPLATE = {
    "uuid": UUID,
    "name": "full",
    "coe": "swarm",
    "image_id": "image",
    "flavor_id": "small",
    "master_flavor_id": "large",
    "keypair_id": "key",
    "external_network_id": "public",
    "fixed_network": "network",
    "fixed_subnet": "subnet",
    "network_driver": "overlay",
    "volume_driver": "rexray",
    "dns_nameserver": "8.8.8.8",
    "apiserver_port": 6443,
    "docker_volume_size": 7,
    "docker_storage_driver": "overlay2",
    "cluster_distro": "busybox",
    "http_proxy": "http://user:secret@proxy:1",
    "https_proxy": "http://user:secret@proxy:2",
    "no_proxy": "localhost",
    "insecure_registry": "registry:5000",
    "labels": {"a": "1"},
    "registry_enabled": True,
    "tls_disabled": True,
    "master_lb_enabled": True,
    "floating_ip_enabled": False,
    "server_type": "bm",
    "tags": "tag",
    "driver": "fake",
    "public": True,
    "hidden": True,
}
CLUSTER = {
    "name": "c",
    "keypair": "other-key",
    "node_count": 4,
    "master_count": 3,
    "docker_volume_size": 9,
    "labels": {"b": "2"},
    "master_flavor_id": "huge",
    "flavor_id": "tiny",
    "create_timeout": 5,
    "discovery_url": "http://discovery",
    "fixed_network": "other-network",
    "fixed_subnet": "other-subnet",
    "floating_ip_enabled": False,
    "master_lb_enabled": True,
}
GROUP = {
    "name": "g",
    "flavor_id": "own",
    "image_id": "own-image",
    "node_count": 2,
    "role": "database",
    "min_node_count": 1,
    "max_node_count": 3,
    "merge_labels": True,
    "docker_volume_size": 11,
    "labels": {"b": "2", "c": "3"},
    "node_labels": {"x": "y"},
    "node_taints": [{"key": "k", "effect": "NoSchedule"}],
}


def check_spec(table, spec_type, wish, spec) -> None:
    """The spec has what the wish says."""
    for field in table.FIELDS:
        if field.name in wish and field.spec_attribute in attributes_of(spec_type):
            value = getattr(spec, field.spec_attribute)
            assert (list(value) if isinstance(value, tuple) else value) == wish[field.name], field.name


async def test_a_template_has_and_shows_each_field_of_its_request(infra, store):
    assert set(TEMPLATE) == set(template_fields.CREATE_CHECKS)
    answer = await infra.as_("admin").post("/v1/clustertemplates", TEMPLATE)
    assert answer.status == 201
    assert {name: answer.json()[name] for name in TEMPLATE} == TEMPLATE
    async with store.read() as tx:
        template = await tx.templates.get(UUID)
    check_spec(template_fields, TemplateSpec, TEMPLATE, template.spec)
    defaults = TemplateSpec(coe="", image_id="")
    unchanged = {
        name for name in attributes_of(TemplateSpec) if getattr(template.spec, name) == getattr(defaults, name)
    }
    assert unchanged == set()


async def test_a_cluster_has_and_shows_each_field_of_its_request(infra, make, store):
    sent_back = {"status", "status_reason", "health_status", "health_status_reason"}
    assert {*CLUSTER, *sent_back, "uuid", "cluster_template_id", "merge_labels"} == set(cluster_fields.CREATE_CHECKS)
    uuid = await make.cluster(**CLUSTER)
    shown = (await infra.get("/v1/clusters/c")).json()
    assert {name: shown[name] for name in CLUSTER} == CLUSTER
    async with store.read() as tx:
        cluster = await tx.clusters.get(uuid)
    check_spec(cluster_fields, ClusterSpec, CLUSTER, cluster.spec)


async def test_a_cluster_and_its_groups_have_from_the_template_what_the_request_leaves_open(infra, make, store):
    # Other projects do not see a hidden template.
    assert (await infra.as_("admin").post("/v1/clustertemplates", TEMPLATE | {"hidden": False})).status == 201
    uuid = await make.cluster(cluster_template_id=UUID)
    async with store.read() as tx:
        cluster = await tx.clusters.get(uuid)
        masters, workers = (await tx.nodegroups.groups_of(uuid))[uuid]
    inherited = [field for field in cluster_fields.FIELDS if field.inherits is not None]
    assert {field.name for field in inherited} == {
        *("keypair", "docker_volume_size", "labels", "master_flavor_id", "flavor_id"),
        *("fixed_network", "fixed_subnet", "floating_ip_enabled", "master_lb_enabled"),
    }
    for field in inherited:
        assert getattr(cluster.spec, field.spec_attribute) == TEMPLATE[field.inherits], field.name
    for group, flavor in ((masters, "large"), (workers, "small")):
        spec = group.spec
        assert (spec.flavor_id, spec.image_id, spec.docker_volume_size) == (flavor, "image", 7)
        assert (spec.labels, spec.is_default) == ({"a": "1"}, True)


async def test_a_group_has_and_shows_each_field_of_its_request(infra, make, store):
    assert {*GROUP, "uuid"} == set(group_fields.CREATE_CHECKS)
    await settle(store, await make.cluster())
    answer = await infra.post("/v1/clusters/c/nodegroups", GROUP)
    assert answer.status == 202
    assert {name: answer.json()[name] for name in GROUP} == GROUP
    async with store.read() as tx:
        [group] = await tx.nodegroups.select({"name": "g"})
    check_spec(group_fields, NodeGroupSpec, GROUP, group.spec)


@pytest.mark.parametrize(
    ("path", "name", "title"),
    [
        ("/v1/clusters", "labels_added", "Cannot set read only field: labels_added"),
        ("/v1/clusters", "faults", "Cannot set read only field: faults"),
        ("/v1/clusters/c/nodegroups", "nodes", "Cannot set read only field: nodes"),
        ("/v1/clustertemplates", "links", "Cannot set read only field: links"),
    ],
)
async def test_what_is_shown_and_not_accepted_is_refused_as_read_only(infra, make, path, name, title):
    await make.cluster()
    refused = await infra.post(path, {name: None})
    assert (refused.status, refused.error["title"]) == (400, title)


@pytest.mark.parametrize("table", [template_fields, cluster_fields, group_fields, baymodels, bays])
def test_required_fields_are_accepted(table):
    required = {table.REQUIRED} if isinstance(table.REQUIRED, str) else set(table.REQUIRED)
    assert required == {field.name for field in table.FIELDS if field.required}
    assert required <= set(table.CREATE_CHECKS)
